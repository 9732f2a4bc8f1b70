"""Scores cross-validated students with ever larger components removed, to choose the bundled student's size.

    python Scripts/choose_component_size.py --line runs/comparison/aem-absolute --folds runs/comparison/folds

Reads what `compare_recipes.py --folds` left: under --line a student for each fold, under --folds the cases
that this student has not seen. Prints mean Dice (%) over cases and subsets, of WT, TC and ET and of the three
together, for each size in voxels; "largest" leaves one piece alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import SimpleITK as sitk

from MissingModalityLib.core.errors import CaseError, MissingModalityError
from MissingModalityLib.core.labels import REGIONS, region_mask
from MissingModalityLib.datasets.case import Case
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.evaluate import allowed_subsets
from MissingModalityLib.evaluation.metrics import dice
from MissingModalityLib.imaging.preparation import prepare, to_reference_grid
from MissingModalityLib.imaging.reading import read_label, read_study
from MissingModalityLib.inference.sliding_window import remove_small_components
from MissingModalityLib.inference.student import Student

# in voxels, which are 1 mm^3; no volume has 2**40 of them, and the largest piece always stays
SIZES = {"0": 0, "100": 100, "500": 500, "1000": 1000, "2000": 2000, "5000": 5000, "largest": 2**40}
Scores = dict[str, dict[str, list[float]]]


def main() -> int:
    """Print the table; 0 done, 2 bad input with one message."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--line", type=Path, required=True, help="folder of one recipe's cross-validation")
    parser.add_argument("--folds", type=Path, required=True, help="folder of the cases of each fold")
    options = parser.parse_args()
    scores: Scores = {size: {region: [] for region in REGIONS} for size in SIZES}
    try:
        for student, case in _pairs(options.line, options.folds):
            print(case.name, file=sys.stderr, flush=True)
            _score(student, case, scores)
    except (MissingModalityError, OSError) as error:
        print(f"choose_component_size: error: {error}", file=sys.stderr)
        return 2
    print("| smallest component | " + " | ".join(REGIONS) + " | mean |")
    print("| --- " * (len(REGIONS) + 2) + "|")
    for size, found in scores.items():
        means = [100 * fmean(found[region]) for region in REGIONS]
        print("| " + " | ".join([size, *(f"{mean:.2f}" for mean in (*means, fmean(means)))]) + " |")
    return 0


def _pairs(line: Path, folds: Path) -> Iterator[tuple[Student, Case]]:
    """Every student with every case of its fold."""
    files = sorted(line.glob("fold*of*/student.safetensors"))
    if not files:
        raise CaseError(f"{line} holds no students of folds. Run compare_recipes.py with --folds first.")
    for file in files:
        student = Student.load(file)
        # nothing is removed while predicting, so that one prediction serves all sizes
        student.card.min_component_voxels = 0
        for case in find_cases(folds / file.parent.name).labeled()[0]:
            yield student, case


def _score(student: Student, case: Case, scores: Scores) -> None:
    prepared = prepare(read_study(case))
    label = prepared.reference.resample(read_label(case), sitk.sitkNearestNeighbor, 0)
    reference = sitk.GetArrayFromImage(label)
    for classes in student.classes_of(prepared, allowed_subsets(case)):
        for size, voxels in SIZES.items():
            kept = sitk.GetArrayFromImage(
                to_reference_grid(remove_small_components(classes, voxels), prepared)
            )
            for region in REGIONS:
                scores[size][region].append(dice(region_mask(kept, region), region_mask(reference, region)))


if __name__ == "__main__":
    sys.exit(main())
