"""The models that a run began with and was taught by, as its record and its own models tell of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.student import Student
from MissingModalityLib.training.models_before import models_before, repeating_teachers, with_models_before
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run import train
from MissingModalityLib.training.stage_students import export
from small_networks import small_network
from tiny_run import TINY, record

FIRST = {
    "settings": {"stages": {"train": {"epochs": 9, "iterations_per_epoch": 10}}},
    **{"stage": "train", "epochs_done": 7},
    **{"cases": {"a": "T1", "b": "T1"}, "validation": ["b"], "models_before": []},
}


def model(path: Path, seed: int, training: dict | None = None, **options: object) -> str:
    path.parent.mkdir(exist_ok=True)
    Student(small_network("segresnet", seed, **options), {"training": training or FIRST}).save(path)
    return str(path)


def told(entries: list[dict]) -> list[tuple]:
    return [(entry["stage"], entry["use"], entry["file"]) for entry in entries]


@pytest.fixture
def asked(tmp_path: Path) -> RunRecord:
    """Of a run of two stages that begins with one model; each stage has another teacher."""
    teachers = {
        f"{stage}.ensemble.teachers": model(tmp_path / stage / "teacher.safetensors", seed)
        for seed, stage in enumerate(("pretrain", "train"), 1)
    }
    methods = {f"{stage}.method": "ensemble" for stage in ("pretrain", "train")}
    plan = make_plan("aem-kd", settings={**methods, **teachers})
    first = model(tmp_path / "first.safetensors", 3)
    return RunRecord(data="/cases", cases={}, validation=(), plan=plan, initial=first)


def test_a_model_tells_what_it_began_with_what_taught_it_and_what_these_learned_from(
    tiny_cases: Path, tmp_path: Path
) -> None:
    settings = {**TINY, "network": {**TINY["network"], "space_to_depth": 1}, "epochs": 1}
    teachers = [model(tmp_path / f"fold{fold}" / "train.safetensors", fold) for fold in (0, 1)]
    settings |= {"method": "ensemble", "ensemble.teachers": teachers}
    start = model(tmp_path / "first.safetensors", 3)
    run = train(tiny_cases, tmp_path / "run", settings=settings, initial=start)
    Path(start).unlink()
    train(None, run, resume=True, settings={"epochs": 2})
    # they know other patients
    assert not any("teaches" in entry["warning"] for entry in record(run).get("warnings", ()))
    training = read_card(run / "train.safetensors")["training"]
    first, *others = training["models_before"]
    assert first["file"] == f"{tmp_path.name}/first.safetensors" and first["use"] == "began with"
    assert [(entry["use"], entry["file"]) for entry in others] == [
        ("taught by", f"fold{fold}/train.safetensors") for fold in (0, 1)
    ]
    assert len({entry["weights_sha256"] for entry in (first, *others)}) == 3
    assert all((entry["steps"], entry["cases"]) == (70, ["a"]) for entry in (first, *others))
    assert training["models_before"] == record(run)["models_before"]
    assert first["models_before"] == []
    exported = export(run, tmp_path / "exported.safetensors")
    assert read_card(exported)["training"]["models_before"] == training["models_before"]

    # run.json of a version that told less: the files tell, where they are those that the run read
    kept = record(run)
    model(tmp_path / "fold1" / "train.safetensors", 7)
    del kept["models_before"]
    (run / "run.json").write_text(json.dumps(kept))
    found = read_card(export(run, exported))["training"]["models_before"]
    assert told(found) == told(training["models_before"])
    assert [entry.get("steps") for entry in found] == [None, 70, None]
    assert [entry["weights_sha256"] for entry in found] == [
        entry["weights_sha256"] for entry in training["models_before"]
    ]


def test_teachers_that_all_know_a_case_are_told_to_repeat_its_label(asked: RunRecord, tmp_path: Path) -> None:
    begun = replace(asked, cases=dict.fromkeys("abc", "T1"), validation=("c",))
    first, second = (entry["warning"] for entry in repeating_teachers(begun))
    assert "stage pretrain has learned from 1 of 2 cases trained on, such as 'a'" in first
    assert "stage train has" in second
    fold = {**FIRST, "cases": {"a": "T1", "b": "T1"}, "validation": ["a"]}
    other = model(tmp_path / "other" / "teacher.safetensors", 5, fold)
    both = [str(tmp_path / "train" / "teacher.safetensors"), other]
    stages = _with_teachers(begun, {"train.method": "ensemble", "train.ensemble.teachers": both})
    (told_once,) = repeating_teachers(replace(begun, plan=replace(begun.plan, stages=stages)))
    assert "stage pretrain" in told_once["warning"]
    assert repeating_teachers(replace(begun, cases={"d": "T1"})) == []


def test_a_run_that_began_with_no_model_says_so(tiny_cases: Path, tmp_path: Path) -> None:
    run = train(tiny_cases, tmp_path / "run", settings={**TINY, "epochs": 1})
    assert read_card(run / "train.safetensors")["training"]["models_before"] == []
    assert "models_before" not in record(run)


def test_the_model_of_a_stage_tells_nothing_of_those_that_teach_later_ones(asked: RunRecord) -> None:
    begun = with_models_before(asked, list(asked.plan.stages), ())
    early = [
        ("pretrain", "began with", f"{Path(asked.initial).parent.name}/first.safetensors"),
        ("pretrain", "taught by", "pretrain/teacher.safetensors"),
    ]
    assert told(models_before(begun, "pretrain")) == early
    assert told(models_before(begun, "train")) == [
        *early,
        ("train", "taught by", "train/teacher.safetensors"),
    ]
    assert RunRecord.from_json(json.loads(json.dumps(begun.to_json()))).models_before == begun.models_before


def test_what_has_taught_stays_told_and_what_has_not_yet_goes(asked: RunRecord, tmp_path: Path) -> None:
    begun = with_models_before(asked, list(asked.plan.stages), ())
    for path in (Path(asked.initial), tmp_path / "pretrain" / "teacher.safetensors"):
        path.unlink()
    other = model(tmp_path / "other" / "teacher.safetensors", 5)
    settings = {"train.ensemble.teachers": other, "train.method": "ensemble"}
    changed = replace(begun, plan=replace(begun.plan, stages=_with_teachers(begun, settings)))
    left = ["train", "posttrain"]
    instead = with_models_before(changed, left, ["pretrain"]).models_before
    assert instead[:2] == begun.models_before[:2]
    assert told(instead[2:]) == [("train", "taught by", "other/teacher.safetensors")]
    # where it has begun to teach, the other one comes beside it
    beside = with_models_before(changed, left, ["pretrain", "train"]).models_before
    assert beside == [*begun.models_before, *instead[2:]]


def _with_teachers(record: RunRecord, settings: dict) -> dict:
    stages = make_plan("aem-kd", settings=settings).stages
    return {**record.plan.stages, "train": stages["train"]}
