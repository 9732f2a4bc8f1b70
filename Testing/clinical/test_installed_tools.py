"""Programs of the user's get a volume and give back a mask on its grid, or one sentence on why not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from heads import GRID, brain, brain_mask, head
from MissingModalityLib.clinical.installed_tools import TOOLS, Tool
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.grid import Grid

SYNTHSTRIP, HD_BET = TOOLS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs of these tests are shell scripts")


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first where programs are looked for."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def write_program(folder: Path, tool: Tool, script: str) -> None:
    path = folder / tool.command
    path.write_text(f'#!/bin/sh\necho "$@" > {folder}/arguments\n{script}\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("tool", "written", "called"),
    [
        (SYNTHSTRIP, brain_mask(), "-i input.nii.gz -m output.nii.gz"),
        (HD_BET, brain(), "-i input.nii.gz -o output.nii.gz -device cpu --disable_tta"),
    ],
    ids=["SynthStrip", "HD-BET"],
)
def test_what_the_program_writes_becomes_the_mask(
    tool: Tool, written: sitk.Image, called: str, on_path: Path
) -> None:
    written[21, 25, 20] = 0  # a voxel of no intensity within the brain
    sitk.WriteImage(written, str(on_path / "result.nii.gz"))
    write_program(on_path, tool, f'test -s "$2" && cp {on_path}/result.nii.gz "$4"')
    assert tool.installed()
    mask = tool.find_brain(head())
    assert Grid.from_image(mask) == GRID
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(brain_mask()))
    arguments = (on_path / "arguments").read_text().split()
    assert " ".join(word.rpartition("/")[2] for word in arguments) == called


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo loading >&2; echo no license file >&2; exit 1", "no license file"),
        ("exit 4", "exit code 4"),
    ],
)
def test_a_program_that_fails_is_named_with_its_last_words(script: str, reason: str, on_path: Path) -> None:
    write_program(on_path, SYNTHSTRIP, script)
    with pytest.raises(ImageError, match=rf"SynthStrip \(mri_synthstrip\) has found no brain: {reason}\."):
        SYNTHSTRIP.find_brain(head())


def test_a_program_that_writes_nothing_is_an_error_and_not_an_empty_brain(on_path: Path) -> None:
    write_program(on_path, HD_BET, "exit 0")
    with pytest.raises(ImageError, match=r"output\.nii\.gz"):
        HD_BET.find_brain(head())


def test_a_program_that_is_not_there_is_not_installed() -> None:
    assert not Tool("Absent", "no-such-program", ()).installed()
