"""The early-fusion network gives features where they are wanted, and the same logits either way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from MissingModalityLib.networks.segresnet import EarlyFusionSegResNet

OPTIONS = [
    {"filters": 8, "blocks": (1, 1)},
    {"filters": 8, "blocks": (1, 2, 2, 4), "head": "classes", "flags": False},
    {"filters": 8, "blocks": (2, 1, 1), "dropout": 0.5},
]
AVAILABLE = torch.tensor([[True, False, True, True], [False, True, False, False]])


def a_network(options: dict) -> EarlyFusionSegResNet:
    torch.manual_seed(0)
    return EarlyFusionSegResNet(**options)


def image() -> Tensor:
    return torch.randn(2, 4, 16, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_logits_with_features_are_those_of_the_body(options, training):
    network = a_network(options).train(training)
    seen = []
    handle = network.body.convInit.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    torch.manual_seed(2)
    output = network(image(), AVAILABLE, features=True)
    handle.remove()
    torch.manual_seed(2)  # the same dropout
    assert torch.equal(output.logits, network.body(seen[0]))


@pytest.mark.parametrize("options", OPTIONS)
def test_every_level_has_its_feature(options):
    network, levels = a_network(options).train(), len(options["blocks"])
    output = network(image(), AVAILABLE, features=True)
    names = [f"fused/{levels}", *(f"decoder/{level}" for level in range(levels - 1, 0, -1))]
    assert list(output.features) == names
    for name, x in output.features.items():
        factor = 2 ** (int(name.split("/")[1]) - 1)
        assert x.shape == (2, 8 * factor, *(16 // factor,) * 3)
        assert x.requires_grad


def test_features_have_the_same_scale_whatever_the_weights():
    network = a_network(OPTIONS[1])
    with torch.no_grad():
        for parameter in network.body.convInit.parameters():
            parameter.mul_(50)
        for x in network(image(), AVAILABLE, features=True).features.values():
            assert 0.5 < x.square().mean() < 1.01


@pytest.mark.parametrize("training", [False, True])
def test_no_features_unless_asked(training):
    network = a_network(OPTIONS[0]).train(training)
    plain, asked = network(image(), AVAILABLE), network(image(), AVAILABLE, features=True)
    assert not plain.features and len(asked.features) == 2
    assert torch.equal(plain.logits, asked.logits)


def test_every_parameter_learns():
    network = a_network(OPTIONS[1]).train()
    network(image(), AVAILABLE).logits.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
