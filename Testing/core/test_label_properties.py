"""Labels of every convention: what is written is read as the same classes, and regions nest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from examples import examples
from MissingModalityLib.core.errors import LabelError
from MissingModalityLib.core.labels import (
    CONVENTIONS,
    REGIONS,
    TumorClass,
    class_volumes,
    from_classes,
    region_mask,
    to_classes,
)

CLASSES = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 4)] * 3), elements=st.integers(0, 3))
NUMBERS = {  # of a file: background, necrosis, edema, enhancing tumor
    **{"classes": (0, 1, 2, 3), "brats2015": (0, 1, 2, 4), "brats2021": (0, 1, 2, 4)},
    "brats2015-five": (0, 1, 2, 4),
    **{"brats2023": (0, 1, 2, 3), "brats2024": (0, 1, 2, 3), "msd": (0, 2, 1, 3)},
}


@given(CLASSES, st.sampled_from(sorted(CONVENTIONS)), st.sampled_from((np.uint8, np.int16, np.float32)))
@examples(40)
def test_classes_come_back_from_the_numbers_of_a_file(classes: np.ndarray, name: str, kind: type) -> None:
    values = from_classes(classes, name)
    np.testing.assert_array_equal(values, np.array(NUMBERS[name])[classes])
    np.testing.assert_array_equal(to_classes(values.astype(kind), name, "label"), classes)


@given(CLASSES)
@examples(20)
def test_regions_nest_and_volumes_add_up(classes: np.ndarray) -> None:
    whole, core, enhancing = (region_mask(classes, region) for region in REGIONS)
    np.testing.assert_array_equal(whole, classes > 0)
    np.testing.assert_array_equal(core, (classes > 0) & (classes != TumorClass.ED))
    np.testing.assert_array_equal(enhancing, classes == TumorClass.ET)
    volumes = class_volumes(classes, 2.0)
    assert volumes["WT"] == pytest.approx(whole.sum() * 0.002)
    assert volumes["TC"] == pytest.approx(volumes["NCR"] + volumes["ET"])
    assert volumes["WT"] == pytest.approx(volumes["TC"] + volumes["ED"])


@given(st.sampled_from(sorted(NUMBERS)), st.sampled_from((-1, 5, 7, 255)))
@examples(12)
def test_a_number_that_a_convention_lacks_is_never_read(name: str, value: int) -> None:
    with pytest.raises(LabelError, match=f"label value {value} is unknown"):
        to_classes(np.array([0, 1, value], np.int16), name, "label")


def test_the_non_enhancing_core_of_2015_is_core_and_a_cavity_no_tumor() -> None:
    assert to_classes(np.arange(5), "brats2015", "label").tolist() == [0, 1, 2, 1, 3]
    assert to_classes(np.arange(5), "brats2015-five", "label").tolist() == [0, 1, 2, 1, 3]
    assert to_classes(np.arange(5), "brats2015-five", "label", apart=True).tolist() == [0, 1, 2, 5, 3]
