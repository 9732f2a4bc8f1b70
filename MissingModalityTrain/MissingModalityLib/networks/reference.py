"""Weights of public reference codes -> our networks.

A table says, per network, how its options show in the weights and which of our parameters each name feeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OptionError, StudentError
from ..modalities import MODALITIES
from .rfnet import LEVELS, RFNet


@dataclass(frozen=True)
class Reference:
    """How to read one public code's checkpoints.

    Attributes:
        network: our class.
        options: reference weights by name -> options of ``network``; KeyError or IndexError where they cannot
            tell.
        names: options -> (reference module name, our module name), each with a weight and a bias.
    """

    network: Callable[..., nn.Module]
    options: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    names: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]]


def load_reference(name: str, weights: Mapping[str, Any]) -> nn.Module:
    """Our network with the weights of a public checkpoint.

    Args:
        name: "rfnet": github.com/dyh127/RFNet, and the same network in github.com/ZhongAobo/Asymmetry-BTS.
        weights: arrays or tensors by the names of that code's ``state_dict``; prefixes ``w/`` and ``module.``
            are ignored, half precision becomes single, a whole checkpoint is opened at its ``state_dict``.

    Returns:
        The network in evaluation mode, its options read from the weights. Beware: the public RFNet code turns
        air into a negative constant; this library sets it to 0, which such weights have not seen.

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
        options = reference.options(found)
    except (KeyError, IndexError) as error:
        raise StudentError(
            f"These are not weights of {name}: {error} is missing. Give its state_dict."
        ) from None
    table = {
        f"{theirs}.{kind}": f"{ours}.{kind}"
        for theirs, ours in reference.names(options)
        for kind in ("weight", "bias")
    }
    _require_same_names(name, found, table)
    network = reference.network(**options)
    state = network.state_dict()
    for theirs, ours in table.items():
        state[ours] = _shaped(name, theirs, found[theirs], state[ours].shape)
    network.load_state_dict(state)
    return network.eval()


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
    """1x1x1 convolutions of single voxels are our linear layers; nothing else may differ in shape."""
    if tuple(value.shape) == (*shape, 1, 1, 1):
        return value.flatten(1)
    if value.shape != shape:
        raise StudentError(
            f"These weights do not fit {name}: {key} has shape {tuple(value.shape)}, not {tuple(shape)}. "
            "Give weights of the unmodified network."
        )
    return value


def _rfnet_options(weights: Mapping[str, Tensor]) -> dict[str, int]:
    head = weights["decoder_fuse.seg_layer.weight"]
    return {"width": head.shape[1], "classes": head.shape[0]}


def _rfnet_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    # file names and channel order agree with ours: flair, t1ce, t1, t2
    for modality in MODALITIES:
        for level in range(1, LEVELS + 1):
            theirs, ours = (
                f"{modality.name.lower()}_encoder.e{level}",
                f"encoders.{modality:d}.levels.{level - 1}",
            )
            yield f"{theirs}_c1.conv", f"{ours}.entry.conv"
            yield f"{theirs}_c2.conv", f"{ours}.residual.0.conv"
            yield f"{theirs}_c3.conv", f"{ours}.residual.1.conv"
    for theirs, ours in (("decoder_sep", "separate"), ("decoder_fuse", "fused")):
        yield f"{theirs}.seg_layer", f"{ours}.head"
        for level in range(1, LEVELS):
            yield f"{theirs}.d{level}_c1.conv", f"{ours}.steps.{level - 1}.lifting.conv"
            yield f"{theirs}.d{level}_c2.conv", f"{ours}.steps.{level - 1}.merging.conv"
            yield f"{theirs}.d{level}_out.conv", f"{ours}.steps.{level - 1}.refining.conv"
    for level in range(1, LEVELS + 1):
        yield from _rfnet_level(level, options["classes"])


def _rfnet_level(level: int, classes: int) -> Iterable[tuple[str, str]]:
    """Region maps and fusion of one level."""
    theirs, ours = f"decoder_fuse.prm_generator{level}", f"fused.maps.{level - 1}"
    yield f"{theirs}.embedding_layer.0.conv", f"{ours}.squeeze.conv"
    yield f"{theirs}.embedding_layer.1.conv", f"{ours}.embed.0.conv"
    yield f"{theirs}.embedding_layer.2.conv", f"{ours}.embed.1.conv"
    yield f"{theirs}.prm_layer.0.conv", f"{ours}.classify.0.conv"
    yield f"{theirs}.prm_layer.1", f"{ours}.classify.1"
    theirs, ours = f"decoder_fuse.RFM{level}", f"fused.fusion.{level - 1}"
    for region in range(classes):
        for layer in (0, 2):
            yield f"{theirs}.modal_fusion.{region}.weight_layer.{layer}", f"{ours}.weigh.{region}.{layer}"
    for layer in range(3):
        yield f"{theirs}.region_fusion.fusion_layer.{layer}.conv", f"{ours}.regions.{layer}.conv"
    yield f"{theirs}.short_cut.0.conv", f"{ours}.squeeze.conv"
    yield f"{theirs}.short_cut.1.conv", f"{ours}.shortcut.0.conv"
    yield f"{theirs}.short_cut.2.conv", f"{ours}.shortcut.1.conv"


REFERENCES: Mapping[str, Reference] = {"rfnet": Reference(RFNet, _rfnet_options, _rfnet_names)}
