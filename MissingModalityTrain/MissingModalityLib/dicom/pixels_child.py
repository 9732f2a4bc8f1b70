"""The program of the child process that reads the pixels of DICOM series, see :mod:`.volume`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ..core.errors import ImageError, MissingModalityError
from ..core.file_names import require_text
from ..imaging.plausibility import LARGEST_GRID
from ..imaging.sent_image import as_answer
from ..runtime.limited_child import Answer, memory_limit, serve
from .planes import Plane, read_planes
from .stacking import stack_volume

_MOST_VOXELS = 8 * LARGEST_GRID
"""Of a series: the largest head that is segmented, in voxels of half a millimeter."""

_BYTES_PER_VOXEL = 24
"""Read as double precision, kept, stacked and resampled in single precision, and sent."""

_COPIES = 2
"""Of a file, while its header is read."""

_ROOM = 256 << 20
"""Bytes beside: headers, buffers, and what libraries reserve when they are first used."""

_COPY_AGAIN = "The file is damaged or incomplete; copy it again from its source, or choose another series."

_DECODED = (
    *(JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless),
    *(JPEGLSNearLossless, JPEG2000Lossless, JPEG2000, RLELossless),
)
"""Compressions that GDCM decodes."""


def read_here(
    name: str,
    slices: Sequence[tuple[Path, int | None]],
    limit: Callable[[int], AbstractContextManager[None]] = lambda stated: nullcontext(),
) -> tuple[sitk.Image, list[str]]:
    """Read a series in this process; others go through :func:`.volume.read_series`.

    Args:
        name: of the series, for messages.
        slices: file and place in it, None in a file of one slice; in any order.
        limit: of the bytes that its files or its voxels take; held meanwhile.

    Returns:
        As :func:`.stacking.stack_volume`.

    Raises:
        ImageError: as there; or a file cannot be read.
    """
    files = dict.fromkeys(file for file, _ in slices)
    with limit(_COPIES * max(map(_size, files))):
        stated = {file: read_planes(file) for file in files}
        voxels = sum(math.prod(plane.shape) for planes in stated.values() for plane in planes)
    if voxels > _MOST_VOXELS:
        raise ImageError(
            f"{name} has {voxels:,} voxels by its headers, more than any head. Choose another series, or "
            "crop this one to the head."
        )
    with limit(_BYTES_PER_VOXEL * voxels):
        planes, pixels = _pixels(slices, stated)
        return stack_volume(name, planes, pixels)


def _size(file: Path) -> int:
    require_text(file, ImageError, "Rename the file or the folders that it lies in.")
    try:
        return file.stat().st_size
    except OSError as error:
        raise ImageError(
            f"{file}: cannot be read ({error.strerror or error}). Check that it is there."
        ) from error


def _pixels(
    slices: Sequence[tuple[Path, int | None]], stated: Mapping[Path, Sequence[Plane]]
) -> tuple[list[Plane], list[np.ndarray]]:
    """Slices and their pixels, all of one kind of number; each file is read once."""
    planes, pixels = [], []
    for file, members in groupby(sorted(slices, key=lambda entry: str(entry[0])), lambda entry: entry[0]):
        content = _content(file, stated[file])
        for _, index in members:
            planes.append(stated[file][index or 0])
            pixels.append(_scaled(_without_padding(content[index or 0], planes[-1]), planes[-1]))
    kinds = {array.dtype for array in pixels}
    # whole numbers of 32 bits and single precision together would make double precision
    kind = np.float32 if any(kind.kind == "f" for kind in kinds) else np.result_type(*kinds)
    return planes, [array.astype(kind, copy=False) for array in pixels]


def _content(file: Path, stated: Sequence[Plane]) -> np.ndarray:
    """(n, rows, columns) of a file, as GDCM scales them."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise ImageError(f"{file}: its pixels cannot be read. {_unread(file)}") from error
    array = sitk.GetArrayFromImage(image)
    if array.shape != (len(stated), *stated[0].shape):
        raise ImageError(f"{file} holds other pixels than its header states. {_COPY_AGAIN}")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _unread(file: Path) -> str:
    """What to do about pixels that GDCM does not read."""
    syntax = dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated or syntax in _DECODED:
        return _COPY_AGAIN
    return f"No decoder here knows its compression ({syntax.name}). Export the series again uncompressed."


def _without_padding(array: np.ndarray, plane: Plane) -> np.ndarray:
    """Pixels in which nothing was measured made as dark as the darkest others, where they stand out.

    A border of -32768 would pass for all the contrast that there is.
    """
    if not plane.padding:  # zero is air already
        return array
    slope, intercept = plane.file_scale
    value = slope * plane.padding + intercept
    padded = np.abs(array - value) < abs(slope) / 2
    measured = array[~padded]
    if padded.all():
        return np.zeros_like(array)
    if measured.min() <= value <= measured.max():
        return array
    return np.where(padded, measured.min(), array)


def _scaled(array: np.ndarray, plane: Plane) -> np.ndarray:
    """Pixels scaled as their own header says; GDCM scales a whole file by the numbers of its first slice."""
    if plane.scale == plane.file_scale:
        return array
    (slope, intercept), (used, added) = plane.scale, plane.file_scale
    return ((array.astype(np.float64) - added) / used * slope + intercept).astype(np.float32)


def answer(request: Mapping[str, Any]) -> Answer:
    """The image as its geometry and its bytes, or a message; never an exception."""
    name = request["name"]
    try:
        image, told = read_here(
            name,
            [(Path(file), index) for file, index in request["slices"]],
            lambda stated: memory_limit(stated + _ROOM),
        )
    except MissingModalityError as error:
        return {"error": str(error)}, b""
    except Exception as error:  # whatever files make of the libraries
        said = " ".join(str(error).split())
        return {
            "error": f"{name} cannot be read ({type(error).__name__}: {said}). Its files are damaged; copy "
            "them again from their source, or choose another series."
        }, b""
    reply, content = as_answer(image)
    return {**reply, "told": told}, content


if __name__ == "__main__":
    serve(answer)
