"""What the public codes of MST-KDNet and AdaMM computed, to hold our networks with their weights to.

Their channels are FLAIR, T1, T1ce, T2 and their outputs NCR/NET, ED, ET, background.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from masks import flags
from MissingModalityLib.networks.reference import load_reference
from MissingModalityLib.networks.reference_names import REFERENCES

CHANNELS = [0, 2, 1, 3]
OUTPUTS = [1, 2, 3, 0]
MASKS = ("1111", "1000", "0101")
TRAINED = "0101"
PRECISIONS = (torch.float64, pytest.param(torch.float32, marks=pytest.mark.slow))
"""The numbers are of double precision; single precision agrees less well, and costs half as much again."""


class Published:
    """Arrays of one public code.

    Args:
        name: of the network, as `load_reference` knows it.
        path: the file of arrays.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        with np.load(path) as data:
            self.arrays = {key: data[key] for key in data.files}

    def weights(self) -> dict[str, np.ndarray]:
        """By the public code's names."""
        return {key[2:]: value for key, value in self.arrays.items() if key[:2] == "w/"}

    def network(self, dtype: torch.dtype) -> nn.Module:
        return load_reference(self.name, self.weights()).to(dtype)

    def image(self, dtype: torch.dtype, name: str = "in/x") -> Tensor:
        return torch.from_numpy(self.arrays[name]).to(dtype)[:, CHANNELS]

    def check(self, part: str, found: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        """Every array stored under `part` agrees with the one of `found` that has its name."""
        stored = [key for key in self.arrays if key.startswith(f"{part}/") and "running_stats" not in key]
        assert {key.removeprefix(f"{part}/").split("@")[0] for key in stored} == set(found)
        for key in stored:
            name, _, how = key.removeprefix(f"{part}/").partition("@")
            if how == "stat" or (how.startswith("f64") and dtype != torch.float64):
                continue
            value, step = found[name].detach(), int(how.removeprefix("f64")[1:] or 1)
            shown = value[..., ::step, ::step, ::step] if step > 1 else value
            single = 1e-3 if name == "logit" else 5e-4
            atol = 1e-5 if dtype == torch.float64 else single
            np.testing.assert_allclose(shown, self.arrays[key], atol=atol, rtol=1e-4 * (how[:1] != "f"))

    def check_gradients(self, network: nn.Module) -> None:
        """Exactly the stored parameters have a gradient, each with the stored sum and norm."""
        given = {
            self.theirs(network, name): [p.grad.sum().item(), p.grad.norm().item()]
            for name, p in network.named_parameters()
            if p.grad is not None
        }
        names = [str(name) for name in self.arrays["gradstat_names"]]
        assert set(given) == set(names)
        found = np.array([given[name] for name in names])
        if next(network.parameters()).dtype == torch.float64:
            stored = self.arrays["gradstat@f64"]
            np.testing.assert_allclose(found, stored, rtol=1e-5, atol=1e-6 * np.abs(stored).max())
            return
        found, stored = found[:, 1], self.arrays["gradstat"][:, 1]
        counted = stored > 1e-4 * stored.max()  # biases before a normalization have only noise
        np.testing.assert_allclose(found[counted], stored[counted], rtol=2e-2)

    def check_statistics(self, network: nn.Module) -> None:
        """Running means and variances after one step agree, and there are no others."""
        prefix = "train_nodrop/running_stats_after/"
        found = {
            prefix + self.theirs(network, name): value
            for name, value in network.named_buffers()
            if name.endswith(("running_mean", "running_var"))
        }
        before = {prefix + key for key in self.weights()}
        stored = {key for key in self.arrays if key.startswith(prefix)}
        assert set(found) == stored <= before
        for key in stored:
            np.testing.assert_allclose(found[key], self.arrays[key], atol=1e-5, rtol=1e-5)

    def probe(self, probabilities: Tensor, style: Tensor, content: Tensor) -> Tensor:
        """The loss that the stored gradients belong to, from the probabilities of NCR/NET."""
        target = (self.image(probabilities.dtype)[:, 0] > 0.7).to(probabilities.dtype)
        overlap = 2 * (probabilities * target).sum()
        dice = overlap / (probabilities.square().sum() + target.square().sum() + 1e-7)
        return 1 - dice + style.square().mean() + content.square().mean()

    def check_probe(self, loss: Tensor, dtype: torch.dtype) -> None:
        """:meth:`probe`, and whatever a system adds to it, is the stored one."""
        double = dtype == torch.float64
        stored = self.arrays["loss/probe@f64" if double else "loss/probe"]
        np.testing.assert_allclose(loss.item(), stored, rtol=1e-6 if double else 1e-4)

    def theirs(self, network: nn.Module, name: str) -> str:
        """Our name of a weight -> the public code's."""
        table = {ours: theirs for theirs, ours in REFERENCES[self.name].names(network.options)}
        module, _, kind = name.rpartition(".")
        return table.get(name) or f"{table[module]}.{kind}"


def available(mask: str, batch: int = 1) -> Tensor:
    """Bits in their order -> (batch, 4) bool in ours."""
    return flags(mask)[:, CHANNELS].expand(batch, -1)


def without_dropout(network: nn.Module) -> nn.Module:
    """In training mode, but nothing is random."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network.train()


def theirs_of(logits: Tensor) -> dict[str, Tensor]:
    """Logits and probabilities under their names and in their order."""
    return {"logit": logits[:, OUTPUTS], "uout": logits.sigmoid()[:, OUTPUTS]}
