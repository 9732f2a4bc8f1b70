"""Losses equal the published code's numbers, and which terms an output is trained with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods.losses import (
    dice_loss,
    one_hot,
    region_target,
    segmentation_loss,
    weighted_cross_entropy,
)
from MissingModalityLib.networks.output import Output

CASES = ("hard_b2", "class3_absent_clamped", "soft_target", "five_class")
NAMES = {"softmax_weighted_loss": weighted_cross_entropy, "dice_loss": dice_loss}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_equal_the_published_loss(golden, case, name):
    data = np.load(golden("rfnet_losses"))
    probabilities = torch.from_numpy(data[f"in/{case}/output"]).double().requires_grad_()
    target = torch.from_numpy(data[f"in/{case}/target"]).double()
    value = NAMES[name](probabilities, target)
    value.backward()
    np.testing.assert_allclose(value.item(), data[f"{case}/{name}@f64"], rtol=1e-6)
    np.testing.assert_allclose(probabilities.grad, data[f"{case}/grad_{name}"], rtol=1e-5, atol=1e-9)
    single = NAMES[name](probabilities.detach().float(), target.float())
    np.testing.assert_allclose(single.item(), data[f"{case}/{name}"], rtol=1e-5)


def labels(batch: int = 2, side: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 4, (batch, side, side, side), generator=generator, dtype=torch.uint8)


def logits(batch: int = 2, channels: int = 4, side: int = 8, seed: int = 4) -> torch.Tensor:
    return torch.randn(batch, channels, side, side, side, generator=torch.Generator().manual_seed(seed))


def test_one_hot_marks_each_voxel_once():
    target = labels()
    marked = one_hot(target, 4, torch.float32)
    assert torch.equal(marked.sum(1), torch.ones(target.shape))
    assert torch.equal(marked.argmax(1).to(torch.uint8), target)


def test_regions_are_nested():
    whole, core, enhancing = region_target(labels(), torch.float32).unbind(1)
    assert (whole >= core).all() and (core >= enhancing).all()
    assert whole.sum() == (labels() > 0).sum()


@pytest.mark.parametrize(
    ("head", "channels", "names"),
    [("classes", 4, {"dice", "ce"}), ("regions", 3, {"dice", "bce"}), ("sigmoids", 4, {"dice", "bce"})],
)
def test_logits_alone_give_dice_and_entropy(head, channels, names):
    target = labels()
    terms = segmentation_loss(Output(logits(channels=channels)), target, head)
    assert set(terms) == names | {"total"}
    assert torch.isclose(terms["total"], sum(terms[name] for name in names))
    truth = region_target(target, torch.float32) if channels == 3 else one_hot(target, 4, torch.float32)
    assert segmentation_loss(Output(30 * truth - 15), target, head)["total"] < 1e-3 < terms["total"]


def test_sigmoids_count_background_and_square_the_denominator():
    terms = segmentation_loss(Output(logits()), labels(), "sigmoids")
    predicted, target = logits().sigmoid(), one_hot(labels(), 4, torch.float32)
    sizes = (predicted.square() + target.square()).sum((0, 2, 3, 4))
    dice = 2 * (predicted * target).sum((0, 2, 3, 4)) / sizes
    assert torch.isclose(terms["dice"], 1 - dice.mean(), atol=1e-6)


@pytest.mark.parametrize(("head", "channels"), [("classes", 4), ("regions", 3), ("sigmoids", 4)])
def test_presence_is_scored_by_what_each_crop_holds(head, channels):
    target = labels()
    target[0][target[0] == 2] = 0
    told = torch.tensor([[0.9, 0.2, 0.8], [0.7, 0.6, 0.5]])
    terms = segmentation_loss(Output(logits(channels=channels), presence=told), target, head)
    right = torch.tensor([[0.9, 0.8, 0.8], [0.7, 0.6, 0.5]])
    assert torch.isclose(terms["presence"], -right.log().mean())
    assert torch.isclose(terms.pop("total"), sum(terms.values()))


def test_unknown_head_is_refused():
    with pytest.raises(OptionError, match="softmax"):
        segmentation_loss(Output(logits()), labels(), "softmax")


def features(rows: int = 2) -> dict[str, torch.Tensor]:
    return {
        **{f"separate/{name}": logits(seed=seed) for seed, name in enumerate(("FLAIR", "T1CE", "T1"), 5)},
        "separate/T2": logits(rows, seed=9),
        **{f"regions/{level}": logits(seed=level).softmax(1) for level in (1, 2, 3, 4)},
    }


def test_total_is_the_sum_of_fused_separate_and_region_terms():
    terms = segmentation_loss(Output(logits(), features()), labels(), "classes", fused_weight=0.25)
    assert torch.isclose(terms.pop("total"), sum(terms.values())) and len(terms) == 6
    target = one_hot(labels(), 4, torch.float32)
    assert torch.isclose(terms["fused_dice"], 0.25 * dice_loss(logits().softmax(1), target))
    by_hand = sum(
        dice_loss(value.softmax(1), target) for name, value in features().items() if "separate" in name
    )
    assert torch.isclose(terms["separate_dice"], by_hand)


def test_a_modality_of_one_sample_is_scored_against_that_sample_only():
    present = torch.tensor([[True, True, True, False], [True, True, True, True]])
    output = Output(logits(), features(rows=1))
    terms = segmentation_loss(output, labels(), "classes", present=present)
    target = one_hot(labels(), 4, torch.float32)
    everywhere = [features()[f"separate/{name}"].softmax(1) for name in ("FLAIR", "T1CE", "T1")]
    by_hand = sum(weighted_cross_entropy(maps, target) for maps in everywhere)
    by_hand = by_hand + weighted_cross_entropy(logits(1, seed=9).softmax(1), target[1:]) / 2
    assert torch.isclose(terms["separate_ce"], by_hand)


def test_present_must_match_what_the_network_decoded():
    with pytest.raises(OptionError, match="T2"):
        segmentation_loss(Output(logits(), features(rows=1)), labels(), "classes")
    absent = torch.tensor([[True, True, True, False]] * 2)
    with pytest.raises(OptionError, match="T2"):
        segmentation_loss(Output(logits(), features()), labels(), "classes", present=absent)


def test_half_precision_output_gives_a_finite_single_precision_loss():
    large = Output(logits(1, side=48).half(), {"regions/1": logits(1, side=48).softmax(1).half()})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = segmentation_loss(large, labels(1, 48), "classes")
    assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())
