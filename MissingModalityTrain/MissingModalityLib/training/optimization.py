"""How a stage is minimized: the optimizer, and its learning rate step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from .settings import Settings

_ADAM_BETA1 = 0.9
"""Decay per step of Adam's running mean of gradients: Kingma and Ba's own value, which no paper followed here
changes; unlike the second one it is no setting."""


def learning_rate(settings: Settings, step: int) -> float:
    """The learning rate of a step.

    "poly" falls after each epoch, as in RFNet's public training script; "constant-linear" stays and falls
    linearly to 0 over the last share of the steps, so that a run can be made longer until then (Haegele et
    al., NeurIPS 2024; warm-up, stable and decay phase: Hu et al., 2024). Either rises linearly over its first
    steps, where the settings ask for a warm-up.

    Args:
        settings: of the stage.
        step: counts from 0 within the stage.
    """
    if settings.lr_schedule == "poly":
        epoch = step // settings.iterations_per_epoch
        rate = settings.learning_rate * (1 - epoch / settings.epochs) ** settings.lr_decay_power
    else:
        left = 1 - step / (settings.epochs * settings.iterations_per_epoch)
        falling = settings.lr_decay_fraction > left
        rate = settings.learning_rate * (left / settings.lr_decay_fraction if falling else 1)
    return rate * min(1, (step + 1) / settings.lr_warmup_steps) if settings.lr_warmup_steps else rate


def make_optimizer(parameters: Iterable[nn.Parameter], settings: Settings) -> Optimizer:
    """The optimizer of a stage."""
    common = {
        "lr": settings.learning_rate,
        "betas": (_ADAM_BETA1, settings.adam_beta2),
        "weight_decay": settings.weight_decay,
    }
    if settings.optimizer == "adamw":
        return AdamW(parameters, **common)
    # amsgrad as RFNet's public training script has it; the networks of other papers keep it
    return Adam(parameters, **common, amsgrad=True)


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Go on from the state of an optimizer, with the settings of today's.

    Raises:
        ValueError: it is the state of another kind of optimizer or of another network.
    """
    groups = []
    for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        if own["amsgrad"] != saved["amsgrad"]:  # what Adam and AdamW, as they are made here, differ in
            raise ValueError("another optimizer")
        groups.append({**own, "params": saved["params"]})
    optimizer.load_state_dict({**state, "param_groups": groups})
