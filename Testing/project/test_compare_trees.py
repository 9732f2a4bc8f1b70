"""The comparison of two checkouts: it finds what differs, and nothing between a checkout and itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import compare_trees
import tree_differences
from checkout import ROOT


def write_volume(path: Path, array: np.ndarray, spacing: float = 1.0) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing,) * 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def test_volumes_differ_by_voxels_place_and_name(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    array = np.zeros((3, 4, 5), np.uint8)
    assert "no volumes" in tree_differences.volumes(tmp_path / "none", after)
    for folder in (before, after):
        write_volume(folder / "case" / "map.nii.gz", array)
    assert tree_differences.volumes(before, after) == ""
    array[1, 2, 3] = 1
    write_volume(after / "case" / "map.nii.gz", array)
    assert tree_differences.volumes(before, after) == "case/map.nii.gz: 1 of 60 voxels"
    write_volume(after / "case" / "map.nii.gz", array, spacing=2.0)
    assert "Spacing" in tree_differences.volumes(before, after)
    write_volume(after / "case" / "other.nii.gz", array)
    assert "case/other.nii.gz" in tree_differences.volumes(before, after)


def test_weights_differ_by_a_single_bit_and_not_where_both_are_nan() -> None:
    one = {"layer": torch.tensor([1.0, float("nan"), 0.0])}
    assert tree_differences.weights(one, {"layer": one["layer"].clone()}) == ""
    assert tree_differences.weights(one, {"layer": torch.tensor([1.0, float("nan"), -0.0])}) == "layer"
    assert "renamed" in tree_differences.weights(one, {"renamed": one["layer"]})


def test_records_differ_where_a_number_does_and_not_where_one_is_new() -> None:
    line = {"stage": "train", "loss": {"dice": 0.5, "region": float("nan")}, "seconds": 1.0}
    log = [line, line | {"seconds": 2.0}]
    assert tree_differences.records([line, line], log, {"seconds"}) == ""
    assert tree_differences.records([line], [line | {"speed": 3}]) == ""
    assert "seconds: 1.0 against 2.0" in tree_differences.records([line, line], log)
    assert tree_differences.records(log, log[:1])
    assert "no loss" in tree_differences.records(line, {"stage": "train", "seconds": 1.0})


def test_what_is_no_checkout_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare_trees.main([str(ROOT), str(tmp_path)])
    assert f"{tmp_path} is no checkout" in capsys.readouterr().err


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout of one's own: the library alone."""
    folder = Path("MissingModalityTrain", "MissingModalityLib")
    shutil.copytree(ROOT / folder, tmp_path / "copy" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, "the line to change has gone"
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.slow
def test_a_checkout_does_not_differ_from_itself(capsys: pytest.CaptureFixture[str]) -> None:
    checks = ("interface", "phantom", "synthesis", "segmentation", "baseline")
    assert compare_trees.main([str(ROOT), str(ROOT), "--small", "--only", *checks]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Nothing differs."
    assert {line.split()[0] for line in lines[1:-1]} == set(checks)


@pytest.mark.slow
def test_a_command_a_name_and_a_number_that_changed_are_found(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = copy / "MissingModalityTrain" / "MissingModalityLib"
    edit(library / "cli" / "devices.py", '"devices"', '"machines"')
    edit(library / "__init__.py", '"find_cases": "datasets.discovery",', "")
    edit(library / "synthesis" / "options.py", "clip_to_brain: bool", "within_brain: bool")
    edit(library / "phantom" / "tumor.py", "random.uniform(12, 23)", "random.uniform(12, 24)")
    only = ("--small", "--only", "interface", "phantom")
    assert compare_trees.main([str(ROOT), str(copy), *only, "--work", str(tmp_path / "work")]) == 1
    out = capsys.readouterr().out
    differing = [line for line in out.splitlines()[1:] if not line.endswith("same")]
    text = json.dumps(differing)
    assert "command devices" in text and "mm.find_cases" in text
    assert "clip_to_brain" in text and "coarse phantoms" in text and "voxels" in text
    assert out.endswith("There are differences.\n")
