"""The smallest network of each kind, and students of them that make a whole run last a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks import build

SMALLEST: dict[str, dict[str, Any]] = {
    "acn": {"width": 8},
    "adamm": {"width": 8, "adapter_channels": 2, "graph_nodes": 2},
    "mstkdnet": {
        **{"width": 8, "embedding_size": 16, "num_layers": 4, "num_heads": 4, "mlp_size": 16},
        **{"decoder_channels": 16, "position_grid": (1, 1, 1)},
    },
    "dynunet": {"width": 2, "levels": 3, "deep_supervision": False},
    "m2ftrans": {"width": 2, "num_layers": 2, "num_heads": 2, "mlp_size": 8, "position_side": 2},
    "m3ae": {"width": 8, "substitute_size": (20, 24, 24)},
    "mmformer": {"width": 2, "token_size": 8, "num_heads": 2, "mlp_size": 8, "position_side": 2},
    "rahved": {"width": 4},
    "rfnet": {"width": 4},
    "robustseg": {"width": 2},
    "smunet": {"width": 8},
    "uhemis": {"width": 4},
    "uhved": {"width": 4},
    "segresnet": {"width": 8, "blocks": (1, 1)},
    "gatedfusion": {"width": 8, "blocks": (1, 1)},
}
"""Options that keep each network small. Sides of images: multiples of 2 (segresnet), 8, or 32 (mstkdnet)."""


def small_network(name: str, seed: int = 0, **options: Any) -> nn.Module:
    """A network of :data:`SMALLEST` with other options on top, its weights from a seed."""
    torch.manual_seed(seed)
    return build(name, **{**SMALLEST[name], **options})


def tiny_student(card: dict[str, Any] | None = None, seed: int = 3) -> Student:
    """An untrained student of three regions that finds some of each."""
    network = small_network("segresnet", seed, blocks=(1, 1, 1))
    with torch.no_grad():  # spread the answers of fresh weights, so that every region has voxels
        for parameter in network.parameters():
            parameter.mul_(3)
        list(network.parameters())[-1].zero_()
    return Student(network, {"window": [40, 40, 40], **(card or {})})


def blind_student() -> Student:
    """Of :func:`tiny_student`: answers background everywhere."""
    student = tiny_student()
    with torch.no_grad():
        bias = list(student.network.parameters())[-1]
        assert bias.shape == (3,)
        bias.fill_(-1e4)
    return student


def telling_student() -> Student:
    """AdaMM that sees all lesions everywhere; of what is there at all, ED and (barely) ET."""
    network = small_network("adamm")
    with torch.no_grad():
        network.classify.weight.zero_()
        network.classify.bias.copy_(torch.tensor([-4.0, 6.0, 6.0, 6.0]))
        network.presence[-1].weight.zero_()
        network.presence[-1].bias.copy_(torch.tensor([-3.0, 3.0, 0.1]))
    return Student(network, {"name": "telling", "window": [32, 32, 32]})


def write_student(
    path: Path, window: int = 64, overlap: float = 0.25, head: str = "classes", bias: float | None = None
) -> Path:
    """An untrained student of no opinion; small windows make it slow, a bias makes it sure of every logit."""
    network = small_network("segresnet", head=head)
    last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv3d)][-1]
    torch.nn.init.constant_(last.bias, bias or 0)
    if bias is not None:
        torch.nn.init.zeros_(last.weight)
    Student(network, {"name": "tiny", "window": [window] * 3, "overlap": overlap}).save(path)
    return path
