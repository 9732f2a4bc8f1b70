"""How much unevenness is left where a coil's was simulated and taken out again, and how long that takes.

    python Testing/tools/measure_unevenness.py FOLDER_OF_CASES --every 13 --spacing 4 5 6

Stripped patients are put into heads and scanned twice, with a coil and without, in their places. What is left
is the standard deviation, over the brain but for its darkest tenth, of the logarithm of the evened volume
over the one without a coil. N4 flattens tissue too, so it is not 0. CPU seconds are of one volume.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.clinical import bias_field
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.reading import Study, read_study
from MissingModalityLib.phantom.acquisition import acquire
from MissingModalityLib.phantom.head import put_into_head
from MissingModalityLib.phantom.raw_patient import plan_acquisitions

DARKEST = 10
"""Percent of the brain, mostly fluid on T1 and edges, whose logarithms are noise."""


def main() -> None:
    """A line for each volume, then means by spacing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("data", type=Path, help="folder of stripped cases")
    parser.add_argument("--every", type=int, default=13, help="which of them, by name (default: %(default)s)")
    parser.add_argument("--spacing", type=float, nargs="+", default=[4.0, 5.0, 6.0], help="mm, of N4")
    options = parser.parse_args()
    found: dict[float, list[tuple[float, float]]] = {spacing: [] for spacing in options.spacing}
    cases = sorted(find_cases(options.data).cases, key=lambda case: case.name)
    for case in cases[1 :: options.every]:
        for name, even, uneven, brain in scanned(read_study(case), sum(case.name.encode())):
            print(f"{case.name} {name}: {left(even, uneven, brain):.3f} before", end="")
            for spacing in options.spacing:
                with patch.object(bias_field, "_SPACING_MM", spacing):
                    began = time.process_time()
                    evened, _ = bias_field.evened(uneven, brain)
                    seconds = time.process_time() - began
                found[spacing].append((left(even, evened, brain), seconds))
                print(f"; {spacing:g} mm: {found[spacing][-1][0]:.3f}, {seconds:.1f} s", end="")
            print(flush=True)
    for spacing, lines in found.items():
        rest, seconds = (fmean(values) for values in zip(*lines, strict=True))
        print(f"{spacing:g} mm: {rest:.4f} left, {seconds:.1f} CPU s a volume, mean of {len(lines)}")


def scanned(clean: Study, seed: int) -> Iterator[tuple[str, sitk.Image, sitk.Image, sitk.Image]]:
    """Each sequence by name without a coil's field and with it, and the brain on its grid."""
    brain = reduce(sitk.Or, (sitk.Cast(image != 0, sitk.sitkUInt8) for image in clean.images.values()))
    heads = put_into_head(clean.images, seed)
    for modality, planned in plan_acquisitions(seed).items():
        if modality in heads:
            head = sitk.Cast(heads[modality], sitk.sitkFloat32)
            still = replace(planned, shift=(0.0,) * 3, angles=(0.0,) * 3)
            taken = (acquire(head, each, (seed, int(modality))) for each in (replace(still, bias=0.0), still))
            even, uneven = taken
            inside = Grid.from_image(uneven).resample(brain, sitk.sitkNearestNeighbor, 0)
            yield modality.title, even, uneven, inside


def left(even: sitk.Image, other: sitk.Image, brain: sitk.Image) -> float:
    """Standard deviation of the logarithm of the one over the other."""
    truth, values = (sitk.GetArrayFromImage(image).astype(float) for image in (even, other))
    inside = sitk.GetArrayViewFromImage(brain) > 0
    inside &= (truth > np.percentile(truth[inside], DARKEST)) & (values > 0)
    return float(np.log(values[inside] / truth[inside]).std())


if __name__ == "__main__":
    main()
