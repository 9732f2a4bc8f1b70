"""Arrays in memory, of NumPy, nibabel, MONAI and PyTorch, as volumes with a place in the patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from .file_bytes import count_values
from .grid import straight_axes
from .stated_geometry import AGREE_MM, millimeters

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""nibabel's and MONAI's world has x to the right and y to the front, ITK's and DICOM's the opposite."""

_ARRAY_AXES = 3

_ROUNDING = 1e-6

_WHICH = "Give affine=, the (4, 4) matrix of nibabel and MONAI, or spacing=, three numbers in mm."


def as_volume(value: Any, name: str, affine: Any = None, spacing: Any = None) -> sitk.Image:
    """A volume from whatever holds one.

    Args:
        value: an image of SimpleITK; an image of nibabel or a tensor of MONAI, which know their affine; or an
            array or tensor, axes x, y, z as those two have them (SimpleITK's arrays are z, y, x: transpose
            them). Axes of length 1 before or after these three are left out.
        name: for messages.
        affine: (4, 4), from voxel indices to RAS in mm, of arrays that do not know theirs.
        spacing: (x, y, z) in mm in place of the affine: the axes run to the right, the front and the top.

    Returns:
        The volume, its direction in LPS; voxel values are not looked at.

    Raises:
        ImageError: nothing with three axes, without a place, or with one that no volume has.
    """
    if isinstance(value, sitk.Image):
        # as of files, a fourth dimension of one entry is left out
        return value[..., 0] if value.GetDimension() > _ARRAY_AXES and value.GetSize()[-1] == 1 else value
    if value is None:
        raise ImageError(f"{name} is None. Give a volume, or leave this sequence out.")
    known = getattr(value, "affine", None)
    if known is None and affine is None and spacing is None:
        raise ImageError(f"{name} is an array that does not tell where its voxels lie. {_WHICH}")
    if known is None and affine is not None and spacing is not None:
        raise ImageError(f"{name} has both affine= and spacing=, which may differ. {_WHICH}")
    image = sitk.GetImageFromArray(_voxels(value, name).transpose())
    matrix = _matrix(affine if known is None else known, spacing, name)
    matrix[:3] *= _unit(value, name)
    sides = np.linalg.norm(matrix[:3, :3], axis=0)
    if not (np.isfinite(matrix).all() and (sides > 0).all()):
        raise ImageError(f"{name} has an affine or spacing without extent. {_WHICH}")
    axes = straight_axes(matrix[:3, :3] / sides)
    if axes is None:
        raise ImageError(f"{name} has an affine that shears. Resample it onto a regular grid first.")
    image.SetSpacing(sides.tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    image.SetDirection(axes.ravel().tolist())
    return image


def tells_its_place(value: Any) -> bool:
    """Whether a value knows where its voxels lie: an image of a library, or a tensor with an affine."""
    return isinstance(value, sitk.Image) or getattr(value, "affine", None) is not None


def _voxels(value: Any, name: str) -> np.ndarray:
    """(x, y, z), numbers of a kind that ITK knows."""
    # nibabel would give float64 by get_fdata, MONAI's and PyTorch's tensors may lie on a GPU
    value = getattr(value, "dataobj", value)
    value = value.detach().cpu() if hasattr(value, "detach") else value
    value = value.float() if "bfloat16" in str(getattr(value, "dtype", "")) else value  # NumPy has none
    if np.ma.is_masked(value):  # what lies under a mask would be read as if it were none
        raise ImageError(
            f"{name} is an array with masked voxels. Give it filled, air usually as 0: array.filled(0)."
        )
    array = np.asarray(value)
    if array.dtype.kind == "f" and array.dtype.itemsize > np.dtype(np.float64).itemsize:
        array = array.astype(np.float64)
    if array.dtype.kind not in "iuf":
        raise ImageError(
            f"{name} is a {type(value).__name__} of {array.dtype}, and no volume. Give a file, an image of "
            "SimpleITK or nibabel, or an array of numbers."
        )
    shape = array.shape
    while array.ndim > 3 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    count_values(name, shape)
    if array.ndim != 3:
        raise ImageError(f"{name} has the shape {shape}. Give one volume: three axes, x, y, z.")
    kind = np.float32 if array.dtype.itemsize == 2 and array.dtype.kind == "f" else array.dtype
    return array.astype(np.dtype(kind).newbyteorder("="), copy=False)


def _matrix(affine: Any, spacing: Any, name: str) -> np.ndarray:
    """(4, 4), from voxel indices to LPS in mm."""
    try:
        if affine is None:
            sides = np.asarray(spacing, float).reshape(3)
            affine = np.diag([*np.where(sides > 0, sides, np.nan), 1.0])
        elif hasattr(affine, "detach"):
            affine = affine.detach().cpu()
        matrix = np.asarray(affine, float).reshape(4, 4)
    except (TypeError, ValueError):
        raise ImageError(f"{name} has no usable affine or spacing. {_WHICH}") from None
    if np.abs(matrix[3] - (0, 0, 0, 1)).max() > _ROUNDING:
        raise ImageError(
            f"{name} has an affine whose last row is {', '.join(f'{entry:g}' for entry in matrix[3])}, not "
            "0, 0, 0, 1: is it transposed? Give the matrix of nibabel and MONAI, with its shift in the last "
            "column."
        )
    return _RAS_TO_LPS @ matrix


def _unit(value: Any, name: str) -> float:
    """Millimeters of the unit of length of an image of nibabel, whose header has to agree with itself.

    Raises:
        ImageError: its matrices or spacings differ, or none is coded.
    """
    header = getattr(value, "header", None)
    if not hasattr(header, "get_sform") or value.affine is None:
        return 1.0
    coded = [matrix for matrix, code in (header.get_qform(True), header.get_sform(True)) if code]
    if not coded:
        raise ImageError(
            f"{name} does not tell which way the patient lies: the codes of its qform and sform are both 0. "
            "Set one (image.set_sform(affine, 1)), or give the file, which is read with a warning."
        )
    word = header.get_xyzt_units()[0]
    unit = 1.0 if word == "unknown" else millimeters(name, word)
    last = np.array(value.shape[:3]) - 1
    ends = np.array(list(np.ndindex(2, 2, 2))) * last
    first, second = ((ends @ matrix[:3, :3].T + matrix[:3, 3]) * unit for matrix in (coded[0], coded[-1]))
    longer = (np.linalg.norm(coded[-1][:3, :3], axis=0) - header.get_zooms()[:3]) * last * unit
    if max(np.abs(first - second).max(), np.abs(longer).max()) > AGREE_MM:
        raise ImageError(
            f"{name} contradicts itself: its qform, sform and pixdim do not put its voxels at the same "
            "places. Find out which is true, and set the others alike, or the code of a matrix to 0."
        )
    return unit
