"""Earlier names of settings and options: read wherever settings come in, never written.

Scripts, YAML files, runs and student files made with them stay readable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import OptionError

OLD_SETTINGS = {
    "iterations": "iterations_per_epoch",
    "batch": "batch_size",
    "crop": "patch_size",
    "foreground": "oversample_foreground",
    "trained_subsets": "training_subsets",
    "subsets": "validation_subsets",
    "validate_every": "validation_interval",
    "beta2": "adam_beta2",
    "power": "lr_decay_power",
    "clip": "max_grad_norm",
    "average": "ema_decay",
    "fusion_start": "fusion_start_epoch",
    "workers": "num_workers",
}
"""Of the settings of a stage."""

OLD_PLAN_SETTINGS = {"validation": "validation_fraction"}
"""Of the settings of a run."""

OLD_NETWORK_OPTIONS = {
    "filters": "width",
    "fold": "space_to_depth",
    "flags": "availability_channels",
    "recompute": "activation_checkpointing",
    "published": "as_public_code",
    "adapters": "adapter_channels",
    "nodes": "graph_nodes",
    "embedding": "embedding_size",
    "layers": "num_layers",
    "heads": "num_heads",
    "hidden": "mlp_size",
    "decoder": "decoder_channels",
    "grid": "position_grid",
}
"""Of the options of the networks that the library brings; those from outside have no earlier names."""


def renamed(values: Mapping[str, Any], old_names: Mapping[str, str]) -> dict[str, Any]:
    """``values`` under the names of today.

    Args:
        values: by name, or by a path of names joined by dots.
        old_names: name of today by earlier name; a path of names for what has moved, or lies deeper.

    Raises:
        OptionError: both the earlier and today's name of one setting are given.
    """
    today: dict[str, Any] = {}
    given: dict[str, str] = {}
    for key, value in values.items():
        new = _name_of_today(key, old_names)
        if new in today:
            raise OptionError(f"{given[new]} and {key} are two names of one setting. Give {new} alone.")
        today[new], given[new] = value, key
    return today


def _name_of_today(key: str, old_names: Mapping[str, str]) -> str:
    """The longest beginning of the path that is an earlier name gives way to that of today."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        new = old_names.get(".".join(parts[:length]))
        if new is not None:
            return ".".join((new, *parts[length:]))
    return key
