"""Prepared cases made of arrays, where nothing reads or writes a volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MissingModalityLib.core.labels import TumorClass
from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.imaging.cache import CachedCase, write_case


def write_prepared_cases(folder: Path, count: int = 3, side: int = 24) -> list[CachedCase]:
    """Balls of noise with a tumor of three shells in each, all modalities."""
    cases = []
    for number in range(count):
        random = np.random.default_rng(number)
        axes = np.ogrid[tuple(slice(-1, 1, side * 1j) for _ in range(3))]
        brain = sum(axis**2 for axis in axes) < 1
        away = sum((axis - 0.1 * (number + 1)) ** 2 for axis in axes)
        shells = [away < 0.05, away < 0.12, away < 0.25]
        label = np.select(shells, [TumorClass.NCR, TumorClass.ET, TumorClass.ED]) * brain
        image = random.normal(0, 1, (len(MODALITIES), *label.shape)) + label
        image = np.where(brain, image, 0).astype(np.float32)
        name = f"patient_{number}"
        path = folder / f"{name}.safetensors"
        cases.append(write_case(path, name, str(number), MODALITIES, image, label.astype(np.uint8)))
    return cases
