"""Child processes that run the command line: how one is started, found by its imports, and ended.

Imports neither Qt nor torch.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import IO

PROGRAM = __package__.partition(".")[0]
"""What children run by ``-m``: the command line."""

# a child that prints to a console of its own would open a window over Slicer; other systems lack the flag
WITHOUT_CONSOLE = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def python_executable() -> str:
    """The interpreter for child processes: the launcher ``PythonSlicer`` inside Slicer, else this one."""
    inside_slicer = hasattr(sys.modules.get("slicer"), "app")
    return (inside_slicer and shutil.which("PythonSlicer")) or sys.executable


def spawn(
    arguments: Sequence[str | os.PathLike[str]],
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a command of ``missing-modality`` whose progress is JSON lines on ``stdout``.

    On POSIX the child leads a session of its own: no Ctrl+C in this program's terminal reaches it, and
    :func:`kill_tree` ends it with all that it has started.

    Args:
        arguments: what follows ``missing-modality``; ``--progress json`` is added.
        stdout, stderr: pipes or open files.

    Raises:
        OSError: no process can be made.
    """
    return subprocess.Popen(  # noqa: S603 - a list and no shell: names of files stay arguments
        [python_executable(), "-m", PROGRAM, *map(os.fspath, arguments), "--progress", "json"],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=child_environment(),
        start_new_session=os.name == "posix",
        creationflags=WITHOUT_CONSOLE,
    )


def child_environment() -> dict[str, str]:
    """This process's environment, so changed that the child finds the library and prints UTF-8 at once."""
    library = str(Path(__file__).resolve().parents[2])
    paths = [library, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
    }


def kill_tree(pid: int) -> None:
    """End a process that leads a group, and its descendants; a launcher would leave its child alive."""
    descendants = _kill_descendants(pid)
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    elif not descendants:
        subprocess.run(  # noqa: S603 - a number is all that comes from outside
            [_system_program("taskkill.exe"), "/F", "/T", "/PID", str(pid)],
            capture_output=True,
            check=False,
            creationflags=WITHOUT_CONSOLE,
        )


def _system_program(name: str) -> str:
    """A program of Windows by its whole path: a bare name is looked for in the current folder first."""
    return str(PureWindowsPath(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", name))


def _kill_descendants(pid: int) -> int:
    """Kill what psutil, where it is installed, finds below a process; their number."""
    try:
        import psutil
    except ImportError:
        return 0
    try:
        descendants = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return 0
    for descendant in descendants:
        with suppress(psutil.NoSuchProcess):
            descendant.kill()
    return len(descendants)
