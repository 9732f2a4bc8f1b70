"""CPU seconds of a synthetic case, beside the slice by slice search of the public AEM code (`make bench`).

Two patients, prepared. A sample by asymmetry error map is: the plane of symmetry found, the error map inside
the tumor's box, the transplant. The straightforward way does what the public code of AEM+KD does, written
anew from a description: it searches the mirror axis of every axial slice of every sequence by itself, by
edges, ten shifts and eleven angles, for the largest soft Dice between the edges and their mirror image; then
it adds the error map to the recipient and fuses the labels over whole volumes. Its axes and ours differ, so
the maps do; with one plane given to both, the largest differences of image and label are printed. Every few
of its slices are timed, and the time scaled to all.

A grown sample is timed without what is done once: recipients are healed, looks of training tumors measured.

    python Testing/tools/bench_synthesis.py --every 1     all slices (minutes)
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from bench_child import SEED
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.boxes import tightest_box
from MissingModalityLib.imaging.cache import CachedCase, cache_case
from MissingModalityLib.phantom.patient import write_patient
from MissingModalityLib.runtime.devices import describe_device
from MissingModalityLib.synthesis.error_map import tumor_part
from MissingModalityLib.synthesis.midsagittal_plane import Plane, find_plane
from MissingModalityLib.synthesis.options import SynthesisOptions
from MissingModalityLib.synthesis.pairing import grow_cases
from MissingModalityLib.synthesis.synthetic_case import SyntheticCase
from MissingModalityLib.synthesis.transplant import PRIORITY, transplant

SHIFTS, ANGLES = range(-5, 5), range(-5, 6)
"""Voxels and degrees that the public code tries."""

GROWN = 3
"""Samples to grow."""

Pair = tuple[np.ndarray, np.ndarray]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="of cases (default: synthetic patients)")
    parser.add_argument("--every", type=int, default=16, help="of so many slices one is timed")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    print(f"{describe_device(torch.device('cpu'))}, {options.threads} threads, CPU seconds", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder) / "cases"
        for seed in () if options.data else (SEED, SEED + 1):
            write_patient(data, seed)
        cases = [cache_case(case, Path(folder) / "prepared") for case in find_cases(data).cases[:2]]
        donor, recipient = (case.crop((0, 0, 0), cases[0].shape) for case in cases)
        _print_transplants(donor, recipient, options.every)
        _print_grown(cases, Path(folder) / "tumors")
    return 0


def _print_transplants(donor: Pair, recipient: Pair, every: int) -> None:
    find_plane(torch.from_numpy(donor[0]))  # pays for warming up
    ours, _ = _timed(lambda: _sample(donor, recipient, None))
    slices = [(volume, z) for volume in donor[0] for z in range(0, donor[0].shape[1], every)]
    searched, _ = _timed(lambda: [_mirror_axis(volume[z]) for volume, z in slices])
    searched *= donor[0][:, :, 0, 0].size / len(slices)
    middle = Plane((0.0, 0.0, 1.0), (donor[1].shape[-1] - 1) / 2)
    added, straight = _timed(lambda: _straightforward_sample(donor, recipient))
    own = _sample(donor, recipient, middle)
    image, label = np.abs(own[0] - straight[0]).max(), np.count_nonzero(own[1] != straight[1])
    scaled = "" if every == 1 else f" (1 of {every} slices timed)"
    print(f"AEM sample: {ours:.2f}; straightforward: {searched:.1f}{scaled} + {added:.2f}, ", end="")
    print(f"{(searched + added) / ours:.0f}x")
    print(f"  with one plane for both: image within {image:.1e}, {label} labels differ", flush=True)


def _sample(donor: Pair, recipient: Pair, plane: Plane | None) -> Pair:
    """A tumor in a recipient's volumes, whose axes are laid on the donor's."""
    image, label = (torch.from_numpy(array) for array in donor)
    plane = plane or find_plane(image)
    box = tightest_box(donor[1] > 0)
    values = tumor_part(image, label, plane, box, "signed")
    target, classes = (torch.from_numpy(array.copy()) for array in recipient)
    transplant(target, classes, values, label[box], [part.start for part in box])
    return target.numpy(), classes.numpy()


def _straightforward_sample(donor: Pair, recipient: Pair) -> Pair:
    """The same over whole volumes, with the mirror axis in their middle."""
    image, label = donor
    values = (image - image[..., ::-1]) * (label > 0)
    fused = recipient[1].copy()
    for cls in PRIORITY[1:]:
        over = label == cls
        for lower in PRIORITY[: PRIORITY.index(cls)]:
            fused[over & (recipient[1] == lower)] = cls
    return recipient[0] + values, fused


def _mirror_axis(volume: np.ndarray) -> tuple[int, int]:
    """Shift and angle of one slice (y, x) at which its edges are most like their mirror image."""
    low, high = volume.min(), volume.max()
    if low == high:
        return 0, 0
    image = sitk.GetImageFromArray((255 * (volume - low) / (high - low)).astype(np.float32))
    found = sitk.GetArrayFromImage(sitk.CannyEdgeDetection(image, lowerThreshold=5, upperThreshold=10))
    edges = ndimage.binary_dilation(found > 0, np.ones((2, 2))).astype(np.float32)

    def likeness(moved: np.ndarray) -> float:
        mirrored = moved[:, ::-1]
        return float(2 * (moved * mirrored).sum() / (moved.sum() + mirrored.sum() + 1e-6))

    shift = max(SHIFTS, key=lambda by: likeness(ndimage.shift(edges, (0, by), order=1)))
    moved = ndimage.shift(edges, (0, shift), order=1)
    angle = max(ANGLES, key=lambda by: likeness(ndimage.rotate(moved, by, reshape=False, order=1)))
    return shift, angle


def _print_grown(cases: Sequence[CachedCase], folder: Path) -> None:
    def grow(numbers: Sequence[int]) -> list[SyntheticCase]:
        return grow_cases(cases, numbers, SEED, SynthesisOptions(), folder)

    once, _ = _timed(lambda: grow(range(len(cases))))  # heals the recipients
    seconds, _ = _timed(lambda: grow(range(len(cases), len(cases) + GROWN)))
    print(f"grown sample: {seconds / GROWN:.2f} (the first {len(cases)} with what is done once: {once:.1f})")


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, in which what others do on a busy machine does not count, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


if __name__ == "__main__":
    sys.exit(main())
