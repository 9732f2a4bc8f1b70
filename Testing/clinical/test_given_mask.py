"""A mask that the user gives takes the place of stripping, or is refused by one sentence that helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from heads import GRID, SCALP_MM, ball, brain, brain_mask, head
from MissingModalityLib.clinical.given_mask import read_brain_mask
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging import plausibility
from MissingModalityLib.imaging.grid import Grid

FINE = Grid((92, 110, 84), (1.9, 1.9, 1.9), (-86.5, -103.6, -78.9), GRID.direction)


@pytest.fixture(autouse=True)
def true_limits(monkeypatch: pytest.MonkeyPatch, true_head_sizes: dict[str, float]) -> None:
    """Heads of these tests have a person's size."""
    for name, size in true_head_sizes.items():
        monkeypatch.setattr(plausibility, name, size)


def write(mask: sitk.Image, folder: Path) -> Path:
    sitk.WriteImage(mask, str(folder / "mask.nii.gz"))
    return folder / "mask.nii.gz"


@pytest.mark.parametrize("image", [head(), head(air=0), brain()], ids=["raw", "air set to 0", "stripped"])
@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_comes_onto_the_grid_of_the_reference_volume(
    image: sitk.Image, value: int, tmp_path: Path
) -> None:
    mask = read_brain_mask(write(brain_mask(FINE) * value, tmp_path), image)
    assert Grid.from_image(mask) == GRID
    assert mask.GetPixelID() == sitk.sitkUInt8
    found, expected = sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(brain_mask())
    assert found.max() == 1
    assert np.count_nonzero(found != expected) < 0.02 * expected.sum()


def test_a_mask_stored_with_decimals_is_read(tmp_path: Path) -> None:
    mask = read_brain_mask(write(sitk.Cast(brain_mask(), sitk.sitkFloat64), tmp_path), head())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(brain_mask()))


def labels() -> sitk.Image:
    mask = brain_mask()
    mask[21, 25, 20] = 4
    return mask


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (labels(), r"is no mask: it holds the values 0, 1, 4, and a mask has two"),
        (head(), r"is no mask: it holds the values .* more, and a mask has two"),
        (brain_mask() + 1, r"is no mask: it holds the values 1, 2, and a mask has two, 0 outside"),
        (brain_mask() * 0, r"is no mask: it holds the values 0, and a mask has two"),
        (
            1 - brain_mask(),
            r"is no mask of a brain: it has \d+ cm³, and brains have 200 to 2000 cm³\. Choose",
        ),
        (brain_mask(grow_mm=-50), r"is no mask of a brain: it has 14 cm³"),
        (
            GRID.to_image(ball(SCALP_MM).astype(np.uint8)),
            r"is no mask of a brain: it has 23\d\d cm³.* not of the head",
        ),
        (brain_mask(center=(0, 60, 0)), r"lies elsewhere than the head: 80% of the mask is tissue"),
    ],
    ids=["labels", "an image", "no outside", "empty", "turned inside out", "tumor", "head", "elsewhere"],
)
def test_what_is_no_mask_of_this_brain_is_refused(mask: sitk.Image, message: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=rf"mask\.nii\.gz {message}"):
        read_brain_mask(write(mask, tmp_path), head())


def test_a_mask_that_takes_dark_fluid_and_bone_along_lies_in_the_head(tmp_path: Path) -> None:
    wide = brain_mask(grow_mm=7)
    mask = read_brain_mask(write(wide, tmp_path), head())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(wide))


def test_a_mask_of_another_place_altogether_is_refused(tmp_path: Path) -> None:
    mask = brain_mask()
    mask.SetOrigin([value + 500 for value in mask.GetOrigin()])
    with pytest.raises(ImageError, match="lies elsewhere than the head: 0% of the mask is tissue"):
        read_brain_mask(write(mask, tmp_path), head())


def test_part_of_a_brain_is_enough_where_the_volume_ends_inside_it(tmp_path: Path) -> None:
    slab = Grid((*GRID.size[:2], 10), (4.0, 4.0, 1.0), (*GRID.origin[:2], -4.5), GRID.direction)
    mask = read_brain_mask(write(brain_mask(slab), tmp_path), head(slab))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(brain_mask(slab)))
