"""Makes the network that tells sequences apart, and its card: prepare, train, choose, test, write.

    make sequence-check TRAIN=folder TEST=folder

Takes about two minutes of one CPU core. Cases whose terms allow experiments only are left out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from scipy import ndimage
from torch import nn
from torch.nn import functional

from bundled_student import FACTS, excluded
from MissingModalityLib.clinical.coarse import SHAPE, SPACING_MM, coarse
from MissingModalityLib.clinical.sequence_network import (
    FEATURES,
    HIDDEN,
    NAME,
    NONE_OF_THEM,
    SHAPES,
    Weights,
    describe,
    probabilities,
)
from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.core.files import file_sha256, write_text
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.reading import read_study
from MissingModalityLib.phantom.patient import grow_patient
from sequence_views import AIR, Source, Views

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
HELD_OUT = 5
"""Every fifth patient, by name, chooses and trains nothing."""

PARTS, ROUNDS = 4, 130
"""Of the views: each part has a seed of its own, each round one patient with all sequences."""

PLAIN = 3
"""How often the volumes as they are stand among the views."""

STEPS, LEARNING_RATE, WEIGHT_DECAY = 250, 3e-3, 0.1
PHANTOMS = range(100, 108)
_VIEWS = 5
OTHER_SHARE = 0.12
"""Of the views: none of the four sequences."""

_CARD = """# Model card: sequence-check

> **For research use only. This is not a medical device.**

Tells from the voxels of a volume whether it is FLAIR, T1ce, T1, T2 or none of them. It warns of volumes in
the wrong slot, see [the check of the content](../Docs/content-check.md); it segments nothing.

|  |  |
| --- | --- |
| file | {file}, {kilobytes} kB |
| SHA-256 | {sha256} |
| parameters | {parameters} |
| license | {license} |

## Training data

{used} patients, and {held} more that were held out; {phantoms} synthetic patients. {note} Heads around the
stripped brains, other scanners and volumes that are none of the sequences are
synthetic (`Scripts/sequence_views.py`).

## Confusion

Rows: what a volume is. Test cases chose nothing.
"""

Patients = Mapping[str, Mapping[Modality, Source]]


def main() -> int:
    """Run all steps; 0 done, 2 bad input with one message."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--train", type=Path, required=True, help="folder of training cases")
    parser.add_argument("--test", type=Path, nargs="+", required=True, help="folders of cases to score on")
    parser.add_argument("--models", type=Path, default=ROOT / "Resources" / "Models", help="where it goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        _make(options.train, options.test, options.models)
    except (MissingModalityError, OSError) as error:
        print(f"sequence_check: error: {error}", file=sys.stderr)
        return 2
    return 0


def _make(train: Path, tests: list[Path], models: Path) -> None:
    patients = prepare(train, excluded(train))
    held_out = sorted(patients)[::HELD_OUT]
    shown = {name: patients[name] for name in patients if name not in held_out} | phantoms()
    parts = [described(shown, SEED + part) for part in range(PARTS)]
    parts += [plain(shown)] * PLAIN
    network = fit(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    models.mkdir(parents=True, exist_ok=True)
    path = models / f"{NAME}.safetensors"
    save_file(dict(network), path)
    held = {name: patients[name] for name in held_out}
    tables = {"held out of training": confusion(network, held)}
    tables["views of these"] = confusion(network, held, Views(SEED + PARTS))
    for folder in tests:
        tables[folder.name] = confusion(network, prepare(folder))
    used = [name for name in sorted(patients) if name not in held_out]
    write_text(card(path, used, held_out, tables), models / f"{NAME}.md")


def phantoms() -> Patients:
    """Synthetic patients, so that demos are known too."""
    found = {}
    for seed in PHANTOMS:
        images, _ = grow_patient(seed, SHAPE, (SPACING_MM,) * 3)
        found[f"phantom {seed}"] = patient_of({slot: coarse(image) for slot, image in images.items()})
    return found


def prepare(folder: Path, leave_out: Iterable[str] = ()) -> Patients:
    """Coarse volumes of all patients of a folder, by name."""
    found = {}
    for case in find_cases(folder).cases:
        if case.name not in leave_out:
            images = read_study(case).images
            found[case.name] = patient_of({modality: coarse(image) for modality, image in images.items()})
    return found


def patient_of(volumes: Mapping[Modality, np.ndarray]) -> dict[Modality, Source]:
    """Stripped coarse volumes with the distance to the brain, which they share."""
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(next(iter(volumes.values())) > AIR))
    outside, inside = (ndimage.distance_transform_edt(part) for part in (~brain, brain))
    distance = SPACING_MM * np.where(brain, 0.5 - inside, outside - 0.5)
    # half precision, for all patients stay in memory
    return {
        modality: Source(*(torch.from_numpy(part.astype(np.float16)) for part in (volume, distance)))
        for modality, volume in volumes.items()
    }


def described(patients: Patients, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of random patients, as the network sees them.

    Returns:
        float32 (N, features), and the classes.
    """
    random, views = np.random.default_rng(seed), Views(seed)
    names, features, classes = sorted(patients), [], []
    for _ in range(ROUNDS):
        sources = patients[names[int(random.integers(len(names)))]]
        shown = [(volume, int(modality)) for modality, volume in views.views(sources).items()]
        if random.random() < OTHER_SHARE * len(MODALITIES):
            shown.append((views.other(sources), NONE_OF_THEM))
        features += [describe(volume) for volume, _ in shown]
        classes += [kind for _, kind in shown]
    return np.stack(features), np.array(classes)


def plain(patients: Patients) -> tuple[np.ndarray, np.ndarray]:
    """All volumes as they are; as :func:`described`."""
    shown = [(one.volume.float().numpy(), int(m)) for name in patients for m, one in patients[name].items()]
    return np.stack([describe(volume) for volume, _ in shown]), np.array([kind for _, kind in shown])


def fit(features: np.ndarray, classes: np.ndarray) -> Weights:
    """Train one hidden layer on all views at once."""
    torch.manual_seed(SEED)
    mean, scale = features.mean(0), features.std(0) + 1e-3
    inputs, wanted = torch.from_numpy((features - mean) / scale), torch.from_numpy(classes)
    hidden, output = nn.Linear(FEATURES, HIDDEN), nn.Linear(HIDDEN, len(MODALITIES) + 1)
    network = nn.Sequential(nn.Dropout(0.2), hidden, nn.ReLU(), nn.Dropout(0.2), output)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        logits = network(inputs)
        loss = functional.cross_entropy(logits, wanted, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if not (step + 1) % 100:
            right = (logits.argmax(1) == wanted).float().mean().item()
            print(f"step {step + 1}: loss {loss.item():.3f}, right {right:.1%}", flush=True)
    weights = {"mean": mean, "scale": scale}
    for name, layer in (("hidden", hidden), ("output", output)):
        weights |= {f"{name}.{key}": value.numpy().copy() for key, value in layer.state_dict().items()}
    return weights


def confusion(network: Weights, patients: Patients, views: Views | None = None) -> np.ndarray:
    """How often each sequence (rows) was taken for each and for none of them (columns).

    Args:
        network: to ask.
        patients: whose volumes are shown as they are, or
        views: drawn of them.
    """
    counts = np.zeros((len(MODALITIES), len(MODALITIES) + 1), int)
    for name, sources in patients.items():
        drawn = [{modality: one.volume.float().numpy() for modality, one in sources.items()}]
        if views is not None:
            drawn = [views.views(sources) for _ in range(_VIEWS)]
        for modality, volume in (item for one in drawn for item in one.items()):
            kind = int(probabilities(volume[None], network).argmax())
            counts[modality, kind] += 1
            if kind != modality and views is None:
                found = "none of them" if kind == NONE_OF_THEM else MODALITIES[kind].title
                print(f"{name}: {modality.title} was taken for {found}")
    print(counts, flush=True)
    return counts


def card(path: Path, used: list[str], held_out: list[str], tables: Mapping[str, np.ndarray]) -> str:
    """The model card, Markdown."""
    parameters = sum(math.prod(shape) for shape in SHAPES.values())
    parts = [
        _CARD.format(
            file=path.name,
            kilobytes=round(path.stat().st_size / 1000),
            sha256=file_sha256(path),
            parameters=parameters,
            license=FACTS["license"],
            note=FACTS["data_note"],
            used=len(used),
            held=len(held_out),
            phantoms=len(PHANTOMS),
        )
    ]
    heads = [*(modality.title for modality in MODALITIES), "none"]
    for title, counts in tables.items():
        right, total = int(np.trace(counts)), int(counts.sum())
        lines = [f"| {m.title} | {' | '.join(map(str, counts[m]))} |" for m in MODALITIES]
        parts += [
            f"### {title}: {right} of {total} right ({right / total:.1%})\n",
            f"| volume, taken for | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}",
            "\n".join(lines) + "\n",
        ]
    parts.append(f"## Patients\n\nTrained on: {', '.join(used)}.\n\nHeld out: {', '.join(held_out)}.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
