"""Voxels that are ignored change neither a loss nor a gradient, whatever the network says there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from MissingModalityLib.core.labels import TumorClass
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.methods.ignored import without_ignored
from MissingModalityLib.methods.plain import channel_losses, plain_loss
from MissingModalityLib.methods.region_aware import region_aware_loss
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.output import Feature, Kind, Output

SIDE = 8
SHAPE = (2, SIDE, SIDE, SIDE)


def batch() -> dict[str, Tensor]:
    """Labels of all classes, and in each sample a block that is ignored; the first lacks T1ce and T2."""
    torch.manual_seed(1)
    ignored = torch.zeros(SHAPE, dtype=torch.bool)
    ignored[0, 2:6, 2:6, 2:6] = ignored[1, 3:7, 1:5, 2:6] = True
    label = torch.randint(0, len(TumorClass), SHAPE, dtype=torch.uint8).masked_fill(ignored, 0)
    return {"label": label, "ignored": ignored, "present": torch.tensor([[True, False] * 2, [True] * 4])}


def outputs(head: str, seed: int, ignored: Tensor) -> Output:
    """Random logits and features; those of different seeds differ in ignored voxels alone."""
    channels = HEADS[head].channels

    def random(rows: int, side: int, mask: Tensor) -> Tensor:
        torch.manual_seed(0)
        x = torch.randn(rows, channels, side, side, side)
        torch.manual_seed(seed)
        return torch.where(mask[:, None], torch.randn_like(x), x)

    deep = ignored[:, 1::2, 1::2, 1::2]
    features = {
        Feature(Kind.DEEP, 2): random(2, SIDE // 2, deep),
        Feature(Kind.REGIONS, 1): random(2, SIDE, ignored).softmax(1),
        Feature(Kind.SEPARATE, modality=Modality.FLAIR): random(2, SIDE, ignored),
        Feature(Kind.SEPARATE, modality=Modality.T1CE): random(1, SIDE, ignored[1:]),
        Feature(Kind.SEPARATE, modality=Modality.T1): random(2, SIDE, ignored),
        Feature(Kind.SEPARATE, modality=Modality.T2): random(1, SIDE, ignored[1:]),
    }
    return Output(random(2, SIDE, ignored).requires_grad_(), features)


def losses(head: str, output: Output, data: dict[str, Tensor]) -> dict[str, Tensor]:
    settled, own = without_ignored(output, data, HEADS[head]), HEADS[head]
    terms = dict(plain_loss(settled, data["label"], own))
    dice, entropy = channel_losses(settled.logits, data["label"], own)
    terms |= {"channels": dice.sum(), "entropy": entropy}
    if head == "classes":
        terms |= region_aware_loss(settled, data["label"], own, data["present"])
    return terms


@pytest.mark.parametrize("head", HEADS)
def test_what_is_said_in_ignored_voxels_changes_no_term_and_gets_no_gradient(head: str) -> None:
    data = batch()
    first, second = (outputs(head, seed, data["ignored"]) for seed in (2, 3))
    assert not torch.equal(first.logits, second.logits)
    one, other = losses(head, first, data), losses(head, second, data)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    sum(one.values()).backward()
    gradient = first.logits.grad.abs().sum(1)
    assert not gradient[data["ignored"]].any() and gradient[~data["ignored"]].all()


@pytest.mark.parametrize("head", HEADS)
def test_ignored_voxels_cost_next_to_nothing(head: str) -> None:
    data = {**batch(), "label": torch.zeros(SHAPE, dtype=torch.uint8), "ignored": torch.ones(SHAPE).bool()}
    settled = without_ignored(outputs(head, 2, data["ignored"]), data, HEADS[head])
    _, entropy = channel_losses(settled.logits, data["label"], HEADS[head])
    assert 0 <= entropy < 1e-4


def test_without_ignored_voxels_the_output_is_the_same_object() -> None:
    data = batch()
    output = outputs("classes", 2, data["ignored"])
    del data["ignored"]
    assert without_ignored(output, data, HEADS["classes"]) is output
