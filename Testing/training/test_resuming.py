"""Resuming: a run stopped anywhere goes on to the same bits, and what cannot change is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from MissingModalityLib.core.errors import CaseError, OptionError, StudentError
from MissingModalityLib.core.progress import Event
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks import build
from MissingModalityLib.training import loop
from MissingModalityLib.training.run import train
from MissingModalityLib.training.run_folder import RunFolder
from MissingModalityLib.training.stage_students import export
from tiny_run import QUICK, TINIEST, TINY, assert_same, log, record, timeless, weights


@pytest.fixture(scope="module")
def short_run(tiny_cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch, to be copied."""
    return train(tiny_cases, tmp_path_factory.mktemp("short") / "run", settings={**TINY, "epochs": 1})


@pytest.fixture
def run(short_run: Path, tmp_path: Path) -> Path:
    """A run of one epoch of one's own."""
    return Path(shutil.copytree(short_run, tmp_path / "run"))


@pytest.mark.parametrize(
    "recipe",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("baseline", "mst-kd"))) for name in TINIEST],
)
def test_a_killed_and_resumed_run_ends_with_the_same_bits(
    recipe: str, tiny_cases: Path, tmp_path: Path
) -> None:
    drops = {} if recipe in ("nnunet-dropout", "ra-hved") else {"network.dropout": "0.2"}  # others have none
    options = drops | TINIEST[recipe]
    steps = 1 if recipe == "mst-kd" else QUICK["iterations_per_epoch"]  # its network is the dearest
    settings = {**QUICK, **options, "ema_decay": "0.9", "iterations_per_epoch": steps}
    train(tiny_cases, tmp_path / "whole", recipe, seed=3, settings=settings)
    events = []

    def stop_in_the_second_epoch(event) -> None:
        events.append(event)
        if event.stage == "train" and event.step == steps + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        progress = {"on_progress": stop_in_the_second_epoch}
        train(tiny_cases, tmp_path / "cut", recipe, seed=3, settings=settings, **progress)
    assert [line["epoch"] for line in log(tmp_path / "cut") if line["stage"] == "train"] == [1]
    train(tiny_cases, tmp_path / "cut", resume=True)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    losses = [[line["loss"] for line in log(tmp_path / name)] for name in ("whole", "cut")]
    assert losses[0] == losses[1]
    for name in ("whole", "cut"):
        export(tmp_path / name, tmp_path / f"{name}.safetensors")
    twins = [Student.load(tmp_path / f"{name}.safetensors").network.state_dict() for name in ("whole", "cut")]
    assert_same(*twins)


@pytest.mark.parametrize("written", [True, False], ids=["after", "before"])
def test_a_run_killed_around_its_last_checkpoint_is_logged_and_validated(
    written: bool, tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**TINY, "epochs": 2}
    train(tiny_cases, tmp_path / "whole", settings=settings)
    write = loop.write_checkpoint

    def killed(folder: RunFolder, state: dict) -> None:
        if written or state["epoch"] < 2:
            write(folder, state)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "write_checkpoint", killed)
        train(tiny_cases, tmp_path / "cut", settings=settings)
    train(tiny_cases, tmp_path / "cut", resume=True)
    whole, cut = (timeless(tmp_path / name) for name in ("whole", "cut"))
    assert cut == whole and "dice" in cut[-1]
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


@pytest.mark.parametrize("change", ["no stages", "unknown setting", "no settings", "a list"])
def test_a_run_of_another_version_is_named(change: str, run: Path, tmp_path: Path) -> None:
    other = record(run)
    if change == "no stages":
        del other["settings"]["stages"]
    elif change == "unknown setting":
        other["settings"]["stages"]["train"]["momentum"] = 0.9
    elif change == "no settings":
        del other["settings"]
    (run / "run.json").write_text(json.dumps([other] if change == "a list" else other))
    for use in (
        lambda: train(None, run, resume=True),
        lambda: export(run, tmp_path / "student.safetensors"),
    ):
        with pytest.raises(CaseError, match=r"run\.json.*version"):
            use()


def test_a_half_written_line_of_the_log_does_not_stop_a_resume(tiny_cases: Path, run: Path) -> None:
    whole = (run / "log.jsonl").read_text()
    (run / "log.jsonl").write_text(whole + whole[: len(whole) // 2])
    train(tiny_cases, run, resume=True, settings={"epochs": 2})
    assert [line["epoch"] for line in log(run)] == [1, 2]


def test_settings_given_when_resuming_are_those_of_the_run_from_then_on(
    tiny_cases: Path, run: Path, tmp_path: Path
) -> None:
    train(tiny_cases, run, resume=True, settings={"epochs": 2, "learning_rate": "0.0005"})
    stage = record(run)["settings"]["stages"]["train"]
    assert stage["epochs"] == 2 and stage["learning_rate"] == 0.0005
    training = read_card(export(run, tmp_path / "student.safetensors"))["training"]
    assert training["settings"]["stages"]["train"]["epochs"] == training["epochs_done"] == 2
    before = (run / "checkpoint.pt").read_bytes()
    train(tiny_cases, run, resume=True)
    assert (run / "checkpoint.pt").read_bytes() == before and len(log(run)) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0.1},
        {"train.batch_size": 2, "num_workers": 0},
        {"epochs": 1, "weight_decay": 0.2},
    ],
    ids=str,
)
def test_settings_that_nothing_would_be_trained_with_are_refused(
    settings: dict[str, object], run: Path
) -> None:
    before = record(run)
    with pytest.raises(
        OptionError, match=rf"{run}: stage train is over, .* with train\.\w+=.* to more than 1"
    ):
        train(None, run, resume=True, settings=settings)
    assert record(run) == before
    # what decides nothing that was learned may change, for the folds beside it
    train(None, run, resume=True, settings={"num_workers": 1, "precision": "float32"})
    assert record(run)["settings"]["stages"]["train"]["num_workers"] == 1
    assert (run / "train.safetensors").exists() and len(log(run)) == 1


def test_steps_are_counted_though_an_epoch_has_fewer_of_them_when_resuming(
    run: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    def steps(path: Path) -> int:
        return read_card(path)["training"]["steps"]

    assert steps(run / "train.safetensors") == 2
    train(None, run, resume=True, settings={"epochs": 3, "iterations_per_epoch": 1})
    exported = tmp_path / "s.safetensors"
    assert steps(run / "train.safetensors") == steps(export(run, exported)) == 2 + 2 * 1
    # a checkpoint of a version that did not count: as many as its settings make
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    del state["steps"]
    torch.save(state, run / "checkpoint.pt")
    assert steps(export(run, exported)) == 3
    torch.save({**state, "steps": "2"}, run / "checkpoint.pt")
    with pytest.raises(StudentError, match=r"checkpoint is damaged \(its steps are '2'\)"):
        export(run, exported)
    several = train(
        tiny_cases,
        tmp_path / "several",
        "aem",
        settings={**TINY, "epochs": 1, "train.iterations_per_epoch": 3},
    )
    assert [steps(several / f"{stage}.safetensors") for stage in ("pretrain", "train")] == [2, 2 + 3]


def test_weight_decay_given_when_resuming_is_used(tiny_cases: Path, run: Path) -> None:
    train(tiny_cases, run, resume=True, settings={"epochs": 2, "weight_decay": "0.25"})
    (group,) = torch.load(run / "checkpoint.pt", weights_only=True)["optimizer"]["param_groups"]
    assert group["weight_decay"] == 0.25


def test_a_run_may_go_on_in_another_precision(tiny_cases: Path, run: Path) -> None:
    for epochs, precision in enumerate(("float16", "float32", "bfloat16", "float16"), 2):
        train(tiny_cases, run, resume=True, settings={"epochs": epochs, "precision": precision})
        assert len(log(run)) == epochs
    assert torch.load(run / "checkpoint.pt", weights_only=True)["scaler"]


def test_fewer_epochs_than_are_done_are_refused(tiny_cases: Path, run: Path) -> None:
    train(tiny_cases, run, resume=True, settings={"epochs": 3})
    before = record(run)
    with pytest.raises(OptionError, match=r"train\.epochs=2: 3 are done already"):
        train(tiny_cases, run, resume=True, settings={"epochs": 2})
    assert record(run) == before and read_card(run / "train.safetensors")["training"]["epochs_done"] == 3


def test_what_a_run_began_with_may_be_said_again(tiny_cases: Path, run: Path) -> None:
    train(tiny_cases, run, resume=True, settings={"network.blocks": "1,1", "epochs": 2})
    assert len(log(run)) == 2


def test_a_run_resumes_on_data_that_moved(tiny_cases: Path, run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(tiny_cases, tmp_path / "moved"))
    train(moved, run, resume=True, settings={"epochs": 2})
    assert record(run)["data"] == str(moved.resolve())
    train(None, run, resume=True, settings={"epochs": 3})
    assert record(run)["data"] == str(moved.resolve()) and len(log(run)) == 3
    shutil.rmtree(moved / "patient_b")
    with pytest.raises(CaseError, match=r"'patient_b'.*is not there"):
        train(None, run, resume=True)
    with pytest.raises(CaseError, match="absent"):
        train(tmp_path / "absent", run, resume=True)
    assert record(run)["data"] == str(moved.resolve())


@pytest.mark.parametrize(
    "override", [{"exclude": "patient_a"}, {"validation_fraction": "0"}, {"network.width": "16"}], ids=str
)
def test_what_decides_cases_and_weights_cannot_change_when_resuming(
    override: dict[str, str], tiny_cases: Path, run: Path
) -> None:
    before = record(run)
    with pytest.raises(OptionError, match=f"the setting {next(iter(override))} is fixed by the run"):
        train(tiny_cases, run, resume=True, settings=override)
    assert record(run) == before
    train(tiny_cases, run, resume=True, settings=TINY | {"epochs": 1, "validation_fraction": "0.1"})


@pytest.mark.parametrize(
    ("override", "words"),
    [({"patch_size": 17}, "multiple of"), ({"method": "distillation"}, "distills")],
    ids=str,
)
def test_a_plan_that_cannot_be_carried_out_is_refused_when_resuming_too(
    override: dict[str, object], words: str, tiny_cases: Path, run: Path
) -> None:
    before = record(run)
    with pytest.raises(OptionError, match=words):
        train(tiny_cases, run, resume=True, settings={**override, "epochs": 2}, restart="train")
    assert record(run) == before


def test_a_checkpoint_that_does_not_fit_is_refused_by_the_name_of_its_run(
    tiny_cases: Path, run: Path
) -> None:
    before = record(run)
    with pytest.raises(OptionError, match=rf"{run}.*averaged"):
        train(tiny_cases, run, resume=True, settings={"ema_decay": "0.9", "epochs": 2})
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    other = build("segresnet", width=16, blocks=(1, 1)).state_dict()
    torch.save({**state, "network": other}, run / "checkpoint.pt")
    with pytest.raises(OptionError, match=rf"{run}.*does not fit"):
        train(tiny_cases, run, resume=True, settings={"epochs": 2})
    assert record(run) == before and len(log(run)) == 1


def test_a_run_of_several_stages_resumes_in_any_of_them(tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**TINY, "distillation.teacher_update_interval": 2, "network.dropout": 0.2}
    whole = train(tiny_cases, tmp_path / "whole", "aem-kd", settings=settings)
    for stage, step in (("pretrain", 1), ("train", 1), ("posttrain", 3)):

        def stop(event: Event, stage: str = stage, step: int = step) -> None:
            if (event.stage, event.step) == (stage, step):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(
                tiny_cases,
                tmp_path / "cut",
                "aem-kd",
                settings={} if (tmp_path / "cut" / "checkpoint.pt").exists() else settings,
                resume=(tmp_path / "cut" / "checkpoint.pt").exists(),
                on_progress=stop,
            )
    assert log(tmp_path / "cut")[-1]["stage"] == "posttrain"
    cut = train(tiny_cases, tmp_path / "cut", resume=True)
    assert timeless(whole) == timeless(cut)
    assert_same(weights(whole), weights(cut))


def test_a_stage_can_begin_anew(tiny_cases: Path, tmp_path: Path) -> None:
    run = train(tiny_cases, tmp_path / "run", "aem", settings={**TINY, "epochs": 2})
    before, lines = weights(run), timeless(run)
    train(tiny_cases, run, resume=True, restart="train")
    assert_same(before, weights(run))
    assert timeless(run) == lines
    with pytest.raises(OptionError, match=r"'posttrain' cannot restart.*pretrain, train"):
        train(tiny_cases, run, resume=True, restart="posttrain")
    with pytest.raises(OptionError, match="Add --resume"):
        train(tiny_cases, tmp_path / "new", restart="train")


def test_a_run_goes_on_with_the_model_that_it_began_with_and_no_other(
    run: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    first = run / "train.safetensors"
    with pytest.raises(OptionError, match=r"began without a model, not with .*Leave out --init"):
        train(None, run, resume=True, initial=first, settings={"epochs": 2})
    assert record(run)["settings"]["stages"]["train"]["epochs"] == 1
    begun = train(tiny_cases, tmp_path / "begun", settings={**TINY, "epochs": 1}, initial=first)
    # the same command with --resume, from the folder that it was first given in
    train(tiny_cases, begun, resume=True, initial=os.path.relpath(first), settings={"epochs": 2})
    other = shutil.copy(first, tmp_path / "other.safetensors")
    with pytest.raises(OptionError, match=r"began with .*train\.safetensors, not with .*other\.safetensors"):
        train(tiny_cases, begun, resume=True, initial=other)
