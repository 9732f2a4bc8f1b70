"""Where the field of view reaches the shoulders, the brain is looked for in the head alone."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from heads import BRAIN_MM, GRID, ball, brain_mask, head
from MissingModalityLib.clinical import stripping
from MissingModalityLib.clinical.head_crop import crop_to_head
from MissingModalityLib.clinical.mask_checks import dice
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.reading import Study

WIDE = Grid((100, 60, 100), (4.0, 4.0, 4.0), (-198.0, -118.0, -318.0), GRID.direction)
"""The head of the helpers with its middle at the origin, in a field of view of 40 cm down to the chest."""


def with_shoulders() -> sitk.Image:
    values = sitk.GetArrayFromImage(head(WIDE))
    neck = ball((55, 55, 90), WIDE, (0, 10, -110))
    chest = ball((190, 105, 120), WIDE, (0, 10, -290))
    empty = values < 100
    values[(neck | chest) & empty] = 700
    return WIDE.to_image(values)


def test_the_head_is_cut_out_of_a_wide_field_of_view_with_its_voxels_as_they_are() -> None:
    image = sitk.DICOMOrient(with_shoulders(), "PSR")
    part = crop_to_head(image)
    assert part.GetNumberOfPixels() < 0.3 * image.GetNumberOfPixels()
    grid = Grid.from_image(part)
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * BRAIN_MM
    assert grid.covers(corners).all()
    back = sitk.Resample(image, part, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(part))


def test_a_head_alone_is_left_as_it_is() -> None:
    assert crop_to_head(head()) is None
    assert crop_to_head(sitk.Image(32, 32, 32, sitk.sitkFloat32)) is None


def test_a_brain_that_is_not_found_beside_shoulders_is_found_in_the_head(monkeypatch) -> None:
    def find(image: sitk.Image, networks: None) -> sitk.Image:
        """Sees the brain where the volume is hardly larger than a head, else the whole of it."""
        grid = Grid.from_image(image)
        small = np.prod(np.multiply(grid.size, grid.spacing)) < 1.5e7
        return brain_mask(grid) if small else grid.to_image(np.ones(grid.size[::-1], np.uint8))

    monkeypatch.setattr(stripping, "find_brain", find)
    monkeypatch.setattr(stripping, "load_networks", lambda: None)
    monkeypatch.setattr(stripping, "TOOLS", ())
    image = with_shoulders()
    found = stripping.strip(Study({Modality.T1: image}, {}))
    assert Grid.from_image(found.mask) == Grid.from_image(image)
    assert dice(found.mask, brain_mask(WIDE)) > 0.99
