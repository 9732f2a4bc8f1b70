"""Losses equal the published code's numbers, and which terms an output is trained with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.methods.plain import channel_losses, plain_loss
from MissingModalityLib.methods.region_aware import region_aware_loss
from MissingModalityLib.methods.voxel_losses import (
    RFNET_DICE_EPSILON,
    smooth_dice_loss,
    weighted_cross_entropy,
)
from MissingModalityLib.networks import build
from MissingModalityLib.networks.head import one_hot, region_target
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.output import Feature, Kind, Output

CLASSES = HEADS["classes"]
CASES = ("hard_b2", "class3_absent_clamped", "soft_target", "five_class")


def dice_loss(probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """RFNet's."""
    return smooth_dice_loss(probabilities, target, above=0.0, below=RFNET_DICE_EPSILON)


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
    terms = plain_loss(Output(logits(channels=channels)), target, HEADS[head])
    assert set(terms) == names
    truth = region_target(target, torch.float32) if channels == 3 else one_hot(target, 4, torch.float32)
    right = plain_loss(Output(30 * truth - 15), target, HEADS[head])
    assert sum(right.values()) < 1e-3 < sum(terms.values())


def test_sigmoids_count_background_and_square_the_denominator():
    terms = plain_loss(Output(logits()), labels(), HEADS["sigmoids"])
    predicted, target = logits().sigmoid(), one_hot(labels(), 4, torch.float32)
    sizes = (predicted.square() + target.square()).sum((0, 2, 3, 4))
    dice = 2 * (predicted * target).sum((0, 2, 3, 4)) / sizes
    assert torch.isclose(terms["dice"], 1 - dice.mean(), atol=1e-6)


@pytest.mark.parametrize(("head", "channels"), [("classes", 4), ("regions", 3), ("sigmoids", 4)])
def test_presence_is_scored_by_what_each_crop_holds(head, channels):
    target = labels()
    target[0][target[0] == 2] = 0
    told = torch.tensor([[0.9, 0.2, 0.8], [0.7, 0.6, 0.5]])
    terms = plain_loss(Output(logits(channels=channels), presence=told), target, HEADS[head])
    right = torch.tensor([[0.9, 0.8, 0.8], [0.7, 0.6, 0.5]])
    assert torch.isclose(terms["presence"], -right.log().mean())


@pytest.mark.parametrize(("name", "options"), [("rfnet", {"width": 4}), ("adamm", {"width": 8})])
def test_the_network_names_its_loss_and_what_that_reads(name, options):
    torch.manual_seed(0)
    network = build(name, **options).train()
    available = torch.ones(1, 4, dtype=torch.bool)
    output = network(torch.randn(1, 4, 16, 16, 16), available, None, network.loss_features)
    assert {feature.kind for feature in output.features} == set(network.loss_features)
    terms = segmentation_loss(network, output, labels(1, 16))
    assert any(name.startswith("region") for name in terms) is (name == "rfnet")
    total = terms.pop("total")
    assert torch.isclose(total, sum(terms.values()))


def test_features_that_are_called_like_regions_do_not_choose_the_loss():
    network = build("segresnet", width=8, blocks=(1, 1))
    output = Output(logits(channels=3), {Feature(Kind.REGIONS, 1): logits(channels=3)})
    assert set(segmentation_loss(network, output, labels())) == {"dice", "bce", "total"}


def test_an_unknown_loss_is_refused_by_name():
    network = build("segresnet", width=8, blocks=(1, 1))
    network.loss = "focal"
    with pytest.raises(OptionError, match=r"'focal'.*plain, region_aware"):
        segmentation_loss(network, Output(logits(channels=3)), labels())


def features(rows: int = 2) -> dict[Feature, torch.Tensor]:
    counts = {Modality.FLAIR: 2, Modality.T1CE: 2, Modality.T1: 2, Modality.T2: rows}
    return {
        **{separate(m): logits(counts[m], seed=5 + number) for number, m in enumerate(Modality)},
        **{Feature(Kind.REGIONS, level): logits(seed=level).softmax(1) for level in (1, 2, 3, 4)},
    }


def separate(modality: Modality) -> Feature:
    return Feature(Kind.SEPARATE, modality=modality)


def test_total_is_the_sum_of_fused_separate_and_region_terms():
    terms = region_aware_loss(Output(logits(), features()), labels(), CLASSES, fused_weight=0.25)
    assert len(terms) == 6
    target = one_hot(labels(), 4, torch.float32)
    assert torch.isclose(terms["fused_dice"], 0.25 * dice_loss(logits().softmax(1), target))
    by_hand = sum(
        dice_loss(value.softmax(1), target)
        for feature, value in features().items()
        if feature.kind == Kind.SEPARATE
    )
    assert torch.isclose(terms["separate_dice"], by_hand)


def test_a_modality_of_one_sample_is_scored_against_that_sample_only():
    present = torch.tensor([[True, True, True, False], [True, True, True, True]])
    output = Output(logits(), features(rows=1))
    terms = region_aware_loss(output, labels(), CLASSES, present)
    target = one_hot(labels(), 4, torch.float32)
    everywhere = [features()[separate(m)].softmax(1) for m in Modality if m is not Modality.T2]
    by_hand = sum(weighted_cross_entropy(maps, target) for maps in everywhere)
    by_hand = by_hand + weighted_cross_entropy(logits(1, seed=8).softmax(1), target[1:]) / 2
    assert torch.isclose(terms["separate_ce"], by_hand)


def test_present_must_match_what_the_network_decoded():
    with pytest.raises(OptionError, match="T2"):
        region_aware_loss(Output(logits(), features(rows=1)), labels(), CLASSES)
    absent = torch.tensor([[True, True, True, False]] * 2)
    with pytest.raises(OptionError, match="T2"):
        region_aware_loss(Output(logits(), features()), labels(), CLASSES, absent)


def test_half_precision_output_gives_a_finite_single_precision_loss():
    maps = {Feature(Kind.REGIONS, 1): logits(1, side=48).softmax(1).half()}
    large = Output(logits(1, side=48).half(), maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = region_aware_loss(large, labels(1, 48), CLASSES)
        terms |= plain_loss(large, labels(1, 48), CLASSES)
    assert all(term.dtype == torch.float32 and term.isfinite() for term in terms.values())


def test_gradients_of_logits_are_added_up_probabilities_last() -> None:
    """The order decides the last digit where there are more uses, and runs that began earlier go on by it."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn((1, 4, 8, 8, 8), generator=generator)
    classes = torch.randint(0, 4, (1, 8, 8, 8), generator=generator)
    gradients = []
    for by_hand in (True, False):
        logits = values.clone().requires_grad_()
        target = one_hot(classes, 4, torch.float32)
        if by_hand:
            probabilities = logits.sigmoid()
            entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
            dice = smooth_dice_loss(probabilities, target, squared=True)
        else:
            channels, entropy = channel_losses(logits, classes, HEADS["sigmoids"])
            dice = channels.mean()
        (dice + entropy + logits.square().mean() + logits.exp().mean()).backward()
        gradients.append(logits.grad)
    assert torch.equal(*gradients)


def test_sums_over_voxels_are_never_taken_in_half_precision():
    predicted, target = logits(side=16).softmax(1), one_hot(labels(side=16), 4, torch.float32)
    for loss in (weighted_cross_entropy, dice_loss):
        expected = loss(predicted, target)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(loss(predicted, target), expected)
