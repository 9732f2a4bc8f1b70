"""What a card says beside the weights: thresholds, sizes, mirrored and smoothed probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MissingModalityLib.core.errors import OptionError, StudentError
from MissingModalityLib.core.labels import RESECTION_CAVITY, TumorClass, region_mask
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference.card import CHOICES, Card, read_card
from MissingModalityLib.inference.decision import (
    decide,
    drop_little_enhancing,
    relabel_small_components,
    smooth,
)
from MissingModalityLib.inference.sliding_window import infer
from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks.heads import HEADS
from small_networks import small_network, telling_student, tiny_student
from small_patient import brain_volume

STUDY = Study({m: brain_volume(int(m)) for m in Modality}, {m: m.title for m in Modality})


def labels(student: Student) -> np.ndarray:
    return sitk.GetArrayFromImage(student.predict(STUDY, "cpu").labels)


def without_small(classes: np.ndarray, least: int, region: str = "WT") -> np.ndarray:
    return relabel_small_components(classes.copy(), region, least)


def test_a_card_without_choices_is_written_as_before_there_were_any(tmp_path: Path) -> None:
    tiny_student().save(tmp_path / "s.safetensors")
    chosen = set(CHOICES) - {"min_component_voxels", "overlap"}
    assert not chosen & set(read_card(tmp_path / "s.safetensors"))


def test_choices_that_change_nothing_give_the_same_bits() -> None:
    neutral = {"thresholds": dict.fromkeys(("WT", "TC", "ET"), 0.5), "smoothing_mm": 0}
    neutral |= {"mirror": [], "mirror_windows": []}
    assert (labels(tiny_student()) == labels(tiny_student({**neutral, "min_enhancing_voxels": 0}))).all()


def test_a_threshold_moves_its_region_alone_and_comes_back_from_the_file(tmp_path: Path) -> None:
    chosen = {"WT": 0.5, "TC": 0.5, "ET": 0.7}
    tiny_student({"thresholds": chosen}).save(tmp_path / "s.safetensors")
    student = Student.load(tmp_path / "s.safetensors")
    assert student.thresholds == chosen
    prepared = prepare(STUDY)
    probabilities = student.probabilities(prepared)
    classes, plain = student.classes(prepared), tiny_student().classes(prepared)
    assert (region_mask(classes, "ET") == (probabilities[2] > np.float32(0.7)) & prepared.brain).all()
    assert 0 < np.count_nonzero(classes == TumorClass.ET) < np.count_nonzero(plain == TumorClass.ET)
    claimed = (probabilities[:2] > 0.5).any(0) & prepared.brain
    assert (region_mask(classes, "WT") | ~claimed).all()


def test_little_enhancing_tumor_becomes_necrosis() -> None:
    classes = np.zeros((4, 4, 4), np.uint8)
    classes[0] = TumorClass.ED
    classes[1, 0, :3] = TumorClass.ET
    assert (drop_little_enhancing(classes.copy(), 3) == classes).all()
    dropped = drop_little_enhancing(classes.copy(), 4)
    assert (region_mask(dropped, "TC") == region_mask(classes, "TC")).all()
    assert not region_mask(dropped, "ET").any() and (dropped == TumorClass.NCR).sum() == 3


def test_a_student_takes_little_enhancing_tumor_for_necrosis() -> None:
    plain, much = labels(tiny_student()), labels(tiny_student({"min_enhancing_voxels": 10**6}))
    assert (plain == TumorClass.ET).any() and not (much == TumorClass.ET).any()
    assert (region_mask(plain, "TC") == region_mask(much, "TC")).all()


def test_enhancing_tumor_that_is_too_little_to_be_shown_is_told() -> None:
    plain, much = (tiny_student(card).predict(STUDY, "cpu") for card in ({}, {"min_enhancing_voxels": 10**6}))
    found = np.count_nonzero(tiny_student().classes(prepare(STUDY)) == TumorClass.ET) / 1000
    told = [warning for warning in much.warnings if "Enhancing tumor of " in warning]
    assert told == [warning for warning in much.warnings if warning not in plain.warnings]
    assert f" {found:.2f} cm³" in told[0] and " 1000.00 cm³" in told[0]


def test_mirrored_prediction_is_the_mean_over_all_combinations() -> None:
    image, available = prepare(STUDY).image, np.ones(4, bool)
    network = small_network("segresnet").eval()
    how = {"window": (16, 16, 16), "overlap": 0.5, "device": torch.device("cpu")}
    events = []
    found = infer(
        network, image, available, mirror=[0, 1], on_window=lambda *at: events.append(at), **how
    ).probabilities
    parts = []
    for axes in ((), (1,), (2,), (1, 2)):
        flipped = np.flip(image, axes).copy()
        parts.append(np.flip(infer(network, flipped, available, **how).probabilities, axes))
    np.testing.assert_allclose(found, np.mean(parts, 0), atol=1e-6)
    assert np.abs(found - parts[0]).max() > 1e-3
    assert [done for done, _ in events] == list(range(1, events[0][1] + 1))


def test_every_other_window_is_mirrored_at_no_further_window() -> None:
    image = np.random.default_rng(0).normal(size=(4, 16, 16, 24)).astype(np.float32)
    network, available = small_network("segresnet").eval(), np.ones(4, bool)
    # two windows, along x alone: one as it lies, one mirrored
    how = {"window": (16, 16, 16), "overlap": 0.5, "device": torch.device("cpu"), "blending": "mean"}
    events = []
    found = infer(
        network, image, available, mirror_windows=[1, 2], on_window=lambda *at: events.append(at), **how
    ).probabilities

    def alone(part: np.ndarray) -> np.ndarray:
        return infer(network, np.ascontiguousarray(part), available, **how).probabilities

    first, second = alone(image[..., :16]), alone(image[..., :7:-1])[..., ::-1]
    expected = np.concatenate([first[..., :8], (first[..., 8:] + second[..., :8]) / 2, second[..., 8:]], -1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - infer(network, image, available, **how).probabilities).max() > 1e-3
    assert events == [(1, 2), (2, 2)]


def test_a_case_and_its_mirror_image_are_segmented_alike_with_mirroring() -> None:
    prepared = prepare(STUDY)
    how = {"window": (64, 64, 64), "overlap": 0.5, "device": torch.device("cpu")}
    available = np.ones((2, 4), bool)
    student = telling_student()
    first = infer(student.network, prepared.image, available, mirror=[2], **how)
    second = infer(student.network, prepared.image[..., ::-1].copy(), available, mirror=[2], **how)
    np.testing.assert_allclose(first.probabilities, second.probabilities[..., ::-1], atol=1e-5)
    np.testing.assert_allclose(first.presence, second.presence, atol=1e-6)


def test_smoothing_takes_steps_of_two_voxels_away_and_keeps_the_surface_in_place() -> None:
    side, radius = 48, 15.0
    z, y, x = np.indices((side,) * 3) // 2 * 2 + 0.5  # probabilities in blocks, as from half the resolution
    distance = np.sqrt(sum((axis - side / 2 + 0.5) ** 2 for axis in (z, y, x)))
    blocks = 1 / (1 + np.exp(2 * (distance - radius)))[None].astype(np.float32)

    def even_steps(mask: np.ndarray) -> float:
        """Share of the surface along x that lies between blocks, half where there are no blocks."""
        steps = np.diff(mask.astype(int), axis=-1) != 0
        return steps[..., 1::2].sum() / steps.sum()

    sharp, smoothed = blocks[0] > 0.5, smooth(blocks, 1.0)[0] > 0.5
    assert even_steps(sharp) == 1 and even_steps(smoothed) < 0.65
    assert abs(smoothed.sum() / sharp.sum() - 1) < 0.02
    assert smooth(blocks, 0) is blocks


def test_a_student_smooths_what_its_card_says() -> None:
    prepared = prepare(STUDY)
    plain = tiny_student().probabilities(prepared)
    smoothed = tiny_student({"smoothing_mm": 1.0}).probabilities(prepared)
    np.testing.assert_allclose(smoothed, smooth(plain, 1.0), atol=1e-6)
    assert np.abs(smoothed - plain).max() > 0.01


def test_a_student_smooths_the_regions_that_its_card_names(tmp_path: Path) -> None:
    chosen = {"WT": 1.0, "TC": 2.0, "ET": 0.0}
    tiny_student({"smoothing_mm": chosen}).save(tmp_path / "s.safetensors")
    student, prepared = Student.load(tmp_path / "s.safetensors"), prepare(STUDY)
    assert student.card.smoothing_mm == chosen
    plain = tiny_student().probabilities(prepared)
    found = student.probabilities(prepared)
    for channel, sigma in enumerate((1.0, 2.0, 0.0)):
        np.testing.assert_allclose(found[channel], smooth(plain, sigma)[channel], atol=1e-6)


def test_a_thin_rim_stays_where_it_is_not_smoothed() -> None:
    rim = np.zeros((3, 20, 20, 20), np.float32)
    rim[0, 5:15, 5:15, 5:15] = rim[1, 6:14, 6:14, 6:14] = 0.9
    rim[2, 6:14, 6:14, 6] = 0.9
    found = smooth(rim, {"WT": 1, "TC": 1, "ET": 0})
    assert (found[2] == rim[2]).all() and not (smooth(rim, 1)[2] > 0.5).any()
    assert (found[:2] == smooth(rim, 1)[:2]).all() and (found[0] != rim[0]).any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thresholds", {"WT": 0.5, "TC": 0.5}),
        ("thresholds", {"WT": 0.5, "TC": 0.5, "ET": 1.0}),
        ("thresholds", 0.4),
        ("mirror", [3]),
        ("mirror", [0, 0]),
        ("mirror", True),
        ("mirror_windows", [3]),
        ("smoothing_mm", -0.1),
        ("smoothing_mm", 6),
        ("smoothing_mm", {"WT": 1, "TC": 1}),
        ("smoothing_mm", {"WT": 1, "TC": 1, "ET": 6}),
        ("smoothing_mm", [1, 1, 0]),
        ("min_enhancing_voxels", -1),
        ("min_enhancing_voxels", 1.5),
        ("min_core_component_voxels", -1),
        ("min_enhancing_component_voxels", 0.5),
    ],
)
def test_choices_out_of_their_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=name):
        Card.from_json({"network": "segresnet", "options": {}, name: value})


@pytest.mark.parametrize("name", ["thresholds", "smoothing_mm"])
def test_what_is_chosen_by_region_is_for_regions_only(name: str, tmp_path: Path) -> None:
    network = small_network("segresnet", head="classes")
    by_region = dict.fromkeys(("WT", "TC", "ET"), 0.4)
    with pytest.raises(OptionError, match=f"{name}.*head 'classes'"):
        Student(network, {name: by_region})
    student = Student(network)
    setattr(student.card, name, by_region)
    student.save(tmp_path / "s.safetensors")
    with pytest.raises(StudentError, match="head 'classes'"):
        Student.load(tmp_path / "s.safetensors")


def test_smoothing_keeps_regions_apart() -> None:
    apart = np.random.default_rng(0).random((3, 6, 7, 8), np.float32)
    for channel, smoothed in zip(apart, smooth(apart, 1.0), strict=True):
        np.testing.assert_allclose(smoothed, smooth(channel[None], 1.0)[0], atol=1e-6)


def test_islands_go_and_the_largest_piece_stays() -> None:
    classes = np.zeros((20, 20, 20), np.uint8)
    classes[2:8, 2:8, 2:8] = 2
    classes[3:5, 3:5, 3:5] = 3
    classes[8, 8, 8] = 1  # shares a corner with the large piece
    classes[12:14, 12:14, 12:14] = 1
    classes[17, 17, 17] = 3
    whole = classes.copy()
    np.testing.assert_array_equal(without_small(classes, 0), whole)
    np.testing.assert_array_equal(without_small(classes, 1), whole)
    without_one = without_small(classes, 8)
    assert (whole != without_one).sum() == 1 and without_one[17, 17, 17] == 0
    without_two = without_small(classes, 9)
    assert without_two[12:14, 12:14, 12:14].sum() == 0 and without_two[8, 8, 8] == 1
    np.testing.assert_array_equal(without_small(classes, 10_000), without_two)
    assert without_two.dtype == np.uint8
    assert not without_small(np.zeros((4, 4, 4), np.uint8), 5).any()


def test_pieces_are_those_that_itk_finds_and_of_equal_ones_the_first_stays() -> None:
    random = np.random.default_rng(0)
    for share in (0.02, 0.05, 0.1, 0.2):
        tumor = random.random((11, 12, 13)) < share
        classes = (tumor * random.integers(1, 4, tumor.shape)).astype(np.uint8)
        mask = sitk.GetImageFromArray(tumor.astype(np.uint8))
        pieces = sitk.GetArrayFromImage(sitk.RelabelComponent(sitk.ConnectedComponent(mask, True)))
        sizes = np.bincount(pieces.ravel())[1:]
        for least in (2, 3, 6, 10_000):
            kept = pieces <= max(1, (sizes >= least).sum())
            np.testing.assert_array_equal(without_small(classes, least), classes * kept)


def test_a_resection_cavity_is_no_piece_of_tumor() -> None:
    classes = np.zeros((4, 4, 12), np.uint8)
    classes[..., :4], classes[0, 0, 4:7], classes[0, 0, 9] = RESECTION_CAVITY, 2, 2
    kept = without_small(classes, 10)
    assert (kept[..., :4] == RESECTION_CAVITY).all() and kept[0, 0, 4:10].tolist() == [2, 2, 2, 0, 0, 0]


def test_small_pieces_of_the_core_become_edema_and_of_enhancing_tumor_necrosis() -> None:
    classes = np.zeros((12, 12, 24), np.uint8)
    classes[1:11, 1:11, 1:23] = TumorClass.ED
    classes[3:8, 3:8, 3:8] = TumorClass.NCR
    classes[4:6, 4:6, 4:6] = TumorClass.ET
    classes[7, 7, 7] = TumorClass.ET
    classes[5, 5, 20:22] = TumorClass.ET
    whole = classes.copy()
    core = without_small(classes, 3, "TC")
    assert (core[5, 5, 20:22] == TumorClass.ED).all() and (core != whole).sum() == 2
    enhancing = without_small(core, 2, "ET")
    assert enhancing[7, 7, 7] == TumorClass.NCR and (enhancing != core).sum() == 1
    # the largest piece stays, however small it is
    np.testing.assert_array_equal(without_small(whole, 10_000, "TC"), core)
    np.testing.assert_array_equal(without_small(core, 10_000, "ET"), enhancing)


def test_the_small_pieces_of_each_region_go_that_the_card_says() -> None:
    shares = np.reshape((0.15, 0.6, 0.5), (3, 1, 1, 1))  # of the region around each, in crumbs
    probabilities = np.cumprod(np.random.default_rng(0).random((3, 9, 9, 9)) < shares, 0).astype(float)
    brain, head = np.ones((9, 9, 9), bool), HEADS["regions"]
    plain = decide(probabilities, brain, head, Card("segresnet", {}))
    keys = {"WT": "min_component_voxels", "TC": "min_core_component_voxels"}
    keys["ET"] = "min_enhancing_component_voxels"
    expected = plain
    for region, name in keys.items():
        expected = without_small(expected, 4, region)
        alone = decide(probabilities, brain, head, Card.from_json({**Card("segresnet", {}), name: 4}))
        np.testing.assert_array_equal(alone, without_small(plain, 4, region))
    card = Card.from_json({**Card("segresnet", {}), **dict.fromkeys(keys.values(), 4)})
    np.testing.assert_array_equal(decide(probabilities, brain, head, card), expected)
    assert all((without_small(plain, 4, region) != plain).any() for region in keys)
