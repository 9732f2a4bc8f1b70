"""A training in a child process to which something happens at a chosen moment: a kill, a full disk, bad data.

Children are forked from a server that has imported everything, so one more costs little.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

from MissingModalityLib.training.run_folder import RunFolder

POINTS = {
    "case": ("MissingModalityLib.training.run_cases", "cache_case"),
    "tumor": ("MissingModalityLib.synthesis.pairing", "cache_tumor"),
    "record": ("MissingModalityLib.training.record:RunRecord", "write"),
    "epoch": ("MissingModalityLib.training.loop:Trainer", "train_epoch"),
    "step": ("MissingModalityLib.training.loop:Trainer", "_step"),
    "log": ("MissingModalityLib.training.log", "append"),
    "trim": ("MissingModalityLib.training.log", "trim"),
    "drop": ("MissingModalityLib.training.run", "drop_stages"),
    "checkpoint": ("MissingModalityLib.training.loop", "write_checkpoint"),
    "student": ("MissingModalityLib.training.run", "keep_stage"),
    "teacher": ("MissingModalityLib.methods.self_distillation:Distillation", "begin_epoch"),
}
"""Calls at which something can happen, as (owner, attribute)."""

_ROOM = 100
"""Bytes that a full disk still takes; every file and every line of the log is larger."""


_PATIENCE_S = 300.0

_PRELOADED = ("MissingModalityLib.training.run", "MissingModalityLib.evaluation.metrics", "torch._dynamo")
"""Modules that a training imports, early or late."""


@dataclass(frozen=True)
class Fault:
    """What happens to a run, and when.

    Attributes:
        point: key of :data:`POINTS`.
        nth: call of it in this process, from 1.
        action: called with the call's own arguments.
        after: after the call, not before.
    """

    point: str
    nth: int
    action: Callable[..., None]
    after: bool = False

    def __str__(self) -> str:
        action = getattr(self.action, "func", self.action).__name__
        return f"{action}-{'after' if self.after else 'at'}-{self.point}-{self.nth}"

    def plant(self) -> None:
        """Put it into this process."""
        place, name = POINTS[self.point]
        owner, calls = resolve_name(place), []
        original = getattr(owner, name)

        @wraps(original)
        def faulty(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            due = len(calls) == self.nth
            if due and not self.after:
                self.action(*arguments)
            result = original(*arguments, **options)
            if due and self.after:
                self.action(*arguments)
            return result

        setattr(owner, name, faulty)


def kill(*_: Any) -> None:
    """Die at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk(*arguments: Any) -> None:
    """Refuse to write more than a little into any file from here on."""
    folder = arguments[0]  # the run's, where it is the log's turn, which alone grows
    log = folder.log if isinstance(folder, RunFolder) else None
    room = _ROOM + (log.stat().st_size if log and log.exists() else 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))


def kill_inside_write(*arguments: Any) -> None:
    """Let the system kill this process inside the next write, part of which is then on disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    fill_disk(*arguments)


def truncate(folder: Path, *_: Any) -> None:
    """Cut all prepared files in a folder to half."""
    for path in folder.glob("*.safetensors"):
        os.truncate(path, path.stat().st_size // 2)


def delete(folder: Path, *_: Any) -> None:
    """Delete all prepared files in a folder."""
    for path in folder.glob("*.safetensors"):
        path.unlink()


def spoil_images(value: float, *_: Any) -> None:
    """Let every crop hold a value that is no number."""
    from MissingModalityLib.imaging.cache import CachedCase

    crop = CachedCase.crop

    def spoiled(self: CachedCase, *arguments: Any) -> Any:
        image, label = crop(self, *arguments)
        image[list(self.subset), ::2] = value
        return image, label

    CachedCase.crop = spoiled


def spoil_weight(value: float, trainer: Any, *_: Any) -> None:
    """Leave a value that is no number in a weight."""
    weight = next(trainer.trained.parameters())
    weight.data.view(-1)[0] = value


def kill_worker(*_: Any) -> None:
    """Kill a process that cuts crops."""
    multiprocessing.active_children()[0].kill()


def hang(told: Path, *_: Any) -> None:
    """Make a file, then do nothing, for longer than anyone waits."""
    told.touch()
    time.sleep(3600)


class Child:
    """A training in a child process, the leader of a process group of its own.

    Args:
        arguments: of the command ``train``.
        fault: what is to happen to it.
    """

    def __init__(self, arguments: list[str], fault: Fault | None = None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*_PRELOADED, __name__])
        # no file: a full disk would take no message
        self._printed, printing = context.Pipe(duplex=False)
        self.process = context.Process(target=_train, args=(arguments, printing, fault))
        # the first one starts the server, which looks for modules where this process does
        with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
            self.process.start()
        printing.close()

    def end(self) -> tuple[int, str]:
        """Wait for the exit code and all that it and its own children have printed; not for ever."""
        watchdog = threading.Timer(_PATIENCE_S, os.killpg, (self.process.pid, signal.SIGKILL))
        watchdog.start()
        with os.fdopen(os.dup(self._printed.fileno())) as printed:
            text = printed.read()
        self.process.join()
        watchdog.cancel()
        return self.process.exitcode, text


def _train(arguments: list[str], printing: Connection, fault: Fault | None) -> None:
    import torch

    from MissingModalityLib.__main__ import main

    os.setsid()
    # what starts programs in the background has them ignore it, and children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # workers as the command line has them; they would come from a server, too
    multiprocessing.set_start_method("fork", force=True)
    for number in (1, 2):
        os.dup2(printing.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
    torch.set_num_threads(1)
    if fault:
        fault.plant()
    sys.exit(main(["train", *arguments, "--progress", "none"]))
