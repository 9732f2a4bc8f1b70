"""The segment registry agrees with the label classes and with the extension's own terminology file."""

from __future__ import annotations

import json

import pytest

from checkout import terminology
from MissingModalityLib.core.labels import REGIONS, TumorClass
from MissingModalityLib.core.segments import CAVITY_SEGMENT, OWN_CONTEXT, REGION_SEGMENTS, SEGMENTS, Segment

EVERY = (*SEGMENTS, CAVITY_SEGMENT, *REGION_SEGMENTS)


def type_code(segment: Segment) -> tuple[str, str, str]:
    """Coding scheme, code value and code meaning of a segment's type."""
    scheme, value, meaning = segment.terminology.split("~")[2].split("^")
    return scheme, value, meaning


def test_disjoint_segments_cover_each_tumor_class_once_in_order() -> None:
    assert [segment.value for segment in SEGMENTS] == [TumorClass.NCR, TumorClass.ED, TumorClass.ET]


def test_region_segments_cover_the_classes_of_their_region() -> None:
    assert {segment.id: segment.classes for segment in REGION_SEGMENTS} == {
        name: REGIONS[name] for name in ("WT", "TC")
    }


def test_a_region_has_no_single_class() -> None:
    with pytest.raises(ValueError):
        _ = REGION_SEGMENTS[0].value


def test_ids_names_colors_and_codes_are_distinct() -> None:
    for key in (lambda s: s.id, lambda s: s.name, lambda s: s.color, type_code):
        assert len({key(segment) for segment in EVERY}) == len(EVERY)


def test_outlines_are_told_apart_without_color() -> None:
    assert len({segment.line for segment in SEGMENTS}) == len(SEGMENTS)


@pytest.mark.parametrize("segment", EVERY, ids=lambda segment: segment.id)
def test_terminology_entry_has_slicers_seven_parts(segment: Segment) -> None:
    parts = segment.terminology.split("~")
    assert len(parts) == 7
    assert [part.count("^") for part in parts] == [0, 2, 2, 2, 0, 2, 2]
    assert parts[5] == "SCT^12738006^Brain"


def test_own_terminology_file_holds_exactly_the_codes_that_name_it() -> None:
    content = json.loads(terminology().read_text(encoding="utf-8"))
    (category,) = content["SegmentationCodes"]["Category"]
    listed = {
        (entry["CodingSchemeDesignator"], entry["CodeValue"], entry["CodeMeaning"]): tuple(
            entry["recommendedDisplayRGBValue"]
        )
        for entry in category["Type"]
    }
    own = {type_code(s): s.color for s in EVERY if s.terminology.startswith(OWN_CONTEXT)}
    assert content["SegmentationCategoryTypeContextName"] == OWN_CONTEXT
    assert listed == own
