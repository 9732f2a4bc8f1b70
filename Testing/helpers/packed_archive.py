"""Small packed cases, written as ``Scripts/packed_cases.py`` says that they are."""

from __future__ import annotations

import io
import json
import lzma
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_packed_case(
    path: Path, spacing: Sequence[float] = (1, 1, 1), shape: Sequence[int] = (34, 36, 32), seed: int = 0
) -> Path:
    """A ball of noise with a tumor of three shells; FLAIR and T1ce, whose brain lacks a corner.

    Args:
        path: of the archive; its folder is made if needed.
        spacing: along x, y, z.
        shape: along x, y, z.
        seed: of the noise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    axes = np.ogrid[tuple(slice(-1, 1, size * 1j) for size in shape)]
    brain = sum(axis**2 for axis in axes) < 1
    away = sum((axis - 0.2) ** 2 for axis in axes)
    label = np.select([away < 0.05, away < 0.12, away < 0.25], [1, 4, 2]).astype(np.uint8) * brain
    gap = np.zeros_like(brain)
    gap[: shape[0] // 3, : shape[1] // 3] = brain[: shape[0] // 3, : shape[1] // 3]
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    meta = {"affine": affine.tolist(), "shape": list(shape), "volumes": ["t1ce", "flair"], "source": ""}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.json", json.dumps(meta))
        archive.writestr("seg.xz", lzma.compress(label.tobytes()))
        archive.writestr("brain.xz", _bits(brain))
        for name, missing in (("flair", np.zeros_like(gap)), ("t1ce", gap)):
            values = np.where(brain & ~missing, random.integers(60, 90, shape) + 30 * label, 0)
            frames = [Image.fromarray(part) for part in np.moveaxis(values.astype(np.uint8), 2, 0)]
            stream = io.BytesIO()
            frames[0].save(stream, "AVIF", save_all=True, append_images=frames[1:], subsampling="4:0:0")
            archive.writestr(f"{name}.avif", stream.getvalue())
            archive.writestr(f"{name}.gaps.xz", _bits(missing))
    return path


def _bits(mask: np.ndarray) -> bytes:
    return lzma.compress(np.packbits(mask).tobytes())
