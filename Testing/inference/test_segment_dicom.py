"""Folders of DICOM to segments: which series are used, and what is refused with nothing written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from command_line import exit_code
from dicom_traps import TRAPS

QUICK = ("plain", "missing slice", "pixels broken in one", "two patients", "half of the slices missing")
"""Kinds of traps that the suite of every day tries: each way that a study can go."""

NO_STEPS = ("--registration", "never", "--stripping", "never", "--no-content-check")
"""Noise in balls can neither be registered nor told from other noise."""


def segment(folder: Path, output: Path, student: Path, *options: str) -> int | str | None:
    files = ("--dicom", str(folder), "--output", str(output), "--student", str(student))
    return exit_code(["segment", *files, *NO_STEPS, "--device", "cpu", "--progress", "none", *options])


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in TRAPS]
)
def test_every_study_ends_in_segments_or_in_one_sentence(name, student, tmp_path, capfd):
    trap, folder, output = TRAPS[name], tmp_path / "study", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    trap.write(folder)
    code = segment(folder, output / "tumor.nii.gz", student, *trap.options)
    out, err = capfd.readouterr()
    written = sorted(path.name for path in output.iterdir())
    if trap.modalities is None:
        assert code == 2 and not written and "Traceback" not in err
        assert re.search(trap.told, err, re.DOTALL), err
        assert err.startswith("missing-modality: error: ")
        return
    assert code == 0, err
    assert written == ["tumor.nii.gz", "tumor.nii.gz.report.json"]
    report = json.loads((output / "tumor.nii.gz.report.json").read_text())
    assert report["modalities"] == trap.modalities
    said = "\n".join([*report["warnings"], *report["dicom"]["choice"]])
    assert re.search(trap.told, said), said
    assert all(sentence in out for sentence in report["dicom"]["choice"])
