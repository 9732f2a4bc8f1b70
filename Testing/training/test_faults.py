"""Faults: whatever kills or stops a training, it goes on to the same bits as if nothing had happened."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from MissingModalityLib.core.errors import StudentError
from MissingModalityLib.core.files import atomic_write, remove_stale_temporaries
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.training.checkpoints import read_checkpoint
from MissingModalityLib.training.run_folder import RunFolder
from tiny_run import log, record, timeless

if sys.platform == "win32":
    pytest.skip("Windows cannot fork, nor kill a process inside a write", allow_module_level=True)

import faulty_child
from faulty_child import Fault, fill_disk, kill, kill_inside_write
from faulty_run import Run, age

STAGES = ("pretrain", "train", "posttrain")


@pytest.fixture(scope="module")
def whole(tiny_cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing happened to; not to be changed."""
    run = Run(tiny_cases, tmp_path_factory.mktemp("whole") / "run")
    run.finish()
    return run


@pytest.fixture
def run(tiny_cases: Path, tmp_path: Path) -> Run:
    """A run that has not begun."""
    return Run(tiny_cases, tmp_path / "run")


def leaves(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All values in a nested state, by their places in it."""
    if not isinstance(state, dict | list | tuple):
        yield name, state
        return
    for key, value in state.items() if isinstance(state, dict) else enumerate(state):
        yield from leaves(value, f"{name}/{key}")


def checkpoint(folder: Path) -> dict[str, Any]:
    return dict(leaves(torch.load(folder / "checkpoint.pt", weights_only=True)))


def assert_twins(first: Path, second: Path) -> None:
    """The same checkpoint to the bit, the same students, the same log but for times, the same files."""
    one, two = checkpoint(first), checkpoint(second)
    assert one.keys() == two.keys()
    for name, value in one.items():
        same = torch.equal(value, two[name]) if isinstance(value, torch.Tensor) else value == two[name]
        assert same, name
    for stage in STAGES:
        students = [(folder / f"{stage}.safetensors").read_bytes() for folder in (first, second)]
        assert students[0] == students[1], stage
    assert timeless(first) == timeless(second)
    # a tumor's name ends with a fingerprint of the volumes, which changes when these are written again
    names = [{str(path.relative_to(run)).split("-")[0] for path in run.rglob("*")} for run in (first, second)]
    assert names[0] == names[1]


def test_a_run_killed_again_and_again_ends_as_one_that_was_not(whole: Run, run: Run) -> None:
    for fault in (
        Fault("case", 2, kill_inside_write),
        Fault("tumor", 2, kill_inside_write),
        Fault("record", 1, kill_inside_write),
        Fault("checkpoint", 1, kill_inside_write),
        Fault("log", 1, kill_inside_write),
        Fault("checkpoint", 2, kill_inside_write),
        Fault("step", 3, kill),
        Fault("student", 1, kill_inside_write),
        Fault("student", 1, kill, after=True),
        Fault("log", 2, kill, after=True),
        Fault("record", 2, kill_inside_write),
        Fault("teacher", 2, kill),  # resumes with the teacher of the first epoch
        Fault("teacher", 2, kill),  # before the teacher is replaced
        Fault("teacher", 1, kill, after=True),
        Fault("checkpoint", 1, kill, after=True),
        Fault("student", 1, kill_inside_write),
    ):
        run.die(fault)
    run.finish()
    assert_twins(whole.folder, run.folder)


def test_a_full_disk_ends_a_run_with_one_message_and_costs_nothing_else(whole: Run, run: Run) -> None:
    for fault, file in (
        (Fault("case", 2, fill_disk), "patient_b"),
        (Fault("tumor", 2, fill_disk), "patient_c"),
        (Fault("record", 1, fill_disk), str(run.folder)),
        (Fault("checkpoint", 1, fill_disk), "checkpoint.pt"),
        (Fault("log", 2, fill_disk), "log.jsonl"),
        (Fault("checkpoint", 1, fill_disk), "checkpoint.pt"),
        (Fault("student", 1, fill_disk), "pretrain.safetensors"),
    ):
        message = run.fail(fault)
        assert file in message and "File too large" in message and "space" in message, message
    run.finish()
    assert_twins(whole.folder, run.folder)


@pytest.mark.parametrize(
    ("damage", "place", "workers"),
    [
        (faulty_child.truncate, "prepared", 2),
        (faulty_child.truncate, "prepared/tumors", 0),
        pytest.param(faulty_child.truncate, "prepared/tumors", 1, marks=pytest.mark.slow),
        pytest.param(faulty_child.delete, "prepared", 0, marks=pytest.mark.slow),
        pytest.param(faulty_child.delete, "prepared", 1, marks=pytest.mark.slow),
    ],
)
def test_files_lost_while_training_are_named_and_made_again(
    damage: Callable[..., None], place: str, workers: int, whole: Run, run: Run
) -> None:
    message = run.fail(Fault("step", 2, partial(damage, run.folder / place)), num_workers=workers)
    what = "tumor of case 'patient_" if "tumors" in place else "prepared case 'patient_"
    assert str(run.folder / place / "patient_") in message and what in message, message
    run.finish(num_workers=0)
    assert_twins(whole.folder, run.folder)


def test_a_volume_lost_before_a_resume_is_asked_for(whole: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(whole.data, tmp_path / "data")), tmp_path / "run")
    run.die(Fault("step", 9, kill))
    lost, kept = run.data / "patient_b" / "t2.nii.gz", tmp_path / "t2.nii.gz"
    shutil.move(lost, kept)
    assert "'patient_b' of this run had FLAIR+T1ce+T1+T2 and now has FLAIR+T1ce+T1" in run.fail()
    lost.write_bytes(kept.read_bytes()[:1000])
    assert str(lost) in run.fail()
    shutil.copyfile(kept, lost)  # newer than before, so prepared again
    run.finish()
    assert_twins(whole.folder, run.folder)


def test_a_killed_worker_process_is_one_message(run: Run) -> None:
    message = run.fail(Fault("step", 1, faulty_child.kill_worker), num_workers=1, iterations_per_epoch=20)
    assert "A process that cuts crops has ended" in message and "resume" in message, message


def test_a_restarted_stage_that_is_killed_goes_on_as_restarted(whole: Run, run: Run) -> None:
    shutil.copytree(whole.folder, run.folder)
    run.die(Fault("step", 1, kill), "--restart", "train")
    assert [line["stage"] for line in log(run.folder)] == ["pretrain"] * 3
    assert [path.stem for path in run.folder.glob("*.safetensors")] == ["pretrain"]
    run.finish()
    assert_twins(whole.folder, run.folder)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("checkpoint", 1, kill),
        Fault("record", 1, kill_inside_write),
        *(
            pytest.param(fault, marks=pytest.mark.slow)
            for fault in (
                Fault("checkpoint", 1, kill_inside_write),
                Fault("checkpoint", 1, kill, after=True),
                Fault("trim", 1, kill, after=True),
                Fault("drop", 1, kill, after=True),
                Fault("record", 1, kill, after=True),
                Fault("checkpoint", 2, kill),
            )
        ),
    ],
    ids=str,
)
def test_a_run_killed_while_a_stage_begins_anew_says_what_it_does(fault: Fault, whole: Run, run: Run) -> None:
    shutil.copytree(whole.folder, run.folder)
    run.die(fault, "--restart", "train", **{"train.learning_rate": 5e-4, "train.ema_decay": 0})
    stages, state = record(run.folder)["settings"]["stages"], read_checkpoint(RunFolder(run.folder))
    begun = fault.point != "checkpoint" or fault.nth == 2 or fault.after
    assert (state["stage"], state["epoch"]) == (("train", 0) if begun else ("posttrain", 3))
    written = fault.nth == 2 or (fault.point == "record" and fault.after)
    before = record(whole.folder)["settings"]["stages"]
    assert (stages == before) != written and (stages["train"]["learning_rate"] == 5e-4) == written
    run.finish()
    first = {line["stage"]: line["learning_rate"] for line in log(run.folder) if line["epoch"] == 1}
    assert first == {name: stages[name]["learning_rate"] for name in STAGES}
    cards = [read_card(run.folder / f"{name}.safetensors")["training"]["settings"] for name in STAGES]
    assert [card["stages"] for card in cards] == [before, stages, stages]
    if not written:
        assert_twins(whole.folder, run.folder)


@pytest.mark.parametrize("value", [math.nan, pytest.param(math.inf, marks=pytest.mark.slow)])
def test_crops_with_values_that_are_no_numbers_stop_a_run_at_the_step(
    value: float, whole: Run, run: Run
) -> None:
    message = run.fail(Fault("step", 8, partial(faulty_child.spoil_images, value)))
    assert "The loss became nan in stage train, epoch 2, step 1, on patient_" in message, message
    run.finish()
    assert_twins(whole.folder, run.folder)


@pytest.mark.parametrize(
    ("step", "value", "words"),
    [
        (1, math.nan, "The loss became nan in stage pretrain, epoch 1, step 2"),
        # the last ones of an epoch, of a stage and of the run: no loss is computed with what they leave
        pytest.param(2, math.nan, "pretrain, epoch 1, have left NaN", marks=pytest.mark.slow),
        pytest.param(6, math.inf, "stage pretrain, epoch 3, have left NaN", marks=pytest.mark.slow),
        (18, -math.inf, "stage posttrain, epoch 3, have left NaN or infinity in network."),
    ],
)
def test_weights_that_are_no_numbers_reach_neither_checkpoint_nor_student(
    step: int, value: float, words: str, whole: Run, run: Run
) -> None:
    message = run.fail(Fault("step", step, partial(faulty_child.spoil_weight, value), after=True))
    assert words in message and "Lower learning_rate" in message, message
    for path in run.folder.glob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values())
    run.finish()
    assert_twins(whole.folder, run.folder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_run_that_is_asked_to_stop_stops_at_once_and_resumes(
    number: int, code: int, whole: Run, run: Run, tmp_path: Path
) -> None:
    told = tmp_path / "hangs"
    child = run.start(Fault("step", 4, partial(faulty_child.hang, told)), num_workers=2)
    while not told.exists():
        assert child.process.is_alive()
        time.sleep(0.02)
    os.killpg(child.process.pid, number)
    assert child.end() == (code, "")
    age(list(run.folder.rglob(".*")))
    run.finish(num_workers=0)
    assert_twins(whole.folder, run.folder)


@pytest.mark.parametrize("size", [0, 100, 100_000, -1])
def test_a_damaged_checkpoint_is_named(size: int, whole: Run, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes((whole.folder / "checkpoint.pt").read_bytes()[:size])
    with pytest.raises(StudentError, match=r"checkpoint.pt: the checkpoint is damaged"):
        read_checkpoint(RunFolder(tmp_path))


def test_only_temporary_files_that_nobody_writes_any_more_are_removed(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / name) as temporary:
            temporary.write_text("half")
            shutil.copy2(temporary, tmp_path / f"{temporary.name}.left")
            raise KeyboardInterrupt
    old, new = sorted(tmp_path.iterdir(), key=lambda path: "new" in path.name)
    (tmp_path / ".hidden").touch()
    age([old, tmp_path / ".hidden"])
    remove_stale_temporaries(tmp_path)
    assert set(tmp_path.iterdir()) == {new, tmp_path / ".hidden"}


def every_fault() -> list[Fault]:
    """A kill before, in and after every write of a whole run, and before and after every step."""
    whens = [(kill, False), (kill_inside_write, False), (kill, True)]
    writes = {"case": 3, "tumor": 2, "record": 3, "log": 9, "checkpoint": 12, "student": 3}
    works = {"step": 18, "teacher": 3}
    return [
        Fault(point, call, action, after)
        for point, calls in {**writes, **works}.items()
        for call in range(1, calls + 1)
        for action, after in (whens if point in writes else whens[::2])
    ]


@pytest.mark.slow
@pytest.mark.parametrize("fault", every_fault(), ids=str)
def test_a_run_killed_anywhere_ends_as_one_that_was_not(fault: Fault, whole: Run, run: Run) -> None:
    run.die(fault)
    run.finish()
    assert_twins(whole.folder, run.folder)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_a_run_killed_at_moments_of_chance_ends_as_one_that_was_not(
    number: int, whole: Run, run: Run
) -> None:
    random = Random(number)  # noqa: S311 - moments that can be tried again
    for _ in range(3):
        child = run.start()
        child.process.join(random.uniform(0, 1))
        child.process.kill()
        code, text = child.end()
        assert code in (0, -signal.SIGKILL), text
        age(list(run.folder.rglob(".*")))
    run.finish()
    assert_twins(whole.folder, run.folder)
