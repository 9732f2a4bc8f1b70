"""A brain that is no adult's by its volume, or whose outline contradicts the header, is told of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from heads import GRID, ball, brain, brain_mask, head
from MissingModalityLib.clinical.brain_checks import check_brain, not_background
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging import plausibility
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.phantom.patient import grow_patient
from movements import moved


@pytest.fixture(autouse=True)
def true_limits(monkeypatch: pytest.MonkeyPatch, true_head_sizes: dict[str, float]) -> None:
    """Heads of these tests have a person's size."""
    for name, size in true_head_sizes.items():
        monkeypatch.setattr(plausibility, name, size)


@pytest.fixture(scope="module")
def flair() -> sitk.Image:
    return grow_patient(4, (42, 52, 44), (4.0,) * 3)[0][Modality.FLAIR]


def told(image: sitk.Image, mask: sitk.Image | None = None) -> tuple[str, ...]:
    return check_brain(Study({Modality.FLAIR: image}, {Modality.FLAIR: "flair.nii"}, brain=mask))


def turned(image: sitk.Image, columns: np.ndarray) -> sitk.Image:
    """The same voxels under other axes: unit columns in the order of x, y, z."""
    image = sitk.Image(image)
    image.SetDirection((np.reshape(image.GetDirection(), (3, 3)) @ columns).ravel().tolist())
    return image


def test_of_an_adults_brain_that_lies_upright_nothing_is_told(flair: sitk.Image) -> None:
    assert told(flair) == ()
    assert told(turned(flair, np.diag([-1, 1, 1]))) == (), "left and right are alike"


@pytest.mark.parametrize("nodding", [-20, 20])
@pytest.mark.parametrize("stretch", [(0.93, 1.07, 1.0), (1.07, 0.93, 1.0)], ids=["long", "broad"])
def test_skulls_may_be_long_or_broad_and_heads_tilted(
    flair: sitk.Image, stretch: tuple[float, ...], nodding: float
) -> None:
    image = sitk.Image(flair)
    image.SetSpacing(np.multiply(flair.GetSpacing(), stretch).tolist())
    assert told(moved(image, (0, 0, 0), (nodding, 0, 0))[0]) == ()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (np.diag([1, 1, -1]), "lies upside down:"),
        (np.diag([1, -1, 1]), "lies back to front:"),
        (np.diag([1, -1, -1]), "lies upside down and back to front:"),
        (np.eye(3)[[0, 2, 1]], "lies turned on its side, or with axes exchanged:"),
        (np.eye(3)[[1, 2, 0]], "lies turned on its side, or with axes exchanged:"),
    ],
)
def test_a_header_that_lays_the_brain_otherwise_is_told(
    flair: sitk.Image, columns: np.ndarray, words: str
) -> None:
    (sentence,) = told(turned(flair, columns))
    assert sentence.startswith(f"By the outline of its brain the patient in flair.nii {words}")


def test_a_head_whose_brain_was_not_looked_for_is_not_judged() -> None:
    assert told(head()) == ()
    assert "does not have the outline" in told(head(), GRID.to_image(ball((70, 70, 70)).astype(np.uint8)))[0]


def test_a_ball_is_told_to_be_no_brain() -> None:
    image = sitk.Mask(head(), GRID.to_image(ball((65, 65, 65)).astype(np.uint8)))
    (sentence,) = told(image)
    assert sentence.startswith("What is taken for the brain in flair.nii does not have the outline of one")


@pytest.mark.parametrize(
    ("grid_mm", "words"),
    [
        (4.4, "hardly more than 1850 cm³: what surrounds it may be left"),
        (3.2, "expect less of them in a child"),
    ],
)
def test_brains_larger_or_smaller_than_an_adults_are_told(
    flair: sitk.Image, grid_mm: float, words: str
) -> None:
    image = sitk.Image(flair)
    image.SetSpacing((grid_mm,) * 3)
    (sentence,) = told(image)
    assert words in sentence


def test_part_of_a_brain_may_be_small_and_of_any_outline() -> None:
    slab = Grid((*GRID.size[:2], 10), (4.0, 4.0, 5.0), (*GRID.origin[:2], -22.5), GRID.direction)
    (sentence,) = told(brain(slab))
    assert sentence.startswith("flair.nii shows part of a brain, which ends flat on a side")
    assert told(head(slab), brain_mask(slab)) == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_of_ones_own_that_is_cut_off_inside_the_brain_is_told_once(
    flair: sitk.Image, axis: int
) -> None:
    study = Study({Modality.FLAIR: flair}, {Modality.FLAIR: "flair.nii"})
    whole = not_background(flair)
    inside = sitk.GetArrayFromImage(whole)
    counts = inside.sum(axis=tuple({0, 1, 2} - {axis}))
    for share in (0.1, 0.4):
        part = inside.copy()
        part[(slice(None),) * axis + (slice(int((counts.cumsum() < share * counts.sum()).sum())),)] = 0
        mask = Grid.from_image(whole).to_image(part)
        told = check_brain(replace(study, brain=mask), Path("mask.nii"))
        assert [sentence[:34] for sentence in told] == ["mask.nii ends flat on a side, as n"]
        assert not any("ends flat" in sentence for sentence in check_brain(replace(study, brain=mask)))
    assert check_brain(replace(study, brain=whole), Path("mask.nii")) == ()
    # what the volume cuts off is told with how the mask was read
    half = sitk.RegionOfInterest(flair, [22, 52, 42], [22, 0, 0])
    cut = Study({Modality.FLAIR: half}, {Modality.FLAIR: "flair.nii"}, brain=not_background(half))
    assert check_brain(cut, Path("mask.nii")) == ()


@pytest.mark.parametrize("air", [0, 3], ids=["cut at its end", "filled up with air"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_part_of_a_stripped_brain_is_told_once(flair: sitk.Image, axis: int, air: int) -> None:
    begin, size = [0, 0, 0], list(flair.GetSize())
    begin[axis], size[axis] = size[axis] // 2, size[axis] - size[axis] // 2
    part = sitk.RegionOfInterest(flair, size, begin)
    wide = sitk.ConstantPad(part, [air] * 3, [air] * 3, 0.0)
    sentences = told(wide)
    assert [sentence for sentence in sentences if "ends flat on a side" in sentence] == [sentences[0]]
    names = {Modality.FLAIR: "flair.nii", Modality.T2: "t2.nii"}
    # of a whole one beside it, what lies beyond is told as the two are compared
    both = check_brain(Study({Modality.FLAIR: wide, Modality.T2: flair}, names))
    assert not any("ends flat" in sentence for sentence in both)
    same = check_brain(Study({Modality.FLAIR: wide, Modality.T2: wide}, names))
    assert any("ends flat" in sentence for sentence in same)
