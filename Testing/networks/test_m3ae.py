"""M3AE: as large as published, and its substitute lies where the crop lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.inference.sliding_window import infer
from MissingModalityLib.networks import build
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.network import Network
from MissingModalityLib.networks.options import NetworkOptions
from MissingModalityLib.networks.output import Output
from small_networks import small_network


def test_weights_and_substitute_are_as_many_as_published() -> None:
    with torch.device("meta"):
        network = build("m3ae", deep_supervision=False)
    assert network.substitute.numel() == 4 * 155 * 240 * 240
    assert round(sum(x.numel() for x in network.body.parameters()) / 1e6, 2) == 4.70


@torch.no_grad()
def test_a_crop_gets_the_part_of_the_substitute_that_lies_there_and_nothing_beyond() -> None:
    network = small_network("m3ae").eval()
    network.substitute.normal_()
    nothing = torch.zeros(1, 4, 24, 24, 24, dtype=torch.bool)
    whole = network.reconstruct(torch.zeros(nothing.shape), nothing)[1]
    assert not whole[:, :, :2].any() and not whole[:, :, 22:].any() and whole[:, :, 2:22].all()
    crop = torch.zeros(2, 4, 8, 16, 8)
    places = torch.tensor([[-12, -12, 4], [-4, -6, -12]])
    first, second = network.reconstruct(crop, torch.zeros(crop.shape, dtype=torch.bool), places)[1]
    assert torch.equal(first, whole[0, :, :8, :16, 16:24])
    assert torch.equal(second, whole[0, :, 8:16, 6:22, :8])
    beyond = network.reconstruct(crop[:1], nothing[..., :8, :16, :8], torch.tensor([[90, 0, 0]]))[1]
    assert not beyond.any()


@torch.no_grad()
def test_the_substitute_stands_for_what_is_missing_and_for_nothing_else() -> None:
    network = small_network("m3ae").eval()
    image = torch.randn(1, 4, 16, 16, 16)
    available = torch.tensor([[True, False, True, True]])
    before, complete = network(image, available).logits, network(image, available | True).logits
    network.substitute[Modality.T1CE] = 1.0
    assert not torch.equal(network(image, available).logits, before)
    assert torch.equal(network(image, available | True).logits, complete)
    elsewhere = network(image, available, place=torch.tensor([[60, 60, 60]])).logits
    assert torch.equal(elsewhere, before)


class Places(Network):
    """Says of every voxel how far it lies from the middle of the case along each axis, in tenths."""

    name, reads_place, divisor, head = "places", True, 8, HEADS["regions"]

    def forward(self, image: Tensor, available: Tensor, place: Tensor | None = None) -> Output:
        """See :meth:`.network.Network.forward`."""
        axes = [torch.arange(n) + first for n, first in zip(image.shape[2:], place[0].tolist(), strict=True)]
        return Output(torch.stack(torch.meshgrid(*axes, indexing="ij"))[None] / 10)


def test_every_window_of_a_case_knows_where_it_lies() -> None:
    shape = (24, 11, 16)  # several windows, a border around, and one window
    image = np.ones((len(MODALITIES), *shape), np.float32)
    how = {"window": (16, 16, 16), "overlap": 0.5, "device": torch.device("cpu")}
    found = infer(Places(NetworkOptions()), image, np.array([True] * 4), **how).probabilities
    expected = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")) / 10
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-expected)), atol=1e-6)


def test_a_substitute_of_no_size_is_refused() -> None:
    with pytest.raises(OptionError, match="three whole numbers from 8 to 512"):
        build("m3ae", substitute_size=[155, 240])
