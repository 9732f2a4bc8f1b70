"""The network that tells from the voxels which sequence a volume is, and its file.

A fixed description of the brain's middle (means and extremes of blocks of 24 mm, both sides together, and
tails of all intensities and of small spots) goes through one hidden layer. So few weights learn from some
dozen patients in a minute, need no PyTorch, and answer in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from scipy import ndimage

from ..core.errors import StudentError
from ..core.modalities import MODALITIES
from .coarse import RANGE, SHAPE, SPACING_MM, middle_of

NAME = "sequence-check"
NONE_OF_THEM = len(MODALITIES)
"""Index of the last class: none of the sequences."""

HIDDEN = 48
_BLOCK = 6
"""Voxels along each side; SHAPE is a multiple of it."""

_TAILS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.75, 0.9, 0.95, 0.98, 0.995)
_SPOT_VOXELS = 5
"""Window whose mean is taken off to leave vessels, ventricles' borders and the like."""

_FEWEST_VOXELS = 300
Weights = Mapping[str, np.ndarray]


def describe(volume: np.ndarray) -> np.ndarray:
    """What the network looks at in a coarse volume.

    Args:
        volume: of :data:`.coarse.SHAPE`.

    Returns:
        float32 (:data:`FEATURES`,); zeros where fewer than 300 voxels of the brain's middle are there.
    """
    inside = _MIDDLE & (volume > RANGE[0])
    if np.count_nonzero(inside) < _FEWEST_VOXELS:
        return np.zeros(FEATURES, np.float32)
    share = _blocks(inside.astype(np.float32)).mean(-1)
    mean = _blocks(np.where(inside, volume, 0)).mean(-1) / np.maximum(share, 1e-3)
    high = _blocks(np.where(inside, volume, RANGE[0])).max(-1)
    low = _blocks(np.where(inside, volume, RANGE[1])).min(-1)
    maps = [np.where(share > 0, part, 0) for part in (mean, high - mean, mean - low)]
    weight, total = (
        ndimage.uniform_filter(part.astype(np.float32), _SPOT_VOXELS)
        for part in (inside, np.where(inside, volume, 0))
    )
    spots = volume - total / np.maximum(weight, 1e-3)
    tails = [np.quantile(part[inside], _TAILS) for part in (volume, spots)]
    # left and right are one, so half of the maps says all
    both = [(part + part[..., ::-1])[..., : part.shape[-1] // 2 + 1].ravel() / 2 for part in maps]
    return np.concatenate([*both, *tails]).astype(np.float32)


def _blocks(values: np.ndarray) -> np.ndarray:
    """(D, H, W) -> (D / 6, H / 6, W / 6, 216)."""
    parts = [side for count in SHAPE for side in (count // _BLOCK, _BLOCK)]
    grouped = values.reshape(parts).transpose(0, 2, 4, 1, 3, 5)
    return grouped.reshape(*grouped.shape[:3], -1)


_MIDDLE = middle_of(SHAPE, np.array(SHAPE) / 2, SPACING_MM)
_HALF = (SHAPE[0] // _BLOCK, SHAPE[1] // _BLOCK, SHAPE[2] // _BLOCK // 2 + 1)
FEATURES = 3 * int(np.prod(_HALF)) + 2 * len(_TAILS)

SHAPES: Mapping[str, tuple[int, ...]] = {
    "mean": (FEATURES,),
    "scale": (FEATURES,),
    "hidden.weight": (HIDDEN, FEATURES),
    "hidden.bias": (HIDDEN,),
    "output.weight": (len(MODALITIES) + 1, HIDDEN),
    "output.bias": (len(MODALITIES) + 1,),
}
"""Of the weights in the file; ``mean`` and ``scale`` standardize the features."""


def probabilities(volumes: np.ndarray, weights: Weights | None = None) -> np.ndarray:
    """Coarse volumes (N, D, H, W) -> (N, modalities and none of them), each row sums to 1.

    Args:
        volumes: as :func:`.coarse.coarse` makes them.
        weights: of another network than the bundled one.

    Raises:
        StudentError: the bundled network's file is absent or damaged.
    """
    weights = _bundled() if weights is None else weights
    features = np.stack([describe(volume) for volume in volumes])
    features = (features - weights["mean"]) / weights["scale"]
    hidden = np.maximum(features @ weights["hidden.weight"].T + weights["hidden.bias"], 0)
    logits = (hidden @ weights["output.weight"].T + weights["output.bias"]).astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def network_file() -> Path:
    """Where the weights lie: in the package (pip), beside it (Slicer) or beside its folder (a checkout).

    Raises:
        StudentError: nowhere.
    """
    package = Path(__file__).resolve().parents[1]
    for base in (package, package.parent, package.parents[1]):
        path = base / "Resources" / "Models" / f"{NAME}.safetensors"
        if path.is_file():
            return path
    raise StudentError(
        f"Resources/Models/{NAME}.safetensors, which tells sequences apart, does not come with this "
        "installation. Install MissingModality again, or leave the check of the content out."
    )


def read_network(path: Path) -> Weights:
    """The weights in a file.

    Raises:
        StudentError: the file cannot be read, its weights do not fit, or one is no finite number.
    """
    try:
        with safe_open(path, "np") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise StudentError(f"{path} cannot be read ({error}). Install MissingModality again.") from error
    for name in {**SHAPES, **found}:
        shape = found[name].shape if name in found else "absent"
        if shape != SHAPES.get(name) or not np.isfinite(found[name]).all():
            raise StudentError(
                f"{path}: the weight {name} is {shape} or not finite and should be "
                f"{SHAPES.get(name, 'absent')}. Install MissingModality again."
            )
    return found


@cache
def _bundled() -> Weights:
    return read_network(network_file())
