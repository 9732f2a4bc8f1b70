"""Series that are parts of one volume: a scan in several passes, or one that was sent in two portions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from .headers import Frame
from .slices import placement
from .splitting import cosines, position

_SAME = (
    *(
        "Modality",
        "SeriesDescription",
        "ProtocolName",
        "ImageType",
        "ContrastBolusAgent",
        "FrameOfReferenceUID",
    ),
    *("EchoTime", "RepetitionTime", "InversionTime", "FlipAngle"),
    *("Rows", "Columns", "PixelSpacing", "SliceThickness", "ImageOrientationPatient"),
)
"""What parts of one volume agree in."""

_OVERLAP = 0.9
"""Share of a slice's thickness that the next one lies apart at least; closer ones are of two volumes."""


def with_parts_joined(groups: Sequence[list[Frame]]) -> list[list[Frame]]:
    """Images by series; series whose slices lie between or beside each other, evenly, are one.

    Each of them alone would pass for a whole volume, of half of the slices or of half of the head.
    """
    alike: dict[Hashable, list[list[Frame]]] = defaultdict(list)
    for group in groups:
        alike[_key(group)].append(group)
    return [series for parts in alike.values() for series in _joined(parts)]


def parts_of(frames: Sequence[Frame]) -> int:
    """How many series a volume was joined from; 1 where each of its images has a series of its own."""
    uids = {frame.text("SeriesInstanceUID") for frame in frames}
    return len(uids) if len(uids) < len(frames) else 1


def _key(group: Sequence[Frame]) -> Hashable:
    return tuple(group[0].text(keyword) for keyword in _SAME)


def _joined(parts: list[list[Frame]]) -> list[list[Frame]]:
    """One list where the parts make an even volume, else the parts themselves."""
    images = [frame for part in parts for frame in part]
    normal = _normal(images[0])
    places = [position(frame) for frame in images]
    if len(parts) == 1 or normal is None or None in places:
        return parts
    whole = [images[index] for index in np.argsort(np.array(places) @ normal, kind="stable")]
    grid = placement(whole)
    thickness = images[0].number("SliceThickness") or 0.0
    if grid is None or grid.gap or grid.spacing[2] < _OVERLAP * thickness:
        return parts
    return [whole]


def _normal(frame: Frame) -> np.ndarray | None:
    axes = cosines(frame)
    return None if axes is None else np.cross(axes[:3], axes[3:])
