"""How a stage is minimized: the optimizer, its learning rate step by step, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .settings import Settings

_ADAM_BETA1 = 0.9
"""Decay per step of Adam's running mean of gradients: Kingma and Ba's own value, which no paper followed here
changes; unlike the second one it is no setting."""

_SGD_MOMENTUM = 0.99
"""Nesterov's, of nnU-Net: Isensee et al., Nature Methods 2021."""

FUSED_ON = frozenset({"cuda"})
"""Kinds of devices on which one kernel makes the step of all weights. On a CPU it would be a few milliseconds
faster, but differ in the last bit from the runs that began without it."""


def learning_rate(settings: Settings, step: int) -> float:
    """The learning rate of a step.

    "poly" falls after each epoch, as in RFNet's public training script, and so does "cosine" (Loshchilov and
    Hutter, ICLR 2017, without restarts); "constant-linear" stays and falls
    linearly to 0 over the last share of the steps, so that a run can be made longer until then (Haegele et
    al., NeurIPS 2024; warm-up, stable and decay phase: Hu et al., 2024). Either rises linearly over its first
    steps, where the settings ask for a warm-up.

    Args:
        settings: of the stage.
        step: counts from 0 within the stage.
    """
    epoch = step // settings.iterations_per_epoch
    if settings.lr_schedule == "poly":
        rate = settings.learning_rate * (1 - epoch / settings.epochs) ** settings.lr_decay_power
    elif settings.lr_schedule == "cosine":
        rate = settings.learning_rate * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    else:
        left = 1 - step / (settings.epochs * settings.iterations_per_epoch)
        falling = settings.lr_decay_fraction > left
        rate = settings.learning_rate * (left / settings.lr_decay_fraction if falling else 1)
    return rate * min(1, (step + 1) / settings.lr_warmup_steps) if settings.lr_warmup_steps else rate


def make_optimizer(parameters: Iterable[nn.Parameter], settings: Settings, device: torch.device) -> Optimizer:
    """The optimizer of a stage, for parameters on ``device``."""
    common = {
        "lr": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "fused": device.type in FUSED_ON,
    }
    if settings.optimizer == "sgd":
        return SGD(parameters, **common, momentum=_SGD_MOMENTUM, nesterov=True)
    common["betas"] = (_ADAM_BETA1, settings.adam_beta2)
    if settings.optimizer == "adamw":
        return AdamW(parameters, **common)
    # amsgrad as RFNet's public training script has it; those of MST-KDNet and AdaMM do without
    return Adam(parameters, **common, amsgrad=settings.optimizer == "adam")


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Go on from the state of an optimizer, with the settings of today's.

    Raises:
        ValueError: it is the state of another kind of optimizer or of another network.
    """
    groups = []
    for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        # a state with AMSGrad has what those without it lack, SGD has no such setting; those of adam-plain
        # and adamw are alike
        if own.get("amsgrad") != saved.get("amsgrad"):
            raise ValueError("another optimizer")
        groups.append({**own, "params": saved["params"]})
    optimizer.load_state_dict({**state, "param_groups": groups})


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Of the next steps."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradients(groups: Iterable[Iterable[nn.Parameter]], largest: float) -> Tensor:
    """Scale the gradients of each group of weights down to a largest norm, 0 for none.

    Returns:
        Scalar: the norm of all together before that.
    """
    norms = [nn.utils.clip_grad_norm_(group, largest or math.inf, foreach=True) for group in groups]
    return norms[0] if len(norms) == 1 else torch.stack(norms).norm()


def skip_where_not_finite(optimizer: Optimizer, norm: Tensor) -> None:
    """Let the next step of a fused optimizer change nothing, if the gradient is no number.

    The host learns of such a step only later, and until then the next ones need weights that are numbers. The
    optimizer reads the flag on the device, where a gradient scaler leaves it too.

    Args:
        optimizer: one that is not fused takes the step, for the host reads the norm right after it.
        norm: of the gradient, scalar.
    """
    if optimizer.param_groups[0]["fused"]:
        optimizer.found_inf = norm.isfinite().logical_not().float()


class WeightAverage(AveragedModel):
    """The exponential running average of a network's weights, made with few kernels and without a wait.

    Its state is that of PyTorch's class, whose own update reads the count of its steps from the device.

    Args:
        network: that it begins with.
        decay: of the average per step, 0 to 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self._begun = False

    def load_state_dict(self, *arguments: Any, **options: Any) -> Any:
        """Go on from a state."""
        result = super().load_state_dict(*arguments, **options)
        self._begun = bool(self.n_averaged)
        return result

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the weights after a step; the first ones as they are."""
        own, new = list(self.module.parameters()), list(model.parameters())
        if self._begun:
            self.multi_avg_fn(own, new, self.n_averaged)
        else:
            torch._foreach_copy_(own, new)
        buffers = list(self.module.buffers())
        if buffers:
            torch._foreach_copy_(buffers, list(model.buffers()))
        self.n_averaged += 1
        self._begun = True
