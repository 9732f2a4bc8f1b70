"""What a training step costs the host, as on a GPU: some hundred calls of PyTorch, and no wait for a value.

A CPU can count both. Its fused optimizer and its reading of losses are turned on as a GPU has them.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import default_collate

import step_counts
from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.training import augmentation_geometry, loop, optimization, step_values
from MissingModalityLib.training.augmentation import apply, draw
from MissingModalityLib.training.loop import Trainer
from MissingModalityLib.training.run import train
from tiny_run import QUICK

SETTINGS = {**QUICK, "epochs": 2, "augmentation": "none", "ema_decay": 0.9, "max_grad_norm": 1.0}
KEPT = {**SETTINGS, "patch_size": 16, "case_cache": "device", "validation_fraction": 0, "network.width": 8}


@pytest.fixture
def like_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_values, "READ_INTERVAL", {})
    monkeypatch.setattr(optimization, "FUSED_ON", {"cpu"})
    monkeypatch.setattr(augmentation_geometry, "POINTS_ON", frozenset())
    monkeypatch.setattr(loop, "cpu_kernels", lambda *_: nullcontext())


def counts_of_epoch(
    settings: dict[str, Any], cases: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> step_counts.Counts:
    """Of the second epoch of a run."""
    found, train_epoch = [], Trainer.train_epoch

    def counted(self: Trainer, model: nn.Module, epoch: int) -> Any:
        if not epoch:  # in which memory is laid out and states are made
            return train_epoch(self, model, epoch)
        results = []
        found.append(step_counts.count(lambda: results.append(train_epoch(self, model, epoch))))
        return results[0]

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_epoch", counted)
        train(cases, output, settings=settings)
    return found[0]


@pytest.mark.usefixtures("like_a_gpu")
def test_a_step_of_the_default_network_is_some_hundred_calls_and_an_epoch_one_wait(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short, long = (
        counts_of_epoch(
            {**KEPT, "batch_size": 4, "iterations_per_epoch": steps},
            tiny_cases,
            tmp_path / str(steps),
            monkeypatch,
        )
        for steps in (1, 3)
    )
    assert short.reads == long.reads == 2, "all losses together, and a seed of the loader on the host"
    assert 100 < (long.calls - short.calls) / 2 < 600


@pytest.mark.usefixtures("like_a_gpu")
@pytest.mark.parametrize(("level", "most"), [("strong", 400), ("clinical", 800)])
def test_augmentation_of_a_batch_is_some_hundred_calls_half_of_them_views(level: str, most: int) -> None:
    image, label = torch.randn(4, len(MODALITIES), 8, 8, 8), torch.zeros(4, 8, 8, 8, dtype=torch.uint8)
    random = np.random.default_rng(1)
    batches = [default_collate([draw(level, random) for _ in image]) for _ in range(2)]
    calls = [step_counts.count(partial(apply, image, label, batch)).calls for batch in batches]
    assert 100 < fmean(calls) < most


def test_on_a_cpu_every_step_is_read(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**KEPT, "iterations_per_epoch": 2}
    assert counts_of_epoch(settings, tiny_cases, tmp_path / "run", monkeypatch).reads >= 2 + 1


def test_reads_of_every_kind_are_counted() -> None:
    value = torch.ones(3)
    reads = [
        lambda: value[0].item(),
        lambda: bool(value[0]),
        lambda: value[value > 0],
        lambda: value.tolist(),
        lambda: value.numpy(),
    ]
    assert [step_counts.count(read).reads for read in reads] == [1] * len(reads)
    assert step_counts.count(lambda: (value + 1).sum()) == step_counts.Counts(2, 0, 0, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_steps_on_a_gpu_wait_for_nothing(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._step

    def strict(self: Trainer, *arguments: Any) -> None:
        torch.cuda.set_sync_debug_mode("error" if arguments[2] else "default")  # not in the first epoch
        try:
            step(self, *arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Trainer, "_step", strict)
    train(tiny_cases, tmp_path / "run", device="cuda", settings={**KEPT, "precision": "bfloat16"})
