"""Lists of names decide who trains and who is held out, and training cases lack sequences at given rates."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import cache_case
from MissingModalityLib.training.given_split import chosen_cases
from MissingModalityLib.training.lacking_cases import drawn_subset, with_missing
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run import train
from MissingModalityLib.training.run_folder import RunFolder
from small_cases import write_block_case
from tiny_run import TINY, record

ONE = {**TINY, "epochs": 1, "iterations_per_epoch": 1}


def write_list(path: Path, *names: str) -> Path:
    path.write_text("".join(f"{name}\n" for name in names))
    return path


def test_lists_say_who_trains_and_who_is_held_out(tiny_cases: Path, tmp_path: Path) -> None:
    lists = {
        "cases": write_list(tmp_path / "a.txt", "HG_patient_a"),
        "validation_cases": write_list(tmp_path / "b.txt", "LG_patient_b"),
    }
    run = train(tiny_cases, tmp_path / "run", settings=ONE, **lists)
    kept = record(run)
    assert (sorted(kept["cases"]), kept["validation"]) == (["patient_a", "patient_b"], ["patient_b"])
    assert (kept["cases_list"], kept["left_out"]) == (str(tmp_path / "a.txt"), [])
    assert RunRecord.read(RunFolder(run)).cases_list == kept["cases_list"]


@pytest.mark.slow
def test_a_list_of_cases_alone_is_divided_by_share(tiny_cases: Path, tmp_path: Path) -> None:
    names = write_list(tmp_path / "a.txt", "patient_a", "patient_c")
    settings = {**ONE, "validation_fraction": 0.5}
    kept = record(train(tiny_cases, tmp_path / "run", settings=settings, cases=names))
    assert sorted(kept["cases"]) == ["patient_a", "patient_c"] and len(kept["validation"]) == 1


def test_lists_that_contradict_each_other_are_refused_before_anything_is_written(
    tiny_cases: Path, tmp_path: Path
) -> None:
    listing = find_cases(tiny_cases)
    training = str(write_list(tmp_path / "a.txt", "patient_a", "patient_b"))
    overlapping = str(write_list(tmp_path / "b.txt", "patient_b"))
    with pytest.raises(OptionError, match=r"names 'patient_b', which .*a\.txt names too"):
        chosen_cases(listing, training, overlapping)
    everybody = str(write_list(tmp_path / "c.txt", "patient_a", "patient_b", "patient_c"))
    with pytest.raises(OptionError, match="none is left to train on"):
        chosen_cases(listing, None, everybody)
    unknown = write_list(tmp_path / "d.txt", "patient_x")
    with pytest.raises(OptionError, match="'patient_x', which is no case"):
        train(tiny_cases, tmp_path / "run", settings=ONE, cases=unknown)
    assert not (tmp_path / "run").exists()
    with pytest.raises(OptionError, match="folds hold out each case in turn"):
        train(tiny_cases, tmp_path / "run", settings=ONE, folds=2, validation_cases=overlapping)


def test_a_patient_is_never_on_both_sides_of_given_lists(tmp_path: Path) -> None:
    for number, name in enumerate(("alpha", "beta")):
        write_block_case(tmp_path / "data" / name, patient=number)
    shutil.copytree(tmp_path / "data" / "alpha", tmp_path / "data" / "zeta")
    held_out = write_list(tmp_path / "held_out.txt", "zeta")
    with pytest.raises(OptionError, match="'zeta' is of the same patient as 'alpha'"):
        train(tmp_path / "data", tmp_path / "run", settings=ONE, validation_cases=held_out)
    assert not (tmp_path / "run").exists()


def test_a_run_whose_held_out_cases_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("alpha", "beta")):
        write_block_case(tmp_path / "data" / name, patient=number)
    (tmp_path / "data" / "beta" / "flair.nii.gz").write_bytes(b"")
    with pytest.raises(CaseError, match="no case to hold out can be read"):
        train(
            tmp_path / "data",
            tmp_path / "run",
            settings=ONE,
            validation_cases=write_list(tmp_path / "held_out.txt", "beta"),
        )


def test_cases_lack_sequences_at_the_given_rates_and_never_all() -> None:
    rates = {Modality.FLAIR: 0.2, Modality.T1CE: 0.8}
    left = [drawn_subset(MODALITIES, f"case {number}", rates, 3) for number in range(500)]
    counts = Counter(modality for subset in left for modality in subset)
    assert counts[Modality.T1] == counts[Modality.T2] == 500
    assert abs(counts[Modality.FLAIR] / 500 - 0.8) < 0.06 and abs(counts[Modality.T1CE] / 500 - 0.2) < 0.06
    assert left == [drawn_subset(MODALITIES, f"case {number}", rates, 3) for number in range(500)]
    assert left != [drawn_subset(MODALITIES, f"case {number}", rates, 4) for number in range(500)]
    alone = (Modality.FLAIR,)
    assert {drawn_subset(alone, f"case {number}", {Modality.FLAIR: 0.9}, 0) for number in range(50)} == {
        alone
    }


@pytest.mark.parametrize("gap", [2**-53, 1e-12])
def test_rates_next_to_1_leave_one_sequence_at_once(gap: float) -> None:
    rates = {**dict.fromkeys(MODALITIES, 1 - gap), Modality.T2: 1 - 2**-53}
    left: list[Any] = []

    def draw() -> None:
        left.extend(drawn_subset(MODALITIES, f"case {number}", rates, 3) for number in range(60))

    drawing = Thread(target=draw, daemon=True)  # without end, where nothing ends it
    drawing.start()
    drawing.join(timeout=60)
    assert len(left) == 60 and {len(subset) for subset in left} == {1}
    # as often as their rates say: alike, or the last one next to never
    assert {subset[0] for subset in left} == set(MODALITIES if gap == 2**-53 else MODALITIES[:3])


def test_a_case_without_a_sequence_is_read_as_if_it_had_never_had_it(
    tiny_cases: Path, tmp_path: Path
) -> None:
    cases = [cache_case(case, tmp_path) for case in find_cases(tiny_cases).labeled()[0]]
    rates = ("FLAIR=0.5", "t1ce=0.5", "T1=0.5")
    drawn = with_missing(cases, rates, 1)
    assert [case.name for case in drawn] == [case.name for case in cases]
    assert any(case.subset != whole.subset for case, whole in zip(drawn, cases, strict=True))
    for case, whole in zip(drawn, cases, strict=True):
        image, label = case.crop((0, 0, 0), case.shape)
        expected, same = whole.crop((0, 0, 0), whole.shape)
        expected[[modality for modality in MODALITIES if modality not in case.subset]] = 0
        assert np.array_equal(image, expected) and np.array_equal(label, same)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert with_missing(cases, rates, 1) == drawn
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}


def test_only_cases_that_train_lack_sequences(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        "MissingModalityLib.training.stage_cases.with_missing",
        lambda cases, rates, seed: seen.append(([case.name for case in cases], rates, seed)) or list(cases),
    )
    held_out = write_list(tmp_path / "held_out.txt", "patient_b")
    settings = {**ONE, "missing_rates": "T1=0.5"}
    run = train(tiny_cases, tmp_path / "run", settings=settings, validation_cases=held_out, seed=6)
    assert seen == [(["patient_a", "patient_c"], ("T1=0.5",), 6)]
    with pytest.raises(OptionError, match="missing_rates is fixed"):
        train(None, run, resume=True, settings={"missing_rates": "T1=0.1"})


@pytest.mark.parametrize("rates", ["T1", "T1=1", "T1=-0.1", "PET=0.5", "T1=0.5,t1n=0.5", "T1=nan"])
def test_rates_that_say_nothing_are_refused(rates: str) -> None:
    with pytest.raises(OptionError, match="missing_rates"):
        make_plan(settings={"missing_rates": rates})
