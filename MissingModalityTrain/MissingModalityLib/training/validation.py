"""Dice on held-out cases while training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from ..core.labels import CAVITY_REGION, REGIONS, region_mask, without_ignored
from ..core.modalities import Subset, subset_name
from ..imaging.cache import CachedCase
from ..inference.student import Student
from ..runtime import distributed


def validate(
    network: nn.Module,
    cases: Sequence[CachedCase],
    subsets: Sequence[Subset],
    window: Sequence[int],
    device: torch.device,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, float]:
    """Mean Dice of what the exported student would predict, over the cases that allow a subset.

    Under torchrun the cases are shared among the processes.

    Args:
        network: left in evaluation mode.
        cases: prepared cases.
        subsets: to score.
        window: (d, h, w) of the student.
        device: where to predict.
        on_case: called before each case of this process with how many are done and how many there are.

    Returns:
        ``{"FLAIR+T1ce WT": 0.83, ..., "mean": 0.71}``; empty where no case allows any of the subsets.
    """
    mine = cases[distributed.rank() :: distributed.world()]
    scores: dict[str, list[float]] = {}
    for name, score in distributed.gather_from(
        lambda: _scores(network, mine, subsets, window, device, on_case)
    ):
        scores.setdefault(name, []).append(score)
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    return {**means, "mean": float(np.mean(list(means.values())))} if means else {}


def _scores(
    network: nn.Module,
    cases: Sequence[CachedCase],
    subsets: Sequence[Subset],
    window: Sequence[int],
    device: torch.device,
    on_case: Callable[[int, int], None],
) -> list[tuple[str, float]]:
    """("FLAIR+T1ce WT", Dice) of every case, subset that it allows and region."""
    from ..evaluation.metrics import dice

    # puts the network into evaluation mode; the next epoch puts it back
    student = Student(network, {"window": list(window)})
    scores = []
    for number, case in enumerate(cases):
        on_case(number, len(cases))
        allowed = [subset for subset in subsets if set(subset) <= set(case.subset)]
        whole = case.load()
        for subset, classes in zip(allowed, student.classes_of(whole, allowed, device), strict=True):
            pair = without_ignored(classes, whole.label)
            for region in (*REGIONS, *([CAVITY_REGION] if network.head.cavity else [])):
                score = dice(*(region_mask(one, region) for one in pair))
                scores.append((f"{subset_name(subset)} {region}", score))
    return scores
