"""Small volumes and untrained students that make a whole run last a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks import build


def brain_volume(
    seed: int = 0,
    size: tuple[int, int, int] = (26, 24, 22),
    spacing: tuple[float, float, float] = (2.0, 2.0, 2.0),
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
) -> sitk.Image:
    """A noisy ellipsoid on zeros, float32; size, spacing and origin along x, y, z."""
    axes = [np.linspace(-1, 1, count) for count in reversed(size)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    noise = np.random.default_rng(seed).normal(500, 60, z.shape)
    image = sitk.GetImageFromArray(np.where(x * x + y * y + z * z < 0.7, noise, 0).astype(np.float32))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def write_brain(path: Path, seed: int = 0, **geometry: tuple[float, ...]) -> Path:
    """:func:`brain_volume` as a file."""
    sitk.WriteImage(brain_volume(seed, **geometry), str(path))
    return path


def telling_student() -> Student:
    """AdaMM that sees all lesions everywhere; of what is there at all, ED and (barely) ET."""
    torch.manual_seed(0)
    network = build("adamm", width=8, adapter_channels=2, graph_nodes=2)
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
    torch.manual_seed(0)
    network = build("segresnet", width=8, blocks=(1, 1), head=head)
    last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv3d)][-1]
    torch.nn.init.constant_(last.bias, bias or 0)
    if bias is not None:
        torch.nn.init.zeros_(last.weight)
    Student(network, {"name": "tiny", "window": [window] * 3, "overlap": overlap}).save(path)
    return path
