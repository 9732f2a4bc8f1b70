"""The gated network encodes what is there and nothing else, and shares out sums among it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from features import named
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import MODALITIES, SUBSETS, Modality, availability
from MissingModalityLib.networks.gatedfusion import ChannelGate, Encoded, GatedFusion, InstanceNorm, PlaceGate
from MissingModalityLib.networks.output import Kind
from small_networks import small_network

SEEN = torch.tensor([[True, True, False], [False, True, False], [True, True, True]])


def image(batch: int = 1) -> Tensor:
    return torch.randn(batch, len(MODALITIES), 16, 16, 16, generator=torch.Generator().manual_seed(1))


def constant_maps(values: list[float]) -> dict[Modality, Tensor]:
    return {
        m: torch.full((len(SEEN), 8, 4, 4, 4), value) for m, value in zip(MODALITIES, values, strict=False)
    }


def test_the_stem_of_a_missing_modality_is_never_run() -> None:
    network: GatedFusion = small_network("gatedfusion")
    run = []
    for modality, stem in zip(MODALITIES, network.stems, strict=True):
        stem.register_forward_hook(lambda *_, modality=modality: run.append(modality))
    for subset in SUBSETS:
        run.clear()
        network(image(), torch.tensor([availability(subset)]))
        assert run == list(subset)


@torch.inference_mode()
def test_subsets_of_one_encoding_are_those_of_a_call_each() -> None:
    network = small_network("gatedfusion").eval()
    encoded = network.encode(image(), torch.ones(1, len(MODALITIES), dtype=torch.bool))
    for subset in SUBSETS:
        available = torch.tensor([availability(subset)])
        assert torch.equal(network.fuse(encoded, available).logits, network(image(), available).logits)


@torch.inference_mode()
def test_a_sample_does_not_depend_on_the_rest_of_its_batch() -> None:
    network = small_network("gatedfusion").eval()
    available = torch.tensor([availability(subset) for subset in SUBSETS[::5]])
    volumes = image(len(available))
    together = network(volumes, available).logits
    for number in range(len(available)):
        alone = network(volumes[[number]], available[[number]]).logits
        torch.testing.assert_close(together[[number]], alone, atol=1e-4, rtol=0)


@torch.inference_mode()
def test_the_context_of_the_channel_gate_says_nothing_but_rounding() -> None:
    network = small_network("gatedfusion").eval()
    available = torch.tensor([availability(subset) for subset in SUBSETS])
    before = network(image(len(available)), available).logits
    network.channel_gate.context.weight.normal_()
    torch.testing.assert_close(network(image(len(available)), available).logits, before, atol=1e-4, rtol=1e-4)


def test_gates_share_out_a_sum_among_what_is_there() -> None:
    torch.manual_seed(0)
    coarse = constant_maps([2.0, 2.0, 7.0])
    maps = {m: Encoded(x, x) for m, x in coarse.items()}
    for gated in (ChannelGate(8, 8)(maps, SEEN), PlaceGate(8)(coarse, SEEN)):
        torch.testing.assert_close(gated[:2], torch.full_like(gated[:2], 2.0))  # the third is missing there
        assert ((gated[2] > 2) & (gated[2] < 7)).all()


def test_gates_of_places_differ_between_places() -> None:
    torch.manual_seed(0)
    maps = {m: torch.randn(1, 8, 4, 4, 4) for m in MODALITIES[:2]}
    seen = torch.tensor([[True, True]])
    moved = {MODALITIES[0]: maps[MODALITIES[0]].clone(), MODALITIES[1]: maps[MODALITIES[1]]}
    moved[MODALITIES[0]][..., 0, 0, 0] += 3
    gate = PlaceGate(8)
    change = (gate(moved, seen) - gate(maps, seen)).abs().amax(1)
    assert change[0, 0, 0, 0] > 0.1
    change[0, 0, 0, 0] = 0
    assert change.max() == 0


@pytest.mark.parametrize("batch", [1, 3])
def test_normalization_is_that_of_each_sample_and_channel(batch: int) -> None:
    torch.manual_seed(0)
    x = 5 + 3 * torch.randn(batch, 8, 4, 4, 4)
    norm = InstanceNorm(8)
    norm.weight.data.uniform_(), norm.bias.data.uniform_()
    expected = torch.nn.functional.instance_norm(x, weight=norm.weight, bias=norm.bias)
    torch.testing.assert_close(norm(x.contiguous(memory_format=torch.channels_last_3d)), expected)


def test_every_level_has_its_feature() -> None:
    network = small_network("gatedfusion")
    available = torch.tensor([[True, False, True, True], [False, True, True, False]])
    found = named(network(image(2), available, features=True).features)
    counts = {m.name: int(available[:, m].sum()) for m in MODALITIES}
    encoders = [f"encoder/{level}/{name}" for name in counts for level in (1, 2)]
    assert list(found) == [*encoders, "fused/3", "decoder/2", "decoder/1"]
    for name, x in found.items():
        kind, level, *modality = name.split("/")
        factor = 2 ** (int(level) - 1)
        samples = counts[modality[0]] if kind == "encoder" else 2
        assert x.shape == (samples, 8 * factor, *(8 // factor,) * 3) and x.requires_grad


@pytest.mark.parametrize("training", [False, True])
def test_coarser_levels_and_presence_are_told_if_asked_for_and_change_nothing_else(training: bool) -> None:
    plain = small_network("gatedfusion", blocks=(1, 1, 1)).train(training)
    full = small_network("gatedfusion", blocks=(1, 1, 1), deep_supervision=True, presence=True)
    full.load_state_dict(plain.state_dict(), strict=False)
    full.train(training)
    available = torch.tensor([availability(SUBSETS[7])])
    volumes = torch.randn(1, len(MODALITIES), 32, 32, 32, generator=torch.Generator().manual_seed(1))
    output = full(volumes, available, features=(Kind.DEEP,))
    assert {name: x.shape[2] for name, x in named(output.features).items()} == {"deep/3": 4, "deep/2": 8}
    assert output.presence.shape == (1, 3)
    assert torch.equal(output.logits, plain(volumes, available).logits)


def test_deep_supervision_needs_a_level_between() -> None:
    with pytest.raises(OptionError, match=r"deep_supervision=True.*blocks=2 has one"):
        small_network("gatedfusion", blocks=(2,), deep_supervision=True)
