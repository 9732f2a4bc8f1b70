"""Settings of training runs small enough for tests, and a look into what they leave."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from small_networks import SMALLEST

QUICK = {
    "epochs": 3,
    "iterations_per_epoch": 2,
    "batch_size": 1,
    "patch_size": 16,
    "ema_decay": 0,
    "validation_interval": 3,
    "num_workers": 0,
}
TINIEST = {
    "baseline": {"network": SMALLEST["segresnet"]},
    "mst-kd": {"network": SMALLEST["mstkdnet"], "patch_size": 32},
    "adamm": {"network": SMALLEST["adamm"]},
    "m3ae": {"network": SMALLEST["m3ae"]},
    "nnunet-dropout": {"network": SMALLEST["dynunet"]},
    "ra-hved": {"network": SMALLEST["rahved"], "patch_size": 32},
    "smu-net": {"network": SMALLEST["smunet"]},
    "acn": {"network": SMALLEST["acn"]},
}
"""The smallest network of a recipe, and the crop that it needs."""
TINY = {**QUICK, **TINIEST["baseline"]}


def record(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoint.pt", weights_only=True)["network"]


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def timeless(run: Path) -> list[dict]:
    """The log without what depends on the clock."""
    return [{**line, "seconds": 0, "waiting": 0} for line in log(run)]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
