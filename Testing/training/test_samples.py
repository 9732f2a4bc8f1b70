"""Training samples: crops, subsets, replay, shares of a batch."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import SUBSETS, Modality, subset_of
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import CachedCase, cache_case
from MissingModalityLib.training import samples
from MissingModalityLib.training.samples import PatchDataset, choose_patch, steps_of_rank
from MissingModalityLib.training.settings import Settings
from MissingModalityLib.training.subset_weights import subset_weights
from MissingModalityLib.training.validation import validate
from small_networks import small_network


@pytest.fixture
def cached(tiny_cases: Path, tmp_path: Path) -> dict:
    found = find_cases(tiny_cases).cases
    return {case.name: cache_case(case, tmp_path / "prepared") for case in found if case.label}


def test_subsets_are_drawn_evenly_from_what_a_case_has(cached: dict) -> None:
    random = np.random.default_rng(0)
    for name, expected in (
        ("patient_a", set(SUBSETS)),
        (
            "patient_c",
            {(Modality.FLAIR,), (Modality.T1CE,), (Modality.FLAIR, Modality.T1CE)},
        ),
    ):
        case = cached[name]
        drawn = Counter(
            choose_patch(case, Settings(patch_size=(16, 16, 16)), random).subset for _ in range(1500)
        )
        assert set(drawn) == expected
        assert max(drawn.values()) < 1.5 * 1500 / len(expected)


def test_foreground_crops_hold_tumor_and_stay_in_the_brain(cached: dict) -> None:
    case, random = cached["patient_a"], np.random.default_rng(0)
    settings = Settings(patch_size=(8, 8, 8), oversample_foreground=1.0)
    for _ in range(50):
        start = choose_patch(case, settings, random).start
        assert all(0 <= s <= side - 8 for s, side in zip(start, case.shape, strict=True))
        assert case.crop(start, (8, 8, 8))[1].any()


def test_crops_lie_around_every_class_of_the_tumor(cached: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([(1, 1, 1, 1), *[(2, 16, 1, 1)] * 50, (3, 1, 18, 18)])
    monkeypatch.setattr(CachedCase, "tumor_voxels", lambda case: rows)
    case, random = cached["patient_a"], np.random.default_rng(0)
    settings, held = Settings(patch_size=(8, 8, 8), oversample_foreground=1.0), Counter()
    for _ in range(300):
        start = np.array(choose_patch(case, settings, random).start)
        inside = ((rows[:, 1:] >= start) & (rows[:, 1:] < start + 8)).all(axis=1)
        held.update(set(rows[inside, 0].tolist()))
        assert (start >= 0).all() and (start + 8 <= case.shape).all(), "at the brain's border too"
    assert set(held) == {1, 2, 3} and held.total() == 300
    assert min(held.values()) > 60, "whatever the sizes of the classes"


def test_a_crop_anywhere_does_not_read_the_tumor(cached: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CachedCase, "tumor_voxels", lambda case: pytest.fail("was read"))
    choose_patch(cached["patient_a"], Settings(patch_size=(16, 16, 16)), np.random.default_rng(0))


def test_an_epoch_visits_every_case_equally_often_in_an_order_of_its_own(cached: dict) -> None:
    cases = list(cached.values())
    settings = Settings(patch_size=(16, 16, 16), iterations_per_epoch=len(cases) * 4, batch_size=1)
    orders = [PatchDataset(cases, settings, seed=(0,), epoch=epoch).order.tolist() for epoch in range(4)]
    assert all(Counter(order) == dict.fromkeys(range(len(cases)), 4) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_over_the_epochs_no_case_is_seen_twice_more_than_another() -> None:
    cases, settings = [None] * 7, Settings(iterations_per_epoch=5, batch_size=1)
    seen: Counter[int] = Counter()
    for epoch in range(20):
        order = PatchDataset(cases, settings, seed=(3, 0), epoch=epoch).order
        assert len(order) == 5
        seen.update(order.tolist())
        assert max(seen.values()) - min(seen.get(case, 0) for case in range(7)) <= 1


def test_cases_of_earlier_runs_come_in_their_order() -> None:
    settings = Settings(iterations_per_epoch=5, batch_size=2, case_order="per-epoch")
    order = PatchDataset([None] * 7, settings, seed=(3, 0), epoch=4).order
    random = np.random.default_rng((3, 0, 4))
    assert order.tolist() == [*random.permutation(7), *random.permutation(7)]


def test_a_crop_larger_than_the_brain_holds_all_of_it(cached: dict) -> None:
    case, random = cached["patient_a"], np.random.default_rng(0)
    for foreground in (0.0, 1.0):
        settings = Settings(patch_size=(40, 40, 40), oversample_foreground=foreground)
        for _ in range(10):
            start = choose_patch(case, settings, random).start
            assert all(s <= 0 and s + 40 >= side for s, side in zip(start, case.shape, strict=True))


def test_a_crop_anywhere_lies_in_every_place_alike(cached: dict) -> None:
    case, random = cached["patient_a"], np.random.default_rng(0)
    settings = Settings(patch_size=tuple(side - 1 for side in case.shape))
    starts = np.array([choose_patch(case, settings, random).start for _ in range(100)])
    for along in starts.T:
        assert set(along) == {0, 1} and 30 < along.sum() < 70


def test_samples_can_be_replayed_and_keep_missing_channels_empty(cached: dict) -> None:
    settings = Settings(patch_size=(16, 16, 16), iterations_per_epoch=4, batch_size=1, augmentation="strong")
    cases = list(cached.values())
    first, again = (PatchDataset(cases, settings, seed=(5,), epoch=2) for _ in range(2))
    other = PatchDataset(cases, settings, seed=(5,), epoch=3)
    for index in range(4):
        sample, twin = first[index], again[index]
        for key, value in sample.items():
            if key == "augmentation":
                assert value and value.keys() == twin[key].keys()
                for name, drawn in value.items():
                    np.testing.assert_array_equal(drawn, twin[key][name], name)
                continue
            np.testing.assert_array_equal(value, twin[key])
        assert sample["image"].shape == (4, 16, 16, 16) and sample["image"].dtype == np.float32
        assert not sample["image"][~sample["present"]].any()
        assert set(subset_of(sample["available"])) <= set(subset_of(sample["present"]))
    assert any(not np.array_equal(first[i]["image"], other[i]["image"]) for i in range(4))


def test_the_order_of_cases_and_the_first_sample_are_drawn_apart(cached: dict) -> None:
    cases = list(cached.values())
    settings = Settings(patch_size=(16, 16, 16), iterations_per_epoch=8, batch_size=1)
    drawn = []

    def choose(case: CachedCase, settings: Settings, random: np.random.Generator):
        drawn.append(random.bit_generator.state["state"])
        return choose_patch(case, settings, random)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(samples, "choose_patch", choose)
        for seed, epoch in ((0, 0), (5, 2)):
            whole = PatchDataset(cases, settings, seed=(seed, 1), epoch=epoch)
            for index in range(len(whole)):
                whole[index]
            drawn.append(np.random.default_rng((seed, 1, epoch)).bit_generator.state["state"])
    assert len({str(state) for state in drawn}) == len(drawn) == 2 * (8 + 1)


def test_validation_scores_what_the_exported_student_predicts(cached: dict) -> None:
    network = small_network("segresnet")
    last = network.body.conv_final[-1].conv
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 10)  # everything is tumor, in the air around the brain too
    case = cached["patient_a"]
    brain, tumor = case.load().brain, case.load().label > 0
    scores = validate(network, [case], SUBSETS[-1:], (16, 16, 16), torch.device("cpu"))
    assert not brain.all()
    expected = 2 * (brain & tumor).sum() / (brain.sum() + tumor.sum())
    assert scores["FLAIR+T1ce+T1+T2 WT"] == pytest.approx(expected, rel=1e-6)
    mean = scores.pop("mean")
    assert mean == pytest.approx(np.mean(list(scores.values()))) and len(set(scores.values())) == 3


def test_a_teacher_sees_one_modality_more_where_the_case_has_one(cached: dict) -> None:
    case, random, drawn = cached["patient_c"], np.random.default_rng(0), Counter()
    for _ in range(200):
        choice = choose_patch(case, Settings(patch_size=(16, 16, 16)), random)
        drawn[choice.subset, choice.teacher] += 1
    flair, t1ce, both = (Modality.FLAIR,), (Modality.T1CE,), (Modality.FLAIR, Modality.T1CE)
    assert set(drawn) == {(flair, both), (t1ce, both), (both, both)}


def test_a_teachers_modality_may_be_any_that_the_student_lacks(cached: dict) -> None:
    case, random, number = cached["patient_a"], np.random.default_rng(0), 6000
    settings = Settings(patch_size=(16, 16, 16))
    drawn = Counter()
    for _ in range(number):
        choice = choose_patch(case, settings, random)
        drawn[choice.subset, choice.teacher] += 1
    for (subset, teacher), count in drawn.items():
        assert set(subset) <= set(teacher) and len(teacher) == min(4, len(subset) + 1)
        expected = number / (15 * max(1, 4 - len(subset)))
        assert 0.6 * expected < count < 1.5 * expected
    assert len(drawn) == 4 * 3 + 6 * 2 + 4 + 1


def test_training_for_one_subset_draws_nothing_else(cached: dict) -> None:
    settings, random = Settings(patch_size=(16, 16, 16), training_subsets=("T1",)), np.random.default_rng(0)
    case = cached["patient_a"]
    drawn = {choose_patch(case, settings, random).subset for _ in range(20)}
    assert drawn == {(Modality.T1,)}


def drawn_subsets(case: CachedCase, number: int, **changes: object) -> Counter:
    settings, random = Settings(patch_size=(16, 16, 16), **changes), np.random.default_rng(0)
    return Counter(choose_patch(case, settings, random).subset for _ in range(number))


def test_subsets_are_drawn_in_proportion_to_their_weights(cached: dict) -> None:
    number = 4000
    drawn = drawn_subsets(cached["patient_a"], number, subset_weights="flair+t1ce+t1+t2=4, T1ce+FLAIR=0.5")
    for subset in SUBSETS:
        weight = {4: 4.0}.get(len(subset), 0.5 if subset == (Modality.FLAIR, Modality.T1CE) else 1.0)
        assert 0.7 * weight < drawn[subset] * (13 + 4 + 0.5) / number < 1.3 * weight


def test_weights_hold_among_the_subsets_that_a_case_and_the_settings_allow(cached: dict) -> None:
    changes = {"subset_weights": "T1ce=2", "training_subsets": "FLAIR,T1ce,T2"}
    drawn = drawn_subsets(cached["patient_c"], 1200, **changes)
    assert set(drawn) == {(Modality.FLAIR,), (Modality.T1CE,)}
    assert 1.7 < drawn[(Modality.T1CE,)] / drawn[(Modality.FLAIR,)] < 2.3


def test_clinical_weights_prefer_all_four_and_both_contrasts() -> None:
    weights = subset_weights(("clinical",))
    ordered = [(Modality.T1CE,), (Modality.FLAIR, Modality.T1CE), SUBSETS[-1]]
    assert [weights[subset] for subset in ordered] == [1, 2, 4]
    assert weights[(Modality.FLAIR, Modality.T2)] == weights[(Modality.T1CE, Modality.T1)] == 1


def test_equal_weights_draw_what_a_run_without_weights_draws(cached: dict) -> None:
    case = cached["patient_a"]
    settings = [Settings(patch_size=(16, 16, 16), subset_weights=x) for x in ("uniform", "T1=1,T2=1")]
    for index in range(20):
        choices = [choose_patch(case, item, np.random.default_rng(index)) for item in settings]
        plain = np.random.default_rng(index)
        plain.random()
        plain.integers(np.zeros(3), np.array(case.shape) - 16 + 1)
        assert choices[0] == choices[1]
        assert choices[0].subset == SUBSETS[plain.integers(len(SUBSETS))], "to the bit as before weights"


@pytest.mark.parametrize(
    "text",
    ["often", "uniform,clinical", "T7=2", "T1", "T1=0", "T1=-1", "T1=nan", "T1=inf", "T1=2,t1=3", "none"],
)
def test_weights_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match="subset_weights"):
        Settings(subset_weights=text)


def test_the_first_epochs_show_all_that_a_case_has_and_change_no_other_draw(cached: dict) -> None:
    cases = list(cached.values())
    plain = Settings(patch_size=(16, 16, 16), iterations_per_epoch=8, batch_size=1, augmentation="strong")
    warm = replace(plain, all_modalities_epochs=2)
    for epoch, all_shown in ((0, True), (1, True), (2, False)):
        shown, drawn = (PatchDataset(cases, s, seed=(1,), epoch=epoch) for s in (warm, plain))
        for index in range(8):
            sample, other = shown[index], drawn[index]
            expected = other["present"] if all_shown else other["available"]
            np.testing.assert_array_equal(sample["available"], expected)
            assert (sample["teacher"] >= sample["available"]).all()
            np.testing.assert_array_equal(sample["image"], other["image"])
            np.testing.assert_equal(sample["augmentation"], other["augmentation"])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_shares_of_all_processes_are_the_batch(world: int) -> None:
    settings = Settings(batch_size=6, iterations_per_epoch=4)
    shares = [list(steps_of_rank(settings, rank, world)) for rank in range(world)]
    for step, whole in enumerate(steps_of_rank(settings, 0, 1)):
        assert [index for share in shares for index in share[step]] == list(whole)
