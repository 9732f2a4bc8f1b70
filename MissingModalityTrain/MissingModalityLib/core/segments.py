"""Names, colors and codes of the segments that a label map of tumor classes turns into.

Read by the panel, the command line, the file writer and the documentation; imports nothing heavy.

Codes: category "Morphologically Altered Structure" for all. Edema and necrosis are entries of 3D Slicer's own
general anatomy list, colors included. Slicer's lists have no enhancing lesion; the code used in imaging
templates is NCI Thesaurus C113842. Whole tumor (lesion with its edema) and tumor core (the neoplasm itself)
are told apart by SNOMED CT 52988006 and 108369006. No code of a standard is known here that means a resection
cavity, so it has a private one, whose scheme begins with 99 as DICOM demands (PS3.16, 8). The last four come
with the extension's own list, ``SegmentationCategoryTypeModifier-MissingModality.term.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from .labels import CAVITY_REGION, REGIONS, RESECTION_CAVITY, TumorClass

SLICER_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
OWN_CONTEXT = "Segmentation category and type - MissingModality brain tumor list"
# Entries of one context with one category: Slicer then offers all segments in one list.
_CATEGORY = "SCT^49755003^Morphologically Altered Structure"
_BRAIN = "Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"


class Code(NamedTuple):
    """One coded concept, as DICOM writes it (PS3.3, 8.8)."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Segment:
    """One segment of a result.

    Attributes:
        id: segment ID inside a segmentation node and in a .seg.nrrd header.
        name: as shown to people.
        classes: the values of the label map that it covers.
        color: red, green, blue in 0..255, as Slicer's terminology has it for this tissue.
        line: style of its outline in drawings, in matplotlib's words, by which segments are told apart
            without color too.
        terminology: an entry in 3D Slicer's format, ``context~category~type~type modifier~anatomic
            context~region~region modifier``, each code written ``scheme^value^meaning``.
    """

    id: str
    name: str
    classes: tuple[int, ...]
    color: tuple[int, int, int]
    line: str
    terminology: str

    @property
    def value(self) -> int:
        """The number in label maps that a disjoint segment stands for.

        Raises:
            ValueError: the segment is a region of several classes.
        """
        (value,) = self.classes
        return int(value)

    @property
    def unit_color(self) -> tuple[float, float, float]:
        """The color in 0..1, as MRML and segmentation files hold it."""
        red, green, blue = self.color
        return red / 255, green / 255, blue / 255

    @property
    def property_category(self) -> Code:
        """What kind of thing it is, by its terminology entry (DICOM: Segmented Property Category)."""
        return self._code(1)

    @property
    def property_type(self) -> Code:
        """What it is, by its terminology entry (DICOM: Segmented Property Type)."""
        return self._code(2)

    @property
    def anatomic_region(self) -> Code:
        """The organ it lies in, by its terminology entry."""
        return self._code(5)

    def _code(self, place: int) -> Code:
        return Code(*self.terminology.split("~")[place].split("^"))


def _terminology(context: str, code: str) -> str:
    return f"{context}~{_CATEGORY}~{code}~^^~{_BRAIN}"


SEGMENTS: tuple[Segment, ...] = (
    Segment(
        "NCR",
        "Necrotic/non-enhancing tumor core",
        (TumorClass.NCR,),
        (216, 191, 216),
        "dotted",
        _terminology(SLICER_CONTEXT, "SCT^6574001^Necrosis"),
    ),
    Segment(
        "ED",
        "Edema",
        (TumorClass.ED,),
        (140, 224, 228),
        "dashed",
        _terminology(SLICER_CONTEXT, "SCT^79654002^Edema"),
    ),
    Segment(
        "ET",
        "Enhancing tumor",
        (TumorClass.ET,),
        (230, 92, 64),
        "solid",
        _terminology(OWN_CONTEXT, "NCIt^C113842^Enhancing Lesion"),
    ),
)
"""The disjoint segments, in the order of their class numbers."""

CAVITY_SEGMENT = Segment(
    CAVITY_REGION,
    "Resection cavity",
    (RESECTION_CAVITY,),
    (128, 174, 128),
    "dashdot",
    _terminology(OWN_CONTEXT, "99MISSINGMOD^RC^Resection cavity"),
)
"""A further disjoint segment, of results that hold it."""

REGION_SEGMENTS: tuple[Segment, ...] = (
    Segment(
        "WT",
        "Whole tumor",
        REGIONS["WT"],
        (144, 238, 144),
        "dashed",
        _terminology(OWN_CONTEXT, "SCT^52988006^Lesion"),
    ),
    Segment(
        "TC",
        "Tumor core",
        REGIONS["TC"],
        (245, 205, 90),
        "solid",
        _terminology(OWN_CONTEXT, "SCT^108369006^Neoplasm"),
    ),
)
"""Optional segments that overlap the disjoint ones: whole tumor and tumor core."""

CURVE_COLORS: Mapping[str, str] = MappingProxyType(
    {"WT": "#1c708c", "TC": "#e66b00", "ET": "#730000", CAVITY_REGION: "#000033"}
)
"""Colors of curves on white paper, by region: they differ by 28 or more (CIEDE2000) with every kind of color
vision, and have a contrast of 3 or more with white; ``make picture-check``."""

CURVE_MARKERS: Mapping[str, str] = MappingProxyType({"WT": "o", "TC": "^", "ET": "s", CAVITY_REGION: "P"})
"""Of the same curves, by which regions are told apart without color."""

_BY_ID = {segment.id: segment for segment in (*SEGMENTS, CAVITY_SEGMENT, *REGION_SEGMENTS)}


def disjoint_segments(cavity: bool) -> tuple[Segment, ...]:
    """The segments of a result: those of every one, and the resection cavity if it holds one."""
    return (*SEGMENTS, CAVITY_SEGMENT) if cavity else SEGMENTS


def segment_of(name: str) -> Segment:
    """Names and colors of a class or region: NCR, ED, ET, RC, WT or TC (the region ET is the class).

    Raises:
        KeyError: there is no class or region of that name.
    """
    return _BY_ID[name]


def in_full(name: str) -> str:
    """A class or region in words with its short name, inside a sentence: ``whole tumor (WT)``.

    Raises:
        KeyError: as :func:`segment_of`.
    """
    words = segment_of(name).name
    return f"{words[0].lower()}{words[1:]} ({name})"
