"""Child processes: what comes out of them, and that nothing of them stays behind."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from MissingModalityLib.core.progress import Event
from MissingModalityLib.runtime import processes
from MissingModalityLib.runtime.jobs import Job
from processes import wait_for
from small_networks import write_student
from small_patient import write_brain

posix = pytest.mark.skipif(os.name != "posix", reason="the launcher of these tests is a shell script")

Launcher = Callable[[str], None]


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """``launcher(code)`` lets jobs run that Python code below a launcher process, as PythonSlicer does."""

    def install(code: str) -> None:
        script, shell = tmp_path / "child.py", tmp_path / "launcher"
        script.write_text(code)
        shell.write_text(f'#!/bin/sh\n"{sys.executable}" "{script}" "$@"\nexit $?\n')
        shell.chmod(0o755)
        monkeypatch.setattr(processes, "python_executable", lambda: str(shell))

    return install


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def child_pids() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@posix
def test_events_arrive_in_order_and_finish_is_told_once(launcher):
    launcher(
        "from MissingModalityLib.core.progress import Event\n"
        "print('hello from a library')\n"
        "for step in range(3): print(Event('Working', step, 3, values={'loss': step / 4}).to_json())\n"
        'print(\'{"event": "result", "result": {"answer": 42}}\')\n'
    )
    events, finished = [], []
    job = Job(["anything"], events.append, finished.append).start()
    assert job.wait(20) == 0
    assert events == [Event("Working", step, 3, values={"loss": step / 4}) for step in range(3)]
    assert finished == [job]
    assert job.result == {"answer": 42}
    assert job.log == "hello from a library"
    assert job.error is None
    assert job.poll() is False and finished == [job]


@posix
def test_odd_output_neither_hangs_nor_crashes(launcher):
    launcher(
        "import sys\n"
        "out = sys.stdout.buffer\n"
        "out.write(b'caf\\xe9 \\xff\\n')\n"
        "out.write(b'10%\\r50%\\r100%\\n')\n"
        "out.write(b'{\"event\": 7}\\n[1, 2]\\n{broken\\nwindows\\r\\n')\n"
        "out.write(b'no line end')\n"
    )
    job = Job([]).start()
    assert job.wait(20) == 0
    assert job.log.splitlines() == [
        "caf\ufffd \ufffd", "100%", '{"event": 7}', "[1, 2]", "{broken", "windows", "no line end",
    ]  # fmt: skip


@posix
def test_much_output_on_both_streams_does_not_block(launcher):
    launcher("import sys\nfor line in range(20000): print('x' * 50); print('y' * 50, file=sys.stderr)\n")
    job = Job([]).start()
    assert job.wait(30) == 0
    assert len(job.log.splitlines()) == 200


@posix
def test_poll_returns_at_once_while_the_child_works(launcher):
    launcher("import time; time.sleep(60)")
    job = Job([]).start()
    begin = time.monotonic()
    assert all(job.poll() for _ in range(20))
    assert time.monotonic() - begin < 30, "it waited for the child, which takes 60 s"
    assert job.wait(timeout=0.2) is None and job.running
    job.cancel()


@posix
@pytest.mark.parametrize("with_psutil", [True, False])
def test_cancel_kills_launcher_child_and_grandchild(launcher, tmp_path, monkeypatch, with_psutil):
    launcher(
        "import os, pathlib, subprocess, sys, time\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"path = pathlib.Path({str(tmp_path)!r}, 'pids')\n"
        "path.with_suffix('.part').write_text(f'{os.getppid()} {os.getpid()} {grandchild.pid}')\n"
        "path.with_suffix('.part').rename(path)\n"
        "time.sleep(60)\n"
    )
    finished = []
    job = Job([], on_finish=finished.append).start()
    wait_for((tmp_path / "pids").exists)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(map(alive, pids))
    with monkeypatch.context() as patch:
        if not with_psutil:
            patch.setitem(sys.modules, "psutil", None)
        job.cancel()
    wait_for(lambda: not any(map(alive, pids)), 5)
    assert job.canceled and job.error == "Canceled." and job.exit_code != 0
    assert finished == [job] and not job.running
    job.cancel()
    assert finished == [job]


@posix
def test_cancel_reaches_a_grandchild_that_left_the_process_group(launcher, tmp_path):
    launcher(
        "import pathlib, subprocess, sys, time\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "grandchild = subprocess.Popen(sleep, start_new_session=True)\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pid').write_text(f'{{grandchild.pid}}\\n')\n"
        "time.sleep(60)\n"
    )
    job = Job([]).start()
    file = tmp_path / "pid"
    wait_for(lambda: file.exists() and file.read_text().endswith("\n"))
    job.cancel()
    wait_for(lambda: not alive(int(file.read_text())), 5)


@posix
def test_a_grandchild_that_keeps_the_pipe_open_does_not_keep_the_job(launcher, tmp_path):
    launcher(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
    )
    job = Job([]).start()
    try:
        assert job.wait(20) == 0
    finally:
        psutil.Process(int(job.log)).kill()


@posix
def test_a_crash_tells_its_exit_code_and_last_words(launcher):
    launcher("raise RuntimeError('CUDA out of memory')")
    job = Job([]).start()
    assert job.wait(20) == 1
    assert job.error == "The process ended with exit code 1: RuntimeError: CUDA out of memory"
    assert "Traceback" in job.log


@posix
def test_a_silent_death_is_still_told(launcher):
    launcher("import os; os._exit(7)")
    job = Job([]).start()
    assert job.wait(20) == 7
    assert job.error == "The process ended with exit code 7: it printed no message"


@posix
def test_what_ends_a_process_on_windows_is_not_looked_for_in_the_current_folder(monkeypatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(processes, "_kill_descendants", lambda pid: 0)
    monkeypatch.setattr(processes.subprocess, "run", lambda command, **_: started.append(command))
    monkeypatch.setenv("SYSTEMROOT", r"D:\Windows")
    with monkeypatch.context() as windows:
        windows.setattr(os, "name", "nt")
        processes.kill_tree(4242)
    assert started == [[r"D:\Windows\System32\taskkill.exe", "/F", "/T", "/PID", "4242"]]


@pytest.mark.parametrize("death", ["os.kill(os.getpid(), 9)", "os._exit(128 + 9)"])
def test_a_process_that_the_system_killed_is_told_of_through_a_launcher_too(launcher, death):
    launcher(f"import os; {death}")
    job = Job([]).start()
    job.wait(60)
    assert "The system ended the process (signal 9)" in job.error
    assert "memory" in job.error


@pytest.mark.parametrize("end", ["poll", "wait", "cancel"])
def test_an_absent_launcher_ends_the_job_with_a_message(tmp_path, monkeypatch, end):
    launcher = tmp_path / "PythonSlicer"
    monkeypatch.setattr(processes, "python_executable", lambda: str(launcher))
    finished = []
    job = Job(["segment"], on_finish=finished.append).start()
    assert job.exit_code == 1 and not job.running and finished == []
    assert job.error.startswith(f"{launcher}: the Python process cannot be started (No such file")
    getattr(job, end)()
    assert finished == [job] and job.result is None and not job.canceled
    job.poll()
    assert finished == [job]
    with pytest.raises(RuntimeError, match="once"):
        job.start()


def test_child_finds_the_library_from_anywhere_and_tells_what_the_command_line_tells(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    job = Job(["export", "--run", tmp_path / "absent", "--output", "s.safetensors"]).start()
    with pytest.raises(RuntimeError, match="once"):
        job.start()
    assert job.wait(300) == 2
    assert job.error.startswith(f"'{tmp_path / 'absent'}' is no training run") and job.result is None


def test_cancel_in_mid_run_leaves_no_process_and_no_output(tmp_path):
    flair = write_brain(tmp_path / "flair.nii.gz", size=(52, 48, 44))
    student = write_student(tmp_path / "slow.safetensors", window=16, overlap=0.75)
    before = sorted(tmp_path.iterdir())
    others = child_pids()
    events = []
    job = Job(
        ["segment", "--flair", flair, "--output", tmp_path / "tumor.nii.gz", "--student", student],
        events.append,
    ).start()
    wait_for(
        lambda: not job.poll() or any(event.stage == "segment" and event.step > 2 for event in events), 300
    )
    assert job.running, job.log
    children = child_pids() - others
    assert children
    job.cancel()
    assert not any(map(alive, children))
    assert sorted(tmp_path.iterdir()) == before


@posix
def test_inside_slicer_the_launcher_of_slicer_is_used(tmp_path, monkeypatch):
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    application = ModuleType("slicer")
    monkeypatch.setitem(sys.modules, "slicer", application)
    assert processes.python_executable() == sys.executable
    application.app = object()
    assert processes.python_executable() == str(launcher)
