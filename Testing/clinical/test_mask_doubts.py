"""A mask of the user's that lies beside the brain, or over half of it, is told of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import SimpleITK as sitk

from heads import GRID, brain, brain_mask, head
from MissingModalityLib.clinical import mask_doubts
from MissingModalityLib.clinical.mask_doubts import doubt_mask
from MissingModalityLib.imaging import plausibility
from MissingModalityLib.imaging.grid import Grid

PATH = Path("mask.nii.gz")


@pytest.fixture(autouse=True)
def true_limits(monkeypatch: pytest.MonkeyPatch, true_head_sizes: dict[str, float]) -> None:
    """Heads of these tests have a person's size."""
    for name, size in true_head_sizes.items():
        monkeypatch.setattr(plausibility, name, size)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What deepbet's first network sees in the tests below: the brain, 2 mm larger, in cubes of 6 mm."""
    guess = brain_mask(Grid((28, 34, 27), (6.0,) * 3, (-81.0, -99.0, -78.0), GRID.direction), grow_mm=2)
    monkeypatch.setattr(mask_doubts, "networks_installed", lambda: True)
    monkeypatch.setattr(mask_doubts, "load_networks", lambda: None)
    monkeypatch.setattr(mask_doubts, "rough_brain", lambda image, networks: guess)


def half() -> sitk.Image:
    inside = sitk.GetArrayFromImage(brain_mask())
    inside[:, :, : inside.shape[2] // 2] = 0
    return GRID.to_image(inside)


@pytest.mark.parametrize("image", [head(), brain()], ids=["raw", "stripped"])
def test_of_a_mask_that_covers_the_brain_nothing_is_told(networks: None, image: sitk.Image) -> None:
    for grow_mm in (-3, 0, 3):
        assert doubt_mask(brain_mask(grow_mm=grow_mm), PATH, image, "FLAIR.nii") == []


@pytest.mark.parametrize("image", [head(), brain()], ids=["raw", "stripped"])
@pytest.mark.parametrize(
    ("mask", "apart"),
    [
        (brain_mask(center=(10, 0, 0)), "(9|10) mm"),
        (half(), "2[3-5] mm"),
        (brain_mask(grow_mm=-28), "[01] mm"),
    ],
    ids=["10 mm aside", "half", "a tumor's size"],
)
def test_a_mask_beside_the_brain_or_over_part_of_it_is_told(
    networks: None, image: sitk.Image, mask: sitk.Image, apart: str
) -> None:
    (sentence,) = doubt_mask(mask, PATH, image, "FLAIR.nii")
    assert re.match(
        rf"mask\.nii\.gz does not lie over the brain that FLAIR\.nii seems to show: their centers are {apart}"
        r" apart, and they overlap by a Dice of 0\.",
        sentence,
    )


def test_of_a_raw_volume_without_networks_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_doubts, "networks_installed", lambda: False)
    assert doubt_mask(half(), PATH, head(), "FLAIR.nii") == []
