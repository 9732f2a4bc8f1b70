"""The one training loop: devices, precision, optimizer steps, checkpoints and the log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from ..atomic import replacing
from ..cache import CachedCase
from ..errors import OptionError
from ..progress import Event
from .checkpoints import write_checkpoint
from .samples import Samples
from .settings import Settings, named_subsets
from .validation import validate


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


class Trainer:
    """A stage with all that changes while it trains.

    Args:
        stage: what to train.
    """

    def __init__(self, stage: Stage) -> None:
        settings, network = stage.settings, stage.network
        self.stage = stage
        self.done = 0
        self.optimizer = torch.optim.Adam(
            network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, amsgrad=True
        )
        self.precision, self.scaler = _precision(settings.precision, stage.device)
        self.averaged = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
            if settings.average
            else None
        )

    @property
    def result(self) -> nn.Module:
        """What to validate and export: the running average of the weights if the settings ask for it."""
        return self.averaged.module if self.averaged else self.stage.network

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was written.

        Args:
            state: from :func:`checkpoints.read_checkpoint`.

        Raises:
            OptionError: the state is one of another network or of other settings.
        """
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.done = int(state["epoch"])
        except KeyError as error:
            raise OptionError(
                f"{self.stage.folder}: the checkpoint has no {error}. "
                "Resume with the settings the run began with."
            ) from error
        except (RuntimeError, ValueError) as error:
            raise OptionError(
                f"{self.stage.folder}: the checkpoint does not fit these settings ({error}). "
                "Resume with the settings and on the kind of device the run began with."
            ) from error

    def fit(self) -> None:
        """Train to the end of the stage, writing log and checkpoint after every epoch.

        Raises:
            OptionError: the loss is no longer a number; the learning rate is too high for these data.
        """
        stage, settings = self.stage, self.stage.settings
        _trim_log(stage.folder, self.done)
        for epoch in range(self.done, settings.epochs):
            started = time.perf_counter()
            rate = settings.learning_rate * (1 - epoch / settings.epochs) ** settings.power
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            torch.manual_seed(hash((stage.seed, epoch)) % 2**63)
            terms = self._train_epoch(epoch)
            record = {"stage": stage.name, "epoch": epoch + 1, "learning_rate": rate, "loss": terms}
            last = epoch + 1 == settings.epochs
            if stage.held_out and (last or (epoch + 1) % settings.validate_every == 0):
                subsets = named_subsets(settings.subsets)
                record["dice"] = validate(self.result, stage.held_out, subsets, settings.crop, stage.device)
            # the checkpoint comes last: a run killed before it makes the whole epoch again, its log line too
            _log(stage.folder, {**record, "seconds": round(time.perf_counter() - started, 2)})
            states = {name: part.state_dict() for name, part in self._parts().items()}
            write_checkpoint(stage.folder, {"epoch": epoch + 1, **states})
            self.done = epoch + 1

    def _parts(self) -> dict[str, Any]:
        """Everything whose state a checkpoint holds."""
        parts = {"network": self.stage.network, "optimizer": self.optimizer, "scaler": self.scaler}
        return {**parts, "averaged": self.averaged} if self.averaged else parts

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the samples of an epoch; the mean of every loss term."""
        stage, settings = self.stage, self.stage.settings
        stage.network.train()
        loader = DataLoader(
            Samples(stage.cases, settings, stage.seed, epoch),
            batch_size=settings.batch,
            num_workers=settings.workers,
            pin_memory=stage.device.type == "cuda",
        )
        message, total = f"epoch {epoch + 1} of {settings.epochs}", settings.epochs * settings.iterations
        sums: dict[str, float] = {}
        for step, batch in enumerate(loader, 1):
            values = self._step(batch, epoch)
            if values["total"] != values["total"]:
                raise OptionError(
                    f"The loss became NaN in epoch {epoch + 1}. Lower learning_rate, or set "
                    "precision=float32, and resume from the last checkpoint."
                )
            sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
            done = epoch * settings.iterations + step
            stage.progress(Event(stage.name, done, total, message, {"loss": values["total"]}))
        return {name: value / len(loader) for name, value in sums.items()}

    def _step(self, batch: dict[str, Tensor], epoch: int) -> dict[str, float]:
        """One step of the optimizer; the values of the loss terms before it."""
        stage, network = self.stage, self.stage.network
        batch = {name: value.to(stage.device, non_blocking=True) for name, value in batch.items()}
        with self.precision:
            terms = stage.method.loss(network, batch, epoch)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(terms["total"]).backward()
        if stage.settings.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), stage.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.averaged:
            self.averaged.update_parameters(network)
        return {name: float(term.detach()) for name, term in terms.items()}


def _precision(name: str, device: torch.device) -> tuple[AbstractContextManager, torch.amp.GradScaler]:
    """The autocast of a precision setting, and the gradient scaler that float16 needs (idle otherwise)."""
    if name == "auto":
        name = "float32"
        if device.type == "cuda":
            name = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    autocast = torch.autocast(device.type, getattr(torch, name), enabled=name != "float32")
    return autocast, torch.amp.GradScaler(device.type, enabled=name == "float16")


def _log(folder: Path, record: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _trim_log(folder: Path, epochs: int) -> None:
    """Drop lines of epochs after the checkpoint, about to be made again, and what a killed run half wrote."""
    path = folder / "log.jsonl"
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        with replacing(path) as temporary:
            kept = [line for line in lines if _epoch_of(line) <= epochs]
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def _epoch_of(line: str) -> float:
    """The epoch of a line of the log; infinity where the line is not whole."""
    try:
        return json.loads(line)["epoch"]
    except ValueError:
        return float("inf")
