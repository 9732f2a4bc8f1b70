"""What every network promises: 15 subsets, no influence of missing channels, options that build it again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import SUBSETS, availability
from MissingModalityLib.networks import build
from small_networks import SMALLEST, small_network

SMALL = [name for name in SMALLEST if name != "mstkdnet"]


@pytest.fixture(params=SMALL)
def a_network(request: pytest.FixtureRequest) -> nn.Module:
    return small_network(request.param).eval()


def image(seed: int = 0) -> Tensor:
    return torch.randn(1, 4, 16, 16, 16, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def test_all_subsets_run_and_differ(a_network: nn.Module) -> None:
    results = [a_network(image(), torch.tensor([availability(subset)])).logits for subset in SUBSETS]
    for number, first in enumerate(results):
        assert first.shape[2:] == (16, 16, 16) and torch.isfinite(first).all()
        assert all((first - second).abs().max() > 1e-4 for second in results[:number])


@pytest.mark.parametrize("garbage", [0.0, float("nan"), float("inf"), 1e30])
@torch.inference_mode()
def test_a_missing_channel_never_changes_the_output(a_network: nn.Module, garbage: float) -> None:
    for subset in SUBSETS[:-1]:
        available = torch.tensor([availability(subset)])
        filled = image()
        filled[~available] = garbage
        expected = a_network(image(), available).logits
        assert torch.equal(a_network(filled, available).logits, expected)


def test_gradients_of_missing_channels_are_zero(a_network: nn.Module) -> None:
    given = image().requires_grad_()
    available = torch.tensor([[True, False, False, True]])
    a_network.train()(given, available).logits.square().mean().backward()
    assert torch.equal(given.grad[~available], torch.zeros_like(given.grad[~available]))
    assert given.grad[available].abs().max() > 0


@torch.inference_mode()
def test_name_and_options_build_the_same_network_again(a_network: nn.Module) -> None:
    twin = build(a_network.name, **a_network.options).eval()
    twin.load_state_dict(a_network.state_dict())
    available = torch.tensor([[True, True, False, False]])
    assert torch.equal(twin(image(), available).logits, a_network(image(), available).logits)


@torch.inference_mode()
def test_flags_tell_a_missing_channel_from_an_empty_one() -> None:
    torch.manual_seed(0)
    blank = image()
    blank[:, 1] = 0
    with_t1ce, without = torch.tensor([[True] * 4]), torch.tensor([[True, False, True, True]])
    for flags, same in ((True, False), (False, True)):
        network = small_network("segresnet", flags=flags).eval()
        assert torch.equal(network(blank, with_t1ce).logits, network(blank, without).logits) is same


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {}),
        ("segresnet", {"depth": 3}),
        ("segresnet", {"head": "voxels"}),
        ("segresnet", {"filters": 7}),
    ],
)
def test_what_cannot_be_built_is_an_option_error(name: str, options: dict) -> None:
    with pytest.raises(OptionError):
        build(name, **options)
