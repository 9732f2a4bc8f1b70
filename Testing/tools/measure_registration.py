"""How exact, how sure and how fast volumes are laid over each other.

    python Testing/tools/measure_registration.py moved FOLDER_OF_CASES --count 12
    python Testing/tools/measure_registration.py moved FOLDER_OF_CASES --count 12 --thick-mm 5
    python Testing/tools/measure_registration.py aligned FOLDER_OF_CASES --count 48
    python Testing/tools/measure_registration.py strangers FOLDER_OF_CASES --count 48

Cases hold volumes that lie in one space. ``moved`` moves one of two sequences by a turn and a shift in random
directions, by its header alone, and tells how far from there it is found: errors are those of the head's
center, of the angle, and of the worst corner of a box around the brain. With ``--thick-mm`` the moved volume
is cut into thick slices, along another axis each time. ``aligned`` moves nothing, and ``strangers`` takes the
second volume from another patient. All twelve ordered pairs of sequences take turns, and so do the cases,
in an order drawn from the seed. One line for each registration, then a summary; seconds are those of a
processor, and loading is not counted.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice, permutations
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.clinical.registration import Movement, register
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.case import Case
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.reading import read_volumes
from MissingModalityLib.runtime.devices import choose_device, describe_device

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from movements import Way, corner_error, moved, thick_slices

COLUMNS = (
    *("case", "other", "reference", "moving", "outcome", "shift_mm", "degrees"),
    *("center_error_mm", "angle_error_degrees", "corner_error_mm", "before", "after", "seconds", "told"),
)
WITHIN_MM, WITHIN_DEGREES = 1.0, 1.0


def main() -> None:
    options = _options()
    rng = np.random.default_rng(options.seed)
    writer = csv.DictWriter(sys.stdout, COLUMNS)
    writer.writeheader()
    rows = []
    for number, (case, other, pair) in enumerate(islice(_turns(options, rng), options.count)):
        rows.append(_measured(case, other, pair, options, rng, number % 3))
        writer.writerow(rows[-1])
        sys.stdout.flush()
    _summarize(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("mode", choices=("moved", "aligned", "strangers"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12, help="registrations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shift-mm", type=float, default=20.0, help="length of the shift")
    parser.add_argument("--degrees", type=float, default=15.0, help="angle of the turn")
    parser.add_argument("--thick-mm", type=float, help="slices of the moved volume")
    return parser.parse_args()


def _turns(
    options: argparse.Namespace, rng: np.random.Generator
) -> Iterator[tuple[Case, Case, tuple[Modality, Modality]]]:
    """Cases and ordered pairs of sequences, again and again, until every case has met every pair."""
    cases = [case for case in find_cases(options.folder).cases if len(case.images) == len(MODALITIES)]
    order = [cases[number] for number in rng.permutation(len(cases))]
    others = order[1:] + order[:1] if options.mode == "strangers" else order
    yield from zip(cycle(order), cycle(others), cycle(permutations(MODALITIES, 2)), strict=False)


def _measured(
    case: Case,
    other: Case,
    pair: tuple[Modality, Modality],
    options: argparse.Namespace,
    rng: np.random.Generator,
    axis: int,
) -> dict[str, object]:
    first, second = (_volume(one, modality) for one, modality in zip((case, other), pair, strict=True))
    shift, turn = (np.zeros(3), np.zeros(3)) if options.mode != "moved" else _drawn(options, rng)
    image, way = moved(second, shift, turn)
    if options.thick_mm:
        image = thick_slices(image, options.thick_mm, axis)
    row: dict[str, object] = {"case": case.name, "other": other.name}
    row |= {"reference": pair[0].title, "moving": pair[1].title}
    begin = time.process_time()
    try:
        found = register(first, image, (pair[0].title, pair[1].title))
    except ImageError as error:
        return row | {"outcome": "refused", "told": error, "seconds": _since(begin)}
    row |= {"seconds": _since(begin), "told": found.doubt, **_errors(found, way, first)}
    row["outcome"] = "doubted" if found.doubt else "moved" if found.moved else "left alone"
    return row


def _volume(case: Case, modality: Modality) -> sitk.Image:
    return read_volumes({modality: case.images[modality]}).images[modality]


def _drawn(options: argparse.Namespace, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shift, mm, and rotation vector, degrees, of the lengths asked for."""
    directions = rng.normal(size=(2, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return options.shift_mm * directions[0], options.degrees * directions[1]


def _errors(found: Movement, way: Way, first: sitk.Image) -> dict[str, object]:
    mask = sitk.GetArrayViewFromImage(first) != first[0, 0, 0]
    index = np.argwhere(mask).mean(axis=0)[::-1].tolist()
    center = np.array(first.TransformContinuousIndexToPhysicalPoint(index))
    axes = (way(center + np.eye(3)) - way(center)).T
    turn = np.reshape(found.transform.GetMatrix(), (3, 3)) @ axes.T
    return {
        "shift_mm": round(found.shift_mm, 2),
        "degrees": round(found.angle_degrees, 2),
        "center_error_mm": round(
            float(np.linalg.norm(found.transform.TransformPoint(center.tolist()) - way(center))), 2
        ),
        "angle_error_degrees": round(
            float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))), 2
        ),
        "corner_error_mm": round(corner_error(found.transform, way, center), 2),
        "before": round(found.similarity[0], 4),
        "after": round(found.similarity[1], 4),
    }


def _since(begin: float) -> float:
    return round(time.process_time() - begin, 2)


def _summarize(rows: list[dict[str, object]]) -> None:
    outcomes = Counter(str(row["outcome"]) for row in rows)
    print(f"\n{len(rows)} registrations: {', '.join(f'{count} {name}' for name, count in outcomes.items())}")
    print("| | median | 95th percentile | largest |\n| --- | --- | --- | --- |")
    for column in ("center_error_mm", "angle_error_degrees", "corner_error_mm", "seconds"):
        values = [float(row[column]) for row in rows if column in row]
        if values:
            spread = (*np.percentile(values, (50, 95)), max(values))
            print(f"| {column.replace('_', ' ')} | {' | '.join(f'{value:.2f}' for value in spread)} |")
    within = sum(
        float(row.get("center_error_mm", np.inf)) <= WITHIN_MM
        and float(row.get("angle_error_degrees", np.inf)) <= WITHIN_DEGREES
        for row in rows
    )
    print(f"\nwithin {WITHIN_MM:g} mm and {WITHIN_DEGREES:g} degree: {within} of {len(rows)}")
    print(f"processor: {describe_device(choose_device('cpu'))}")


if __name__ == "__main__":
    main()
