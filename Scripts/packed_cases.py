"""Prepared cases from packed ones: small lossy archives, for machines to which little can be carried.

    python Scripts/packed_cases.py --packed DIR [DIR ...] --output PREPARED

A packed case is a zip file of ``meta.json`` (affine, shape, names of the volumes), ``seg.xz`` (labels, a byte
each), ``brain.xz`` (a bit per voxel), and for each volume ``NAME.avif`` (axial slices of 8 bit) with
``NAME.gaps.xz`` (where its own brain differs from that of all). What comes out equals what ``prepare`` makes
of the same cases laid out as NIfTI files; NumPy and a Pillow that reads AVIF (11.3 and later) are enough.
"""

from __future__ import annotations

import argparse
import io
import json
import lzma
import os
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from MissingModalityLib.core.errors import CaseError, MissingModalityError
from MissingModalityLib.core.files import file_sha256
from MissingModalityLib.core.labels import to_classes
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.boxes import tightest_box
from MissingModalityLib.imaging.cache import CachedCase, write_case
from MissingModalityLib.imaging.grid import RAS_TO_LPS, SPACING_MM
from MissingModalityLib.imaging.intensities import BRAIN_SHARE, find_background, z_scores
from MissingModalityLib.imaging.prepared import VERSION

CONVENTION = "brats2021"
"""How packed labels are numbered."""

# Bytes of a packed slice: 0 outside the brain, else from _FIRST_BYTE on the inverse hyperbolic sine of the
# z-score over _LINEAR_RANGE, from the lowest to the highest score that is kept.
_LOWEST, _HIGHEST, _LINEAR_RANGE, _FIRST_BYTE = -4.0, 12.0, 1.5, 8

# Intensities of the volumes that packed cases stand for: whole numbers, at least 1 in the brain, 0 outside.
_MEAN, _DEVIATION = 2000, 200


@dataclass(frozen=True)
class PackedCase:
    """A packed case in memory, with arrays and spacing along z, y, x.

    Attributes:
        volumes: (D, H, W) int16 of each modality, in channel order; 0 outside the brain.
        label: (D, H, W) uint8 as it is numbered in the archive.
        spacing: mm.
    """

    volumes: Mapping[Modality, np.ndarray]
    label: np.ndarray
    spacing: tuple[float, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare, with a line per case on the terminal; 0 all done, 2 some could not be read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--packed", type=Path, nargs="+", required=True, metavar="DIR", help="of packed cases"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="for the prepared cases")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: %(default)s)")
    options = parser.parse_args(arguments)
    paths = [path for folder in options.packed for path in sorted(folder.glob("*.zip"))]
    first = {path.stem: path for path in reversed(paths)}
    again = [path for path in paths if first[path.stem] != path]
    for path in again:
        print(f"{path}: left out, {first[path.stem]} is of the same name. Call one of them otherwise.")
    paths, failed = list(first.values())[::-1], len(again)
    with ProcessPoolExecutor(options.jobs) as pool:
        problems = pool.map(partial(_prepare, folder=options.output), paths)
        for path, problem in zip(paths, problems, strict=True):
            print(f"{path.stem}: {problem or 'prepared'}", flush=True)
            failed += bool(problem)
    every = len(paths) + len(again)
    print(f"{every - failed} of {every} cases prepared in {options.output}", flush=True)
    return 2 if failed or not paths else 0


def prepare_packed(path: Path, folder: Path) -> CachedCase:
    """Write the prepared case of a packed one.

    Args:
        path: of the archive; the case has the name of the file.
        folder: for the prepared case, made if needed.

    Raises:
        CaseError: the archive is damaged, or of a kind that only ``prepare`` with SimpleITK can handle.
        LabelError: a label that the archive's convention does not know.
    """
    packed = read_packed(path)
    volumes, masks = {}, {}
    for modality, volume in packed.volumes.items():
        name = f"{path}: {modality.name}"
        background = find_background(volume)
        if not background.uniform or background.two_sided:
            raise CaseError(f"{name}: the brain does not stand out. Unpack the case, and use 'prepare'.")
        volumes[modality] = resampled(volume, packed.spacing)
        masks[modality] = resampled(background.brain(volume), packed.spacing) > BRAIN_SHARE
    box = tightest_box(np.logical_or.reduce(list(masks.values())))
    if box is None:
        raise CaseError(f"{path}: there is no brain in it. Pack the case again.")
    image = np.stack([z_scores(volumes[m][box], masks[m][box], f"{path}: {m.name}") for m in volumes])
    label = nearest(to_classes(packed.label, CONVENTION, str(path)), packed.spacing)[box]
    # name, content and preparation decide what comes out
    own = f"{VERSION}-{file_sha256(path)}"
    return write_case(folder / f"{path.stem}.safetensors", path.stem, own, tuple(volumes), image, label)


def read_packed(path: Path) -> PackedCase:
    """Unpack a case.

    Raises:
        CaseError: the archive is damaged, or its axes are not those of a head that lies straight.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(archive.read("meta.json"))
            shape = tuple(meta["shape"])
            brain = _bits(archive.read("brain.xz"), shape)
            label = np.frombuffer(lzma.decompress(archive.read("seg.xz")), np.uint8).reshape(shape)
            volumes = {}
            for modality in sorted(Modality[name.upper()] for name in meta["volumes"]):
                name = modality.name.lower()
                mask = brain ^ _bits(archive.read(f"{name}.gaps.xz"), shape)
                volumes[modality] = _volume(archive.read(f"{name}.avif"), mask)
    except (OSError, ValueError, KeyError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise CaseError(f"{path}: cannot be read as a packed case ({error}). Copy it again.") from error
    turned, spacing = _to_lps(np.array(meta["affine"])[:3, :3], path)
    return PackedCase({key: turned(volume) for key, volume in volumes.items()}, turned(label), spacing)


def resampled(array: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """A volume or mask on voxels of the common grid, interpolated linearly.

    Args:
        array: (D, H, W).
        spacing: of its voxels along these axes, mm.

    Returns:
        (d, h, w) float32, over the same extent.
    """
    if _is_common(array.shape, spacing):
        return array.astype(np.float32)
    result = array.astype(np.float64)
    for axis in reversed(range(array.ndim)):  # in ITK's order, x first: sums round alike
        where = np.clip(_positions(array.shape[axis], spacing[axis]), 0, array.shape[axis] - 1)
        low = np.minimum(where.astype(int), max(0, array.shape[axis] - 2))
        first = result.take(low, axis)
        step = result.take(np.minimum(low + 1, array.shape[axis] - 1), axis) - first
        share = (where - low).reshape([-1 if a == axis else 1 for a in range(array.ndim)])
        result = first + step * share
    return result.astype(np.float32)


def nearest(label: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """A label map (D, H, W) on voxels of the common grid, each with the label of the nearest one."""
    if _is_common(label.shape, spacing):
        return label
    places = [
        # halves go up, as in ITK
        np.clip(np.floor(_positions(size, step) + 0.5).astype(int), 0, size - 1)
        for size, step in zip(label.shape, spacing, strict=True)
    ]
    return label[np.ix_(*places)]


def _positions(size: int, spacing: float) -> np.ndarray:
    """Centers of the common grid's voxels along an axis, in voxels of ``spacing`` mm; the extents agree."""
    count = max(1, round(size * spacing / SPACING_MM))
    return (np.arange(count) + 0.5) * SPACING_MM / spacing - 0.5


def _is_common(shape: Sequence[int], spacing: Sequence[float]) -> bool:
    """Whether voxels are those of the common grid: off by less than a thousandth of one over the volume."""
    return bool(np.allclose(spacing, SPACING_MM, rtol=0, atol=1e-3 * SPACING_MM / max(shape)))


def _prepare(path: Path, folder: Path) -> str | None:
    """What went wrong with a case, or None."""
    try:
        prepare_packed(path, folder)
    except MissingModalityError as error:
        return str(error)
    return None


def _bits(content: bytes, shape: Sequence[int]) -> np.ndarray:
    """A mask of this shape."""
    packed = np.frombuffer(lzma.decompress(content), np.uint8)
    return np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)


def _volume(content: bytes, mask: np.ndarray) -> np.ndarray:
    """A volume (x, y, z) int16 of an image sequence, whose frames are its slices along z."""
    frames = Image.open(io.BytesIO(content))
    values = np.empty(mask.shape, np.uint8)
    for number in range(mask.shape[-1]):
        frames.seek(number)
        values[..., number] = frames.convert("L")
    return np.where(mask, _intensities()[values], 0)


def _intensities() -> np.ndarray:
    """What each of the 256 bytes stands for, int16."""
    low, high = np.arcsinh(np.array([_LOWEST, _HIGHEST]) / _LINEAR_RANGE)
    share = (np.arange(256) - _FIRST_BYTE) / (255 - _FIRST_BYTE)
    scores = np.sinh(low + np.clip(share, 0, 1) * (high - low)) * _LINEAR_RANGE
    return np.maximum(1, np.round(_MEAN + _DEVIATION * scores)).astype(np.int16)


def _to_lps(axes: np.ndarray, path: Path) -> tuple[Callable[[np.ndarray], np.ndarray], tuple[float, ...]]:
    """How arrays (x, y, z) become (z, y, x) with axes near LPS, and the spacing then.

    Args:
        axes: (3, 3) voxel axes of the archive as columns, mm, RAS.
        path: of the archive, for the message.
    """
    axes = RAS_TO_LPS @ axes
    order = np.abs(axes).argmax(0)  # the direction that each axis runs along, mostly
    if sorted(order) != [0, 1, 2]:
        raise CaseError(f"{path}: two of its axes run along one direction. Unpack it, and use 'prepare'.")
    backward = [int(axis) for axis, along in enumerate(order) if axes[along, axis] < 0]
    # from the last direction to the first; NIfTI files keep spacings as float32
    sources = [int(np.flatnonzero(order == along)[0]) for along in (2, 1, 0)]
    lengths = np.linalg.norm(axes, axis=0).astype(np.float32)
    spacing = tuple(float(lengths[axis]) for axis in sources)
    return (lambda array: np.ascontiguousarray(np.flip(array, backward).transpose(sources))), spacing


if __name__ == "__main__":
    sys.exit(main())
