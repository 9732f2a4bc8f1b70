"""Record what the synthesis computes now: `python Testing/tools/freeze_synthesis.py` rewrites its fixture.

Run it only after maps and transplants equal the published numbers (test_transplant.py with the shared
folder); the file then holds later versions to them where that folder is absent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from MissingModalityLib.imaging.boxes import tightest_box
from MissingModalityLib.synthesis.error_map import tumor_part
from MissingModalityLib.synthesis.midsagittal_plane import Plane
from MissingModalityLib.synthesis.options import SynthesisOptions
from MissingModalityLib.synthesis.transplant import centered, transplant
from MissingModalityLib.synthesis.tumor_transform import TumorTransform

FROZEN = Path(__file__).resolve().parents[1] / "fixtures" / "synthesis_frozen.npz"

PLANE = Plane((0.09950372, -0.19900744, 0.97492659), 5.7)


def record() -> dict[str, np.ndarray]:
    """A tumor as all three kinds of difference, then changed, then grown in another brain."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in (10, 12, 13)), indexing="ij")
    waves = [np.sin(3 * x + 2 * y - z + k) * (x * x + y * y + z * z < 1) for k in range(4)]
    donor = torch.from_numpy(np.stack(waves).astype(np.float32))
    distance = (x - 0.3) ** 2 + y**2 + (z + 0.2) ** 2
    label = torch.from_numpy(np.select([distance < 0.05, distance < 0.12, distance < 0.3], [1, 3, 2], 0))
    label = label.to(torch.uint8)
    box = tightest_box(label.numpy() > 0)
    results = {
        kind: tumor_part(donor, label, PLANE, box, kind).numpy() for kind in ("absolute", "signed", "none")
    }
    tumor, values = label[box], torch.from_numpy(results["absolute"])
    options = SynthesisOptions(max_scale_change=0.2, max_rotation_deg=25, flip=True)
    transform = TumorTransform.sample(options, np.random.default_rng(11))
    whole = tuple(slice(0, size) for size in transform.shape(tuple(tumor.shape)))
    results["change"] = np.array(transform.rows)
    results["changed"], results["changed_label"] = (
        part.numpy() for part in transform.apply(values, tumor, whole)
    )
    image, classes = donor.flip(3)[:, 1:, :11].clone(), label.flip(2)[1:, :11].clone()
    start = np.add(centered(classes.shape, label.shape), [edge.start for edge in box])
    transplant(image, classes, values, tumor, start.tolist())
    return results | {"image": image.numpy(), "label": classes.numpy(), "start": start}


if __name__ == "__main__":
    results = record()
    halves = {
        name: value.astype(np.float16) if value.dtype == np.float32 else value
        for name, value in results.items()
    }
    np.savez_compressed(FROZEN, **halves)
    print(f"{FROZEN}: {FROZEN.stat().st_size} bytes")
