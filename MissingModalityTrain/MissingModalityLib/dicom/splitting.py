"""Images of one series to volumes: a Series Instance UID often holds several.

Scanners put echoes, phase maps, b-values, time points and stacks of slices in several directions under one
UID (DICOM PS3.3 C.7.3.1 asks only that a series is of one modality and one device).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .headers import Frame

_COSINE_NOISE = 1e-3
"""By which direction cosines of one volume may differ: rounded decimals."""

_CROOKED = 0.02
"""By which two directions may miss a right angle or unit length; whoever reads the volume is stricter."""

_POSITION_DIGITS = 2
"""Hundredths of a millimeter: images at one place, and no two slices of a head."""

_TELLING = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "TriggerTime",
    "InversionTime",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ContentTime",
)
"""Attributes that tell images at one place apart, the usual ones first."""

MOST_REPEATS = 4
"""Volumes at one place that are still told one by one.

A sequence is run again once or twice, before and after contrast or after a movement, while perfusion,
diffusion and functional series have dozens.
"""


@dataclass(frozen=True)
class Volume:
    """Images of one direction, size and echo.

    Attributes:
        frames: in the order of their position along the slice normal.
        part: what tells it from the other volumes of its series, e.g. ``echo 2``; empty for an only one.
        repeats: how many images lie at one place; above 1 the frames are a series over time or b-values.
    """

    frames: tuple[Frame, ...]
    part: str = ""
    repeats: int = 1


def volumes_of(frames: Sequence[Frame]) -> list[Volume]:
    """The volumes in the images of one series, in the order in which they were acquired."""
    volumes = []
    for part, alike in _alike(frames):
        repeated = _at_one_place(alike)
        if repeated == 1:
            volumes.append(Volume(_in_order(alike), part))
        elif repeated > MOST_REPEATS:
            volumes.append(Volume(_in_order(alike), part, repeated))
        else:
            runs = _runs(alike)
            named = (f"{part}, " if part else "") + "run {} of " + str(len(runs))
            volumes += [Volume(_in_order(run), named.format(n)) for n, run in enumerate(runs, 1)]
    return volumes


def cosines(frame: Frame) -> tuple[float, ...] | None:
    """Image Orientation (Patient); None where it is not stated, or is not two directions at right angles."""
    values = frame.numbers("ImageOrientationPatient")
    if len(values) != 6:
        return None
    axes = np.reshape(values, (2, 3))
    return values if np.abs(axes @ axes.T - np.eye(2)).max() <= _CROOKED else None


def position(frame: Frame) -> tuple[float, float, float] | None:
    """Image Position (Patient) in mm; None where it is not stated."""
    values = frame.numbers("ImagePositionPatient")
    return values if len(values) == 3 else None


def _alike(frames: Sequence[Frame]) -> list[tuple[str, list[Frame]]]:
    """Images apart by size, kind, echo and direction, with what tells them apart in words."""
    directions = _directions(frames)
    keys: dict[str, Callable[[Frame], Hashable]] = {
        "size": lambda frame: (frame.text("Columns"), frame.text("Rows"), _rounded(frame, "PixelSpacing")),
        "type": lambda frame: (frame.text("ImageType"), frame.text("ComplexImageComponent")),
        "echo": lambda frame: _rounded(frame, "EchoTime"),
        "stack": lambda frame: (directions[frame.text("ImageOrientationPatient")], frame.text("StackID")),
    }
    groups = [("", list(frames))]
    for name, key in keys.items():
        divided = []
        for part, members in groups:
            pieces = _divided(members, key)
            for number, piece in enumerate(pieces, 1):
                own = f"{name} {number} of {len(pieces)}" if len(pieces) > 1 else ""
                divided.append((", ".join(filter(None, [part, own])), piece))
        groups = divided
    return groups


def _directions(frames: Sequence[Frame]) -> dict[str, int]:
    """A number for each stated orientation, the same for those that differ by noise."""
    known: list[np.ndarray] = []
    found = {}
    for frame in frames:
        text = frame.text("ImageOrientationPatient")
        if text in found:
            continue
        axes = np.array(cosines(frame) or np.zeros(6))
        close = (number for number, other in enumerate(known) if np.abs(axes - other).max() <= _COSINE_NOISE)
        found[text] = next(close, len(known))
        if found[text] == len(known):
            known.append(axes)
    return found


def _divided(frames: Iterable[Frame], key: Callable[[Frame], Hashable]) -> list[list[Frame]]:
    found: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        found[key(frame)].append(frame)
    return list(found.values())


def _rounded(frame: Frame, keyword: str) -> tuple[float, ...]:
    return tuple(round(value, _POSITION_DIGITS) for value in frame.numbers(keyword))


def _place(frame: Frame) -> Hashable:
    return _rounded(frame, "ImagePositionPatient") or (frame.path, frame.index)


def _at_one_place(frames: Sequence[Frame]) -> int:
    return max(len(group) for group in _divided(frames, _place))


def _runs(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Images of which several lie at one place, apart: by an attribute that does it, or by their numbers."""
    repeats = _at_one_place(frames)
    for keyword in _TELLING:
        groups = _divided(frames, lambda frame, keyword=keyword: frame.text(keyword))
        if len(groups) == repeats and all(_at_one_place(group) == 1 for group in groups):
            return groups
    runs: dict[int, list[Frame]] = defaultdict(list)
    for group in _divided(frames, _place):
        for number, frame in enumerate(sorted(group, key=_instance)):
            runs[number].append(frame)
    return list(runs.values())


def _instance(frame: Frame) -> tuple[float, int]:
    return (frame.number("InstanceNumber") or 0.0, frame.index or 0)


def _in_order(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """Along the slice normal; by instance number where positions are not stated."""
    axes = cosines(frames[0])
    places = [position(frame) for frame in frames]
    if axes is None or None in places:
        return tuple(sorted(frames, key=_instance))
    depths = np.array(places) @ np.cross(axes[:3], axes[3:])
    return tuple(frames[index] for index in np.argsort(depths, kind="stable"))
