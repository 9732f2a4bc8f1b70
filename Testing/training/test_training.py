"""Training on small real files: recipes, stages, what is logged and kept, clear refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MissingModalityLib.core.errors import CaseError, MissingModalityError, OptionError, StudentError
from MissingModalityLib.core.progress import Event
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.reading import read_study
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.sliding_window import cuda_half
from MissingModalityLib.inference.student import Student
from MissingModalityLib.training import run as run_module
from MissingModalityLib.training.loop import StageRun
from MissingModalityLib.training.plan import Plan, make_plan
from MissingModalityLib.training.recipes import RECIPES
from MissingModalityLib.training.run import train
from MissingModalityLib.training.stage_students import export
from small_cases import write_block_case
from small_networks import SMALLEST
from tiny_run import QUICK, TINIEST, TINY, assert_same, log, record, weights

SLOW = {"m3ae", "ra-hved"}
"""Recipes whose smallest network takes many seconds."""


@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in RECIPES.names()]
)
def test_every_recipe_trains_logs_and_exports_a_student(
    recipe: str, tiny_cases: Path, tmp_path: Path
) -> None:
    stages = list(RECIPES.get(recipe).stages)
    network = TINIEST.get(recipe, TINIEST["baseline"])
    settings = {**QUICK, "iterations_per_epoch": 1, "validation_fraction": 0.1, **network}
    run = train(tiny_cases, tmp_path / "run", recipe, stages=stages, settings=settings)
    lines = log(run)
    assert [(line["stage"], line["epoch"]) for line in lines] == [
        (stage, epoch) for stage in stages for epoch in (1, 2, 3)
    ]
    assert all(np.isfinite(line["loss"]["total"]) and 0 <= line["waiting"] <= 1 for line in lines)
    assert 0 <= lines[-1]["dice"]["mean"] <= 1 and "dice" not in lines[0]
    assert lines[0]["learning_rate"] > lines[1]["learning_rate"] > lines[2]["learning_rate"]
    path = export(run, tmp_path / "student.safetensors", {"license": "CC0"})
    card = read_card(path)
    assert card["training"]["epochs_done"] == 3 and card["license"] == "CC0"
    assert "patient_d" not in card["training"]["cases"]
    for stage in stages:
        assert read_card(run / f"{stage}.safetensors")["training"]["stage"] == stage
    last = Student.load(run / f"{stages[-1]}.safetensors").network.state_dict()
    assert_same(last, weights(run))


def test_a_stage_trains_on_what_is_not_held_out_and_what_is_made_of_it(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    class Watched(StageRun):
        def __init__(self, **facts: Any) -> None:
            super().__init__(**facts)
            seen[self.name] = self.cases

    monkeypatch.setattr(run_module, "StageRun", Watched)
    settings = {**TINY, "epochs": 1, "validation_fraction": 0.3, "pretrain.synthesis.factor": 3}
    run = train(tiny_cases, tmp_path / "run", "aem", settings=settings)
    (held_out,) = record(run)["validation"]
    real = sorted(set(record(run)["cases"]) - {held_out})
    assert len(real) == 2 and sorted(case.name for case in seen["train"]) == real
    made = [case for case in seen["pretrain"] if case.name not in real]
    assert len(seen["pretrain"]) == 3 * 2 and len(made) == 2 * 2
    for case in made:
        facts = case.describe()
        assert {facts["recipient"], *facts["donors"]} == set(real)


def test_rfnet_goes_through_the_full_recipe(tiny_cases: Path, tmp_path: Path) -> None:
    run = train(
        tiny_cases,
        tmp_path / "run",
        "aem-kd",
        "rfnet",
        settings={**QUICK, "epochs": 1, "network": SMALLEST["rfnet"]},
    )
    post = log(run)[-1]["loss"]
    assert post.keys() >= {"fused_dice", "region_ce", "teacher_features", "teacher_region_kl"}
    assert Student.load(run / "posttrain.safetensors").network.name == "rfnet"


def test_each_stage_begins_with_what_the_one_before_it_ended_with(tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**TINY, "epochs": 1, "ema_decay": 0.9}
    still = {**settings, "train.learning_rate": 1e-12}
    whole = train(tiny_cases, tmp_path / "whole", "aem", settings=still)
    given = train(
        tiny_cases,
        tmp_path / "given",
        "aem",
        stages=["train"],
        initial=whole / "pretrain.safetensors",
        settings={**settings, "learning_rate": 1e-12},
    )
    before, *after = (
        Student.load(path).network.state_dict()
        for path in (
            *(whole / "pretrain.safetensors", whole / "train.safetensors"),
            given / "train.safetensors",
        )
    )
    for name, value in before.items():
        for found in after:
            torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0)


def test_post_training_from_nothing_is_refused(tiny_cases: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs a trained network"):
        train(tiny_cases, tmp_path / "run", "aem-kd", stages=["posttrain"], settings=TINY)
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_are_refused(tiny_cases: Path, tmp_path: Path) -> None:
    run = train(tiny_cases, tmp_path / "run", settings={**TINY, "epochs": 1})
    with pytest.raises(StudentError, match=r"'width': 8.*'width': 16"):
        train(
            tiny_cases,
            tmp_path / "other",
            initial=run / "train.safetensors",
            settings={**TINY, "network.width": 16},
        )
    assert not (tmp_path / "other").exists()


def test_prepared_cases_are_shared_between_runs(tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**TINY, "epochs": 1}
    train(tiny_cases, tmp_path / "one", settings=settings, prepared=tmp_path / "prepared")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "prepared").glob("*.safetensors")}
    train(tiny_cases, tmp_path / "two", settings=settings, prepared=tmp_path / "prepared")
    assert before == {path: path.stat().st_mtime_ns for path in before} and len(before) == 3
    train(None, tmp_path / "two", settings={"epochs": 2}, resume=True)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not (tmp_path / "two" / "prepared").exists()
    train(None, tmp_path / "two", settings={"epochs": 3}, resume=True, prepared=tmp_path / "moved")
    assert record(tmp_path / "two")["prepared"] == str(tmp_path / "moved")
    assert len(list((tmp_path / "moved").glob("*.safetensors"))) == 3


def test_a_whole_plan_can_be_given(tiny_cases: Path, tmp_path: Path) -> None:
    plan = make_plan("aem", settings={**TINY, "epochs": 1})
    run = train(tiny_cases, tmp_path / "run", settings=plan)
    assert [line["stage"] for line in log(run)] == ["pretrain", "train"]
    assert (record(run)["recipe"], record(run)["preset"]) == (None, None)
    assert not {"recipe", "preset"} & read_card(run / "train.safetensors")["training"].keys()
    for beside in ({"stages": ["train"]}, {"config": tmp_path / "plan.yaml"}):
        with pytest.raises(OptionError, match="Leave out stages and config"):
            train(tiny_cases, tmp_path / "other", settings=plan, **beside)
    assert not (tmp_path / "other").exists()


def test_a_plan_without_stages_is_refused(tiny_cases: Path, tmp_path: Path) -> None:
    for nothing in ({"settings": Plan()}, {"stages": []}):
        with pytest.raises(OptionError, match="no stage"):
            train(tiny_cases, tmp_path / "run", **nothing)
    assert not (tmp_path / "run").exists()


def test_a_subset_that_no_case_has_is_refused(tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**TINY, "exclude": "patient_a,patient_b", "training_subsets": "T2"}
    with pytest.raises(CaseError, match="training_subsets"):
        train(tiny_cases, tmp_path / "run", settings=settings)


def test_a_run_tells_what_it_leaves_out(tiny_cases: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_cases, tmp_path / "data"))
    (folder / "patient_a" / "notes.txt").write_text("an odd file")
    events: list[Event] = []
    settings = {**TINY, "epochs": 1, "exclude": "patient_b,patient_c"}
    train(folder, tmp_path / "run", settings=settings, on_progress=events.append)
    left_out = {entry["name"]: entry["reason"] for entry in record(tmp_path / "run")["left_out"]}
    assert left_out["patient_b"] == left_out["patient_c"] == "excluded"
    assert left_out["patient_d"] == "no label" and left_out.keys() >= {"patient_a/notes.txt"}
    (message,) = [e.message for e in events if e.stage == "prepare" and "left out" in e.message]
    assert "left out 2 (excluded): patient_b, patient_c" in message
    assert "left out 1 (no label): patient_d" in message
    assert "no validation, because all cases are of one patient" in message
    assert record(tmp_path / "run")["validation"] == []


def test_a_negative_seed_is_refused(tiny_cases: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="seed=-1"):
        train(tiny_cases, tmp_path / "run", seed=-1, settings=TINY)
    assert not (tmp_path / "run").exists()


def test_half_precision_is_what_the_chosen_gpu_computes_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    capabilities = {0: (9, 0), 1: (7, 5)}
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # it counts emulation
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device.index])
    first, second = (torch.device("cuda", index) for index in capabilities)
    assert (cuda_half(first), cuda_half(second)) == (torch.bfloat16, torch.float16)
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert cuda_half(second) == torch.bfloat16


def test_the_seed_decides_the_result(tiny_cases: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(
            tiny_cases, tmp_path / name, seed=seed, settings={**TINY, "epochs": 1, "validation_fraction": "0"}
        )
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert any(
        not torch.equal(value, weights(tmp_path / "c")[name])
        for name, value in weights(tmp_path / "a").items()
    )


def test_the_running_average_is_what_is_exported(tiny_cases: Path, tmp_path: Path) -> None:
    train(tiny_cases, tmp_path / "run", settings={**TINY, "ema_decay": "0.9"})
    export(tmp_path / "run", tmp_path / "student.safetensors")
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    average = {name: state["averaged"][f"module.{name}"] for name in state["network"]}
    assert any(not torch.equal(value, average[name]) for name, value in state["network"].items())
    exported = Student.load(tmp_path / "student.safetensors").network.state_dict()
    assert_same(exported, {name: value.half().float() for name, value in average.items()})
    assert_same(Student.load(tmp_path / "run" / "train.safetensors").network.state_dict(), average)


def test_every_option_of_the_loss_is_logged_and_its_student_tells_presence(
    tiny_cases: Path, tmp_path: Path
) -> None:
    network = {"blocks": (1, 1, 1), "deep_supervision": True, "presence": True}
    losses = {"dice_over": "sample", "top_k_fraction": 0.2, "consistency_weight": 0.5}
    changes = {"network": {"width": 8, **network}, "supervised": losses, "all_modalities_epochs": 1}
    run = train(tiny_cases, tmp_path / "run", settings={**TINY, "epochs": 2, **changes})
    of_epoch = [line["loss"] for line in log(run)]
    consistency = {"consistency_kl", "consistency_dice"}
    assert set(of_epoch[0]) == {"dice", "bce", "deep_dice", "deep_bce", "presence", "total", *consistency}
    assert max(abs(of_epoch[0][name]) for name in consistency) < 1e-6, "subset and superset are the same"
    assert of_epoch[1]["consistency_dice"] > 1e-6
    student = Student.load(run / "train.safetensors")
    case = find_cases(tiny_cases).cases[0]
    assert set(student.predict(read_study(case), device="cpu").presence) == {"NCR", "ED", "ET"}
    post = {**TINY, "epochs": 1, "network": changes["network"], "distillation": {"focal_gamma": 2}}
    taught = train(
        *(tiny_cases, tmp_path / "post", "aem-kd"),
        stages=["posttrain"],
        initial=run / "train.safetensors",
        settings=post,
    )
    assert {"deep_dice", "presence", "teacher_kl"} <= set(log(taught)[0]["loss"])


def test_unknown_subsets_and_cases_are_named_beside_the_known_ones(tiny_cases: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'nonsense'.*FLAIR\+T1ce") as caught:
        make_plan(settings={"validation_subsets": "T2,nonsense"})
    assert "'T2'" not in str(caught.value)
    with pytest.raises(OptionError, match=r"'patient_z'.*patient_a, patient_b, patient_c, patient_d"):
        train(tiny_cases, tmp_path / "run", settings={"exclude": "patient_a,patient_z"})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ({"epoch": "3"}, "epoch"),
        ({"epochs": "many"}, "epochs"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": "1.5"}, "batch_size"),
        ({"oversample_foreground": "2"}, "oversample_foreground"),
        ({"augmentation": "wild"}, "augmentation"),
        ({"network": "8"}, "network"),
        ({"patch_size": "20"}, "patch_size"),
        ({"network.width": "7"}, "network.width=7"),
        ({"validation_subsets": "T7"}, "T7"),
        ({"validation_subsets": "(1, 2)"}, "validation_subsets"),
        ({"patch_size": "(16, 16, 16.5)"}, "patch_size"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_left(
    override: dict[str, str], word: str, tiny_cases: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=word):
        train(tiny_cases, tmp_path / "run", settings={"network.blocks": "(1, 1, 1, 1)", **override})
    assert not (tmp_path / "run").exists()


def test_a_network_of_other_classes_is_refused_before_it_trains(tiny_cases: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"network\.classes=6"):
        train(tiny_cases, tmp_path / "run", network="rfnet", settings={"network.classes": "6"})
    assert not (tmp_path / "run").exists()


def test_misuse_of_folders_is_refused(tiny_cases: Path, tmp_path: Path) -> None:
    train(tiny_cases, tmp_path / "run", settings={**TINY, "epochs": 1})
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(CaseError, match="already holds a training run"):
        train(tiny_cases, tmp_path / "run", settings=TINY)
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before
    with pytest.raises(CaseError, match="no training run"):
        train(tiny_cases, tmp_path / "other", resume=True)
    with pytest.raises(CaseError, match="no training run"):
        export(tmp_path / "other", tmp_path / "student.safetensors")
    with pytest.raises(OptionError, match="safetensors"):
        export(tmp_path / "run", tmp_path / "student.nii")
    with pytest.raises(MissingModalityError, match="absent"):
        train(tmp_path / "absent", tmp_path / "run2")
    (tmp_path / "run" / "checkpoint.pt").write_bytes(before[: len(before) // 2])
    with pytest.raises(StudentError, match="damaged"):
        export(tmp_path / "run", tmp_path / "student.safetensors")
    assert not (tmp_path / "student.safetensors").exists()
    assert not list(tmp_path.rglob(".*")), "no temporary file is left"


def test_data_without_labels_cannot_train(tmp_path: Path) -> None:
    write_block_case(tmp_path / "data" / "patient", label=False)
    with pytest.raises(CaseError, match="no case with a label"):
        train(tmp_path / "data", tmp_path / "run")


def test_a_run_without_any_of_its_labeled_cases_says_so(tmp_path: Path) -> None:
    write_block_case(tmp_path / "data" / "patient")
    with pytest.raises(CaseError, match="of 1 case with a label all are excluded"):
        train(tmp_path / "data", tmp_path / "run", settings={"exclude": "patient"})
