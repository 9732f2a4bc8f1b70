"""A case that cannot be read is left out of a run with its reason, as `prepare` does it; the rest trains."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from MissingModalityLib.core.errors import CaseError, ImageError
from MissingModalityLib.core.progress import Event
from MissingModalityLib.evaluation.evaluate import read_evaluation
from MissingModalityLib.imaging.prepared_folder import prepare_cases
from MissingModalityLib.training.folds import check_read_beside
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run import train
from MissingModalityLib.training.run_folder import RunFolder
from tiny_run import TINY, log, record

SETTINGS = {**TINY, "epochs": 1, "validation_fraction": 0.3}


def truncate(case: Path) -> None:
    """Cut a volume of a case in the middle."""
    path = next(case.glob("*flair*"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def cases(tiny_cases: Path, tmp_path: Path) -> Path:
    """Three cases with a label, of which patient_b has a truncated volume."""
    folder = Path(shutil.copytree(tiny_cases, tmp_path / "cases"))
    truncate(folder / "patient_b")
    return folder


@pytest.mark.parametrize("prepared", [True, False], ids=["prepared before", "prepared by the run"])
def test_a_case_that_cannot_be_read_is_left_out_and_said(prepared: bool, cases: Path, tmp_path: Path) -> None:
    if prepared:
        prepare_cases(cases, tmp_path / "prepared")
    events: list[Event] = []
    run = train(
        cases,
        tmp_path / "run",
        settings=SETTINGS,
        prepared=tmp_path / "prepared" if prepared else None,
        on_progress=events.append,
    )
    (reason,) = [entry["reason"] for entry in record(run)["left_out"] if entry["name"] == "patient_b"]
    assert "flair" in reason and str(cases / "patient_b") in reason
    assert sorted(record(run)["cases"]) == ["patient_a", "patient_c"]
    (said,) = [
        event.message for event in events if "patient_b" in event.message and "left out" in event.message
    ]
    assert "1 case to train on, 1 to validate on" in said
    train(None, run, resume=True, settings={"epochs": 2})
    assert len(log(run)) == 2 and sorted(record(run)["cases"]) == ["patient_a", "patient_c"]


def test_what_is_held_out_is_drawn_from_the_cases_that_can_be_read(cases: Path, tmp_path: Path) -> None:
    shutil.copytree(cases, tmp_path / "without")
    shutil.rmtree(tmp_path / "without" / "patient_b")
    for seed in range(3):
        held_out = [
            record(train(data, tmp_path / f"{data.name}{seed}", seed=seed, settings=SETTINGS))["validation"]
            for data in (cases, tmp_path / "without")
        ]
        assert held_out[0] == held_out[1] and len(held_out[0]) == 1


def test_a_case_that_was_left_out_stays_so_when_it_can_be_read_again(
    tiny_cases: Path, cases: Path, tmp_path: Path
) -> None:
    run = train(cases, tmp_path / "run", settings=SETTINGS)
    shutil.copytree(tiny_cases / "patient_b", cases / "patient_b", dirs_exist_ok=True)
    before = record(run)
    train(None, run, resume=True)
    assert record(run) == before


def test_a_run_that_resumes_asks_for_a_case_that_it_has_trained_on(tiny_cases: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_cases, tmp_path / "cases"))
    run = train(data, tmp_path / "run", settings=SETTINGS)
    before = record(run)
    truncate(data / "patient_c")
    with pytest.raises(ImageError, match=r"patient_c.*flair"):
        train(None, run, resume=True, settings={"epochs": 2})
    assert record(run) == before


def test_what_one_fold_could_not_read_is_left_out_of_the_others(
    tiny_cases: Path, cases: Path, tmp_path: Path
) -> None:
    asked = {"settings": {**TINY, "epochs": 1}, "folds": 2}
    train(cases, tmp_path / "run", **asked, fold=0)
    shutil.copytree(tiny_cases / "patient_b", cases / "patient_b", dirs_exist_ok=True)
    train(cases, tmp_path / "run", **asked, fold=1)
    scored = [case["name"] for case in read_evaluation(tmp_path / "run")["cases"]]
    assert sorted(scored) == ["patient_a", "patient_c"]
    reasons = {entry["name"]: entry["reason"] for entry in record(tmp_path / "run" / "fold1")["left_out"]}
    assert reasons["patient_b"].startswith("as in fold0: ") and "flair" in reasons["patient_b"]


def test_a_fold_that_cannot_read_what_another_one_has_is_refused_before_it_trains(
    tiny_cases: Path, cases: Path, tmp_path: Path
) -> None:
    asked = {"settings": {**TINY, "epochs": 1}, "folds": 2}
    shutil.copytree(tiny_cases, tmp_path / "whole" / cases.name)
    train(tmp_path / "whole" / cases.name, tmp_path / "run", **asked, fold=0)
    steps: list[str] = []
    with pytest.raises(CaseError, match=r"fold0' has case 'patient_b', and now it cannot be read .*flair"):
        train(cases, tmp_path / "run", **asked, fold=1, on_progress=lambda event: steps.append(event.stage))
    assert "train" not in steps and not (tmp_path / "run" / "fold1").exists()


def test_a_fold_that_begins_while_another_one_reads_its_cases_is_told_from_it(tmp_path: Path) -> None:
    """Neither could know of the other when it looked."""
    record_of = partial(RunRecord, data="", validation=(), plan=make_plan(), folds=2)
    there = record_of(cases={"a": "T1"}, left_out={"b": "damaged"}, fold=0)
    folder = RunFolder(tmp_path / "fold0")
    there.write(folder)
    folder.checkpoint.touch()
    with pytest.raises(CaseError, match=r"fold0' began without case 'b' \(damaged\)"):
        check_read_beside(RunFolder(tmp_path / "fold1"), record_of(cases={"a": "T1", "b": "T1"}, fold=1))
    check_read_beside(RunFolder(tmp_path / "fold1"), record_of(cases={"a": "T1"}, fold=1))


def test_a_run_without_any_case_that_can_be_read_stops_and_writes_nothing(
    cases: Path, tmp_path: Path
) -> None:
    for name in ("patient_a", "patient_c"):
        truncate(cases / name)
    with pytest.raises(CaseError, match=r"holds no case to train on \(patient_a: .*flair"):
        train(cases, tmp_path / "run", settings=SETTINGS)
    assert not (tmp_path / "run" / "run.json").exists()
