"""Values of label files and what they become: whole numbers, classes, and the resection cavity."""

from __future__ import annotations

import numpy as np
import pytest

from MissingModalityLib.core.errors import LabelError, OptionError
from MissingModalityLib.core.labels import (
    CAVITY_RULES,
    IGNORED,
    RESECTION_CAVITY,
    TumorClass,
    class_volumes,
    from_classes,
    region_mask,
    to_classes,
    with_cavity,
    without_ignored,
)

CAVITY = np.array([0, 1, 2, 3, RESECTION_CAVITY], np.uint8)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("error", [0.0, 1e-3, -1e-3, 2e-7])
def test_values_within_a_thousandth_of_whole_numbers_are_these(kind: type, error: float) -> None:
    values = np.array([0, 1, 2, 4], kind) + kind(error)
    assert to_classes(values, "brats2021", "x").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("value", "shown"), [(3.9985, "3.9985"), (1.0011, "1.0011"), (2.5, "2.5"), (-0.01, "-0.01")]
)
def test_values_further_off_are_refused_with_their_digits(value: float, shown: str) -> None:
    with pytest.raises(LabelError, match=rf"x\.mha: label value {shown}\d* is no whole number"):
        to_classes(np.array([0.0, 1.0, value], np.float32), "brats2021", "x.mha")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(LabelError, match="no whole number"):
        to_classes(np.array([0.0, 1.0, value]), "brats2021", "x")


def test_a_probability_map_is_called_so() -> None:
    with pytest.raises(LabelError, match="probability map"):
        to_classes(np.linspace(0, 1, 50, dtype=np.float32), "brats2021", "x")


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_an_image_in_place_of_a_label_is_called_so(kind: type) -> None:
    with pytest.raises(LabelError, match=r"holds 200 different values.* image"):
        to_classes(np.arange(200).astype(kind), "brats2021", "x")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("background", TumorClass.BACKGROUND),
        ("ignore", IGNORED),
        ("core", TumorClass.NCR),
        ("class", RESECTION_CAVITY),
    ],
)
def test_a_resection_cavity_is_read_as_itself_and_counts_as_the_rule_says(rule: str, expected: int) -> None:
    read = to_classes(np.arange(5), "brats2024", "x")
    assert read.tolist() == CAVITY.tolist()
    ruled = with_cavity(read, rule, "x")
    assert ruled.tolist() == [0, 1, 2, 3, expected]
    assert read.tolist() == CAVITY.tolist()  # a copy was changed
    assert region_mask(ruled, "TC").tolist() == [False, True, False, True, rule == "core"]


def test_a_case_with_a_cavity_can_be_refused_and_one_without_is_not() -> None:
    with pytest.raises(LabelError, match=r"x: .*resection cavity.*background, ignore, core"):
        with_cavity(CAVITY, "refuse", "x")
    assert with_cavity(CAVITY[:4], "refuse", "x").tolist() == [0, 1, 2, 3]
    with pytest.raises(OptionError, match=f"resection_cavity=maybe.*{', '.join(CAVITY_RULES)}"):
        with_cavity(CAVITY, "maybe", "x")


def test_ignored_voxels_are_background_on_both_sides() -> None:
    prediction, reference = np.array([1, 1, 2], np.uint8), np.array([IGNORED, 1, 0], np.uint8)
    pair = without_ignored(prediction, reference)
    assert [part.tolist() for part in pair] == [[0, 1, 2], [0, 1, 0]]
    assert prediction.tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    "other", [np.array([0, 7]), np.array([-1, 1]), np.array([0.0, 1.0]), np.array([255])]
)
def test_an_array_that_holds_other_values_than_classes_is_not_written_as_background(other) -> None:
    with pytest.raises(LabelError, match="A segmentation has"):
        from_classes(other, "classes")


def test_a_cavity_that_was_found_is_written_where_the_convention_has_a_number_for_it() -> None:
    assert from_classes(CAVITY, "classes").tolist() == [0, 1, 2, 3, 4]
    assert from_classes(CAVITY, "brats2024").tolist() == [0, 1, 2, 3, 4]
    assert from_classes(CAVITY[:4], "brats2021").tolist() == [0, 1, 2, 4]
    with pytest.raises(OptionError, match=r"brats2021.*no number.*Choose one of: classes, brats2024"):
        from_classes(CAVITY, "brats2021")
    assert class_volumes(CAVITY, 1000.0) == {"NCR": 1, "ED": 1, "ET": 1, "WT": 3, "TC": 2, "RC": 1}
    assert "RC" not in class_volumes(CAVITY[:4], 1000.0)
    assert region_mask(CAVITY, "RC").tolist() == [False] * 4 + [True], "it alone is of that region"
