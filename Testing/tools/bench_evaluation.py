"""Seconds of evaluating a case: its 15 subsets together and one by one, and its scores (`make bench`).

Each network, with random weights or the bundled one, predicts a synthetic patient from all 15 subsets as
`evaluate` does, prepared once and each sequence encoded once where the network can, and as 15 segmentations
of the subset's volumes, the straightforward way. The last column counts voxels in which the label maps of
both ways differ: windows lie in the box of all brains together, or of those of the subset. The second table
takes the scores of one prediction: a tumor moved by two voxels, with crumbs around it; and of one that is
scattered over the whole image.

    python Testing/tools/bench_evaluation.py --networks rfnet segresnet bundled
    python Testing/tools/bench_evaluation.py --shape 155 240 240 --threads 2
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from bench_child import SEED
from MissingModalityLib import networks
from MissingModalityLib.core.modalities import SUBSETS
from MissingModalityLib.evaluation.distances import between, hd95
from MissingModalityLib.evaluation.metrics import score_regions
from MissingModalityLib.evaluation.region import regions_of
from MissingModalityLib.imaging.preparation import prepare, to_reference_grid
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference.locations import bundled_student
from MissingModalityLib.inference.student import Student
from MissingModalityLib.phantom.patient import grow_patient
from MissingModalityLib.runtime.devices import describe_device

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW = 80
_CRUMBS = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="*", default=["rfnet", "segresnet", "bundled"])
    parser.add_argument("--shape", type=int, nargs=3, default=(80, 96, 80), metavar=("Z", "Y", "X"))
    parser.add_argument("--width", type=int, default=16, help="of networks with random weights")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    images, label = grow_patient(SEED, shape=tuple(options.shape))
    size = "x".join(map(str, options.shape))
    print(f"{size} voxels, {options.threads} threads, {describe_device(torch.device('cpu'))}", flush=True)
    print(f"{'':12} {'together':>9} {'one by one':>10} {'ratio':>6} {'differ':>7}")
    for name in options.networks:
        print(_line(name, *_subsets(_student(name, options.width), images)), flush=True)
    for title, seconds in _scores(sitk.GetArrayFromImage(label)).items():
        print(f"{title}: {seconds:.2f} s", flush=True)
    return 0


def _student(name: str, width: int) -> Student:
    if name == "bundled":
        return Student.load(Path(bundled_student()))
    torch.manual_seed(SEED)
    return Student(networks.build(name, width=width), {"window": [WINDOW] * 3})


def _subsets(student: Student, images: Mapping[Any, sitk.Image]) -> tuple[float, float, int]:
    """Seconds of both ways, and in how many voxels they differ."""
    names = {modality: modality.title for modality in images}
    studies = [
        Study({modality: images[modality] for modality in subset}, {one: names[one] for one in subset})
        for subset in SUBSETS
    ]
    student.predict(studies[0], "cpu")  # pays for warming up

    def together() -> list[sitk.Image]:
        prepared = prepare(Study(images, names))
        found = student.classes_of(prepared, SUBSETS, torch.device("cpu"))
        return [to_reference_grid(classes, prepared) for classes in found]

    first, maps = _timed(together)
    second, others = _timed(lambda: [student.predict(study, "cpu").labels for study in studies])
    pairs = zip(maps, others, strict=True)
    return first, second, sum(int(np.count_nonzero(_array(one) != _array(other))) for one, other in pairs)


def _line(name: str, together: float, apart: float, differ: int) -> str:
    return f"{name:12} {together:9.2f} {apart:10.2f} {apart / together:5.1f}x {differ:7}"


def _scores(reference: np.ndarray) -> dict[str, float]:
    """Seconds of all scores of one prediction, and of HD95 alone."""
    spacing = (1.0,) * reference.ndim
    prediction = np.roll(reference, 2, axis=1)
    generator = np.random.default_rng(SEED)
    for place in zip(*(generator.integers(3, side - 3, _CRUMBS) for side in reference.shape), strict=True):
        prediction[tuple(slice(start, start + 3) for start in place)] = generator.integers(1, 4)
    every, _ = _timed(lambda: score_regions(regions_of(prediction, spacing), regions_of(reference, spacing)))

    def distances() -> list[float]:
        found, truth = regions_of(prediction, spacing), regions_of(reference, spacing)
        return [
            hd95(found[name], truth[name], between(found[name], truth[name]), "penalty", "directed")
            for name in truth
        ]

    return {
        "all scores of a prediction": every,
        "HD95 of its three regions alone": _timed(distances)[0],
        f"all scores of a scattered prediction, mean of {len(SUBSETS)} of one reference": _of_subsets(
            reference
        ),
    }


def _of_subsets(reference: np.ndarray) -> float:
    """Seconds of all scores of a prediction as briefly trained networks make them: spots everywhere."""
    spacing, generator = (1.0,) * reference.ndim, np.random.default_rng(SEED)
    predictions = []
    for _ in SUBSETS:
        noise = gaussian_filter(generator.normal(size=reference.shape), 1.2)
        predictions.append(np.digitize(noise, np.quantile(noise, (0.9, 0.95, 0.98))).astype(np.uint8))

    def score() -> None:
        truth = regions_of(reference, spacing)
        for prediction in predictions:
            score_regions(regions_of(prediction, spacing), truth)

    return _timed(score)[0] / len(SUBSETS)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor, in which what others do on a busy machine does not count, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayViewFromImage(image)


if __name__ == "__main__":
    sys.exit(main())
