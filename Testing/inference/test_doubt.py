"""What a student's probabilities tell of its result."""

from __future__ import annotations

import numpy as np
import pytest

from MissingModalityLib.core.labels import REGIONS, TumorClass, region_mask
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference.doubt import FEATURES, features
from MissingModalityLib.inference.sliding_window import RawPrediction
from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks.heads import HEADS
from small_networks import tiny_student
from small_patient import brain_volume

HALF = dict.fromkeys(REGIONS, 0.5)
SIDE = 12


def probabilities(value: float = 0.0) -> np.ndarray:
    return np.full((len(REGIONS), SIDE, SIDE, SIDE), value, np.float32)


def test_numbers_of_a_region_are_those_computed_by_hand() -> None:
    image = probabilities()
    image[0, 2, 2, 2:6] = 0.9  # the mask, two pieces
    image[0, 8, 8, 8] = 0.6
    image[0, 5, 5, 5] = 0.3  # what may belong to it
    image[0, 10, 10, 10] = 0.04  # what is nothing
    found = features(image, HALF)["WT"]
    claimed, possible = 4 * 0.9 + 0.6, 4 * 0.9 + 0.6 + 0.3
    bits = [-p * np.log2(p) - (1 - p) * np.log2(1 - p) for p in (0.9, 0.6, 0.3)]
    assert found == pytest.approx(
        {
            "soft_dice": 2 * claimed / (5 + possible),
            "inside": claimed / 5,
            "steadiness": 2 * 4 / (4 + 6),
            "entropy": (4 * bits[0] + bits[1] + bits[2]) / 6,
            "log_volume": np.log10(6),
            "pieces": np.log2(3),
            "largest_share": 4 / 5,
            "peak": 0.9,
        },
        rel=1e-5,
    )


def test_every_region_has_every_number_also_where_nothing_is_found() -> None:
    found = features(probabilities(), HALF)
    assert list(found) == list(REGIONS)
    assert all(tuple(numbers) == FEATURES and not any(numbers.values()) for numbers in found.values())
    faint = features(probabilities(0.2), HALF)["ET"]
    assert faint["peak"] == pytest.approx(0.2) and faint["entropy"] > 0.5
    assert not any(faint[name] for name in ("soft_dice", "inside", "log_volume", "pieces", "largest_share"))


def test_each_region_has_a_threshold_of_its_own() -> None:
    image = probabilities(0.4)
    found = features(image, {"WT": 0.3, "TC": 0.5, "ET": 0.3})
    volumes = [round(10 ** numbers["log_volume"]) - 1 for numbers in found.values()]
    assert volumes == [SIDE**3, 0, SIDE**3]


def test_a_result_that_lost_its_small_pieces_is_judged_as_it_is() -> None:
    image = probabilities()
    image[:, 2:6, 2:6, 2:6] = 0.9
    image[:, 9, 9, 9] = 0.9
    classes = np.zeros(image.shape[1:], np.uint8)
    classes[2:6, 2:6, 2:6] = TumorClass.ET
    whole, cleaned = features(image, HALF)["TC"], features(image, HALF, classes)["TC"]
    assert (whole["pieces"], cleaned["pieces"]) == pytest.approx((np.log2(3), 1))
    assert cleaned["soft_dice"] < whole["soft_dice"], "the piece is still likely to be tumor"


def test_surer_and_rounder_results_promise_more() -> None:
    place = np.s_[:, 3:9, 3:9, 3:9]
    sure, unsure = probabilities(0.01), probabilities(0.3)
    sure[place], unsure[place] = 0.98, 0.6
    better, worse = features(sure, HALF)["WT"], features(unsure, HALF)["WT"]
    for name in ("soft_dice", "inside", "steadiness", "peak"):
        assert better[name] > worse[name], name
    assert better["entropy"] < worse["entropy"]


@pytest.mark.parametrize("name", list(HEADS))
def test_probabilities_of_regions_agree_with_the_class_map_where_one_class_is_sure(name: str) -> None:
    classes = np.arange(len(TumorClass), dtype=np.uint8).reshape(1, 2, 2)
    head = HEADS[name]
    certain = {
        "regions": np.stack([region_mask(classes, region) for region in REGIONS]),
        "classes": np.stack([classes == cls for cls in TumorClass]),
        "sigmoids": np.stack([classes == cls for cls in TumorClass]),
    }[name.removesuffix("+cavity")].astype(np.float32)
    certain = np.concatenate([certain, np.zeros_like(certain[: int(head.cavity)])])
    found = head.region_probabilities(certain)
    np.testing.assert_array_equal(found > 0.5, [region_mask(classes, region) for region in REGIONS])
    np.testing.assert_array_equal(head.class_map(certain), classes)


def test_classes_of_one_softmax_add_up_and_single_statements_do_not() -> None:
    image = np.array([0.4, 0.1, 0.2, 0.3], np.float32).reshape(4, 1, 1, 1)
    assert HEADS["classes"].region_probabilities(image).ravel() == pytest.approx([0.6, 0.4, 0.3])
    assert HEADS["sigmoids"].region_probabilities(image).ravel() == pytest.approx([0.3, 0.3, 0.3])


def test_a_student_judges_what_it_has_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare(Study({Modality.T1: brain_volume()}, {Modality.T1: "T1"}))
    found = np.zeros((1, len(REGIONS), *whole.brain.shape), np.float32)
    middle = [side // 2 for side in whole.brain.shape]
    found[(slice(None), slice(None), *(slice(at, at + 3) for at in middle))] = 0.9
    found[(slice(None), slice(None), *(at - 3 for at in middle))] = 0.9  # a crumb, which is taken away
    monkeypatch.setattr(Student, "_infer", lambda *_: RawPrediction(found, None))
    student = tiny_student({"min_component_voxels": 9})
    (result,) = student.results_of(whole, [whole.subset])
    assert features(found[0], HALF)["WT"]["pieces"] == pytest.approx(np.log2(3))
    assert result.features["WT"]["pieces"] == 1
