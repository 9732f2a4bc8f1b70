"""All that a GPU is wanted for, in one command: for a borrowed machine that is there for minutes only.

    python Scripts/gpu_minutes.py --packed DIR [DIR ...] --wheels DIR --output FOLDER --seconds 660

The machine needs no network and, beside this checkout, PyTorch, NumPy, SciPy, safetensors and a Pillow that
reads AVIF; MONAI and pytest come as wheels, which are only unpacked. In turn:

    prepare     prepared cases from the packed ones (``packed_cases.py``), in a process per core
    tests       the tests of CUDA, ``Testing/*/test_cuda*.py``, meanwhile
    steps       seconds and memory of a training step of each network, at the crop of its paper
    train       the bundled student's recipe for the time that is left (``timed_training.py``)

Whatever fails or takes too long leaves the rest alone: ``results.json`` says how each part ended, ``log.txt``
has all that was printed, a table of steps among it, whose figures are in ``steps.json``. The student and what
a run needs to go on lie in ``pieces``, in files small enough to be brought back; ``pieces.py`` joins them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS, TOOLS = ROOT / "Scripts", ROOT / "Testing" / "tools"
PARTS = ("prepare", "tests", "steps", "train")

# Shares of the whole time that the parts before the training may take. A GPU with 16 cores beside it takes
# less for each; they keep a part that hangs from taking the training's time.
_MOST = {"prepare": 0.25, "tests": 0.2, "steps": 0.25}

_MOST_OF_A_LINE = 0.3
"""Of the time for steps: what one network may take of it."""

END_SECONDS = 20.0
"""Left at the end of the training: for the step on its way, the last export, and the pieces."""


class Measurement:
    """Parts run one after the other or side by side, in one log.

    Args:
        output: folder for log and results, made if needed.
        seconds: after which all has to be over.
        packages: folder to import further packages from.
    """

    def __init__(self, output: Path, seconds: float, packages: Path) -> None:
        self.output, self.seconds, self.began = output, seconds, time.monotonic()
        output.mkdir(parents=True, exist_ok=True)
        self.log = (output / "log.txt").open("a", encoding="utf-8")
        self.results: list[dict[str, Any]] = []
        paths = [ROOT / "MissingModalityTrain", SCRIPTS, TOOLS, packages, os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(path) for path in paths if path != ""),
            "PYTHONUNBUFFERED": "1",  # what a part printed before it is killed shall be in the log
        }

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.monotonic() - self.began)

    def say(self, text: str) -> None:
        """Print a line, into the log too."""
        line = f"[{self.seconds - self.left:6.1f} s] {text}"
        print(line, flush=True)
        print(line, file=self.log, flush=True)

    def start(self, part: str, command: Sequence[object], limit: float) -> Running:
        """Start a part, which is to take ``limit`` seconds at most."""
        words = [sys.executable, *map(str, command)]
        self.say(f"{part}: {' '.join(words[1:])}")
        process = subprocess.Popen(  # noqa: S603 - this interpreter, on programs of this checkout
            words,
            cwd=ROOT,
            env=self.environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its own children end with it
        )
        return Running(part, process, time.monotonic(), min(limit, self.left))

    def finish(self, running: Running) -> bool:
        """Wait for a part, end it where it takes too long, and note how it ended; whether it did well."""
        try:
            code = running.process.wait(max(0.0, running.began + running.limit - time.monotonic()))
            result = "done" if code == 0 else f"failed with exit code {code}, see log.txt"
        except subprocess.TimeoutExpired:
            result = f"stopped after {running.limit:.0f} s"
        finally:
            running.end()
        self.note(running.part, result, time.monotonic() - running.began)
        return result == "done"

    def note(self, part: str, result: str, seconds: float) -> None:
        """Keep how a part ended."""
        self.say(f"{part}: {result}")
        self.results.append({"part": part, "result": result, "seconds": round(seconds, 1)})
        text = json.dumps(self.results, indent=2) + "\n"
        (self.output / "results.json").write_text(text, encoding="utf-8")


class Running:
    """A part on its way.

    Args:
        part: name.
        process: that leads a group of its own.
        began: on the monotonic clock.
        limit: seconds.
    """

    def __init__(self, part: str, process: subprocess.Popen[bytes], began: float, limit: float) -> None:
        self.part, self.process, self.began, self.limit = part, process, began, limit

    def end(self) -> None:
        """End what is left of its group."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self.process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Go through the parts; 0 all went well, 1 a part did not, 2 none was begun."""
    options = _options(arguments)
    if "train" in options.parts and (options.output / "pieces" / "manifest.json").exists():
        print(
            f"gpu_minutes: error: {options.output} holds what an earlier training has left, which this one "
            "would replace. Choose another folder.",
            file=sys.stderr,
        )
        return 2
    # a polite end of this process shall end its children too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as work:
        packages, prepared = Path(work) / "packages", Path(work) / "prepared"
        measurement = Measurement(options.output.resolve(), options.seconds, packages)
        _unpack(options.wheels, packages)
        together = [
            start(measurement, options, prepared)
            for part, start in (("tests", _start_tests), ("prepare", _start_preparing))
            if part in options.parts
        ]
        try:
            for running in together:
                measurement.finish(running)
        finally:
            for running in together:
                running.end()
        if "steps" in options.parts:
            _measure_steps(measurement, options, prepared)
        if "train" in options.parts:
            _train(measurement, options, prepared)
    return int(any(entry["result"] != "done" for entry in measurement.results))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    out = os.environ.get("OUT")
    parser.add_argument("--packed", type=Path, nargs="+", required=True, metavar="DIR", help="packed cases")
    parser.add_argument(
        "--output", type=Path, default=out, required=not out, metavar="DIR", help="default: $OUT"
    )
    parser.add_argument("--seconds", type=float, default=660, help="in all (default: %(default)g)")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="wheels of pure Python to import from")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--device", default="auto", help="to train on (default: %(default)s)")
    parser.add_argument("--preset", default="paper", help="of the networks in steps (default: %(default)s)")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="of the training, to try the script",
    )
    return parser.parse_args(arguments)


def _unpack(wheels: Path | None, packages: Path) -> None:
    """Wheels are zip files; those of pure Python need no installing."""
    for wheel in sorted(wheels.glob("*.whl")) if wheels else ():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)


def _start_preparing(measurement: Measurement, options: argparse.Namespace, prepared: Path) -> Running:
    command = [SCRIPTS / "packed_cases.py", "--packed", *options.packed, "--output", prepared]
    return measurement.start("prepare", command, _MOST["prepare"] * measurement.seconds)


def _start_tests(measurement: Measurement, *_: object) -> Running:
    files = sorted((ROOT / "Testing").glob("*/test_cuda*.py"))
    command = ["-m", "pytest", "-p", "no:cacheprovider", "-rs", *files]
    return measurement.start("tests", command, _MOST["tests"] * measurement.seconds)


def _measure_steps(measurement: Measurement, options: argparse.Namespace, prepared: Path) -> None:
    """Measure a step of each network; one that does not fit into the memory, or hangs, is a failed line."""
    limit = _MOST["steps"] * measurement.seconds
    command = [
        *(TOOLS / "bench_training.py", "--data", prepared, "--preset", options.preset, "--crop", "own"),
        *("--device", options.device, "--threads", os.cpu_count(), "--limit", _MOST_OF_A_LINE * limit),
        *("--output", measurement.output / "steps.json"),
    ]
    measurement.finish(measurement.start("steps", command, limit))


def _train(measurement: Measurement, options: argparse.Namespace, prepared: Path) -> None:
    seconds = measurement.left - END_SECONDS
    if seconds <= 0:
        measurement.note("train", "left out, no time was left", 0)
        return
    command = [
        *(SCRIPTS / "timed_training.py", "--data", prepared, "--output", measurement.output),
        *("--until", round(time.time() + seconds, 1), "--device", options.device),
        *(("--set", *options.set) if options.set else ()),
    ]
    measurement.finish(measurement.start("train", command, measurement.left))


if __name__ == "__main__":
    sys.exit(main())
