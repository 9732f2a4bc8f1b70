"""Where every slice of a series lies, by its own header, and how its stored numbers become gray values.

Source of the attributes: DICOM PS3.3 C.7.6.2 (Image Plane), C.7.6.16 (Multi-frame Functional Groups), C.11.1
(Modality LUT).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from ..core.errors import ImageError
from ..core.words import counted

_MOST_PADDING = 0.01
"""Share of the pixels' bytes that may follow them: some programs fill up blocks. A column has more."""

_COPY_AGAIN = "Copy it again from its source, or choose another series."


@dataclass(frozen=True)
class Plane:
    """One slice.

    Attributes:
        file: that holds it.
        index: among the slices of the file, from 0.
        position: of the center of its first pixel, LPS, mm.
        orientation: direction cosines of its rows, then of its columns.
        spacing: mm between its columns (x), then between its rows (y).
        shape: rows and columns.
        scale: slope and intercept of its stored numbers.
        file_scale: those that GDCM uses for the whole file.
        padding: the stored number of pixels in which nothing was measured; None where none is stated.
    """

    file: Path
    index: int
    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    shape: tuple[int, int]
    scale: tuple[float, float]
    file_scale: tuple[float, float]
    padding: int | None = None

    @property
    def axes(self) -> np.ndarray:
        """(3, 3) unit columns: along a row, along a column, and the normal."""
        row, column = np.reshape(self.orientation, (2, 3))
        return np.stack([row, column, np.cross(row, column)], axis=1)


def read_planes(path: Path) -> list[Plane]:
    """The slices of a file, in its order; of its pixels only the number is looked at.

    Raises:
        ImageError: no DICOM, damaged, without pixels, colored, inverted, or it does not say where its slices
            lie.
    """
    try:
        data = dcmread(path, force=True)
        return list(_planes(data, path))
    except ImageError:
        raise
    except Exception as error:  # pydicom reads values when they are asked for, and raises whatever they cause
        said = " ".join(str(error).split())
        raise ImageError(
            f"{path}: its DICOM header cannot be read ({type(error).__name__}: {said}). {_COPY_AGAIN}"
        ) from error


def _planes(data: Dataset, path: Path) -> Iterator[Plane]:
    shape = (int(data.get("Rows") or 0), int(data.get("Columns") or 0))
    if min(shape) < 1:
        raise ImageError(f"{path} holds no DICOM image, or is cut off. {_COPY_AGAIN}")
    _require_gray(data, path)
    _require_pixels(data, path)
    shared = next(iter(data.get("SharedFunctionalGroupsSequence") or ()), Dataset())
    items = data.get("PerFrameFunctionalGroupsSequence") or (Dataset(),)
    count = int(data.get("NumberOfFrames") or 1)
    if len(items) != count:
        raise ImageError(
            f"{path} holds {counted(count, 'image')} but says of {len(items)} where they lie. {_COPY_AGAIN}"
        )
    first_scale = _scale(_groups(data, shared, items[0], "PixelValueTransformationSequence"))
    padding = _padding(data)
    for index, item in enumerate(items):
        plane = _groups(data, shared, item, "PlanePositionSequence")
        orientation = _groups(data, shared, item, "PlaneOrientationSequence")
        down, across = _numbers(_groups(data, shared, item, "PixelMeasuresSequence"), "PixelSpacing", 2, path)
        yield Plane(
            path,
            index,
            _numbers(plane, "ImagePositionPatient", 3, path),
            _numbers(orientation, "ImageOrientationPatient", 6, path),
            (across, down),
            shape,
            _scale(_groups(data, shared, item, "PixelValueTransformationSequence")),
            first_scale,
            padding,
        )


def _require_gray(data: Dataset, path: Path) -> None:
    kind = str(data.get("PhotometricInterpretation") or "MONOCHROME2").strip()
    if kind == "MONOCHROME1":
        raise ImageError(
            f"{path} is stored with dark and bright exchanged (MONOCHROME1). Choose another series, "
            "or export this one anew."
        )
    if kind != "MONOCHROME2":
        raise ImageError(
            f"{path} is a color picture ({kind}), no MRI slice. Choose the series of the scanner."
        )


def _require_pixels(data: Dataset, path: Path) -> None:
    """GDCM fills up what a file lacks with whatever lies in memory, and takes the first bytes of too many."""
    bits, used = int(data.get("BitsAllocated") or 16), int(data.get("BitsStored") or 0)
    if used > bits:
        raise ImageError(
            f"{path}: its header contradicts itself: {used} bits of each pixel are used (BitsStored) of "
            f"{bits} (BitsAllocated). Export the series again, or choose another one."
        )
    if data.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian).is_encapsulated:
        return
    stated = math.prod(int(data.get(word) or 1) for word in ("NumberOfFrames", "Rows", "Columns"))
    found, stated = len(data.get("PixelData") or b""), stated * bits // 8
    if found < stated:
        raise ImageError(f"{path} holds fewer pixels than its header states. {_COPY_AGAIN}")
    if found > stated * (1 + _MOST_PADDING) + 1:
        raise ImageError(
            f"{path} holds {found} bytes of pixels where its header states {stated} (Rows, Columns, "
            "BitsAllocated), so that they would be laid out wrongly. Choose another series."
        )


def _groups(data: Dataset, shared: Dataset, item: Dataset, keyword: str) -> Dataset:
    """Where attributes of a frame stand: in a functional group of its own, a shared one, or outside."""
    for holder in (item, shared):
        if found := holder.get(keyword):
            return found[0]
    return data


def _numbers(holder: Dataset, keyword: str, count: int, path: Path) -> Any:
    values = tuple(float(value) for value in holder.get(keyword) or ())
    if len(values) != count or not np.isfinite(values).all():
        raise ImageError(
            f"{path} does not say in its DICOM header where in the patient it lies ({keyword} is missing). "
            "Choose another series, or export this one again from the scanner's archive."
        )
    return values


def _padding(data: Dataset) -> int | None:
    """Pixel Padding Value (C.7.5.1.1.2); some write that of signed pixels as if they were unsigned."""
    value = data.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    bits = int(data.get("BitsAllocated") or 16)
    signed = int(data.get("PixelRepresentation") or 0) == 1
    return value - 2**bits if signed and value >= 2 ** (bits - 1) else value


def _scale(holder: Dataset) -> tuple[float, float]:
    slope, intercept = holder.get("RescaleSlope"), holder.get("RescaleIntercept")
    return (1.0 if slope is None else float(slope)) or 1.0, float(intercept or 0.0)
