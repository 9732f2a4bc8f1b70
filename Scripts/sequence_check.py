"""Makes the network that tells sequences apart, and its card: prepare, train, choose, test, write.

    make sequence-check TRAIN=folder TEST=folder

Takes about eight minutes of one CPU core. Cases whose terms allow experiments only are left out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from bundled_student import excluded
from scipy import ndimage
from sequence_views import AIR, Source, Views
from torch.nn import functional

from MissingModalityLib.clinical.coarse import SPACING_MM, coarse
from MissingModalityLib.clinical.sequence_network import NONE_OF_THEM, SequenceNetwork
from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.reading import read_study

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
HELD_OUT = 5
"""Every fifth patient, by name, chooses and trains nothing."""

STEPS, BATCH = 300, 16
_KEPT = 800
LEARNING_RATE = 3e-3
OTHER_SHARE = 0.12
"""Of the views: none of the four sequences."""

Patients = Mapping[str, Mapping[Modality, Source]]


def prepare(folder: Path, leave_out: Iterable[str] = ()) -> Patients:
    """Coarse volumes of all patients of a folder, by name."""
    found = {}
    for case in find_cases(folder).cases:
        if case.name not in leave_out:
            study = read_study(case)
            found[case.name] = {modality: source(coarse(image)) for modality, image in study.images.items()}
    return found


def source(volume: np.ndarray) -> Source:
    """A stripped coarse volume with its distance map."""
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(volume > AIR))
    outside, inside = (ndimage.distance_transform_edt(part) for part in (~brain, brain))
    distance = SPACING_MM * np.where(brain, 0.5 - inside, outside - 0.5)
    return Source(torch.from_numpy(volume), torch.from_numpy(distance.astype(np.float32)))


def batches(patients: Patients, steps: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Views of random patients and sequences; the views of a batch come again, mirrored, in a later one."""
    random, views = np.random.default_rng(seed), Views(seed)
    names, earlier = sorted(patients), []
    for _ in range(steps):
        drawn = []
        while len(drawn) < BATCH:
            sources = patients[names[int(random.integers(len(names)))]]
            drawn += [(volume, int(modality)) for modality, volume in views.views(sources).items()]
            if random.random() < OTHER_SHARE * len(MODALITIES):
                drawn.append((views.other(sources), NONE_OF_THEM))
        again = [earlier[int(random.integers(len(earlier)))] for _ in range(BATCH if earlier else 0)]
        earlier = [*earlier[-_KEPT:], *((np.flip(volume, 2), kind) for volume, kind in drawn)]
        volumes, classes = zip(*drawn, *again, strict=True)
        yield torch.from_numpy(np.stack(volumes)), torch.tensor(classes)


def fit(patients: Patients, steps: int = STEPS) -> SequenceNetwork:
    """Train a network from the start."""
    torch.manual_seed(SEED)
    network = SequenceNetwork().train()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
    begun, recent = time.monotonic(), []
    for step, (volumes, classes) in enumerate(batches(patients, steps, SEED), 1):
        logits = network(volumes)
        loss = functional.cross_entropy(logits, classes, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent.append([loss.item(), (logits.argmax(1) == classes).float().mean().item()])
        if not step % 50:
            mean, right = np.mean(recent[-50:], 0)
            print(f"step {step}: loss {mean:.3f}, right {right:.1%}, {time.monotonic() - begun:.0f} s", flush=True)
    return network.eval()
