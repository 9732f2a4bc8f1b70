"""Where slices lie: how far apart along each axis, and in which plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MissingModalityLib.dicom.headers import Frame
from MissingModalityLib.dicom.slices import placement, plane_of


def test_pixels_that_are_not_square_are_wide_along_a_row() -> None:
    # Pixel Spacing is the distance of rows, then of columns (DICOM PS3.3 10.7.1.3)
    header = {"ImageOrientationPatient": r"1\0\0\0\1\0", "PixelSpacing": r"0.5\0.9"}
    frames = [
        Frame(Path("x"), None, {**header, "ImagePositionPatient": rf"0\0\{3 * index}"}) for index in range(9)
    ]
    assert placement(frames).spacing == (0.9, 0.5, 3.0)


@pytest.mark.parametrize(
    ("normal", "plane"),
    [
        ((0, 0.34, 0.94), "axial"),
        ((0, -1, 0), "coronal"),
        ((-0.9, 0.3, 0.3), "sagittal"),
        ((1, 1, 1), "oblique"),
        ((0, 0.999, 1.001), "axial"),
        ((0.2, 0.999, 1.001), "oblique"),
    ],
)
def test_the_plane_is_that_of_the_nearest_axis_within_45_degrees(
    normal: tuple[float, ...], plane: str
) -> None:
    assert plane_of(np.array(normal) / np.linalg.norm(normal)) == plane
