"""The command line as a child process: progress events come in, and Cancel ends the whole process tree.

A window stays alive by calling :meth:`Job.poll` from a timer; scripts call :meth:`Job.wait`. The child is
``python -m MissingModalityLib ... --progress json``. This file imports neither Qt nor anything heavy.
"""

from __future__ import annotations

import atexit
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, Any

from ..core import strict_json
from ..core.progress import Event
from . import processes

_KEPT_LINES = 200  # the last ones: a training prints for days, a traceback of PyTorch some dozens
_ERROR_MARK = "missing-modality: error: "
_GRACE_SECONDS = 2.0
"""How long to wait for the pipes after the child has ended; a grandchild may hold them open for ever."""


class Job:
    """One command of ``missing-modality`` in its own process.

    Attributes:
        arguments: what follows ``missing-modality``, e.g. ``["segment", "--flair", "f.nii.gz", ...]``.
        result: what the command prints in the end, e.g. the report of ``segment``; None until then.
        exit_code: None while running; 0 success, 2 bad input, negative or 1 a crash or no process at all.
        canceled: whether :meth:`cancel` ended it.
    """

    def __init__(
        self,
        arguments: Sequence[str | os.PathLike[str]],
        on_event: Callable[[Event], None] | None = None,
        on_finish: Callable[[Job], None] | None = None,
    ) -> None:
        """Prepare a job; :meth:`start` runs it.

        Args:
            arguments: a subcommand that takes ``--progress``, and its options; ``--progress json`` is added.
            on_event: called from :meth:`poll` with each progress event, in the caller's thread.
            on_finish: called once with this job when the process has ended, however it ended, or when it
                could not be started; from :meth:`poll`, :meth:`wait` or :meth:`cancel`.
        """
        self.arguments = [os.fspath(argument) for argument in arguments]
        self.result: dict[str, Any] | None = None
        self.exit_code: int | None = None
        self.canceled = False
        self._on_event = on_event
        self._on_finish = on_finish
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
        self._log: deque[str] = deque(maxlen=_KEPT_LINES)
        self._readers: list[threading.Thread] = []
        self._ended_at: float | None = None
        self._failed_start: str | None = None
        self._reported = False

    def start(self) -> Job:
        """Start the process and return this job; where that fails, the job has ended with ``error`` set.

        Raises:
            RuntimeError: it has been started before.
        """
        if self._process is not None or self.exit_code is not None:
            raise RuntimeError("A job runs once; make a new one.")
        try:
            self._process = processes.spawn(self.arguments)
        except OSError as error:
            self._failed_start = (
                f"{processes.python_executable()}: the Python process cannot be started "
                f"({error.strerror or error}). Repair or reinstall the Python or Slicer that this program "
                "belongs to."
            )
            self.exit_code = 1
            return self
        self._readers = [
            threading.Thread(target=self._read, args=(stream, from_stdout), daemon=True)
            for stream, from_stdout in ((self._process.stdout, True), (self._process.stderr, False))
        ]
        for reader in self._readers:
            reader.start()
        atexit.register(self.cancel)
        return self

    @property
    def running(self) -> bool:
        """Whether it was started and has not been seen to end."""
        return self._process is not None and self.exit_code is None

    @property
    def log(self) -> str:
        """The last lines that the child printed, progress events left out."""
        return "\n".join(self._log)

    @property
    def error(self) -> str | None:
        """One message for people when the job failed or was canceled; None otherwise."""
        if self.canceled:
            return "Canceled."
        if self._failed_start:
            return self._failed_start
        if not self.exit_code:
            return None
        lines = [line for line in self._log if line.strip()]
        if self.exit_code == 2 and (message := reported_error(lines)):
            return message
        number = _signal_of(self.exit_code)
        if number:
            return _killed(number)
        last = lines[-1] if lines else "it printed no message"
        return f"The process ended with exit code {self.exit_code}: {last}"

    def poll(self) -> bool:
        """Deliver what came in since the last call, without waiting.

        Returns:
            Whether the job is still running; False from the call on that has called ``on_finish``.
        """
        if not self.running:
            self._report_finish()
            return False
        self._deliver()
        if self._process.poll() is None:
            return True
        self._ended_at = self._ended_at or time.monotonic()
        reading = any(reader.is_alive() for reader in self._readers)
        if reading and time.monotonic() - self._ended_at < _GRACE_SECONDS:
            return True
        self._finish()
        return False

    def wait(self, timeout: float | None = None) -> int | None:
        """Block until the end, delivering events meanwhile.

        Args:
            timeout: seconds after which to give up waiting; the job goes on.

        Returns:
            The exit code, None when ``timeout`` came first.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() and (deadline is None or time.monotonic() < deadline):
            time.sleep(0.05)
        return self.exit_code

    def cancel(self) -> None:
        """Kill the child and all its descendants; ``on_finish`` has been called when this returns.

        Nothing happens when the job is not running. Files that the child was about to replace stay as they
        were; an unfinished hidden temporary file may remain beside them.
        """
        if not self.running:
            self._report_finish()
            return
        self.canceled = True
        processes.kill_tree(self._process.pid)
        self._process.kill()
        for reader in self._readers:
            reader.join(_GRACE_SECONDS)
        self._finish()

    def _finish(self) -> None:
        code = self._process.wait()
        atexit.unregister(self.cancel)
        self._deliver()
        self.exit_code = code
        self._report_finish()

    def _report_finish(self) -> None:
        if self.exit_code is None or self._reported:
            return
        self._reported = True
        if self._on_finish is not None:
            self._on_finish(self)

    def _read(self, stream: IO[bytes], from_stdout: bool) -> None:
        with stream:
            for raw in stream:
                # What a terminal would show: a progress bar rewrites its line after each carriage return.
                line = raw.decode("utf-8", errors="replace").rstrip("\r\n").rpartition("\r")[2]
                self._lines.put((line, from_stdout))

    def _deliver(self) -> None:
        while True:
            try:
                line, from_stdout = self._lines.get_nowait()
            except queue.Empty:
                return
            record = parse_line(line) if from_stdout else None
            if record is None:
                self._log.append(line)
            elif record["event"] == "result":
                self.result = record["result"]
            elif self._on_event is not None and not self.canceled:
                self._on_event(Event.from_json(record))


def _signal_of(exit_code: int) -> int | None:
    """The signal that ended a process; a launcher such as PythonSlicer tells it as 128 + signal."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    return number if os.name == "posix" and number in set(signal.Signals) else None


def _killed(number: int) -> str:
    """Message about a child that a signal has ended."""
    if number == getattr(signal, "SIGKILL", None):
        return (
            "The system ended the process (signal 9), as it does when memory runs out. Close other programs "
            "or take a smaller job, and start again."
        )
    return f"The process ended abnormally (signal {number}). Start again; the log has the details, if any."


def reported_error(lines: Sequence[str]) -> str | None:
    """Of what a child printed, the message about bad input, to the end; None where it told none."""
    marked = [index for index, line in enumerate(lines) if line.startswith(_ERROR_MARK)]
    return "\n".join(lines[marked[-1] :]).removeprefix(_ERROR_MARK) if marked else None


def parse_line(line: str) -> dict[str, Any] | None:
    """A line of our own protocol, None for anything else that a library may print."""
    try:
        record = strict_json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.get("event") in ("progress", "result") else None
