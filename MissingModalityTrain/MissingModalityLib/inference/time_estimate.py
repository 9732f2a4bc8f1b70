"""How long a student will take on a device, from the time that one window takes here and now."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from ..core.modalities import MODALITIES
from .sliding_window import infer_within_memory
from .student import Student
from .windows import count_windows

BRAIN_MM = (140, 172, 140)
"""A brain's box along z, y, x: about the size of the atlas that BraTS cases are registered to."""

_OTHER_SECONDS = 4.0
"""Start of the process, reading, bringing onto one grid, writing: see the times of ``make demo``."""


def estimated_seconds(student: Path | str, device: torch.device) -> float:
    """Seconds to segment one adult brain from all four modalities, the process's start included.

    Takes about two windows' time itself.

    Raises:
        StudentError: the file cannot be used.
    """
    loaded = Student.load(Path(student))
    window, overlap = loaded.card["window"], loaded.card["overlap"]
    # one window of brain, or the whole brain where that is smaller
    side = [min(w, b) for w, b in zip(window, BRAIN_MM, strict=True)]
    image = np.random.default_rng(0).normal(size=(len(MODALITIES), *side)).astype(np.float32)
    for _ in range(2):  # the first one pays for what is done once per process
        began = perf_counter()
        infer_within_memory(
            loaded.network,
            image,
            np.ones(len(MODALITIES), bool),
            window=window,
            overlap=overlap,
            device=device,
            on_note=lambda note: None,
        )
        seconds = perf_counter() - began
    passes = 2 ** len(loaded.card.mirror or ())
    return seconds * passes * count_windows(BRAIN_MM, window, overlap) + _OTHER_SECONDS
