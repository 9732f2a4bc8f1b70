"""The one training loop: devices, precision, optimizer steps, checkpoints and the log.

Under torchrun every process takes its share of each batch and gradients are averaged
(DistributedDataParallel), so the processes together make the steps that one would make alone.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from ..core.errors import MissingModalityError, OptionError
from ..core.progress import Event, Progress
from ..core.seeding import epoch_seed, method_seed
from ..imaging.cache import CachedCase
from ..inference.sliding_window import cuda_half
from ..methods.method import Method
from ..runtime import distributed
from . import augmentation, log
from .checkpoints import write_checkpoint
from .log import LogLine
from .run_folder import RunFolder
from .samples import PatchDataset, steps_of_rank
from .settings import Settings, named_subsets
from .validation import validate

_ADAM_BETA1 = 0.9
"""Decay per step of Adam's running mean of gradients: Kingma and Ba's own value, which no paper followed here
changes; unlike the second one it is no setting."""


@dataclass
class StageRun:
    """One stage of a run on its way.

    Attributes:
        name: of the stage, for log and progress.
        stages: the names of all stages of the run, in order.
        folder: of the run; checkpoint and log go there.
        network: on ``device``.
        method: owns the loss.
        cases, held_out: prepared (or synthetic) cases to train on, prepared ones to validate on.
        settings: of the stage.
        seed: of the run; with the stage it fixes crops, subsets, augmentation and dropout.
        seeding: the rule that gives generators their seeds, see :mod:`~..core.seeding`.
        device: where the network lives.
        progress: called after every step.
    """

    name: str
    stages: Sequence[str]
    folder: RunFolder
    network: nn.Module
    method: Method
    cases: Sequence[CachedCase]
    held_out: Sequence[CachedCase]
    settings: Settings
    seed: int
    seeding: int
    device: torch.device
    progress: Progress

    @property
    def entropy(self) -> tuple[int, int]:
        """What tells the randomness of this stage from that of others."""
        return self.seed, list(self.stages).index(self.name)


class Trainer:
    """A stage with all that changes while it trains.

    Args:
        stage: what to train.
    """

    def __init__(self, stage: StageRun) -> None:
        settings, network = stage.settings, stage.network
        self.stage = stage
        self.done = 0
        self.trained = stage.method.assemble(network, method_seed(stage.seeding, *stage.entropy))
        self.optimizer = torch.optim.Adam(
            self.trained.parameters(),
            settings.learning_rate,
            (_ADAM_BETA1, settings.adam_beta2),
            weight_decay=settings.weight_decay,
            amsgrad=True,  # as RFNet's public training script has it; the networks of other papers keep it
        )
        self.precision, self.scaler = _precision(settings.precision, stage.device)
        self.ema_model = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
            if settings.ema_decay
            else None
        )

    @property
    def model_to_export(self) -> nn.Module:
        """What to validate and export: the running average of the weights if the settings ask for it."""
        return self.ema_model.module if self.ema_model else self.stage.network

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was written.

        Args:
            state: from :func:`checkpoints.read_checkpoint`.

        Raises:
            OptionError: the state is one of another network or of other settings.
        """
        try:
            for name, part in self._parts().items():
                if name != "scaler" or state[name]:  # empty after epochs in another precision
                    part.load_state_dict(state[name])
            self.done = int(state["epoch"])
        except KeyError as error:
            raise OptionError(
                f"{self.stage.folder.path}: the checkpoint has no {error}. "
                "Resume with the settings the run began with."
            ) from error
        except (RuntimeError, ValueError) as error:
            raise OptionError(
                f"{self.stage.folder.path}: the checkpoint does not fit these settings ({error}). "
                "Resume with the settings and on the kind of device the run began with."
            ) from error

    def begin(self) -> None:
        """Write a checkpoint where there is none of this stage yet, and cut the log to what it goes on from.

        So a stage that begins, or begins anew, is resumable at once. The first process does this.

        Raises:
            CaseError, StudentError: log or checkpoint cannot be written.
        """
        if not self.done:
            self._save()
        log.trim(self.stage.folder, self.stage.stages, self.stage.name, self.done)

    def fit(self) -> None:
        """Train to the end of the stage, writing log and checkpoint after every epoch.

        Raises:
            OptionError: the loss is no longer a number; the learning rate is too high for these data. Or a
                worker process has been killed.
            CaseError: a prepared case has gone or is damaged, or the log cannot be written.
            StudentError: the checkpoint cannot be written.
        """
        stage, settings = self.stage, self.stage.settings
        model = self._distributed()
        for epoch in range(self.done, settings.epochs):
            started = time.perf_counter()
            rate = settings.learning_rate * (1 - epoch / settings.epochs) ** settings.lr_decay_power
            for group in self.optimizer.param_groups:
                # a checkpoint brings back the values of its own settings, which may have changed since
                group.update(
                    lr=rate, betas=(_ADAM_BETA1, settings.adam_beta2), weight_decay=settings.weight_decay
                )
            # of each epoch anew, so that a run resumed here draws the dropout that an unbroken one would
            torch.manual_seed(epoch_seed(stage.seeding, *stage.entropy, epoch, distributed.rank()))
            stage.method.begin_epoch(stage.network, epoch)
            loss, waiting = self.train_epoch(model, epoch)
            dice = self._validate(epoch)
            self.done = epoch + 1
            seconds = round(time.perf_counter() - started, 2)
            line = LogLine(
                stage=stage.name,
                epoch=self.done,
                learning_rate=rate,
                loss=loss,
                waiting=waiting,
                dice=dice,
                seconds=seconds,
            )
            distributed.on_rank_zero(partial(self._keep, line))

    def _validate(self, epoch: int) -> dict[str, float] | None:
        """Dice on the cases held out; None after an epoch that the settings do not validate."""
        stage, settings = self.stage, self.stage.settings
        due = epoch + 1 == settings.epochs or (epoch + 1) % settings.validation_interval == 0
        if not (stage.held_out and due):
            return None
        subsets = named_subsets(settings.validation_subsets)
        return validate(self.model_to_export, stage.held_out, subsets, settings.patch_size, stage.device)

    def _keep(self, line: LogLine) -> None:
        """Write log line and checkpoint of an epoch."""
        log.append(self.stage.folder, line)
        self._save()  # last: a run killed before it makes the epoch again

    def _save(self) -> None:
        """Write the checkpoint."""
        states = {name: part.state_dict() for name, part in self._parts().items()}
        write_checkpoint(self.stage.folder, {"stage": self.stage.name, "epoch": self.done, **states})

    def _parts(self) -> dict[str, Any]:
        """Everything whose state a checkpoint holds."""
        parts = {
            "network": self.stage.network,
            "optimizer": self.optimizer,
            "scaler": self.scaler,
            "method": self.stage.method,
        }
        # keys of checkpoint.pt, so earlier than the names in this file
        return {**parts, "averaged": self.ema_model} if self.ema_model else parts

    def _distributed(self) -> nn.Module:
        """The network as the loss calls it: alone as it is, under torchrun averaging gradients."""
        if distributed.world() == 1:
            return self.trained
        network, device = self.stage.network, self.stage.device
        devices = [device] if device.type == "cuda" else None  # the wrapper takes None for a CPU
        return DistributedDataParallel(
            self.trained, devices, find_unused_parameters=network.find_unused_parameters
        )

    def train_epoch(self, model: nn.Module, epoch: int) -> tuple[dict[str, float], float]:
        """One pass over the patches of an epoch: mean loss terms, and the share of time spent on waiting."""
        stage, settings = self.stage, self.stage.settings
        self.trained.train()  # validation has left it in evaluation mode
        # made for each epoch, as its patches depend on the epoch: workers hold a copy of the data set
        loader = DataLoader(
            PatchDataset(stage.cases, settings, stage.entropy, epoch),
            batch_sampler=list(steps_of_rank(settings, distributed.rank(), distributed.world())),
            num_workers=min(settings.num_workers, os.cpu_count() or 1),
            pin_memory=stage.device.type == "cuda",  # else non_blocking copies below would block
        )
        message = f"epoch {epoch + 1} of {settings.epochs}"
        total = settings.epochs * settings.iterations_per_epoch
        sums: dict[str, float] = {}
        timer = _DataTimer()
        with _errors_of_workers():
            for step, batch in enumerate(timer.timed(loader), 1):
                values = self._step(model, batch, epoch)
                self._check(values["total"], values.pop("gradient"), batch["case"], epoch, step)
                sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
                done = epoch * settings.iterations_per_epoch + step
                stage.progress(Event(stage.name, done, total, message, {"loss": values["total"]}))
        terms = {name: value / settings.iterations_per_epoch for name, value in sums.items()}
        return terms, timer.data_wait_fraction()

    def _step(self, model: nn.Module, batch: dict[str, Any], epoch: int) -> dict[str, float]:
        """One step of the optimizer: the loss terms of the whole batch and the norm of their ``gradient``."""
        stage = self.stage
        drawn = batch.pop("augmentation")  # stays on the host, where decisions on it cost no waiting
        read = stage.method.modalities_read(stage.network, batch)
        batch = {name: value.to(stage.device, non_blocking=True) for name, value in batch.items()}
        batch["image"], batch["label"] = augmentation.apply(batch["image"], batch["label"], drawn, read)
        with self.precision:
            terms = stage.method.loss(model, batch, epoch)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(terms["total"]).backward()
        # the limit is one of true gradients, not of those that the scaler has scaled up for float16
        self.scaler.unscale_(self.optimizer)
        # without a limit nothing is clipped, but _check reads the norm
        terms["gradient"] = nn.utils.clip_grad_norm_(
            self.trained.parameters(), stage.settings.max_grad_norm or math.inf
        )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        stage.method.finish_step()
        if self.ema_model:
            self.ema_model.update_parameters(stage.network)
        # in one tensor, because each number that is read from a GPU waits for it
        values = torch.stack([term.detach().float() for term in terms.values()])
        return dict(zip(terms, distributed.mean(values).tolist(), strict=True))

    def _check(self, loss: float, gradient: float, cases: Tensor, epoch: int, step: int) -> None:
        """Stop at a loss or gradient that is no number, before a checkpoint is written.

        Raises:
            OptionError: on all ranks.
        """
        # A gradient that overflows only because the scaler has scaled it up stops nothing: the scaler skips
        # the step.
        # Each overflow halves the scale; below 1 it makes gradients smaller, so they overflow by themselves.
        skipped = self.scaler.is_enabled() and not math.isfinite(gradient) and self.scaler.get_scale() >= 1
        if math.isfinite(loss) and (math.isfinite(gradient) or skipped):
            return
        names = distributed.gather([self.stage.cases[number].name for number in cases.tolist()])
        what = f"gradient became {gradient}" if math.isfinite(loss) else f"loss became {loss}"
        error = OptionError(
            f"The {what} in stage {self.stage.name}, epoch {epoch + 1}, step {step}, on {', '.join(names)}. "
            "Lower learning_rate, or set precision=float32, and resume from the last checkpoint; should it "
            "happen with the same case again, look at its volumes."
        )
        distributed.raise_on_all_ranks(error)


class _DataTimer:
    """How much of the time of a loop it waits for its next batch."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._waited = 0.0

    def timed(self, batches: DataLoader) -> Iterator[dict[str, Any]]:
        """The batches, as they come."""
        asked = time.perf_counter()
        for batch in batches:
            self._waited += time.perf_counter() - asked
            yield batch
            asked = time.perf_counter()

    def data_wait_fraction(self) -> float:
        """0 to 1, since the timer was made."""
        return round(self._waited / max(time.perf_counter() - self._began, 1e-9), 4)


@contextmanager
def _errors_of_workers() -> Iterator[None]:
    """What goes wrong in the processes of a DataLoader, as one message."""
    try:
        yield
    except MissingModalityError as error:
        # a worker wraps the message in its traceback
        error.args = (str(error).rpartition(f"{type(error).__name__}: ")[2].rstrip(),)
        raise
    except (RuntimeError, ConnectionError, EOFError) as error:
        # one that is killed while it hands something over breaks the connection
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise OptionError(
            f"A process that cuts crops has ended ({error}). Memory may have run out: lower "
            "num_workers, to 0 if need be, and resume."
        ) from error


def _precision(name: str, device: torch.device) -> tuple[AbstractContextManager, torch.amp.GradScaler]:
    """The autocast of a precision setting, and the gradient scaler that float16 needs (idle otherwise)."""
    if name == "auto":
        name = "float32"
        if device.type == "cuda":
            name = str(cuda_half(device)).removeprefix("torch.")
    autocast = torch.autocast(device.type, getattr(torch, name), enabled=name != "float32")
    return autocast, torch.amp.GradScaler(device.type, enabled=name == "float16")
