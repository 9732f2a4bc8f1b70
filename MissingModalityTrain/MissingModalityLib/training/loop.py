"""The one training loop: devices, precision, optimizer steps, checkpoints and the log.

Under torchrun every process takes its share of each batch and gradients are averaged
(DistributedDataParallel), so the processes together make the steps that one would make alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..core.errors import OptionError
from ..core.labels import IGNORED, TumorClass
from ..core.progress import Event, Progress
from ..core.seeding import epoch_seed, method_seed
from ..imaging.cache import CachedCase
from ..inference.sliding_window import cuda_half
from ..inference.weights import first_not_finite
from ..methods.method import Method
from ..runtime import distributed
from ..runtime.cpu_kernels import cpu_kernels
from ..runtime.freed_memory import freed_memory_kept
from . import augmentation, log
from .checkpoints import steps_of_stage, tensors_in, write_checkpoint
from .compilation import compiled, compiled_step
from .device_cases import keep_cases
from .loading import DataTimer, batches, errors_of_workers
from .log import LogLine
from .optimization import (
    WeightAverage,
    clip_gradients,
    learning_rate,
    load_optimizer,
    make_optimizer,
    set_learning_rate,
    skip_where_not_finite,
)
from .run_folder import RunFolder
from .samples import PatchDataset
from .settings import Settings, named_subsets
from .step_values import Step, StepValues
from .validation import validate


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
        progress: called after every step, with the loss of the last one that has been read from the device.
        after_epoch: called by the first process with each line of the log, once it and the checkpoint are
            written.
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
    after_epoch: Callable[[LogLine], None] = lambda line: None

    @property
    def entropy(self) -> tuple[int, int]:
        """What tells the randomness of this stage from that of others."""
        return self.seed, list(self.stages).index(self.name)


class Trainer:
    """A stage with all that changes while it trains.

    Args:
        stage: what to train.

    Raises:
        CaseError: a prepared case has gone or is damaged.
        OptionError: the cases shall be kept on a device whose memory does not suffice.
    """

    def __init__(self, stage: StageRun) -> None:
        settings, network = stage.settings, stage.network
        self.stage = stage
        self.done = 0
        self.steps = 0  # of the optimizer; an epoch may have had another number of them than it has now
        self.trained = stage.method.assemble(network, method_seed(stage.seeding, *stage.entropy))
        stage.method.know_cases(
            [case.name for case in stage.cases],
            [case.content if isinstance(case, CachedCase) else {} for case in stage.cases],
        )
        self.optimizer = make_optimizer(self.trained.parameters(), settings, stage.device)
        self.kept = distributed.on_all_ranks(keep_cases, stage.cases, settings.case_cache, stage.device)
        self.ignores = any(isinstance(case, CachedCase) and case.ignores for case in stage.cases)
        self.precision, self.scaler = autocast_and_scaler(settings.precision, stage.device)
        numbers = number_format(settings.precision, stage.device)
        plain = settings.compile == "none"  # what is compiled is laid out by its compiler
        self.kernels = cpu_kernels(self.trained, stage.device, numbers, plain)
        self.ema_model = WeightAverage(network, settings.ema_decay) if settings.ema_decay else None

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
                if name == "optimizer":
                    load_optimizer(self.optimizer, state[name])
                elif name != "scaler" or state[name]:  # empty after epochs in another precision
                    part.load_state_dict(state[name])
            self.done = int(state["epoch"])
            self.steps = steps_of_stage(state, self.stage.settings)
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

    @freed_memory_kept()
    def fit(self) -> None:
        """Train to the end of the stage, writing log and checkpoint after every epoch.

        Raises:
            OptionError: the loss or a weight is no longer a number; the learning rate is too high for these
                data. Or a worker process has been killed, or the network cannot be compiled.
            CaseError: a prepared case has gone or is damaged, or the log cannot be written.
            StudentError: the checkpoint cannot be written.
        """
        stage, settings = self.stage, self.stage.settings
        model = self._model()
        for epoch in range(self.done, settings.epochs):
            started = time.perf_counter()
            # of each epoch anew, so that a run resumed here draws the dropout that an unbroken one would
            torch.manual_seed(epoch_seed(stage.seeding, *stage.entropy, epoch, distributed.rank()))
            stage.method.begin_epoch(stage.network, epoch)
            loss, waiting = self.train_epoch(model, epoch)
            self.steps += settings.iterations_per_epoch
            self._check_state(epoch)
            dice = self._validate(epoch)
            self.done = epoch + 1
            seconds = round(time.perf_counter() - started, 2)
            line = LogLine(
                stage=stage.name,
                epoch=self.done,
                learning_rate=learning_rate(settings, self.done * settings.iterations_per_epoch - 1),
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
        steps, every = (count * settings.iterations_per_epoch for count in (epoch + 1, settings.epochs))

        def on_case(done: int, total: int) -> None:
            message = f"epoch {epoch + 1} of {settings.epochs}, validating case {done + 1} of {total}"
            stage.progress(Event(stage.name, steps, every, message))

        subsets = named_subsets(settings.validation_subsets)
        network, window = self.model_to_export, settings.patch_size
        return validate(network, stage.held_out, subsets, window, stage.device, on_case)

    def _keep(self, line: LogLine) -> None:
        """Write log line and checkpoint of an epoch, and show it to who follows."""
        log.append(self.stage.folder, line)
        self._save()  # after the line: a run killed before it makes the epoch again
        self.stage.after_epoch(line)

    def _save(self) -> None:
        """Write the checkpoint."""
        states = {name: part.state_dict() for name, part in self._parts().items()}
        place = {"stage": self.stage.name, "epoch": self.done, "steps": self.steps}
        write_checkpoint(self.stage.folder, {**place, **states})

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

    def _model(self) -> nn.Module:
        """The network as the loss calls it: compiled if asked for, under torchrun averaging gradients."""
        trained = compiled(self.trained, self.stage.settings.compile)
        if distributed.world() == 1:
            return trained
        network, device = self.stage.network, self.stage.device
        devices = [device] if device.type == "cuda" else None  # the wrapper takes None for a CPU
        return DistributedDataParallel(
            trained, devices, find_unused_parameters=network.find_unused_parameters
        )

    def train_epoch(self, model: nn.Module, epoch: int) -> tuple[dict[str, float], float]:
        """One pass over the patches of an epoch: mean loss terms, and the share of time spent on waiting."""
        stage, settings = self.stage, self.stage.settings
        self.trained.train()  # validation has left it in evaluation mode
        # made for each epoch, as its patches depend on the epoch
        how = {"cut": self.kept is None, "placed": stage.network.reads_place}
        patches = PatchDataset(stage.cases, settings, stage.entropy, epoch, **how)
        total = settings.epochs * settings.iterations_per_epoch
        values, timer = StepValues(stage.device), DataTimer()
        loader = timer.timed(batches(patches, stage.device))
        with errors_of_workers():
            for done, batch in enumerate(loader, epoch * settings.iterations_per_epoch + 1):
                set_learning_rate(self.optimizer, learning_rate(settings, done - 1))
                with compiled_step(settings.compile):
                    self._step(model, batch, epoch, values)
                if values.due:
                    self._check(values.read(), epoch)
                known = {} if values.loss is None else {"loss": values.loss}
                message = f"epoch {epoch + 1} of {settings.epochs}"
                stage.progress(Event(stage.name, done, total, message, known))
            self._check(values.read(), epoch)
        terms = {name: value / settings.iterations_per_epoch for name, value in values.sums.items()}
        return terms, timer.data_wait_fraction()

    def _step(self, model: nn.Module, batch: dict[str, Any], epoch: int, values: StepValues) -> None:
        """One step of the optimizer, which goes into ``values``."""
        stage = self.stage
        drawn = batch.pop("augmentation")  # stays on the host, where decisions on it cost no waiting
        read = stage.method.modalities_read(stage.network, batch)
        cases = batch["case"].tolist()
        batch = self._sent(batch, cases)
        batch["image"], batch["label"] = augmentation.apply(batch["image"], batch["label"], drawn, read)
        if self.ignores:
            batch["ignored"] = batch["label"] == IGNORED
            batch["label"] = batch["label"].masked_fill(batch["ignored"], TumorClass.BACKGROUND)
        self.optimizer.zero_grad(set_to_none=True)  # before the activations take its memory
        with self.kernels:  # around the gradients too, for which checkpointed layers compute once more
            with self.precision:
                terms = stage.method.loss(model, batch, epoch)
            self.scaler.scale(terms["total"]).backward()
        # the limit is one of true gradients, not of those that the scaler has scaled up for float16
        self.scaler.unscale_(self.optimizer)
        gradient = clip_gradients(stage.method.clipped_apart(self.trained), stage.settings.max_grad_norm)
        if not self.scaler.is_enabled():  # which skips such steps by itself
            skip_where_not_finite(self.optimizer, gradient)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with self.kernels:  # discriminators make a step of their own
            stage.method.finish_step()
        if self.ema_model:
            self.ema_model.update_parameters(stage.network)
        scale = self.scaler.scale(torch.ones_like(gradient)) if self.scaler.is_enabled() else None
        values.add(cases, terms, gradient, scale)

    def _sent(self, batch: dict[str, Tensor], cases: Sequence[int]) -> dict[str, Tensor]:
        """A batch on the device; its crops are cut there, where the cases are kept there."""
        device, size = self.stage.device, self.stage.settings.patch_size
        if self.kept:
            batch["image"], batch["label"] = self.kept.cut(cases, batch.pop("start").tolist(), size)
        return {name: value.to(device, non_blocking=True) for name, value in batch.items()}

    def _check(self, steps: Iterable[Step], epoch: int) -> None:
        """Stop at the first step whose loss or gradient is no number, before a checkpoint is written.

        Raises:
            OptionError: on all ranks.
        """
        for step in steps:
            if step.problem is None:
                continue
            names = distributed.gather([self.stage.cases[number].name for number in step.cases])
            error = OptionError(
                f"The {step.problem} in stage {self.stage.name}, epoch {epoch + 1}, step {step.number}, on "
                f"{', '.join(names)}. Lower learning_rate, or set precision=float32, and resume from the "
                "last checkpoint; should it happen with the same case again, look at its volumes."
            )
            distributed.raise_on_all_ranks(error)

    def _check_state(self, epoch: int) -> None:
        """Stop where the steps have left no numbers, before they are validated or written anywhere.

        The loss cannot tell: it was computed before the step. Once per epoch, so a GPU is waited for once.

        Raises:
            OptionError: on all ranks.
        """
        states = {name: part.state_dict() for name, part in self._parts().items()}
        found = first_not_finite(dict(tensors_in(states)))
        names = [name for name in distributed.gather([found]) if name]
        if names:
            distributed.raise_on_all_ranks(
                OptionError(
                    f"The steps of stage {self.stage.name}, epoch {epoch + 1}, have left NaN or infinity in "
                    f"{names[0]}. Lower learning_rate, or set precision=float32, and resume from the last "
                    "checkpoint."
                )
            )


def autocast_and_scaler(
    name: str, device: torch.device
) -> tuple[AbstractContextManager, torch.amp.GradScaler]:
    """The autocast of a precision setting, and the gradient scaler that float16 needs (idle otherwise)."""
    numbers = number_format(name, device)
    autocast = torch.autocast(device.type, numbers, enabled=numbers != torch.float32)
    return autocast, torch.amp.GradScaler(device.type, enabled=numbers == torch.float16)


def number_format(name: str, device: torch.device) -> torch.dtype:
    """What convolutions compute in, by a precision setting."""
    if name == "auto":
        return cuda_half(device) if device.type == "cuda" else torch.float32
    return getattr(torch, name)
