"""Dice on held-out cases while training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from ..cache import CachedCase
from ..inference import infer, to_classes
from ..modalities import SUBSETS, Subset, subset_name
from ..regions import REGIONS, region_mask


def named_subsets(names: Iterable[str]) -> list[Subset]:
    """Subsets from names such as "FLAIR+T1ce" (any case and order); names that are none are left out."""
    wanted = {frozenset(name.upper().split("+")) for name in names}
    return [subset for subset in SUBSETS if frozenset(modality.name for modality in subset) in wanted]


def validate(
    network: nn.Module,
    cases: Sequence[CachedCase],
    subsets: Sequence[Subset],
    window: Sequence[int],
    device: torch.device,
) -> dict[str, float]:
    """Mean Dice over the cases that allow a subset: ``{"FLAIR+T1ce WT": 0.83, ..., "mean": 0.71}``."""
    from ..evaluation.metrics import dice

    network.eval()
    scores: dict[str, list[float]] = {}
    for case in cases:
        whole = case.whole()
        for subset in subsets:
            if not set(subset) <= set(case.subset):
                continue
            part = whole.keep(subset)
            probabilities = infer(
                network, part.image, part.available, window=window, overlap=0.25, device=device
            )
            classes = to_classes(probabilities, network.head)
            for region in REGIONS:
                score = dice(region_mask(classes, region), region_mask(part.label, region))
                scores.setdefault(f"{subset_name(subset)} {region}", []).append(score)
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    return {**means, "mean": float(np.mean(list(means.values())))} if means else {}
