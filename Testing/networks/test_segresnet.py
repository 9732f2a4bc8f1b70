"""The early-fusion network gives features where they are wanted, and the same logits either way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from features import named
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.inference.sliding_window import apply_presence_gate, infer
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.networks import build
from MissingModalityLib.networks.output import PRESENCE
from MissingModalityLib.networks.segresnet import EarlyFusionSegResNet
from MissingModalityLib.networks.space import depth_to_space, space_to_depth

OPTIONS = [
    {"width": 8, "blocks": (1, 1)},
    {"width": 8, "blocks": (1, 2, 2, 4), "head": "classes", "availability_channels": False},
    {"width": 8, "blocks": (2, 1, 1), "dropout": 0.5},
]
AVAILABLE = torch.tensor([[True, False, True, True], [False, True, False, False]])


def a_network(options: dict) -> EarlyFusionSegResNet:
    torch.manual_seed(0)
    return build("segresnet", **options)


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
    assert torch.equal(output.logits, depth_to_space(network.body(seen[0]), network.side))


@pytest.mark.parametrize("options", OPTIONS)
def test_every_level_has_its_feature(options):
    network, levels = a_network(options).train(), len(options["blocks"])
    output = network(image(), AVAILABLE, features=True)
    names = [f"fused/{levels}", *(f"decoder/{level}" for level in range(levels - 1, 0, -1))]
    assert list(named(output.features)) == names
    for name, x in named(output.features).items():
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


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("head", ["regions", "classes"])
def test_a_new_network_takes_nearly_all_for_background(head, side):
    network = a_network({"width": 8, "blocks": (1, 1), "head": head, "space_to_depth": side})
    logits = network(image(), AVAILABLE).logits
    tumor = logits.sigmoid() if head == "regions" else logits.softmax(1)[:, 1:].sum(1)
    assert 0.001 < tumor.mean() < 0.1


@pytest.mark.parametrize("side", [2, 3, 4])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_channels_side_by_side_become_the_same_voxels_with_the_same_gradient(side, kind):
    channels = torch.randn(2, 3 * side**3, 2, 3, 4, dtype=kind)
    beside = channels.to(memory_format=torch.channels_last_3d).requires_grad_()
    volume = depth_to_space(beside, side)
    assert torch.equal(volume, depth_to_space(channels, side))
    given = torch.randn(volume.shape).to(kind)
    volume.backward(given)
    assert torch.equal(beside.grad, space_to_depth(given, side))


@pytest.mark.parametrize("side", [1, 2, 3])
def test_space_to_depth_keeps_every_voxel_and_can_be_undone(side):
    volume = torch.randn(2, 3, 6, 12, 18)
    channels = space_to_depth(volume, side)
    assert channels.shape == (2, 3 * side**3, 6 // side, 12 // side, 18 // side)
    assert torch.equal(depth_to_space(channels, side), volume)
    block = volume[1, 2, :side, side : 2 * side, :side].flatten()
    assert torch.equal(channels[1, 2 * side**3 :, 0, 1, 0], block)


@pytest.mark.parametrize("head", ["classes", "regions"])
def test_space_to_depth_sees_and_tells_single_voxels(head):
    network = a_network({"width": 8, "blocks": (1, 1), "head": head, "space_to_depth": 2})
    assert network.divisor == 4 and network.body.convInit.conv.in_channels == 4 * (8 + 1)
    logits = network.eval()(image(), AVAILABLE).logits
    assert logits.shape == (2, 4 if head == "classes" else 3, 16, 16, 16)
    spoiled = image().masked_fill(~AVAILABLE[:, :, None, None, None], float("nan"))
    assert torch.equal(network(spoiled, AVAILABLE).logits, logits)
    changed = image()
    changed[0, 0, 5, 5, 5] += 1
    assert not torch.equal(network(changed, AVAILABLE).logits[0], logits[0])
    observed = network(image(), AVAILABLE, features=True)
    assert torch.equal(observed.logits, logits)
    assert named(observed.features)["decoder/1"].shape == (2, 8, 8, 8, 8)


@pytest.mark.parametrize("side", [0, 1.5, True])
def test_a_side_that_is_no_whole_number_is_refused(side):
    with pytest.raises(OptionError, match=r"network\.space_to_depth="):
        build("segresnet", space_to_depth=side)


DEEP = {"width": 8, "blocks": (1, 1, 1, 1), "deep_supervision": True}


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("head", ["regions", "classes", "sigmoids"])
def test_deep_supervision_gives_logits_between_the_coarsest_and_the_finest_level(side, head):
    network = a_network({**DEEP, "head": head, "space_to_depth": side}).train()
    output = network(image(), AVAILABLE, features=network.loss_features)
    assert list(named(output.features)) == ["deep/2", "deep/3"]
    for level, x in zip((2, 3), output.features.values(), strict=True):
        assert x.shape == (2, network.head.channels, *(16 // (side * 2 ** (level - 1)),) * 3)
        target = network.head.target(torch.zeros(2, *x.shape[2:], dtype=torch.uint8), x.dtype)
        assert (network.head.probabilities(x) - target).abs().mean() < 0.1, "nearly all is background"
    terms = segmentation_loss(network, output, torch.ones(2, 16, 16, 16, dtype=torch.uint8))
    terms["total"].backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_options_that_are_off_leave_weights_as_they_were():
    plain = a_network({**DEEP, "deep_supervision": False})
    assert set(plain.state_dict()) == {f"body.{name}" for name in plain.body.state_dict()}
    assert not plain.loss_features and not plain.distillable_features
    full = a_network({**DEEP, "presence": True})
    assert all(torch.equal(x, full.state_dict()[name]) for name, x in plain.state_dict().items())
    assert torch.equal(plain(image(), AVAILABLE).logits, full(image(), AVAILABLE).logits)


@pytest.mark.parametrize("training", [False, True])
def test_coarser_logits_are_computed_only_where_they_are_asked_for(training):
    network = a_network(DEEP).train(training)
    network.deep.register_forward_pre_hook(lambda *_: pytest.fail("was computed"))
    for features in (False, ("fused",), ("decoder",)):
        network(image(), AVAILABLE, features=features)


def test_deep_supervision_needs_a_level_between():
    with pytest.raises(OptionError, match=r"deep_supervision=True.*blocks=1,1 has 2"):
        a_network({**DEEP, "blocks": (1, 1)})


def test_presence_notices_a_few_bright_voxels_and_no_missing_channel():
    network = a_network({"width": 8, "blocks": (1, 1, 1), "presence": True}).eval()
    assert network.distillable_features == (PRESENCE,)
    crop = torch.zeros(2, 4, 16, 16, 16)
    crop[0, 0, 4:6, 4:6, 4:6] = 5
    with torch.no_grad():
        told = network(crop, AVAILABLE).presence
        assert told.shape == (2, 3) and ((told > 0) & (told < 1)).all()
        alone = network(crop[:1] * 0, AVAILABLE[:1]).presence
        assert (told[0] - alone[0]).abs().max() > 1e-3
        crop[~AVAILABLE] = float("nan")
        assert torch.equal(network(crop, AVAILABLE).presence, told)


def test_presence_is_never_in_half_precision():
    network = a_network({"width": 8, "blocks": (1, 1), "presence": True}).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(image(), AVAILABLE)
        assert output.logits.dtype == torch.bfloat16 and output.presence.dtype == torch.float32
        terms = segmentation_loss(network, output, torch.ones(2, 16, 16, 16, dtype=torch.uint8))
    terms["total"].backward()
    assert terms["presence"] > 0 and network.presence.classify.weight.grad.any()


def test_presence_of_a_student_gates_its_classes():
    network = a_network({"width": 8, "blocks": (1, 1), "presence": True, "head": "classes"}).eval()
    with torch.no_grad():
        for weights in (network.presence.classify.weight, network.body.conv_final[-1].conv.weight):
            weights.zero_()
        network.presence.classify.bias.copy_(torch.tensor([-9.0, 9.0, 9.0]))
        network.body.conv_final[-1].conv.bias.copy_(torch.tensor([0.0, 6.0, 4.0, 2.0]))
    how = {"window": (16, 16, 16), "overlap": 0.5, "device": torch.device("cpu")}
    found = infer(network, image()[0].numpy(), AVAILABLE[0].numpy(), **how)
    assert (found.probabilities.argmax(0) == 1).all()
    gated = apply_presence_gate(found.probabilities, found.presence, network.head, "soft")
    assert (gated.argmax(0) == 2).all(), "the class that is not there gives way to the next likely one"
