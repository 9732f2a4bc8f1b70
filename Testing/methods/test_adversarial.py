"""RA-HVED's network has its published size; its training compares a subset's results with those of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from masks import flags
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods import adversarial
from MissingModalityLib.methods.adversarial import Adversarial, Discriminator
from MissingModalityLib.networks import build
from MissingModalityLib.networks.network import Network
from MissingModalityLib.networks.output import Feature, Kind, Output
from MissingModalityLib.training.run import train
from small_networks import SMALLEST, small_network
from tiny_run import QUICK, assert_same, weights


@pytest.fixture(autouse=True)
def _small_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversarial, "WIDTHS", (2, 2, 4, 4))


def batch(garbage: float = 0.0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    image = torch.randn(2, 4, 32, 32, 32, generator=random)
    present = flags("1101", "0110")
    image[~present] = garbage
    label = torch.zeros(2, 32, 32, 32, dtype=torch.uint8)
    label[:, 8:24, 8:24, 8:24] = 2
    label[:, 12:20, 12:20, 12:20] = 3
    return {"image": image, "label": label, "available": flags("0100", "0110"), "present": present}


def step(network: Network, given: Mapping[str, Tensor]) -> tuple[Adversarial, dict[str, Tensor]]:
    """A method with the loss of one step, what is random drawn anew."""
    method = Adversarial()
    trained = method.assemble(network.train(), seed=0)
    torch.manual_seed(0)
    return method, method.loss(trained, given, 0)


def test_its_size_is_the_published_one() -> None:
    assert round(sum(x.numel() for x in build("rahved").parameters()) / 1e6, 2) == 5.92


def test_a_step_trains_the_network_and_then_the_discriminator() -> None:
    network = small_network("rahved")
    method, terms = step(network, batch())
    assert set(terms) == {"dice", "latent", "restored", "all_dice", "adversarial", "total"}
    torch.testing.assert_close(terms["total"], sum(x for name, x in terms.items() if name != "total"))
    terms["total"].backward()
    judge = method.adversary.module
    assert all(x.grad is None for x in judge.parameters()), "the network's loss leaves no gradient in it"
    assert all(x.grad is not None and x.grad.isfinite().all() for x in network.parameters())
    before = [x.clone() for x in judge.parameters()]
    gradients = [x.grad.clone() for x in network.parameters()]
    method.finish_step()
    # biases in front of a normalization have no gradient but noise
    assert any(not torch.equal(x, old) for x, old in zip(judge.parameters(), before, strict=True))
    assert all(torch.equal(x.grad, old) for x, old in zip(network.parameters(), gradients, strict=True))


@torch.no_grad()
def test_nothing_is_learned_from_what_a_case_lacks() -> None:
    network = small_network("rahved")
    clean, spoiled = (step(network, batch(value))[1] for value in (0.0, float("nan")))
    assert all(x.isfinite() and x == spoiled[name] for name, x in clean.items())


def test_images_are_brighter_by_the_innermost_region_that_is_likely() -> None:
    network = small_network("rahved")
    likely = torch.tensor([[0.9, 0.2, 0.1], [0.9, 0.8, 0.3], [0.9, 0.8, 0.6], [0.4, 0.3, 0.2]]).T
    logits = likely.logit().view(1, 3, 1, 2, 2)
    images = {Feature(Kind.RESTORED, modality=m): torch.full((1, 1, 1, 2, 2), 2.0 + m) for m in (0, 3)}
    shown = Adversarial()._show(Output(logits, images), network, flags("1001"))
    torch.testing.assert_close(shown[0, :3].flatten(1), likely)
    torch.testing.assert_close(shown[0, 3].flatten(), 2 * torch.tensor([1.9, 1.8, 1.6, 1.0]))
    torch.testing.assert_close(shown[0, 6].flatten(), 5 * torch.tensor([1.9, 1.8, 1.6, 1.0]))
    assert not shown[0, 4:6].any()


def test_a_discriminator_that_tells_all_apart_loses_nothing_and_the_network_everything() -> None:
    judge = Discriminator(2)
    judge.forward = lambda shown: shown
    subset, everything = torch.zeros(1, 1, 4, 4, 4), torch.ones(1, 1, 4, 4, 4)
    assert judge.loss(subset, everything) == 0 and judge.generator_loss(subset) == 1
    assert judge.loss(everything, subset) == 1 and judge.generator_loss(everything) == 0


@pytest.mark.parametrize("name", ["segresnet", "uhved"])
def test_networks_without_images_or_regions_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"method=adversarial.*{name} does not"):
        Adversarial().check(small_network(name))


@pytest.mark.slow
def test_a_run_that_is_resumed_ends_with_the_same_bits(tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "network": SMALLEST["rahved"], "patch_size": 32, "iterations_per_epoch": 1}
    settings |= {"lr_schedule": "constant-linear", "lr_decay_fraction": 0, "validation_fraction": 0}
    whole = train(tiny_cases, tmp_path / "a", "ra-hved", settings={**settings, "epochs": 2})
    cut = train(tiny_cases, tmp_path / "b", "ra-hved", settings={**settings, "epochs": 1})
    train(None, cut, resume=True, settings={"epochs": 2})
    assert_same(weights(whole), weights(cut))
