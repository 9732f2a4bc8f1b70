"""Geometry in NIfTI-1 headers: pixdim with its unit, quaternion (qform) and matrix (sform).

Source of the fields and formulas: nifti1.h of the NIfTI Data Format Working Group, 2004.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import ImageError
from .grid import RAS_TO_LPS
from .nifti_file import raw_header
from .stated_geometry import (
    AGREE_MM,
    StatedGeometry,
    check_agreement,
    check_spacing,
    listed,
    unoriented,
)

_UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
"""Of xyzt_units: unknown (taken for millimeters), meters, millimeters, micrometers."""

_SPACE_UNIT_BITS = 7

_LONGEST_QUATERNION = 1.001
"""Of its three imaginary parts; above 1 there is no fourth. Rounding adds less."""


@dataclass(frozen=True)
class NiftiFields:
    """Fields of a header as they stand there; lengths in the header's unit, positions in RAS."""

    size: tuple[int, ...]
    unit: int
    handedness: float
    spacing: np.ndarray
    qform_code: int
    sform_code: int
    quaternion: np.ndarray
    offset: np.ndarray
    sform: np.ndarray


def nifti_facts(path: Path) -> StatedGeometry:
    """The geometry that a NIfTI file states.

    Where both are coded, qform and sform have to put every voxel at the same place, and both have to have
    the spacing of pixdim: programs differ in which of the three they follow.

    Raises:
        ImageError: they do not; a spacing that is not positive; or numbers that are none.
    """
    fields = _fields(path)
    warnings = []
    unit = _UNITS_MM.get(fields.unit)
    if unit is None:
        warnings.append(f"the unit {fields.unit} of its header is not known and taken for millimeters.")
        unit = 1.0
    spacing = fields.spacing * unit
    check_spacing(path, "pixdim", spacing)
    qform = _qform(path, fields, spacing, unit) if fields.qform_code > 0 else None
    sform = _sform(path, fields, spacing, unit) if fields.sform_code > 0 else None
    if qform is not None and sform is not None:
        _check_places(path, fields, qform, sform)
    affine = qform if sform is None else sform
    if affine is None:
        warnings.append(unoriented("the codes of its qform and sform are both 0"))
        return StatedGeometry(np.diag(spacing), None, fields.size, False, tuple(warnings))
    lps = RAS_TO_LPS @ affine
    return StatedGeometry(lps[:, :3], lps[:, 3], fields.size, True, tuple(warnings))


def _fields(path: Path) -> NiftiFields:
    order, raw = raw_header(path)

    def read(form: str, at: int) -> np.ndarray:
        return np.array(struct.unpack_from(order + form, raw, at), float)

    pixdim = read("4f", 76)
    qform_code, sform_code = struct.unpack_from(f"{order}2h", raw, 252)
    return NiftiFields(
        size=struct.unpack_from(f"{order}3h", raw, 42),
        unit=raw[123] & _SPACE_UNIT_BITS,
        handedness=pixdim[0],
        spacing=pixdim[1:],
        qform_code=qform_code,
        sform_code=sform_code,
        quaternion=read("3f", 256),
        offset=read("3f", 268),
        sform=read("12f", 280).reshape(3, 4),
    )


def _qform(path: Path, fields: NiftiFields, spacing: np.ndarray, unit: float) -> np.ndarray:
    """(3, 4) from voxels to RAS, mm: the rotation of the quaternion, its third axis flipped by pixdim[0]."""
    b, c, d = fields.quaternion
    squares = b * b + c * c + d * d
    if not squares <= _LONGEST_QUATERNION or fields.handedness not in (-1, 0, 1):
        raise ImageError(
            f"{path}: the qform in its header is no rotation (quatern {listed(fields.quaternion)}, pixdim[0] "
            f"{fields.handedness:g}). Export the volume again."
        )
    a = np.sqrt(max(0.0, 1 - squares))
    b, c, d = fields.quaternion / max(1.0, np.sqrt(squares))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    if fields.handedness < 0:
        rotation[:, 2] *= -1
    return np.column_stack([rotation * spacing, fields.offset * unit])


def _sform(path: Path, fields: NiftiFields, spacing: np.ndarray, unit: float) -> np.ndarray:
    """(3, 4) from voxels to RAS, mm."""
    affine = fields.sform * unit
    lengths = np.linalg.norm(affine[:, :3], axis=0)
    check_spacing(path, "sform", lengths)
    check_agreement(path, fields.size, ("pixdim", spacing), ("sform", lengths))
    return affine


def _check_places(path: Path, fields: NiftiFields, qform: np.ndarray, sform: np.ndarray) -> None:
    """Hold the places of the eight corners against each other."""
    last = np.array(fields.size) - 1
    ends = np.array(list(np.ndindex(2, 2, 2))) * last
    places = [ends @ affine[:, :3].T + affine[:, 3] for affine in (qform, sform)]
    apart = np.linalg.norm(places[0] - places[1], axis=1)
    if not apart.max() <= AGREE_MM:
        worst = apart.argmax()
        raise ImageError(
            f"{path}: its header contradicts itself: voxel {', '.join(map(str, ends[worst]))} lies at "
            f"{listed(places[0][worst])} mm by the qform (code {fields.qform_code}), but at "
            f"{listed(places[1][worst])} mm by the sform (code {fields.sform_code}; RAS), "
            f"{apart[worst]:.1f} mm apart. Programs differ in which they follow. Find out which is true, and "
            "save the volume with both alike or with the code of the other one 0."
        )
