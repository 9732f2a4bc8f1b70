"""A child process that works on what cannot be trusted, one request after another, under limits.

Libraries in C parse users' files, and a file can be made so that they take all memory, never end, or crash.
In a child that costs one file: its end is told in a sentence, and the next request gets a new child. What
comes back is a line of JSON and plain bytes, never anything that this process would have to unpickle.

Time is limited everywhere. Memory is limited on Linux alone: macOS does not hold a process to RLIMIT_AS, and
Windows knows such limits for job objects only, which Python does not make.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..core import strict_json
from . import processes

Answer = tuple[dict[str, Any], bytes | memoryview]

_START_SECONDS = 120.0
"""For imports from a slow network disk."""

_IDLE_SECONDS = 120.0
"""A training reads its cases within minutes and then goes on for days."""

_END_SECONDS = 5.0

_LONGEST_LINE = 1 << 20

# other threads would reserve address space, which the limit counts
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "MALLOC_ARENA_MAX"),
    "1",
)


class ChildUnavailable(Exception):
    """No child can be started here."""


class ChildEnded(Exception):
    """The child ended over a request; the message says how, to follow "the process that read it"."""


class LimitedChild:
    """Starts the child when it is first asked, keeps it for further requests, replaces one that ended.

    Safe to use from several threads, which wait for each other, and after a fork.

    Args:
        module: run by ``-m``; it calls :func:`serve`.
        seconds: longest time for one request.
    """

    def __init__(self, module: str, seconds: float) -> None:
        self._module, self._seconds = module, seconds
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        """Send a request and wait for its answer.

        Returns:
            What the child's function returned.

        Raises:
            ChildUnavailable: no child can be started.
            ChildEnded: it crashed, or took too long and was killed.
        """
        with self._lock:
            try:
                if self._process is None or self._process.poll() is not None:
                    self._start()
                answer = self._exchange(request)
                if answer is None and self._process.wait() == 0:  # it had been idle, and ended meanwhile
                    self._start()
                    answer = self._exchange(request)
            except BaseException:  # half an answer may stand in the pipe
                self._kill()
                raise
            if answer is None:
                raise ChildEnded(_manner(self._kill()))
            return answer

    def close(self) -> None:
        """End the child, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _forget(self) -> None:
        """In a fork the child and whoever holds the lock belong to the other process."""
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def _start(self) -> None:
        self.close()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
                [processes.python_executable(), "-P", "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**processes.child_environment(), **_ONE_THREAD},
                creationflags=processes.WITHOUT_CONSOLE,
            )
        except OSError as error:
            raise ChildUnavailable(f"{processes.python_executable()}: {error.strerror or error}") from error
        with self._killing_after(_START_SECONDS):
            ready = self._process.stdout.readline(_LONGEST_LINE)
        if not ready:
            raise ChildUnavailable(f"{processes.python_executable()}: {_manner(self._kill())}")

    def _exchange(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray] | None:
        """An answer, or None from a child that has ended.

        Raises:
            ChildEnded: it took too long.
        """
        with self._killing_after(self._seconds) as late:
            answer = self._send_and_receive(request)
        if late.is_set():
            raise ChildEnded(f"did not come to an end within {self._seconds:g} seconds")
        return answer

    def _send_and_receive(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray] | None:
        try:
            self._process.stdin.write(strict_json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # a closed pipe
            return None
        line = self._process.stdout.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            return None
        reply = strict_json.loads(line)
        content = bytearray(reply["bytes"])
        found, view = 0, memoryview(content)
        while found < len(content):
            count = self._process.stdout.readinto(view[found:])
            if not count:
                return None
            found += count
        return reply["answer"], content

    @contextmanager
    def _killing_after(self, seconds: float) -> Iterator[threading.Event]:
        """Kill the child if the block takes longer; the event tells whether that came to pass."""
        late, process = threading.Event(), self._process

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    def _kill(self) -> int:
        """End the child at once; its exit code."""
        if self._process is None:
            return 0
        with suppress(OSError):
            self._process.kill()
        code = self._process.wait()
        self.close()
        return code


def serve(answer: Callable[[dict[str, Any]], Answer]) -> None:
    """Answer requests until there are no more; what a child's main module calls.

    From here on whatever libraries print goes nowhere.

    Args:
        answer: from a request to what :meth:`LimitedChild.ask` returns; must not raise.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the parent's, which then ends this process
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    replies.write(b"ready\n")
    replies.flush()
    idle = _end_when_idle()
    for line in requests:
        idle.cancel()
        reply, content = answer(strict_json.loads(line))
        replies.write(strict_json.dumps({"answer": reply, "bytes": len(content)}).encode() + b"\n")
        replies.write(content)
        replies.flush()
        idle = _end_when_idle()
    idle.cancel()


@contextmanager
def memory_limit(more: int) -> Iterator[None]:
    """Let this process have so many bytes more than it has, on Linux; elsewhere as many as it likes."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + more
    known = [bound for bound in (limit, soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _end_when_idle() -> threading.Timer:
    timer = threading.Timer(_IDLE_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()
    return timer


def _manner(code: int) -> str:
    """How a process ended, by its exit code."""
    if code < 0:
        with suppress(ValueError):
            return f"was ended by the system ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"
