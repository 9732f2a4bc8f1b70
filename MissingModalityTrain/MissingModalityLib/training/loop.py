"""The one training loop: devices, precision, optimizer steps, checkpoints and the log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from ..cache import CachedCase
from ..errors import OptionError
from ..progress import Event
from .checkpoints import read_checkpoint, write_checkpoint
from .samples import Samples
from .settings import Settings
from .validation import named_subsets, validate


class Method(Protocol):
    """What a stage minimizes; it owns its loss and any extra networks."""

    def loss(self, network: nn.Module, batch: dict[str, Tensor], epoch: int) -> dict[str, Tensor]: ...


@dataclass
class Stage:
    """One stage of a recipe on its way.

    Attributes:
        name: of the stage, for log and progress.
        folder: of the run; checkpoint and log.jsonl go there.
        network: on ``device``.
        method: owns the loss.
        cases, held_out: prepared cases to train on and to validate on.
        settings: of the stage.
        seed: fixes crops, subsets, augmentation and dropout.
        device: where the network lives.
        progress: called after every step.
    """

    name: str
    folder: Path
    network: nn.Module
    method: Method
    cases: Sequence[CachedCase]
    held_out: Sequence[CachedCase]
    settings: Settings
    seed: int
    device: torch.device
    progress: Callable[[Event], None]


def fit(stage: Stage, resume: bool = False) -> nn.Module:
    """Train to the end of the stage.

    Args:
        stage: what to train.
        resume: go on after the last checkpoint in ``stage.folder``.

    Returns:
        The network to validate and export: the running average of the weights if the settings ask for it.

    Raises:
        OptionError: the loss is no longer a number; the learning rate is too high for these data.
    """
    settings, network = stage.settings, stage.network
    optimizer = torch.optim.Adam(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, amsgrad=True
    )
    precision, scaler = _precision(settings.precision, stage.device)
    averaged = (
        AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
        if settings.average
        else None
    )
    parts = {"network": network, "optimizer": optimizer, "scaler": scaler}
    if averaged:
        parts["averaged"] = averaged
    begin = _restore(stage, parts) if resume else 0
    _trim_log(stage.folder, begin)
    for epoch in range(begin, settings.epochs):
        started = time.perf_counter()
        rate = settings.learning_rate * (1 - epoch / settings.epochs) ** settings.power
        for group in optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(hash((stage.seed, epoch)) % 2**63)
        terms = _train_epoch(stage, epoch, optimizer, precision, scaler, averaged)
        write_checkpoint(
            stage.folder, {"epoch": epoch + 1, **{name: part.state_dict() for name, part in parts.items()}}
        )
        record = {"stage": stage.name, "epoch": epoch + 1, "learning_rate": rate, "loss": terms}
        if stage.held_out and ((epoch + 1) % settings.validate_every == 0 or epoch + 1 == settings.epochs):
            best = averaged.module if averaged else network
            subsets = named_subsets(settings.subsets)
            record["dice"] = validate(best, stage.held_out, subsets, settings.crop, stage.device)
        _log(stage.folder, {**record, "seconds": round(time.perf_counter() - started, 2)})
    return averaged.module if averaged else network


def _train_epoch(
    stage: Stage,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    precision: AbstractContextManager,
    scaler: torch.amp.GradScaler,
    averaged: AveragedModel | None,
) -> dict[str, float]:
    """One pass over the samples of an epoch; the mean of every loss term."""
    settings, network = stage.settings, stage.network.train()
    loader = DataLoader(
        Samples(stage.cases, settings, stage.seed, epoch),
        batch_size=settings.batch,
        num_workers=settings.workers,
        pin_memory=stage.device.type == "cuda",
    )
    sums: dict[str, float] = {}
    for step, batch in enumerate(loader, 1):
        batch = {name: value.to(stage.device, non_blocking=True) for name, value in batch.items()}
        with precision:
            terms = stage.method.loss(network, batch, epoch)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(terms["total"]).backward()
        if settings.clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        scaler.step(optimizer)
        scaler.update()
        if averaged:
            averaged.update_parameters(network)
        values = {name: float(term.detach()) for name, term in terms.items()}
        if values["total"] != values["total"]:
            raise OptionError(
                f"The loss became NaN in epoch {epoch + 1}. Lower learning_rate, or set precision=float32, "
                "and resume from the last checkpoint."
            )
        sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
        done = epoch * settings.iterations + step
        message = f"epoch {epoch + 1} of {settings.epochs}"
        stage.progress(
            Event(stage.name, done, settings.epochs * settings.iterations, message, {"loss": values["total"]})
        )
    return {name: value / len(loader) for name, value in sums.items()}


def _precision(name: str, device: torch.device) -> tuple[AbstractContextManager, torch.amp.GradScaler]:
    """The autocast of a precision setting, and the gradient scaler that float16 needs (idle otherwise)."""
    if name == "auto":
        name = "float32"
        if device.type == "cuda":
            name = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    autocast = torch.autocast(device.type, getattr(torch, name), enabled=name != "float32")
    return autocast, torch.amp.GradScaler(device.type, enabled=name == "float16")


def _restore(stage: Stage, parts: dict[str, Any]) -> int:
    """Load the last checkpoint into the parts; returns the number of finished epochs."""
    state = read_checkpoint(stage.folder, stage.device)
    missing = parts.keys() - state.keys()
    if missing:
        raise OptionError(
            f"{stage.folder}: the checkpoint has no {', '.join(sorted(missing))}. "
            "Resume with the settings the run began with."
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["epoch"]


def _log(folder: Path, record: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _trim_log(folder: Path, epochs: int) -> None:
    """Drop lines of epochs after the checkpoint: they are about to be made again."""
    path = folder / "log.jsonl"
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["epoch"] <= epochs]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
