"""Files that a run reads whenever it starts, exchanged while it stood still."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.evaluation.attach import store_choices
from MissingModalityLib.inference.student import Student
from MissingModalityLib.training.given_files import held_out_shapes, with_given_files
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run import train
from small_networks import small_network
from tiny_run import TINY, log, record


def model(path: Path, seed: int) -> str:
    Student(small_network("segresnet", seed)).save(path)
    return str(path)


def asked(initial: str | None = None, **settings: object) -> RunRecord:
    """The record of a run of two stages before it begins; settings are those of the first."""
    plan = make_plan("aem-kd", settings={f"pretrain.{key}": value for key, value in settings.items()})
    return RunRecord(data="/cases", cases={}, validation=(), plan=plan, initial=initial)


def held(run: RunRecord, *left: str, from_start: bool = True) -> RunRecord:
    return with_given_files(run, left or list(run.plan.stages), from_start, accept_changes=False)


def test_a_run_goes_on_with_the_teachers_that_it_began_with(tiny_cases: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.safetensors"
    settings = {**TINY, "epochs": 1, "method": "ensemble", "ensemble.teachers": model(teacher, 1)}
    run = train(tiny_cases, tmp_path / "run", settings=settings)
    store_choices(teacher, {"min_component_voxels": 5})  # which decides nothing of what it teaches
    first = shutil.copy(teacher, tmp_path / "first.safetensors")
    model(teacher, 2)
    with pytest.raises(CaseError, match=r"teacher\.safetensors: holds something else .*--accept-changes"):
        train(None, run, resume=True, settings={"epochs": 2})
    assert len(log(run)) == 1 and record(run)["settings"]["stages"]["train"]["epochs"] == 1

    kept = record(run)
    (run / "run.json").write_text(json.dumps({key: kept[key] for key in kept if key != "given_files"}))
    train(None, run, resume=True, settings={"epochs": 2})  # one of an earlier version tells nothing of them
    shutil.copy(first, teacher)
    train(None, run, resume=True, settings={"epochs": 3}, accept_changes=True)
    assert len(log(run)) == 3 and record(run)["given_files"] == kept["given_files"]


def test_a_run_that_is_over_keeps_telling_what_taught_it(tiny_cases: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.safetensors"
    settings = {**TINY, "epochs": 1, "method": "ensemble", "ensemble.teachers": model(teacher, 1)}
    run = train(tiny_cases, tmp_path / "run", settings=settings)
    before = record(run)
    training = {"cases": {"elsewhere": "FLAIR"}, "validation": []}
    Student(small_network("segresnet", 2), {"training": training}).save(teacher)
    train(None, run, resume=True, accept_changes=True)
    assert record(run) == before


def test_a_teacher_that_crops_do_not_suit_is_refused_before_any_case_is_read(
    tiny_cases: Path, tmp_path: Path
) -> None:
    teacher = tmp_path / "teacher.safetensors"
    Student(small_network("segresnet", blocks=(1,) * 6), {"window": [32] * 3}).save(teacher)
    settings = {**TINY, "method": "ensemble", "ensemble.teachers": str(teacher)}
    with pytest.raises(
        OptionError, match=r"patch_size=.*a multiple of 32 for the teacher .*teacher.safetensors"
    ):
        train(tiny_cases, tmp_path / "run", settings=settings)
    assert not (tmp_path / "run").exists()


def test_first_weights_are_asked_for_as_long_as_they_are_read(tmp_path: Path) -> None:
    begun = held(asked(model(tmp_path / "first.safetensors", 1)))
    model(tmp_path / "first.safetensors", 2)
    with pytest.raises(CaseError, match=r"first\.safetensors: holds something else"):
        held(begun)
    assert held(begun, from_start=False) == begun
    assert with_given_files(begun, ["pretrain"], True, accept_changes=True).given_files != begun.given_files


def test_all_folds_begin_with_the_same_weights(tiny_cases: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.safetensors"
    settings = {**TINY, "epochs": 1, "network": {**TINY["network"], "space_to_depth": 1}}
    asked_for = {"settings": settings, "initial": model(first, 1), "folds": 2}
    train(tiny_cases, tmp_path / "run", **asked_for, fold=0)
    model(first, 2)
    with pytest.raises(CaseError, match=r"first\.safetensors: holds something else"):
        train(tiny_cases, tmp_path / "run", **asked_for, fold=1)
    assert not (tmp_path / "run" / "fold1").exists()

    training = {"cases": {"elsewhere": "FLAIR"}, "validation": []}
    Student(Student.load(first).network, {"training": training}).save(first)
    train(None, tmp_path / "run", folds=2, resume=True, accept_changes=True)
    assert "elsewhere" in record(tmp_path / "run" / "fold1")["learned_before"]


@pytest.mark.parametrize("change", ["a label", "a name", "another one", "who is left out"])
def test_tumors_are_grown_from_the_label_maps_that_the_run_began_with(change: str, tmp_path: Path) -> None:
    maps, names = tmp_path / "maps", tmp_path / "names.txt"
    maps.mkdir()
    for name in "ab":
        (maps / f"{name}_seg.nii.gz").write_bytes(b"a label")
    names.write_text("b\n")
    options = {"label_maps": str(maps), "exclude": (str(names),)}
    settings = {f"synthesis.grown.{key}": value for key, value in options.items()}
    begun = held(asked(**{"synthesis.method": "grown", **settings}))
    (maps / "notes.txt").write_text("Not read.")
    assert held(begun) == begun
    if change == "a label":
        (maps / "a_seg.nii.gz").write_bytes(b"LABEL A")
    elif change == "a name":
        (maps / "a_seg.nii.gz").rename(maps / "c_seg.nii.gz")
    elif change == "another one":
        (maps / "c_seg.nii.gz").write_bytes(b"a label")
    else:
        names.write_text("a\n")
    changed = "names.txt" if change == "who is left out" else "maps"
    with pytest.raises(CaseError, match=rf"{changed}: holds something else than when the run began"):
        held(begun)
    assert held(begun, "train") == begun, "a stage that does not read them"
    plan = replace(begun.plan, stages={"train": begun.plan.stages["train"]})
    assert held(replace(begun, plan=plan, given_files={})).given_files == {}


@pytest.mark.parametrize("source", ["folder", "archive"])
def test_label_maps_of_cases_that_are_held_out_are_told(source: str, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    for name in "abc":
        (maps / f"{name}_seg.nii.gz").write_bytes(b"a label")
    if source == "archive":
        maps = tmp_path / "maps.npz"
        np.savez(maps, seg=np.zeros((3, 1, 1, 1), np.uint8), patient=["a", "b", "c"], spacing=np.ones(3))
    grown = {"synthesis.method": "grown", "synthesis.grown.label_maps": str(maps)}
    run = replace(asked(**grown), validation=("hospital__b", "d"))
    (told,) = held_out_shapes(run)
    assert "of 1 case held out, such as 'hospital__b'" in told["warning"]
    left_out = asked(**grown, **{"synthesis.grown.exclude": ("b",)})
    assert held_out_shapes(replace(run, plan=left_out.plan)) == []
    assert held_out_shapes(replace(run, plan=asked().plan)) == []


def test_who_is_left_out_may_be_changed_by_settings(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}_seg.nii.gz").write_bytes(b"a label")
    grown = {"synthesis.method": "grown", "synthesis.grown.label_maps": str(tmp_path)}
    begun = held(asked(**grown))
    changed = asked(**grown, **{"synthesis.grown.exclude": ("b",)})
    assert held(replace(begun, plan=changed.plan)).given_files == begun.given_files
