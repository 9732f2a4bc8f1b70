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
    "fusion_start": "supervised.fusion_start_epoch",
    "workers": "num_workers",
    "synthesis": "synthesis.method",
    "factor": "synthesis.factor",
    "synthetic": "synthesis",
    "teacher_every": "distillation.teacher_update_interval",
    "feature_weight": "distillation.feature_weight",
    "prediction_weight": "distillation.prediction_weight",
    "distilled": "distillation.features",
}
"""Of the settings of a stage. Where a setting has moved into a group of options, the path to it."""

OLD_JOINT_OPTIONS = {
    "teacher": "teacher_weight",
    "student": "student_weight",
    "entropy": "cross_entropy",
    "scales": "multiscale",
    "divergence": "kl_divergence",
    "standardized": "standardize_over",
    "discriminator_rate": "discriminator_learning_rate",
}
"""Of the options of the method joint."""

OLD_SYNTHESIS_OPTIONS = {
    "clip": "clip_to_brain",
    "scale": "max_scale_change",
    "rotation": "max_rotation_deg",
    "blend": "feather_mm",
    "alpha": "mixup_alpha",
}
"""Of the options of synthetic cases."""

OLD_PLAN_SETTINGS = {"validation": "validation_fraction"}
"""Of the settings of a run; see :func:`plan_of_today` too."""

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

OLD_CARD_KEYS = {"smallest_island": "min_component_voxels"}
"""Of the card in a student file."""


def renamed(values: Mapping[str, Any], old_names: Mapping[str, str]) -> dict[str, Any]:
    """``values`` under the names of today.

    Args:
        values: by name, or by a path of names joined by dots.
        old_names: name of today by earlier name; paths of names where a setting has moved into a group.

    Raises:
        OptionError: both the earlier and today's name of one setting are given.
    """
    today: dict[str, Any] = {}
    given: dict[str, str] = {}
    for key, value in values.items():
        new = _name_of_today(key, value, old_names)
        if new in today:
            raise OptionError(f"{given[new]} and {key} are two names of one setting. Give {new} alone.")
        today[new], given[new] = value, key
    return today


def plan_of_today(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a plan in which ``architecture`` may name the network and ``network`` hold its options."""
    today = dict(values)
    if "architecture" in today:
        today["network_options"] = today.get("network", {})
        today["network"] = today.pop("architecture")
    return today


def _name_of_today(key: str, value: Any, old_names: Mapping[str, str]) -> str:
    """The longest beginning of a path that is an earlier name gives way to that of today, until none is."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        old, rest = ".".join(parts[:length]), parts[length:]
        new = old_names.get(old)
        # "synthesis" was a name and is a group now: only a text in its place is the earlier setting
        if new is None or (new.startswith(f"{old}.") and (rest or not isinstance(value, str))):
            continue
        return _name_of_today(".".join((new, *rest)), value, old_names)
    return key
