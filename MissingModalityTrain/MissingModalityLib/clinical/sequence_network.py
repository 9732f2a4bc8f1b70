"""The network that tells from the voxels which sequence a volume is, and its file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..core.errors import StudentError
from ..core.modalities import MODALITIES
from .coarse import RANGE

NAME = "sequence-check"
NONE_OF_THEM = len(MODALITIES)
"""Index of the last class: none of the sequences."""

_CHANNELS = (12, 24, 24, 40, 48)
_STRIDES = (2, 2, 1, 2, 1)


class SequenceNetwork(nn.Module):
    """Five convolutions, mean and maximum over what is left of the volume, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        before = 1
        for channels, stride in zip(_CHANNELS, _STRIDES, strict=True):
            blocks += [
                nn.Conv3d(before, channels, 3, stride, padding=1, bias=False),
                nn.BatchNorm3d(channels),
                nn.ReLU(),
            ]
            before = channels
        self.features = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(2 * before, len(MODALITIES) + 1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Coarse volumes (N, D, H, W) -> logits (N, modalities and none of them)."""
        low, high = RANGE
        found = self.features((volumes[:, None] - low) / (high - low))
        pooled = torch.cat([found.mean((2, 3, 4)), found.amax((2, 3, 4))], 1)
        return self.classify(self.dropout(pooled))


def network_file() -> Path:
    """Where the weights lie: in the package (pip), beside it (Slicer) or beside its folder (a checkout)."""
    package = Path(__file__).resolve().parents[1]
    for base in (package, package.parent, package.parents[1]):
        path = base / "Resources" / "Models" / f"{NAME}.safetensors"
        if path.is_file():
            return path
    raise StudentError(
        f"Resources/Models/{NAME}.safetensors, which tells sequences apart, does not come with this "
        "installation. Install MissingModality again, or leave the check of the content out."
    )


def read_network(path: Path) -> SequenceNetwork:
    """A network ready to answer, from its file.

    Raises:
        StudentError: the file cannot be read, its weights do not fit, or one is no finite number.
    """
    network = SequenceNetwork().eval()
    expected = network.state_dict()
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise StudentError(f"{path} cannot be read ({error}). Install MissingModality again.") from error
    for name in {**expected, **found}:
        shapes = [tuple(weights[name].shape) if name in weights else "absent" for weights in (found, expected)]
        if shapes[0] != shapes[1] or not found[name].isfinite().all():
            raise StudentError(
                f"{path}: the weight {name} does not fit ({shapes[0]}, expected finite numbers, {shapes[1]}). "
                "Install MissingModality again."
            )
    network.load_state_dict(found)
    return network


@cache
def _bundled() -> SequenceNetwork:
    return read_network(network_file())


@torch.inference_mode()
def probabilities(volumes: np.ndarray) -> np.ndarray:
    """Coarse volumes (N, D, H, W) -> (N, modalities and none of them), each row sums to 1."""
    return torch.softmax(_bundled()(torch.from_numpy(volumes).float()), 1).double().numpy()
