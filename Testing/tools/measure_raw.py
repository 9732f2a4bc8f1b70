"""How good and how fast raw volumes are segmented: real ones with a mask, and simulated ones.

    python Testing/tools/measure_raw.py real FOLDER
    python Testing/tools/measure_raw.py real FOLDER --registration never --stripping never
    python Testing/tools/measure_raw.py simulated FOLDER_OF_CASES --count 10

Each patient has a process of its own, so that its peak of memory is its own. ``real`` scores the whole tumor
of the raw patients in the folder; ``simulated`` puts stripped, registered patients back into heads, moves
them between sequences, cuts thick slices, and compares with what the untouched volumes give. FLAIR is the
reference volume; every line is one subset of sequences. Registration and the search for the brain are done
once for a volume and counted where they are done first. Seconds are those of one core.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.clinical import registration, stripping
from MissingModalityLib.clinical.raw import make_ready
from MissingModalityLib.clinical.steps import BIAS_FIELD, REGISTRATION, STRIPPING, Steps
from MissingModalityLib.core.environment import peak_memory
from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.core.labels import REGIONS, region_mask
from MissingModalityLib.core.modalities import MODALITIES, Modality, subset_name
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.metrics import dice
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.reading import Study, read_label, read_study
from MissingModalityLib.imaging.volumes import read_image
from MissingModalityLib.inference.locations import bundled_student
from MissingModalityLib.inference.overlay import draw_overlay
from MissingModalityLib.inference.student import Student
from MissingModalityLib.phantom.acquisition import acquire
from MissingModalityLib.phantom.head import put_into_head
from MissingModalityLib.phantom.raw_patient import plan_acquisitions

Row = dict[str, Any]
PARTS = ("head", "movement", "slices", "coil", "noise")
NATIVE = ("TCGA_FG_6692_native", "cases/other/TCGA-FG-6692_native_unstripped", "whole_tumor_on_t1.nii.gz")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; one line for each subset, then means."""
    options = _options(arguments)
    tasks = [(options, *task) for task in TASKS[options.kind](options)]
    rows: list[Row] = []
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for found in pool.imap(_patient, tasks):
            for row in found:
                print("  ".join(f"{name} {_shown(value)}" for name, value in row.items()), flush=True)
            rows += found
    _print_means(rows)
    if options.output:
        _write(rows, options.output / f"{options.kind}.csv")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("kind", choices=tuple(TASKS))
    parser.add_argument("data", type=Path)
    parser.add_argument("--registration", choices=REGISTRATION, default=REGISTRATION[0])
    parser.add_argument("--stripping", choices=STRIPPING, default=STRIPPING[0])
    parser.add_argument("--bias-field", choices=BIAS_FIELD, default=BIAS_FIELD[0])
    parser.add_argument("--student", type=Path, default=bundled_student())
    parser.add_argument("--only", nargs="+", default=[], help="names of patients, or parts of them")
    parser.add_argument("--count", type=int, default=1000, help="how many patients at most")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="what is simulated")
    parser.add_argument(
        "--subsets", choices=("flair", "ends", "all"), default="all", help="ends: FLAIR, and all"
    )
    parser.add_argument("--output", type=Path, help="folder for pictures and the table")
    return parser.parse_args(arguments)


def real_patients(options: argparse.Namespace) -> Iterator[tuple[str, dict[Modality, Path], Path]]:
    """Name, volumes and mask of the whole tumor."""
    for folder in sorted((options.data / "raw").iterdir()):
        volumes, mask = folder, folder / "whole_tumor.nii.gz"
        if folder.name == NATIVE[0]:
            volumes, mask = options.data / NATIVE[1], folder / NATIVE[2]
        if any(part in folder.name for part in options.only or [""]):
            paths = {m: volumes / f"{m.name.lower()}.nii.gz" for m in MODALITIES}
            yield folder.name, {m: path for m, path in paths.items() if path.is_file()}, mask


def simulated_patients(options: argparse.Namespace) -> Iterator[tuple[str]]:
    """Names of labeled cases."""
    names = [case.name for case in find_cases(options.data).cases if case.label is not None]
    yield from [(n,) for n in names if any(part in n for part in options.only or [""])][: options.count]


TASKS: dict[str, Callable[[argparse.Namespace], Iterator[tuple[Any, ...]]]] = {
    "real": real_patients,
    "simulated": simulated_patients,
}


def _patient(task: tuple[Any, ...]) -> list[Row]:
    options, name, *rest = task
    _remember(registration, "_register", lambda reference, other, moving, names: names)
    _remember(stripping, "find_brain", lambda image, networks: _voxels(image))
    student = Student.load(options.student)
    return list({"real": _real, "simulated": _simulated}[options.kind](options, student, name, *rest))


def _remember(module: Any, name: str, key: Callable[..., Any]) -> None:
    """Keep what a function gave for the same volumes: subsets of a patient share registrations and masks."""
    function, known = getattr(module, name), {}

    def remembering(*arguments: Any) -> Any:
        found = key(*arguments)
        if found not in known:
            known[found] = function(*arguments)
        return known[found]

    setattr(module, name, remembering)


def _voxels(image: sitk.Image) -> tuple[Any, ...]:
    return hash(sitk.GetArrayViewFromImage(image).tobytes()), Grid.from_image(image)


def _real(
    options: argparse.Namespace, student: Student, name: str, paths: Mapping[Modality, Path], mask: Path
) -> Iterator[Row]:
    images = {modality: read_image(path) for modality, path in paths.items()}
    for subset in _subsets(tuple(images), options.subsets):
        study = Study({m: images[m] for m in subset}, {m: m.title for m in subset})
        row, labels, study = _segmented(options, student, study)
        row = {"patient": name, "subset": subset_name(subset), **row}
        if labels is not None:
            truth = _placed(options, name, mask, images, subset[0])
            found = _share(labels, Grid.from_image(truth)) > 0.5
            inside = sitk.GetArrayFromImage(truth) > 0
            voxel = float(np.prod(truth.GetSpacing())) / 1000
            row |= {"WT": dice(found, inside), "cm3": found.sum() * voxel, "true_cm3": inside.sum() * voxel}
            _draw(options, row, study, labels, sitk.Cast(truth > 0, sitk.sitkUInt8) * 2)
        yield row


def _placed(
    options: argparse.Namespace,
    name: str,
    mask: Path,
    images: Mapping[Modality, sitk.Image],
    reference: Modality,
) -> sitk.Image:
    """The mask of the whole tumor in the space of the reference volume."""
    truth = read_image(mask)
    if name != NATIVE[0] or options.registration == "never" or reference is Modality.T1:
        return truth
    # this mask lies in the space of T1, and the patient moved before the other sequences
    names = (reference.title, Modality.T1.title)
    return registration.follow(truth, registration.register(images[reference], images[Modality.T1], names))


def _subsets(modalities: tuple[Modality, ...], which: str) -> list[tuple[Modality, ...]]:
    """All that hold FLAIR, the largest first, and the others of one sequence; or the ends of these."""
    if which != "all":
        ends = [modalities] if which == "ends" else []
        return [*ends, *([(Modality.FLAIR,)] if len(modalities) > 1 or not ends else [])]
    sizes = range(len(modalities), 0, -1)
    every = [subset for size in sizes for subset in combinations(modalities, size)]
    return [subset for subset in every if Modality.FLAIR in subset or len(subset) == 1]


def _segmented(
    options: argparse.Namespace, student: Student, study: Study
) -> tuple[Row, sitk.Image | None, Study]:
    """Seconds of one core, peak of memory, what was done; the label map; the volumes as segmented."""
    begin = time.process_time()
    try:
        ready = make_ready(
            study, Steps(options.registration, options.stripping, bias_field=options.bias_field)
        )
        prepared = time.process_time()
        prediction = student.predict(ready.study, "cpu")
    except MissingModalityError as error:
        return {"error": str(error)}, None, study
    moved = ready.facts["registration"]
    row = {
        "steps_s": prepared - begin,
        "segment_s": time.process_time() - prepared,
        "GiB": peak_memory() / 2**30,
        "moved": " ".join(
            f"{n}:{f['shift_mm']}/{f['angle_degrees']}" for n, f in moved.items() if f["moved"]
        ),
        "brain_cm3": ready.facts["stripping"].get("brain_cm3", 0.0),
    }
    return row, prediction.labels, ready.study


def _simulated(options: argparse.Namespace, student: Student, name: str) -> Iterator[Row]:
    case = next(case for case in find_cases(options.data).cases if case.name == name)
    clean, label = read_study(case), read_label(case)
    number = options.seed + sum(name.encode())
    scanned = _scanned(clean, number, options.parts)
    truth = Grid.from_image(scanned[next(iter(scanned))]).resample(label, sitk.sitkNearestNeighbor, 0)
    for subset in _subsets(tuple(scanned), options.subsets):
        row: Row = {"patient": name, "subset": subset_name(subset)}
        names = {m: m.title for m in subset}
        study = Study({m: scanned[m] for m in subset}, names)
        done, labels, ready = _segmented(options, student, study)
        before = student.predict(Study({m: clean.images[m] for m in subset}, names), "cpu").labels
        row |= done
        if labels is not None:
            row |= _compared(before, labels, label, truth) | _stripped(ready.brain, clean, truth)
            _draw(options, row, ready, labels, truth)
        yield row


def _scanned(clean: Study, seed: int, parts: Sequence[str]) -> dict[Modality, sitk.Image]:
    """The patient scanned anew, FLAIR first."""
    images = {m: clean.images[m] for m in MODALITIES if m in clean.images}
    heads = put_into_head(images, seed) if "head" in parts else images
    taken = {}
    for modality, planned in plan_acquisitions(seed).items():
        if modality not in heads:
            continue
        if "movement" not in parts:
            planned = replace(planned, shift=(0.0,) * 3, angles=(0.0,) * 3)
        if "slices" not in parts:
            planned = replace(planned, plane="axial", spacing=(1.0,) * 3)
        if not {"head", "coil"} <= set(parts):
            planned = replace(planned, bias=0.0)
        if not {"head", "noise"} <= set(parts):
            planned = replace(planned, noise=0.0)
        head = sitk.Cast(heads[modality], sitk.sitkFloat32)
        taken[modality] = acquire(head, planned, (seed, int(modality)))
    return taken


def _compared(before: sitk.Image, after: sitk.Image, label: sitk.Image, truth: sitk.Image) -> Row:
    """Dice of untouched and of raw volumes, on the grid of the raw reference and on the fine one.

    Args:
        before: result of the untouched volumes; on the grid of ``label``.
        after: result of the raw ones, on the grid of ``truth``.
        label: classes on the fine grid.
        truth: on the grid of the raw reference.
    """
    row: Row = {}
    coarse, fine = Grid.from_image(truth), Grid.from_image(label)
    for region in REGIONS:
        for place, grid in (("", coarse), ("_fine", fine)):
            reference = region_mask(_classes(label, grid), region)
            row[f"{region}{place}_clean"] = dice(region_mask(_classes(before, grid), region), reference)
            row[f"{region}{place}_raw"] = dice(region_mask(_classes(after, grid), region), reference)
    return row


def _stripped(brain: sitk.Image | None, clean: Study, truth: sitk.Image) -> Row:
    """How well the brain was found, and what of the tumor lies outside of it."""
    if brain is None:
        return {}
    grid = Grid.from_image(truth)
    own = np.logical_or.reduce([_classes(image, grid) != 0 for image in clean.images.values()])
    found, tumor = _classes(brain, grid) > 0, sitk.GetArrayViewFromImage(truth) > 0
    return {"brain_dice": dice(found, own), "tumor_lost": float((tumor & ~found).sum() / max(1, tumor.sum()))}


def _classes(image: sitk.Image, grid: Grid) -> np.ndarray:
    return sitk.GetArrayFromImage(grid.resample(image, sitk.sitkNearestNeighbor, 0))


def _share(labels: sitk.Image, grid: Grid) -> np.ndarray:
    return sitk.GetArrayFromImage(grid.resample(sitk.Cast(labels > 0, sitk.sitkFloat32), sitk.sitkLinear, 0))


def _draw(options: argparse.Namespace, row: Row, study: Study, labels: sitk.Image, truth: sitk.Image) -> None:
    if options.output and (len(study.images) in (1, 3, 4)) and study.reference is Modality.FLAIR:
        options.output.mkdir(parents=True, exist_ok=True)
        path = options.output / f"{row['patient']}_{row['subset'].replace('+', '_')}.png"
        draw_overlay(path, study, labels, f"{row['patient']} {row['subset']}", "", truth)


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _print_means(rows: Sequence[Row]) -> None:
    """By subset, and over all subsets with FLAIR, first within each patient."""
    numbers = [name for name in rows[0] if name not in ("patient", "subset", "moved", "error")]
    for subset in dict.fromkeys(row["subset"] for row in rows):
        of = [row for row in rows if row["subset"] == subset and "error" not in row]
        means = {n: fmean(row[n] for row in of if n in row) for n in numbers if any(n in row for row in of)}
        print(f"mean of {len(of)}", subset, "  ".join(f"{name} {value:.3f}" for name, value in means.items()))
    patients = {row["patient"] for row in rows}
    for name in (name for name in numbers if name.startswith(tuple(REGIONS))):
        each = [
            fmean(row.get(name, 0.0) for row in rows if row["patient"] == p and "FLAIR" in row["subset"])
            for p in sorted(patients)
        ]
        print(f"{name} over subsets with FLAIR, mean of {len(each)} patients: {fmean(each):.3f}")


def _write(rows: Sequence[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
