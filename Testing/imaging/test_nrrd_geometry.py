"""Where NRRD headers place a volume: spaces, units, lists, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from header_places import AXES, ORIGIN, SPACE, geometry_of, refusal
from MissingModalityLib.imaging.volumes import read_image
from volume_headers import SHAPE, SPACING, head, write_nrrd

FIRST = "space directions: none (6,0,0) (0,6,0) (0,0,6)"


LAST = "space directions: (6,0,0) (0,6,0) (0,0,6) none"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((SPACE, "space directions: (6,0,0) (0,6,0) none", ORIGIN), "axis 3"),
        ((SPACE, "space directions: none (0,6,0) (0,0,6)", ORIGIN), "axis 1"),
        ((SPACE, "space directions: (6,0,0) (0,6,0)", ORIGIN), "2 space directions for 3 axes"),
        (("kinds: domain domain domain",), "spacing"),
        (("spacings: 6 6 nan",), "axis 3"),
        (("spacings: 6 6 0",), "positive number"),
        (("spacings: 6 -6 6",), "positive number"),
        (("spacings: 6 6 inf",), "positive number"),
        (("spacings: 6 6",), "not 3 numbers"),
        ((SPACE, "space directions: (4,0,0) (1.5,4,0) (0,0,4)", ORIGIN), "sheared"),
        ((SPACE, "space directions: (6,0,0) (0,6,0) (0,0.4,6)", ORIGIN), "sheared"),
        ((SPACE, "space directions: (6,0,0) (0,nan,0) (0,0,6)", ORIGIN), "positive number"),
        ((SPACE, "space directions: (6,0,0) (0,0,0) (0,0,6)", ORIGIN), "axis 2"),
        ((SPACE, AXES, ORIGIN, 'space units: "inch" "inch" "inch"'), "no unit"),
        ((SPACE, AXES, ORIGIN, 'units: "cm" "cm" "cm"'), "contradicts itself"),
        ((SPACE, AXES, ORIGIN, "spacings: 6 6 4"), "contradicts itself"),
        ((SPACE, AXES, "space origin: (1,nan,3)"), "no place"),
        ((SPACE, AXES, ORIGIN, "space units: cm cm cm"), "3 units in quotation marks"),
        ((SPACE, AXES, ORIGIN, 'space units: "mm" "mm"'), "3 units in quotation marks"),
        (("spacings: 6 6 6", "units: cm cm cm"), "3 units in quotation marks"),
    ],
)
def test_nrrd_that_states_no_geometry_or_two_is_refused(
    tmp_path: Path, lines: tuple[str, ...], words: str
) -> None:
    assert words in refusal(write_nrrd(tmp_path / "x.nrrd", *lines))


@pytest.mark.parametrize(
    ("unit", "millimeters"),
    [("cm", 10), ("m", 1e3), ("um", 1e-3), ("µm", 1e-3), ("mm", 1), ("Millimeters", 1), ("", 1)],
)
def test_space_units_of_nrrd_are_converted(tmp_path: Path, unit: str, millimeters: float) -> None:
    length = SPACING / millimeters
    directions = f"space directions: ({length},0,0) (0,{length},0) (0,0,{length})"
    origin = f"space origin: ({1 / millimeters},{2 / millimeters},{3 / millimeters})"
    units = f'space units: "{unit}" "{unit}" "{unit}"'
    image = read_image(write_nrrd(tmp_path / "x.nrrd", SPACE, directions, origin, units))
    np.testing.assert_allclose(image.GetSpacing(), SPACING)
    np.testing.assert_allclose(image.GetOrigin(), (1, 2, 3))


def test_units_of_spacings_of_nrrd_are_converted(tmp_path: Path) -> None:
    path = write_nrrd(tmp_path / "x.nrrd", "spacings: 0.6 0.6 6", 'units: "cm" "cm" "mm"')
    np.testing.assert_allclose(read_image(path).GetSpacing(), SPACING)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("RAS", (-1, -1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("LAS", (1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
    ],
)
def test_space_of_nrrd_turns_axes_and_origin(tmp_path: Path, space: str, signs: tuple[int, ...]) -> None:
    path = write_nrrd(tmp_path / "x.nrrd", f"space: {space}", AXES, ORIGIN)
    matrix, origin = geometry_of(read_image(path))
    np.testing.assert_allclose(matrix, np.diag(signs) * SPACING)
    np.testing.assert_allclose(origin, np.array([1, 2, 3]) * signs)


@pytest.mark.parametrize(
    ("sizes", "lines"),
    [
        ("1 20 18 16", (SPACE, FIRST, "kinds: list domain domain domain")),
        ("20 18 16 1", (SPACE, LAST, "kinds: domain domain domain list")),
        ("1 20 18 16", (SPACE, FIRST, "kinds: vector domain domain domain")),
        ("20 18 16 1", ("spacings: 6 6 6 1",)),
        ("20 18 16 1", ("space: LPST", "space directions: (6,0,0,0) (0,6,0,0) (0,0,6,0) (0,0,0,1)")),
    ],
    ids=["list first", "list last", "vector", "spacings", "time"],
)
def test_list_of_one_volume_is_that_volume(tmp_path: Path, sizes: str, lines: tuple[str, ...]) -> None:
    image = read_image(write_nrrd(tmp_path / "x.nrrd", *lines, sizes=sizes))
    assert image.GetSize() == SHAPE and image.GetPixelID() == sitk.sitkInt16
    np.testing.assert_allclose(geometry_of(image)[0], np.eye(3) * SPACING)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, head())


@pytest.mark.parametrize("kinds", [(), ("kinds: domain domain domain domain",)])
def test_axis_without_direction_that_is_not_called_a_list_is_refused_with_the_reason(
    tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    path = write_nrrd(tmp_path / "x.nrrd", SPACE, LAST, ORIGIN, *kinds, sizes="20 18 16 1")
    assert "axis 4" in (said := refusal(path)) and "does not call it a list" in said and "ITK" not in said
