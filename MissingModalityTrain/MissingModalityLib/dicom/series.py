"""What is known of one series of a study: a volume that could be segmented, or why it is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..core.modalities import Modality


class SeriesKind(StrEnum):
    """What the images of a series are."""

    VOLUME = "volume"
    REFORMAT = "reformat"
    OTHER_SEQUENCE = "other sequence"
    TIME_SERIES = "time series"
    LOCALIZER = "localizer"
    MAP = "map"
    PROJECTION = "projection"
    CAPTURE = "screen capture"
    SEGMENTATION = "segmentation"
    DOCUMENT = "document"
    NOT_MR = "not MR"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class Slice:
    """One image of a series.

    Attributes:
        path: the file it lies in.
        frame: its place in a multi-frame file, from 0; None in a file of one image.
        position: Image Position (Patient) in mm, LPS: the center of the first voxel; None where not stated.
        instance: SOP Instance UID.
    """

    path: Path
    frame: int | None
    position: tuple[float, float, float] | None
    instance: str


@dataclass(frozen=True)
class Series:
    """One volume of one series; a Series Instance UID that holds several volumes gives several of these.

    Attributes:
        uid: Series Instance UID.
        number: Series Number, as the scanner's user knows it; None where not stated.
        description: Series Description, or the protocol's name; of several volumes in one series with what
            tells them apart.
        patient: Patient ID, or a text that says there is none.
        study_uid: Study Instance UID.
        date: of the study, ``YYYY-MM-DD``; empty where not stated.
        time: when its acquisition began, ``HH:MM:SS``; empty where not stated.
        slices: in the order of their position along the slice normal.
        orientation: Image Orientation (Patient): direction of rows and of columns; None where not stated.
        size: columns, rows, slices.
        spacing: mm along a row, along a column, from slice to slice; None where not stated.
        thickness: Slice Thickness in mm; None where not stated.
        plane: axial, coronal, sagittal or oblique; empty where not stated.
        kind: what the images are.
        modality: which of the four sequences, or None where nothing tells, or it is another image.
        confidence: of the modality, 0..1; from 0.5 on it is fit to be used unasked.
        reason: what the modality was told by, one sentence.
        part: what tells it from other volumes of its series, e.g. ``echo 2 of 2``; else empty.
        contrast: whether contrast agent had been given; None where nothing tells.
        problem: why it cannot be used, as the rest of a sentence; None where it can.
        gap: missing, uneven or displaced slices, one sentence; None where all is even.
        header: attributes of its first image by keyword, as text.
        named: whether the user has said that it is to be used as ``modality``.
    """

    uid: str
    number: int | None
    description: str
    patient: str
    study_uid: str
    date: str
    time: str
    slices: tuple[Slice, ...]
    orientation: tuple[float, ...] | None
    size: tuple[int, int, int]
    spacing: tuple[float, float, float] | None
    thickness: float | None
    plane: str
    kind: SeriesKind
    modality: Modality | None
    confidence: float
    reason: str
    part: str = ""
    contrast: bool | None = None
    problem: str | None = None
    gap: str | None = None
    header: Mapping[str, str] = field(default_factory=dict, repr=False)
    named: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files in the order of its slices, each once."""
        return tuple(dict.fromkeys(image.path for image in self.slices))

    @property
    def title(self) -> str:
        """How sentences name it: ``'t2_tse_tra' (series 5)``."""
        number = f" (series {self.number})" if self.number is not None else ""
        return f"'{self.description}'{number}"

    @property
    def moment(self) -> tuple[str, str]:
        """Day, ``YYYYMMDD``, and time of its acquisition; empty where not stated."""
        day = self.header.get("AcquisitionDateTime", "")[:8] or self.header.get("AcquisitionDate", "")
        return day, self.time

    @property
    def coverage_mm(self) -> float:
        """Extent along the slice normal."""
        return self.size[2] * self.spacing[2] if self.spacing else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for another program; no file names, which a folder of slices has by the hundred."""
        return {
            "uid": self.uid,
            "number": self.number,
            "description": self.description,
            "time": self.time,
            "kind": str(self.kind),
            "modality": self.modality.name if self.modality is not None else None,
            "confidence": round(self.confidence, 2),
            "reason": self.reason,
            "plane": self.plane,
            "size": list(self.size),
            "spacing": list(self.spacing) if self.spacing else None,
            "thickness": self.thickness,
            "contrast": self.contrast,
            "problem": self.problem,
            "gap": self.gap,
            "files": len(self.files),
        }
