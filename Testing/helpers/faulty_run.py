"""A run of the whole recipe, begun, killed and resumed in child processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from faulty_child import Child, Fault, kill_inside_write
from MissingModalityLib.training.plan import flattened
from tiny_run import TINY

SETTINGS = {
    **TINY,
    "distillation.teacher_update_interval": 2,
    "network.dropout": 0.2,
    "ema_decay": 0.9,
    "learning_rate": 1e-3,
}
KILLED = (-signal.SIGKILL, -signal.SIGXFSZ)


class Run:
    """A run of the whole recipe that can be begun, killed and resumed.

    Args:
        data: folder of cases.
        folder: of the run.
    """

    def __init__(self, data: Path, folder: Path) -> None:
        self.data = data
        self.folder = folder
        self.prepared = folder / "prepared"

    def start(self, fault: Fault | None = None, *options: str, **changes: Any) -> Child:
        """Begin it, or resume it where there is a checkpoint."""
        arguments = ["--data", str(self.data), "--output", str(self.folder), *options]
        if (self.folder / "checkpoint.pt").exists():
            arguments.append("--resume")
        else:
            arguments += ["--recipe", "aem-kd"]
            changes = {**SETTINGS, **changes}
        if changes:
            arguments += ["--set", *(f"{key}={value}" for key, value in flattened(changes).items())]
        return Child(arguments, fault)

    def die(self, fault: Fault, *options: str, **changes: Any) -> None:
        """Begin or resume it, to be killed."""
        code, text = self.start(fault, *options, **changes).end()
        assert code in KILLED, f"{fault}: exit code {code}: {text}"
        left = list(self.folder.rglob(".*"))
        assert bool(left) == (fault.action is kill_inside_write and fault.point != "log"), (fault, left)
        age(left)

    def fail(self, fault: Fault | None = None, *options: str, **changes: Any) -> str:
        """Begin or resume it, to end with an error; the message."""
        code, text = self.start(fault, *options, **changes).end()
        assert code == 2, f"{fault}: exit code {code}: {text}"
        assert text.startswith("missing-modality: error: ") and text.count("\n") == 1, text
        assert not list(self.folder.rglob(".*")), "an error leaves no temporary file"
        return text

    def finish(self, *options: str, **changes: Any) -> None:
        """Begin or resume it, to the end."""
        code, text = self.start(None, *options, **changes).end()
        assert code == 0, text


def age(files: list[Path]) -> None:
    """Make files as old as if much time had gone by."""
    for path in files:
        os.utime(path, (time.time() - 3600,) * 2)
