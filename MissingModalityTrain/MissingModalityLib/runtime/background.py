"""A training that outlives the program that started it, and can be found again in its run's folder.

The child is the command line in a session of its own. Beside the run's other files lie ``process.json``
(which process it is, see :class:`ProcessRecord`), ``events.jsonl`` (its progress, one
:class:`~..core.progress.Event` a line) and ``process.log`` (what else it printed). This file imports neither
Qt nor torch.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

from ..core import strict_json
from ..core.errors import CaseError
from ..core.files import atomic_write, read_text
from ..core.progress import Event
from . import jobs, lock, processes

PROCESS_FILE, EVENTS_FILE, LOG_FILE = "process.json", "events.jsonl", "process.log"

_TAIL_BYTES = 1 << 16
"""Read from the end of a file by who comes in the middle: some 500 events of about 130 bytes, and
any traceback whole, where the files of a long run grow to megabytes."""

_CLOCK_SECONDS = 2.0
"""How far the start of a process may seem to move when the system's clock is set right: psutil adds the boot
time, which follows the clock, to ticks since then. A later process of the same number starts much later,
since systems give numbers out in turn."""

_OWN_CODES = range(1, 128)
"""Exit codes that a process chooses; a signal makes others."""

_END_TIMEOUT_S = 10.0
"""For processes that were killed to be gone, or halted to have halted: at once, but for a write to a slow
disk that must end first."""


class State(Enum):
    """Of a training's process."""

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    KILLED = "killed"


@dataclass(frozen=True)
class ProcessRecord:
    """``process.json``: which process trains, or trained, in a run's folder.

    Attributes:
        pid: number of the process, or of the launcher that it runs under.
        started: its start in seconds since 1970, as psutil tells it; 0 where it ended before that was asked.
            Numbers are given away anew, the pair of both is not.
        host: name of the machine, because several may share the disk.
        stopped: whether somebody has stopped it, so that its end is no failure.
    """

    pid: int
    started: float
    host: str
    stopped: bool = False

    @classmethod
    def of_process(cls, pid: int) -> ProcessRecord:
        """Of a process of this machine that was just started."""
        import psutil

        try:
            started = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            started = 0.0  # it has ended already
        return cls(pid, started, platform.node())

    @classmethod
    def read(cls, folder: Path) -> ProcessRecord | None:
        """What a folder's file holds; None where there is none, or one that cannot be read."""
        try:
            content = strict_json.loads(read_text(folder / PROCESS_FILE))
            return cls(**{item.name: content[item.name] for item in fields(cls) if item.name in content})
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Replace the folder's file.

        Raises:
            OSError: it cannot be written.
        """
        with atomic_write(folder / PROCESS_FILE) as temporary:
            temporary.write_text(strict_json.dumps(asdict(self)), encoding="utf-8")


class BackgroundRun:
    """A training in a process of its own, of this program's making or of another's."""

    def __init__(
        self, folder: Path, record: ProcessRecord, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        """Use :func:`start` or :func:`find`.

        Args:
            folder: of the run.
            record: what ``process.json`` holds.
            process: where this program has started it.
        """
        self.folder = folder
        self._record = record
        self._process = process
        self._finished = False
        size = _size(folder / EVENTS_FILE)
        self._position = max(0, size - _TAIL_BYTES)
        self._rest = b""

    @property
    def pid(self) -> int:
        """Of the process, or of the launcher that it runs under."""
        return self._record.pid

    @property
    def alive(self) -> bool:
        """Whether it runs or is paused."""
        return self._living() is not None

    @property
    def state(self) -> State:
        """What has become of it; :meth:`new_events` brings it up to date."""
        process = self._living()
        if process is not None:
            import psutil

            with suppress(psutil.NoSuchProcess):
                paused = process.status() == psutil.STATUS_STOPPED
                return State.PAUSED if paused else State.RUNNING
        if self._ended_well():
            return State.FINISHED
        if self._record.stopped:
            return State.STOPPED
        return State.FAILED if self._failure() else State.KILLED

    @property
    def error(self) -> str | None:
        """Why it failed, for people; None unless it did."""
        return self._failure() if self.state is State.FAILED else None

    @property
    def log(self) -> str:
        """The last lines that it printed beside its progress."""
        return "\n".join(_tail(self.folder / LOG_FILE))

    def new_events(self) -> list[Event]:
        """Progress events since the last call; at the first call the latest ones."""
        try:
            with (self.folder / EVENTS_FILE).open("rb") as file:
                file.seek(self._position)
                read = file.read()
        except OSError:
            return []
        self._position += len(read)
        *lines, self._rest = (self._rest + read).split(b"\n")
        records = [jobs.parse_line(line.decode("utf-8", errors="replace")) for line in lines]
        self._finished |= any(record and record["event"] == "result" for record in records)
        return [Event.from_json(record) for record in records if record and record["event"] == "progress"]

    def pause(self) -> None:
        """Halt it where it is; it keeps its memory, and goes on at the very step."""
        process = self._living()
        if process is None:
            return
        import psutil

        with suppress(psutil.NoSuchProcess):
            process.suspend()
            deadline = time.monotonic() + _END_TIMEOUT_S
            # one that is just making a child halts only when that has begun, so the children come later
            while process.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
                time.sleep(0.01)
        for child in _descendants(process):
            with suppress(psutil.NoSuchProcess):
                child.suspend()

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        process = self._living()
        if process is None:
            return
        import psutil

        for member in (process, *_descendants(process)):
            with suppress(psutil.NoSuchProcess):
                member.resume()

    def stop(self) -> None:
        """End it and all its descendants; the run can be resumed after its last whole epoch."""
        process = self._living()
        if process is None:
            return
        import psutil

        self._record = replace(self._record, stopped=True)
        with suppress(OSError):  # a full disk must keep nobody from stopping
            self._record.write(self.folder)
        members = [process, *_descendants(process)]
        processes.kill_tree(self.pid)
        with suppress(psutil.Error):
            process.kill()
        psutil.wait_procs(members, _END_TIMEOUT_S)  # the last one to go lets go of the run's folder
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_TIMEOUT_S)

    def _living(self) -> Any:
        """The process while it lives, as psutil knows it; a number that was given away anew is not it."""
        import psutil

        if self._process is not None and self._process.poll() is not None:
            return None
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self._record.started) < _CLOCK_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def _ended_well(self) -> bool:
        if not self._finished:
            lines = map(jobs.parse_line, _tail(self.folder / EVENTS_FILE))
            self._finished = any(record and record["event"] == "result" for record in lines)
        return self._finished

    def _failure(self) -> str | None:
        """A message about bad input, else the last line that a crash has left; None for a kill."""
        lines = [line for line in _tail(self.folder / LOG_FILE) if line.strip()]
        code = self._process.poll() if self._process is not None else None
        crashed = code in _OWN_CODES if code is not None else any(map(_begins_traceback, lines))
        crash = f"The process crashed: {lines[-1]}" if crashed and lines else None
        return jobs.reported_error(lines) or crash


def _descendants(process: Any) -> list[Any]:
    """All processes below one; none where they cannot be listed."""
    import psutil

    try:
        return process.children(recursive=True)
    except psutil.Error:  # one of them may end while they are listed
        return []


def start(arguments: Sequence[str | os.PathLike[str]], folder: Path) -> BackgroundRun:
    """Start a training that goes on when this program ends.

    Args:
        arguments: of the command line, beginning with ``train``; ``--progress json`` is added.
        folder: of the run, as the arguments name it; made if needed.

    Raises:
        CaseError: a process trains there already, the folder cannot be written to, or no process can be made.
    """
    folder = Path(folder)
    before = find(folder)
    if lock.is_held(folder) or (before is not None and before.alive):
        raise CaseError(
            f"{folder}: another process is training in this folder. Wait for its end or stop it, or choose "
            "another folder."
        )
    process = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / EVENTS_FILE).open("wb") as events, (folder / LOG_FILE).open("wb") as log:
            process = processes.spawn(arguments, events, log)
        record = ProcessRecord.of_process(process.pid)
        record.write(folder)
    except OSError as error:
        if process is not None:
            processes.kill_tree(process.pid)  # without its record no program could find and stop it
        raise CaseError(
            f"{folder}: no training can be started there ({error}). Choose a folder that you can write to; "
            f"if it is one, repair or reinstall what {processes.python_executable()} belongs to."
        ) from error
    return BackgroundRun(folder, record, process)


def find(folder: Path) -> BackgroundRun | None:
    """The training that :func:`start` last made in a folder, whatever became of it.

    None where there was none, or where another machine that shares the disk has started it.
    """
    record = ProcessRecord.read(Path(folder))
    if record is None or record.host != platform.node():
        return None
    return BackgroundRun(Path(folder), record)


def _begins_traceback(line: str) -> bool:
    return line.startswith("Traceback ")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tail(path: Path) -> list[str]:
    """The last lines of a text that may be long and may end in the middle of one."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, _size(path) - _TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
