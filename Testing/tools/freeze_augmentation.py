"""Record what the levels of augmentation that runs were trained with draw and compute, into a fixture.

    python Testing/tools/freeze_augmentation.py

It was run before augmentation was made faster; the file holds all later versions to what earlier runs did.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import default_collate

from MissingModalityLib.training.augmentation import apply, draw

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "augmentation_frozen.npz"
LEVELS, SEEDS, SIZE = ("paper", "strong"), range(6), (10, 13, 12)


def main() -> None:
    random = np.random.default_rng(8)
    image = random.normal(size=(len(SEEDS), 4, *SIZE)).astype(np.float16)
    image[..., :2, :, :] = 0
    image[:, 1, :, -3:] = 0
    image[1, 2] = 0
    label = (4 * random.random((len(SEEDS), *SIZE))).astype(np.uint8)
    arrays = {"image": image, "label": label, "seeds": np.array(SEEDS)}
    for level in LEVELS:
        drawn = default_collate([draw(level, np.random.default_rng(seed)) for seed in SEEDS])
        moved, target = apply(torch.from_numpy(image).float(), torch.from_numpy(label), drawn)
        arrays |= {f"{level} drawn {name}": value.numpy() for name, value in drawn.items()}
        arrays |= {f"{level} image": moved.numpy(), f"{level} label": target.numpy()}
    np.savez_compressed(FIXTURE, **arrays)


if __name__ == "__main__":
    main()
