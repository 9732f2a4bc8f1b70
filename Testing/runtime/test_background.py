"""Trainings that outlive the program that started them: found again, paused, resumed, ended, told apart."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import MissingModalityLib as mm
from child_process import replace_process
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.runtime import background, lock
from MissingModalityLib.runtime.background import State
from MissingModalityLib.training.status import run_status
from processes import environment, wait_for
from small_cases import write_block_cases
from tiny_run import TINY

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the child of these tests is a shell script")

STEP = '{"event": "progress", "stage": "train", "step": %s, "total": 40, "message": "", "values": {}}'
RESULT = '{"event": "result", "result": {"output": "run"}}'
COUNTING = f"i=0; while :; do i=$((i+1)); printf '{STEP % '%d'}\\n' $i; sleep 0.02; done"
LONG_S = 60.0

Script = Callable[[str], background.BackgroundRun]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """``started(script)`` is a training whose process runs a shell script; it ends with the test."""
    runs = []

    def start(script: str) -> background.BackgroundRun:
        replace_process(monkeypatch, tmp_path, script)
        runs.append(background.start(["train"], tmp_path / "run"))
        return runs[-1]

    yield start
    for run in runs:
        run.stop()


def test_news_arrive_and_the_end_is_told(started: Script) -> None:
    run = started(f"echo '{STEP % 1}'; echo '{STEP % 2}'; echo '{RESULT}'")
    wait_for(lambda: not run.alive)
    assert [event.step for event in run.new_events()] == [1, 2]
    assert run.new_events() == []
    assert run.state is State.FINISHED and run.error is None


def test_a_line_that_comes_in_two_parts_is_one_event(started: Script, tmp_path: Path) -> None:
    run = started(f"printf '%s' '{(STEP % 7)[:30]}'; exec sleep 600")
    line = STEP % 7
    wait_for(lambda: (run.folder / background.EVENTS_FILE).read_text() == line[:30])
    assert run.new_events() == []
    with (run.folder / background.EVENTS_FILE).open("a") as file:
        file.write(line[30:] + "\n")
    assert [event.step for event in run.new_events()] == [7]


def test_another_program_finds_it_while_it_runs(started: Script) -> None:
    run = started(COUNTING)
    wait_for(run.new_events)
    found = background.find(run.folder)
    assert found.alive and found.pid == run.pid and found.state is State.RUNNING
    assert found.new_events()[-1].step >= 1
    wait_for(found.new_events)


def test_it_outlives_the_program_that_started_it(tmp_path: Path) -> None:
    program, run = tmp_path / "program", tmp_path / "run"
    program.write_text(f"#!/bin/sh\n{COUNTING}\n")
    program.chmod(0o755)
    code = (
        "import sys, pathlib; from MissingModalityLib.runtime import background, processes\n"
        "processes.python_executable = lambda: sys.argv[1]\n"
        "background.start(['train'], pathlib.Path(sys.argv[2]))\n"
    )
    subprocess.run([sys.executable, "-c", code, program, run], env=environment(), check=True, timeout=LONG_S)
    found = background.find(run)
    try:
        assert found.alive
        wait_for(found.new_events)
        wait_for(found.new_events)
    finally:
        found.stop()
    assert not found.alive


def test_a_pause_halts_it_and_going_on_loses_nothing(started: Script) -> None:
    run = started(COUNTING)
    wait_for(run.new_events)
    run.pause()
    wait_for(lambda: run.state is State.PAUSED)
    run.new_events()
    size = (run.folder / background.EVENTS_FILE).stat().st_size
    assert background.find(run.folder).state is State.PAUSED
    assert (run.folder / background.EVENTS_FILE).stat().st_size == size
    last = json.loads((run.folder / background.EVENTS_FILE).read_text().splitlines()[-1])["step"]
    run.resume()
    news = []
    wait_for(lambda: news.extend(run.new_events()) or news)
    assert run.state is State.RUNNING
    assert news[0].step == last + 1


def test_a_paused_one_can_be_stopped(started: Script) -> None:
    run = started(COUNTING)
    run.pause()
    run.stop()
    assert not run.alive and run.state is State.STOPPED
    assert background.find(run.folder).state is State.STOPPED


def test_stop_ends_what_runs_below_a_launcher(started: Script) -> None:
    run = started("sleep 600 & wait")
    wait_for(lambda: psutil.Process(run.pid).children())
    (child,) = psutil.Process(run.pid).children()
    run.stop()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_kill_from_outside_is_told_as_one(started: Script) -> None:
    run = started(COUNTING)
    wait_for(run.new_events)
    found = background.find(run.folder)
    psutil.Process(run.pid).kill()
    wait_for(lambda: not run.alive)
    assert run.state is State.KILLED and found.state is State.KILLED


def test_an_interpreter_that_cannot_begin_is_no_kill(started: Script) -> None:
    run = started("echo 'No module named MissingModalityLib' >&2; exit 1")
    wait_for(lambda: not run.alive)
    assert run.state is State.FAILED
    assert run.error == "The process crashed: No module named MissingModalityLib"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'missing-modality: error: no case here' >&2; exit 2", "no case here"),
        (
            "printf 'Traceback (most recent call last):\\n  line\\nValueError: odd\\n' >&2; exit 1",
            "ValueError: odd",
        ),
    ],
)
def test_a_failure_is_told_to_whoever_looks(started: Script, script: str, message: str) -> None:
    run = started(script)
    wait_for(lambda: not run.alive)
    for seen in (run, background.find(run.folder)):
        assert seen.state is State.FAILED
        assert message in seen.error


def test_a_number_given_to_another_process_is_not_the_training(tmp_path: Path) -> None:
    facts = {"pid": os.getpid(), "started": psutil.Process().create_time() - 100, "host": os.uname().nodename}
    (tmp_path / background.PROCESS_FILE).write_text(json.dumps(facts))
    assert not background.find(tmp_path).alive
    (tmp_path / background.PROCESS_FILE).write_text(json.dumps({**facts, "started": facts["started"] + 100}))
    assert background.find(tmp_path).alive


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 1}', '{"pid": 1, "started": 0, "host": "another"}'])
def test_what_is_no_record_of_a_process_here_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / background.PROCESS_FILE).write_text(text)
    assert background.find(tmp_path) is None
    assert background.find(tmp_path / "nowhere") is None


def test_a_second_one_in_the_same_folder_is_refused(started: Script) -> None:
    run = started(COUNTING)
    with pytest.raises(mm.MissingModalityError, match="another process is training"):
        background.start(["train"], run.folder)
    assert run.alive


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(mm.MissingModalityError, match="Choose a folder that you can write to"):
        background.start(["train"], tmp_path / "file" / "run")


def test_the_command_line_too_refuses_a_folder_where_another_process_trains(
    tiny_cases: Path, tmp_path: Path
) -> None:
    code = (
        "import sys, pathlib; from MissingModalityLib.runtime import lock\n"
        "with lock.held(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, tmp_path]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
    assert other.stdout.readline() == b"held\n"
    assert lock.is_held(tmp_path)
    settings = {**TINY, "epochs": 1, "iterations_per_epoch": 1}
    with pytest.raises(mm.MissingModalityError, match="another process is training"):
        mm.train(tiny_cases, tmp_path, settings=settings, device="cpu")
    assert not (tmp_path / "run.json").exists()
    other.kill()
    other.communicate()
    assert not lock.is_held(tmp_path)
    mm.train(tiny_cases, tmp_path, settings=settings, device="cpu")


@pytest.mark.slow
def test_a_real_training_is_followed_to_its_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    cases = write_block_cases(tmp_path / "cases")
    settings = [f"{key}={value}" for key, value in TINY.items() if key != "network"]
    arguments = ["train", "--data", cases, "--output", run, "--device", "cpu", "--set", *settings]
    training = background.start([*arguments, "network.width=8", "network.blocks=1,1"], run)
    events = []
    wait_for(lambda: events.extend(training.new_events()) or not training.alive, 300)
    events.extend(training.new_events())
    assert training.state is State.FINISHED, training.log
    assert events[-1].stage == "train" and events[-1].step == 6
    now = run_status(run)
    assert (now.step, now.steps, now.finished) == (6, 6, True)
    assert now.seconds_left == 0


def test_a_status_counts_stages_and_knows_what_is_left(tmp_path: Path) -> None:
    assert run_status(tmp_path) is None
    stages = {
        "pretrain": {"epochs": 2, "iterations_per_epoch": 10},
        "train": {"epochs": 4, "iterations_per_epoch": 5},
    }
    (tmp_path / "run.json").write_text(
        json.dumps({"data": "", "cases": {}, "validation": [], "settings": {"stages": stages}})
    )
    assert run_status(tmp_path).seconds_left is None
    lines = [{"stage": "pretrain", "epoch": epoch, "loss": {}, "seconds": 20.0} for epoch in (1, 2)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    now = run_status(tmp_path, mm.Event("train", 3, 20))
    assert (now.step, now.steps, now.finished) == (23, 40, False)
    assert now.seconds_left == pytest.approx(17 * 2.0)
    (tmp_path / "train.safetensors").touch()
    assert run_status(tmp_path).finished


def test_it_can_be_stopped_though_its_folder_has_gone(started: Script) -> None:
    run = started("exec sleep 600")
    pid = run.pid
    shutil.rmtree(run.folder)
    run.stop()
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_training_that_nobody_could_find_again_is_not_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_process(monkeypatch, tmp_path, f"echo $$ > '{tmp_path}/pid'; exec sleep 600")

    def full(folder: Path, facts: object) -> None:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(background.ProcessRecord, "write", full)
    with pytest.raises(CaseError, match="No space left on device"):
        background.start(["train"], tmp_path / "run")
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_folder_that_is_being_let_go_of_can_be_taken(tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from MissingModalityLib.runtime import lock\n"
        "with lock.held(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(1)\n"
    )
    arguments = [sys.executable, "-c", script, tmp_path / "run"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment()) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        assert lock.is_held(tmp_path / "run")
        with lock.held(tmp_path / "run"):
            pass
