"""Training runs small enough for tests: tiny real cases, tiny networks, and a look into what they leave."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from test_cache import write_case

ALL = ("flair", "t1ce", "t1", "t2")
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
    "baseline": {"network": {"filters": 8, "blocks": [1, 1]}},
    "mst-kd": {
        "network": {
            **{"width": 8, "embedding": 16, "layers": 4, "heads": 4, "hidden": 16, "decoder": 16},
            "grid": [1, 1, 1],
        },
        "patch_size": 32,
    },
    "adamm": {"network": {"width": 8, "adapters": 2, "nodes": 2}},
}
"""The smallest network of a recipe, and the crop that it needs."""
TINY = {**QUICK, **TINIEST["baseline"]}


def write_cases(folder: Path) -> Path:
    """Three labelled cases, one of which lacks modalities, and one without label."""
    write_case(folder / "patient_a", ALL)
    write_case(folder / "patient_b", ALL)
    write_case(folder / "patient_c", ("flair", "t1ce"))
    write_case(folder / "patient_d", ALL, label=False)
    return folder


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
