"""A run knows its cases by their voxels: copies stay on one side, and what was replaced is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.progress import Event
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.datasets.patients import of_voxels
from MissingModalityLib.imaging.prepared_folder import prepare_cases
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.learned import Learned
from MissingModalityLib.synthesis.options import REPORT_FILE
from MissingModalityLib.training.run import train
from MissingModalityLib.training.synthetic_files import synthetic_files_told
from small_cases import write_block_case
from tiny_run import TINY, log, record

SETTINGS = {**TINY, "epochs": 1, "validation_fraction": 0.5, "validation_interval": 1}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two patients, of whom one lies there twice, once under a name that says nothing."""
    for number, name in enumerate(("alpha", "beta")):
        write_block_case(tmp_path / "data" / name, patient=number)
    shutil.copytree(tmp_path / "data" / "alpha", tmp_path / "data" / "zeta")
    return tmp_path / "data"


def test_one_patient_in_two_scales_neither_trains_nor_validates_apart(data: Path, tmp_path: Path) -> None:
    for path in (data / "zeta").glob("[ft]*.nii.gz"):
        sitk.WriteImage(sitk.ReadImage(str(path)) * 1.25, str(path))
    run = train(data, tmp_path / "run", settings=SETTINGS)
    assert set(record(run)["validation"]) in ({"alpha", "zeta"}, {"beta"})


def test_a_run_from_before_scales_were_known_goes_on(data: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "run", settings=SETTINGS)
    now = record(run)
    hashes = {name: of_voxels(content) for name, content in now["voxels_sha256"].items()}
    assert hashes != now["voxels_sha256"]
    (run / "run.json").write_text(json.dumps({**now, "voxels_sha256": hashes}))
    train(None, run, resume=True, settings={"epochs": 2})
    assert record(run)["voxels_sha256"] == now["voxels_sha256"]


@pytest.mark.parametrize("seed", range(3))
def test_one_patient_under_two_names_neither_trains_nor_validates_apart(
    data: Path, tmp_path: Path, seed: int
) -> None:
    said: list[Event] = []
    run = train(data, tmp_path / "run", seed=seed, settings=SETTINGS, on_progress=said.append)
    held_out = set(record(run)["validation"])
    assert held_out in ({"alpha", "zeta"}, {"beta"})
    assert any("Cases 'alpha' and 'zeta' hold the same volume" in event.message for event in said)
    volumes = read_card(run / "train.safetensors").training["voxels_sha256"]
    assert volumes["alpha"] == volumes["zeta"] != volumes["beta"]


def test_files_of_synthetic_cases_beside_a_split_are_told(data: Path) -> None:
    made = write_block_case(data / "synthetic" / "synthetic_0000", patient=4)
    cases = find_cases(data).cases
    assert synthetic_files_told(cases, ["beta"]) == [], "as anybody may call a case"
    (made.parent / REPORT_FILE).write_text("{}")
    (told,) = synthetic_files_told(cases, ["beta"])
    assert "has made 1 case, such as" in told["warning"] and "synthetic_0000', of" in told["warning"]
    assert synthetic_files_told(cases, []) == []


def test_copies_are_told_when_cases_are_prepared(data: Path, tmp_path: Path) -> None:
    warnings = [entry["warning"] for entry in prepare_cases(data, tmp_path / "prepared")["warnings"]]
    assert sum("'alpha' and 'zeta' hold the same volume" in warning for warning in warnings) == 1


def test_a_pattern_names_the_patient_and_is_fixed_by_the_run(data: Path, tmp_path: Path) -> None:
    write_block_case(data / "beta2", patient=5)
    run = train(data, tmp_path / "run", settings={**SETTINGS, "patient": r"^(alpha|beta|zeta)"})
    held_out = set(record(run)["validation"])
    assert held_out in ({"alpha", "zeta"}, {"beta", "beta2"})
    with pytest.raises(OptionError, match="patient is fixed"):
        train(None, run, resume=True, settings={"patient": "none"})
    with pytest.raises(OptionError, match=r"patient=.* is out of range"):
        train(data, tmp_path / "other", settings={**SETTINGS, "patient": "("})


@pytest.mark.parametrize("what", ["flair", "seg", "whole case"])
def test_a_run_does_not_go_on_with_another_patient_unless_that_is_wanted(
    data: Path, tmp_path: Path, what: str
) -> None:
    run = train(data, tmp_path / "run", settings=SETTINGS)
    before = record(run)
    write_block_case(tmp_path / "other" / "beta", patient=7)
    if what == "seg":
        _move_label(data / "beta" / "seg.nii.gz")
    else:
        pattern = "*" if what == "whole case" else f"{what}*"
        for file in (tmp_path / "other" / "beta").glob(pattern):
            shutil.copy2(file, data / "beta" / file.name)
    with pytest.raises(CaseError, match=r"case 'beta' of this run has other voxels .*--accept-changes"):
        train(None, run, resume=True, settings={"epochs": 2})
    assert record(run) == before
    train(None, run, resume=True, settings={"epochs": 2}, accept_changes=True)
    assert len(log(run)) == 2 and record(run)["voxels_sha256"]["beta"] != before["voxels_sha256"]["beta"]
    train(None, run, resume=True, settings={"epochs": 3})
    assert len(log(run)) == 3


def test_a_patient_who_was_exchanged_stays_one_that_was_learned_from(data: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "run", settings={**SETTINGS, "validation_fraction": 0})
    before = record(run)["voxels_sha256"]["beta"]
    write_block_case(tmp_path / "other" / "beta", patient=7)
    shutil.copytree(tmp_path / "other" / "beta", data / "beta", dirs_exist_ok=True)
    train(None, run, resume=True, settings={"epochs": 2}, accept_changes=True)
    learned = Learned(read_card(run / "train.safetensors")["training"])
    assert learned.has("elsewhere", before) and learned.has("elsewhere", record(run)["voxels_sha256"]["beta"])


def test_a_run_that_is_over_keeps_telling_what_it_has_learned_from(data: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "run", settings=SETTINGS)
    before = record(run)
    write_block_case(tmp_path / "other" / "beta", patient=7)
    shutil.copytree(tmp_path / "other" / "beta", data / "beta", dirs_exist_ok=True)
    train(None, run, resume=True, accept_changes=True)
    assert record(run) == before


def test_a_run_of_an_earlier_version_takes_up_what_its_cases_hold(data: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "run", settings=SETTINGS)
    now = record(run)
    old = {key: value for key, value in now.items() if key != "voxels_sha256"}
    (run / "run.json").write_text(json.dumps(old))
    train(None, run, resume=True, settings={"epochs": 2})
    assert record(run)["voxels_sha256"] == now["voxels_sha256"]


def test_a_run_finds_its_cases_under_their_earlier_names(data: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "run", settings=SETTINGS)
    before = record(run)
    (tmp_path / "above").mkdir()
    data.rename(tmp_path / "above" / "data")  # where each case is now called data__NAME
    train(tmp_path / "above", run, resume=True, settings={"epochs": 2})
    assert record(run)["cases"] == before["cases"] and len(log(run)) == 2


def _move_label(path: Path) -> None:
    image = sitk.ReadImage(str(path))
    moved = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(image), 1, 2))
    moved.CopyInformation(image)
    sitk.WriteImage(moved, str(path))
