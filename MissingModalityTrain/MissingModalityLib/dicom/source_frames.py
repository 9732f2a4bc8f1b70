"""The slices of a series that a DICOM object refers to: what their headers say, and where they lie.

Source of the attributes: DICOM PS3.3 C.7.6.2 (Image Plane) and C.7.6.16.2 (functional groups of enhanced
multi-frame images).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..core import strict_json
from ..core.errors import ImageError
from ..imaging.stated_geometry import AGREE_MM
from ..runtime.limited_child import ChildEnded, ChildUnavailable, LimitedChild

if TYPE_CHECKING:
    from pydicom import Dataset

_SAME_DIRECTION = 1e-3
"""By which direction cosines may differ: rounded decimals."""

_SAME_SPACING = 1e-4
"""Share by which pixels may differ in size: over 512 of them, a twentieth of one."""


_SECONDS = 120.0
"""For the headers of one series, from a network disk too."""

_child = LimitedChild("MissingModalityLib.dicom.source_child", _SECONDS)


@dataclass(frozen=True)
class Frame:
    """One slice of a series.

    Attributes:
        position: center of its first voxel, LPS, mm.
        axes: direction cosines of its rows and columns, six numbers, as the header has them.
        spacing: between rows and between columns, mm.
        shape: rows, columns.
    """

    position: tuple[float, ...]
    axes: tuple[float, ...]
    spacing: tuple[float, ...]
    shape: tuple[int, int]


def source_headers(paths: Sequence[Path]) -> list[Dataset]:
    """Headers of a series' files, read by a child process; without pixels and private attributes.

    Raises:
        ImageError: a file cannot be read.
    """
    from pydicom import Dataset, config

    request = {"paths": [str(path) for path in paths], "folder": None}
    with suppress(OSError):  # of a shell whose folder was removed
        request["folder"] = os.getcwd()
    try:
        reply, content = _child.ask(request)
    except (ChildEnded, ChildUnavailable) as error:
        raise ImageError(
            f"{paths[0].parent}: the headers of the series cannot be read: the process that read them "
            f"{error}. A file is damaged, or made to do harm; copy the series again from its source."
        ) from error
    if "error" in reply:
        raise ImageError(f"{reply['error']} Copy the series again from its source.")
    with config.disable_value_validation():  # values stay as they are: archives compare them
        return [Dataset.from_json(header) for header in strict_json.loads(content)]


def _frames_of(header: Dataset, name: str) -> list[Frame]:
    """The slices of one file, those of an enhanced multi-frame file in their order.

    Args:
        header: of the file.
        name: of the file, for messages.

    Raises:
        ImageError: it does not tell where they lie.
    """
    shape = (int(header.get("Rows", 0)), int(header.get("Columns", 0)))
    groups = header.get("PerFrameFunctionalGroupsSequence")
    shared = (header.get("SharedFunctionalGroupsSequence") or [header])[0]
    try:
        return [
            Frame(
                _numbers(_in_group("PlanePositionSequence", "ImagePositionPatient", frame, shared), 3),
                _numbers(_in_group("PlaneOrientationSequence", "ImageOrientationPatient", frame, shared), 6),
                _numbers(_in_group("PixelMeasuresSequence", "PixelSpacing", frame, shared), 2),
                shape,
            )
            for frame in groups or [header]
        ]
    except (TypeError, ValueError, IndexError) as error:
        raise ImageError(
            f"{name} does not tell where its slices lie, so no DICOM object can refer to them. "
            "Choose another series, or let the output's name end in .seg.nrrd."
        ) from error


def frames_in(headers: Sequence[Dataset], paths: Sequence[Path]) -> list[Frame]:
    """The slices of all files of a series, in their order.

    Args:
        headers: of the files, see :func:`source_headers`.
        paths: the files, for messages.

    Raises:
        ImageError: a file does not tell where its slices lie.
    """
    return [
        frame for header, path in zip(headers, paths, strict=True) for frame in _frames_of(header, str(path))
    ]


def frames_below(labels: sitk.Image, frames: Sequence[Frame]) -> list[Frame | None]:
    """For each slice of a label map the frame that it lies on, voxel on voxel, or None.

    Args:
        labels: 3-D.
        frames: of its series, in any order.
    """
    axes = np.reshape(labels.GetDirection(), (3, 3)).T[:2].ravel()
    x, y, z = labels.GetSpacing()
    fitting = [
        frame
        for frame in frames
        if frame.shape == (labels.GetHeight(), labels.GetWidth())
        and np.allclose(frame.axes, axes, rtol=0, atol=_SAME_DIRECTION)
        and np.allclose(frame.spacing, (y, x), rtol=_SAME_SPACING, atol=0)
    ]
    if not fitting:
        return [None] * labels.GetDepth()
    places = np.array([frame.position for frame in fitting])
    found: list[Frame | None] = []
    for index in range(labels.GetDepth()):
        here = labels.TransformIndexToPhysicalPoint((0, 0, index))
        distances = np.linalg.norm(places - here, axis=1)
        nearest = int(distances.argmin())
        # less than half way to the next slice, or the neighbor of a missing one would stand in for it
        found.append(fitting[nearest] if distances[nearest] < min(AGREE_MM, z / 2) else None)
    return found


def _in_group(group: str, keyword: str, frame: Dataset, shared: Dataset) -> Any:
    """An attribute of a frame, from its own functional groups, the shared ones, or a classic header."""
    for place in (frame, shared):
        if group in place:
            return place[group].value[0].get(keyword)
    return frame.get(keyword)


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{len(numbers)} numbers in place of {count}")
    return numbers
