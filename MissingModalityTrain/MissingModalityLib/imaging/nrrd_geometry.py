"""Geometry in NRRD headers: space, space directions, space origin, spacings and units.

Source of the fields: the definition of the NRRD file format, teem.sourceforge.net.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..core.errors import ImageError
from .nrrd_file import nrrd_fields
from .stated_geometry import (
    StatedGeometry,
    check_agreement,
    check_spacing,
    listed,
    millimeters,
    numbers,
    unoriented,
)

_TO_LPS = {
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
    "left-posterior-superior": (1.0, 1.0, 1.0),
    "lps": (1.0, 1.0, 1.0),
}
"""Spaces that say where the patient's left is; signs of their axes in LPS."""

_DOMAIN_KINDS = ("domain", "space", "time", "none", "???")
"""Kinds of axes along which a volume is sampled; those that are not told are taken for such."""

_VECTOR = re.compile(r"none|\([^)]*\)", re.IGNORECASE)
_QUOTED = re.compile('"([^"]*)"')


def nrrd_facts(path: Path) -> StatedGeometry:
    """The geometry that a NRRD file states.

    An axis of one entry without direction, as lists and exports of sequences have it, is left out.

    Raises:
        ImageError: an axis has neither direction nor spacing, both are there and differ, a unit is not
            known or not given for every axis, or an axis without direction is not called a list.
    """
    fields = nrrd_fields(path)
    sizes = numbers(path, "sizes", fields.get("sizes", "").split()).astype(int)
    if "space directions" in fields:
        return _with_directions(path, fields, sizes)
    return _with_spacings(path, fields, sizes)


def _with_directions(path: Path, fields: Mapping[str, str], sizes: np.ndarray) -> StatedGeometry:
    words = _VECTOR.findall(fields["space directions"])
    if len(words) != len(sizes):
        raise ImageError(
            f"{path}: its header states {len(words)} space directions for {len(sizes)} axes. Export the "
            "volume again."
        )
    vectors = [_vector(path, "space directions", word) for word in words]
    kept = _volume_axes(path, [vector is not None and vector[:3].any() for vector in vectors], sizes)
    _check_kinds(path, fields, [axis for axis, vector in enumerate(vectors) if vector is None])
    matrix = np.column_stack([vectors[axis][:3] for axis in kept])
    origin = _vector(path, "space origin", fields["space origin"]) if "space origin" in fields else None
    place = None if origin is None else origin[:3]
    if "space units" in fields:
        words = _quoted(path, fields, "space units", len(vectors[kept[0]]))
        units = np.array([millimeters(path, unit) for unit in words[:3]])
        matrix, place = matrix * units[:, None], None if place is None else place * units
    lengths = np.linalg.norm(matrix, axis=0)
    check_spacing(path, "space directions", lengths)
    size = tuple(sizes[kept].tolist())
    _check_spacings(path, fields, kept, size, lengths)
    signs = _TO_LPS.get(_space(fields))
    if signs is None:
        how = f"its space is '{fields['space']}'" if "space" in fields else "it names no space"
        return StatedGeometry(matrix, place, size, False, (unoriented(how),))
    lps = np.array(signs)
    return StatedGeometry(matrix * lps[:, None], None if place is None else place * lps, size)


def _with_spacings(path: Path, fields: Mapping[str, str], sizes: np.ndarray) -> StatedGeometry:
    if "spacings" not in fields:
        raise ImageError(_no_spacing(path, "space directions or spacings"))
    spacings = numbers(path, "spacings", fields["spacings"].split(), len(sizes))
    known = [not np.isnan(value) for value in spacings]
    if sum(known) > 3:  # a further axis of one entry may have a spacing too
        known = [here and count > 1 for here, count in zip(known, sizes, strict=True)]
    kept = _volume_axes(path, known, sizes)
    spacing = spacings[kept] * _axis_units(path, fields, kept)
    check_spacing(path, "spacings", spacing)
    how = "it has spacings but no space directions"
    return StatedGeometry(np.diag(spacing), None, tuple(sizes[kept].tolist()), False, (unoriented(how),))


def _space(fields: Mapping[str, str]) -> str:
    """The name of the space, without its time."""
    name = fields.get("space", "").lower()
    return name.removesuffix("-time") if "-" in name else name[:3]


def _vector(path: Path, field: str, word: str) -> np.ndarray | None:
    """``(1,0,0)`` -> the numbers; None for ``none``."""
    if word.lower() == "none":
        return None
    vector = numbers(path, field, word.strip("() ").replace(",", " ").split())
    if len(vector) < 3:
        raise ImageError(
            f"{path}: the field '{field}' of its header has vectors of {len(vector)} numbers, not 3. Export "
            "the volume again."
        )
    return vector


def _volume_axes(path: Path, stated: list[bool], sizes: np.ndarray) -> list[int]:
    """The three axes that are a volume's: those with a stated geometry; others must have one entry."""
    kept = [axis for axis, known in enumerate(stated) if known]
    lost = [axis for axis, known in enumerate(stated) if not known and sizes[axis] > 1]
    if lost:
        raise ImageError(_no_spacing(path, f"a direction or spacing for axis {lost[0] + 1}"))
    if len(kept) != 3:
        raise ImageError(_no_spacing(path, f"three axes with a direction or spacing, but {len(kept)}"))
    return kept


def _no_spacing(path: Path, what: str) -> str:
    return (
        f"{path}: its header does not state {what}, so the distance between voxels is not known. Export the "
        "volume again, or write the spacing into the header."
    )


def _axis_units(path: Path, fields: Mapping[str, str], kept: list[int]) -> np.ndarray:
    """Millimeters of the unit of each axis."""
    if "units" not in fields:
        return np.ones(len(kept))
    units = _quoted(path, fields, "units", len(fields["sizes"].split()))
    return np.array([millimeters(path, units[axis]) for axis in kept])


def _quoted(path: Path, fields: Mapping[str, str], field: str, count: int) -> list[str]:
    """The words of a field in quotation marks, one for each axis."""
    words = _QUOTED.findall(fields[field])
    if len(words) != count:
        raise ImageError(
            f"{path}: the field '{field}' of its header is '{fields[field][:60]}', not {count} units in "
            "quotation marks, one for each axis. Export the volume again in millimeters."
        )
    return words


def _check_kinds(path: Path, fields: Mapping[str, str], lists: list[int]) -> None:
    """Refuse axes of one entry without direction that readers would take for one of the patient's."""
    kinds = fields.get("kinds", "").lower().split()
    for axis in lists:
        if axis >= len(kinds) or kinds[axis] in _DOMAIN_KINDS:
            raise ImageError(
                f"{path}: axis {axis + 1} in its header has no direction, and 'kinds' does not call it a "
                "list, without which readers do not leave it out. Save the one volume as a 3-D file."
            )


def _check_spacings(
    path: Path, fields: Mapping[str, str], kept: list[int], size: tuple[int, ...], lengths: np.ndarray
) -> None:
    """Hold spacings and units, which the format does not want beside directions, against these."""
    units = _axis_units(path, fields, kept)
    if "spacings" in fields:
        words = fields["spacings"].split()
        spacings = numbers(path, "spacings", words, len(words))
        spacing = np.array([spacings[axis] if axis < len(spacings) else np.nan for axis in kept]) * units
        spacing = np.where(np.isnan(spacing), lengths, spacing)
        check_agreement(path, size, ("space directions", lengths), ("spacings", spacing))
    elif "space units" not in fields and (units != 1).any():
        raise ImageError(
            f"{path}: its header contradicts itself: axes measure {listed(lengths)} without 'space units', "
            f"but 'units' says {fields['units']}. Export the volume again in millimeters."
        )
