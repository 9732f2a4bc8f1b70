"""A fifth sequence needs one file, core/modalities.py: the rest of the library follows from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import LIBRARY
from small_cases import write_block_cases

SUBSETS = """
SUBSETS: tuple[Subset, ...] = tuple(
    _subset(f"{bits:0{len(MODALITIES)}b}") for bits in range(1, 2 ** len(MODALITIES))
)
"""
TINY = (
    *("epochs=1", "iterations_per_epoch=1", "batch_size=1", "patch_size=16", "num_workers=0"),
    *("validation_subsets=FLAIR+PD", "network.width=8", "network.blocks=1,1"),
)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A copy of the library that knows proton density (PD), by a change of that file alone."""
    copy = tmp_path / "library"
    shutil.copytree(LIBRARY / "MissingModalityLib", copy / "MissingModalityLib")
    path = copy / "MissingModalityLib" / "core" / "modalities.py"
    text = path.read_text("utf-8").replace("    T2 = 3\n", "    T2 = 3\n    PD = 4\n")
    table, rest = text.index("SUBSETS: tuple"), text.index("def subset_name")
    path.write_text(f"{text[:table]}{SUBSETS}\n\n{text[rest:]}", encoding="utf-8")
    return copy


@pytest.mark.slow
def test_training_evaluation_and_segmentation_know_it(library: Path, tmp_path: Path) -> None:
    data, run, student = write_block_cases(tmp_path / "data"), tmp_path / "run", tmp_path / "s.safetensors"
    for case in data.iterdir():
        if case.name != "patient_c":
            shutil.copy(case / "t2.nii.gz", case / "pd.nii.gz")

    def missing_modality(*arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "MissingModalityLib", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(library)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "FLAIR+T1ce+T1+T2+PD: 3" in missing_modality("cases", data)
    missing_modality("train", "--data", data, "--output", run, "--device", "cpu", "--set", *TINY)
    missing_modality("export", "--run", run, "--output", student)
    use = ("--student", student, "--device", "cpu")
    missing_modality("evaluate", "--data", data, "--output", tmp_path / "scores", *use)
    volume = data / "patient_a" / "pd.nii.gz"
    assert "Used PD" in missing_modality("segment", "--pd", volume, "--output", tmp_path / "o.nii.gz", *use)
