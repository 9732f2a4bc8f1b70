"""``series``: the table for people and the result for programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_headers import SEQUENCES, save, slices
from MissingModalityLib.__main__ import main
from MissingModalityLib.core import strict_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study with a FLAIR, a localizer and a text file."""
    save(slices(1, count=3, SeriesDescription="localizer"), tmp_path)
    save(slices(2, **SEQUENCES["FLAIR"], StudyDescription="Brain"), tmp_path)
    (tmp_path / "readme.txt").write_text("open the viewer")
    return tmp_path


def test_the_table_tells_what_each_series_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["series", str(folder), "--progress", "none"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Patient P1, 2024-03-01, Brain"
    (localizer,) = [line for line in lines if "Not used: is a localizer" in line]
    (used,) = [line for line in lines if line.startswith("*")]
    assert "t2_tirm_tra_dark-fluid" in used and "FLAIR 95%" in used and "0.9 x 0.9 x 5" in used
    assert localizer.startswith("   1 ") and "  Not found: T1ce, T1 and T2." in lines
    assert lines[-1] == "  is not a DICOM file: readme.txt"


def test_series_that_voxels_may_tell_of_are_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(slices(1, **SEQUENCES["FLAIR"]), tmp_path)
    save(slices(2, SeriesDescription="brain"), tmp_path)
    assert main(["series", str(tmp_path), "--progress", "none"]) == 0
    out = capsys.readouterr().out
    assert "brain                   ?          axial" in out
    assert "'segment' looks for what was not found in the voxels of the one marked ?" in out
    for number, name in enumerate(("T2", "T1", "T1CE"), 3):
        save(slices(number, **SEQUENCES[name]), tmp_path)
    assert main(["series", str(tmp_path), "--progress", "none"]) == 0
    assert "marked ?" not in capsys.readouterr().out  # nothing is missing, so nothing is asked


def test_programs_get_every_fact_of_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["series", str(folder), "--progress", "json"]) == 0
    *progress, last = map(strict_json.loads, capsys.readouterr().out.splitlines())
    assert progress[-1]["step"] == progress[-1]["total"] == 16
    (study,) = last["result"]["studies"]
    localizer, flair = study["series"]
    assert (localizer["kind"], localizer["used_as"]) == ("localizer", None)
    assert (flair["modality"], flair["used_as"], flair["size"]) == ("FLAIR", "FLAIR", [4, 4, 12])
    assert last["result"]["skipped"] == [{"path": "readme.txt", "reason": "is not a DICOM file"}]
