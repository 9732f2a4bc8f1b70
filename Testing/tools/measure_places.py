"""What a volume that ends inside the brain is worth: left out, used where it shows, or used everywhere.

    python Testing/tools/measure_places.py FOLDER_OF_CASES --student FILE --only NAME NAME

Of stripped, registered cases one sequence is cut across their height, so that it shows a share of the brain
from its top or its bottom, beside others that are whole; Dice is that of the whole case. Each line is one cut
of a case, used in one way; the last lines are means.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from MissingModalityLib.core.labels import REGIONS, region_mask
from MissingModalityLib.core.modalities import Modality, Subset, subset_name
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.metrics import dice
from MissingModalityLib.imaging.intensities import z_scores
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.prepared import Prepared
from MissingModalityLib.imaging.reading import read_label, read_study
from MissingModalityLib.inference.locations import bundled_student
from MissingModalityLib.inference.student import Student

_FLAIR, _T1CE, _T1, _T2 = Modality
PAIRS = (
    (_T1CE, (_FLAIR,)),
    (_T2, (_FLAIR,)),
    (_FLAIR, (_T1,)),
    (_FLAIR, (_T1CE, _T1, _T2)),
)
"""What is cut, and the whole sequences beside it."""

ENDS = ("top", "bottom")
WAYS = ("left out", "where it shows", "everywhere")
_WINDOW = 192
"""No brain is longer: one window is a fifth of the work of eight that overlap."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; one line for each way, then means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--student", type=Path, default=bundled_student())
    parser.add_argument("--only", nargs="+", default=[""], help="names of cases, or parts of them")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.3, 0.5, 0.65, 0.8])
    parser.add_argument("--ends", nargs="+", choices=ENDS, default=ENDS)
    parser.add_argument("--output", type=Path, help="the table, csv")
    options = parser.parse_args(arguments)
    student, rows = Student.load(options.student), []
    student.card.window = [_WINDOW] * 3
    for case in find_cases(options.data).cases:
        if case.label is None or not any(part in case.name for part in options.only):
            continue
        whole = prepare(read_study(case), read_label(case))
        for row in _measured(student, whole, options.shares, options.ends):
            rows.append({"case": case.name} | row)
            print("  ".join(map(_shown, rows[-1].values())), flush=True)
    _print_means(rows)
    if options.output:
        with options.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _measured(
    student: Student, whole: Prepared, shares: Sequence[float], ends: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for cut, others in PAIRS:
        if not whole.available[[cut, *others]].all():
            continue
        without = _classes(student, whole, others)
        for share in shares:
            for end in ends:
                shown = _shown_part(whole.brain, share, end)
                part = replace(whole, image=_cut(whole, cut, shown))
                everywhere = _classes(student, part, (cut, *others))
                found = without, np.where(shown, everywhere, without), everywhere
                for way, classes in zip(WAYS, found, strict=True):
                    scores = {r: dice(region_mask(classes, r), region_mask(whole.label, r)) for r in REGIONS}
                    facts = {"cut": cut.title, "beside": subset_name(others), "share": share, "end": end}
                    yield {**facts, "way": way, **scores}


def _classes(student: Student, prepared: Prepared, subset: Subset) -> np.ndarray:
    return next(student.classes_of(prepared, [tuple(sorted(subset))]))


def _shown_part(brain: np.ndarray, share: float, end: str) -> np.ndarray:
    """(D, 1, 1) bool: the slices from one end of the brain (D, H, W) that hold a share of it."""
    counts = np.count_nonzero(brain, axis=(1, 2))
    below = np.cumsum(counts) / counts.sum()
    return (below <= share if end == "bottom" else below > 1 - share)[:, None, None]


def _cut(whole: Prepared, cut: Modality, shown: np.ndarray) -> np.ndarray:
    """The image (4, D, H, W) with one sequence as of a volume that ends: 0 beyond, z-scored by its part."""
    image = whole.image.copy()
    image[cut] = z_scores(image[cut], (image[cut] != 0) & shown, cut.title)
    return image


def _print_means(rows: Sequence[dict[str, Any]]) -> None:
    names = ("cut", "beside", "share", "way")
    for key in dict.fromkeys(tuple(row[name] for name in names) for row in rows):
        of = [row for row in rows if tuple(row[name] for name in names) == key]
        means = [fmean(row[region] for row in of) for region in REGIONS]
        print(f"mean of {len(of)}", *map(_shown, (*key, *means)), sep="  ")


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
