"""Weights of public reference codes -> our networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import OptionError, StudentError
from .network import Network
from .reference_names import REFERENCES
from .registry import build


def load_reference(name: str, weights: Mapping[str, Any]) -> Network:
    """Our network with the weights of a public checkpoint.

    Args:
        name: "rfnet": github.com/dyh127/RFNet; the same network, "uhved" and "robustseg" in
            github.com/ZhongAobo/Asymmetry-BTS; "mmformer": github.com/YaoZhang93/mmFormer; "m2ftrans":
            github.com/Jun-Jie-Shi/M2FTrans; "mstkdnet": github.com/Quanato607/MST-KDNet; "adamm":
            github.com/Quanato607/AdaMM.
        weights: arrays or tensors by the names of that code's ``state_dict``; prefixes ``w/`` and ``module.``
            are ignored, half precision becomes single, a whole checkpoint is opened at its ``state_dict``.

    Returns:
        The network in evaluation mode, its options read from the weights. Beware: these weights have learned
        volumes as the public codes read them, axes x, y, z, where this library has z, y, x, and other
        intensities: air is a negative constant for RFNet and 0 here, MST-KDNet and AdaMM scale all to 0..1.

    Raises:
        OptionError: no reference of that name.
        StudentError: names are missing or unknown, or a shape does not fit.
    """
    if name not in REFERENCES:
        raise OptionError(
            f"No reference weights are known for '{name}'. Choose one of: {', '.join(REFERENCES)}."
        )
    reference = REFERENCES[name]
    found = _tensors(weights)
    try:
        network = build(name, **reference.options(found))
    except OptionError as error:
        raise StudentError(f"These are not weights of {name}: {error}") from None
    except (KeyError, IndexError) as error:
        raise StudentError(
            f"These are not weights of {name}: {error} is missing. Give its state_dict."
        ) from None
    state = network.state_dict()
    table = dict(_weights(reference.names(network.options), state))
    found = {key: value for key, value in found.items() if not key.startswith(reference.ignored)}
    _require_same_names(name, found, table)
    for theirs, ours in table.items():
        value = _shaped(name, theirs, found[theirs], state[ours].shape)
        axis, order = reference.orders.get(ours, (0, ()))
        state[ours] = value.index_select(axis, torch.tensor(order)) if order else value
    network.load_state_dict(state)
    return network.eval()


def _weights(names: Iterable[tuple[str, str]], state: Mapping[str, Tensor]) -> Iterable[tuple[str, str]]:
    """(reference weight, our weight) from names of modules and of single weights."""
    for theirs, ours in names:
        if ours in state:
            yield theirs, ours
        for kind in ("weight", "bias", "running_mean", "running_var"):
            if f"{ours}.{kind}" in state:
                yield f"{theirs}.{kind}", f"{ours}.{kind}"


def _tensors(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """Strip prefixes, drop batch counters, turn floats into single precision."""
    weights = weights.get("state_dict", weights)
    plain = {key.removeprefix("w/").removeprefix("module."): value for key, value in weights.items()}
    return {
        key: (value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))).float()
        for key, value in plain.items()
        if not key.endswith("num_batches_tracked")
    }


def _require_same_names(name: str, found: Mapping[str, Tensor], table: Mapping[str, str]) -> None:
    missing, unknown = sorted(table.keys() - found.keys()), sorted(found.keys() - table.keys())
    parts = [
        f"{what} {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
        for what, names in (("missing", missing), ("unknown", unknown))
        if names
    ]
    if parts:
        raise StudentError(
            f"These weights do not fit {name}: {'; '.join(parts)}. Give the whole state_dict of that network."
        )


def _shaped(name: str, key: str, value: Tensor, shape: torch.Size) -> Tensor:
    """Shapes agree but for sides of 1: a 1x1x1 convolution of single voxels is our linear layer."""
    sides = [*value.shape[len(shape) :], *shape[value.ndim :]]
    if all(side == 1 for side in sides) and value.numel() == shape.numel():
        value = value.reshape(shape)
    if value.shape != shape:
        raise StudentError(
            f"These weights do not fit {name}: {key} has shape {tuple(value.shape)}, not {tuple(shape)}. "
            "Give weights of the unmodified network."
        )
    return value
