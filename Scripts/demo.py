"""The main job from end to end, without 3D Slicer's desktop (`make demo`).

Takes a case, loads some of its volumes into a MRML scene, lets the segmentation module detect which is which
and segment the tumor, and saves what a clinician would keep: segmentation, scene, picture, report.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import vtk

from headless import ROOT, HeadlessSlicer, segmentation_logic
from MissingModalityLib import mrml
from MissingModalityLib.core.errors import CaseError, MissingModalityError
from MissingModalityLib.core.files import write_report
from MissingModalityLib.core.labels import CONVENTIONS, REGIONS, region_mask
from MissingModalityLib.core.modalities import Modality, in_words, modality_named, subset_name
from MissingModalityLib.core.progress import progress_printer
from MissingModalityLib.core.segments import segment_of
from MissingModalityLib.datasets.case import Case
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.metrics import dice
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.reading import Study, read_label
from MissingModalityLib.inference.overlay import draw_overlay
from MissingModalityLib.inference.worth import worth

DEFAULT_MODALITIES = (Modality.FLAIR, Modality.T1CE)
SEED = 1
TITLES = {region: f"{segment_of(region).name} ({region})" for region in REGIONS}


@dataclass(frozen=True)
class Result:
    """What the segmentation module made of a case.

    Attributes:
        inputs: the volume nodes used, by modality; the first is the reference volume.
        node: the segmentation node.
        classes: its label map on the reference volume's grid.
        volumes: cm³ by segment ID.
        report: the segmentation's own report.
        seconds: from the call to the segments in the scene.
    """

    inputs: dict[Modality, Any]
    node: Any
    classes: sitk.Image
    volumes: dict[str, float]
    report: dict[str, Any]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 done, 2 bad input with one message."""
    options = _options(arguments)
    # VTK would warn of the missing desktop on every node
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    try:
        _run(options)
    except (MissingModalityError, OSError) as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 2
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0], allow_abbrev=False)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--case", metavar="FOLDER", help="a case of your own; default: a synthetic patient")
    which.add_argument(
        "--raw",
        action="store_true",
        help="a synthetic patient with his skull on, who moved between sequences",
    )
    parser.add_argument(
        "--modalities",
        nargs="+",
        metavar="M",
        help=f"volumes to load, of {in_words()}; default: {' '.join(m.title for m in DEFAULT_MODALITIES)}",
    )
    parser.add_argument(
        "--convention", choices=tuple(CONVENTIONS), help="label numbers, where the file names do not fix them"
    )
    parser.add_argument("--student", type=Path, help="a trained network; default: the bundled one")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--output", type=Path, default=ROOT / "demo", help="folder for the results")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> None:
    wanted = [
        modality_named(name) for text in options.modalities or () for name in text.replace(",", " ").split()
    ]
    case = _case(options)
    chosen = _choose(case, wanted)
    label = read_label(case)  # before the long part: a label that cannot be read ends the demo here
    headless = HeadlessSlicer()
    nodes = [_load(headless, case, modality) for modality in chosen]
    print(f"Case            {case.name} ({case.folder})")
    print(f"Loaded          {', '.join(node.GetName() for node in nodes)}")
    result = _segment(headless, options)
    scores = _scores(label, result.classes)
    folder = options.output / case.name / subset_name(result.inputs)
    _save(headless, case, label, result, scores, folder, synthetic=options.case is None)
    _print_results(result, scores)
    print(f"Saved           {folder}: " + ", ".join(sorted(path.name for path in folder.iterdir())))


def _case(options: argparse.Namespace) -> Case:
    """The case named, or a synthetic patient grown into the output folder."""
    if options.case is None:
        from MissingModalityLib.phantom.patient import write_patient
        from MissingModalityLib.phantom.raw_patient import write_raw_patient

        print("Growing a synthetic patient ...", flush=True)
        write = write_raw_patient if options.raw else write_patient
        folder = write(options.output / "patients", SEED)
    elif not options.case.strip():
        raise CaseError("The case is empty. Name the folder that holds its volumes: make demo CASE=folder")
    else:
        folder = Path(options.case)
    cases = find_cases(folder, options.convention).cases
    if len(cases) > 1:
        names = ", ".join(case.name for case in cases[:5]) + (", ..." if len(cases) > 5 else "")
        raise CaseError(f"{folder} holds {len(cases)} cases ({names}). Name the folder of one of them.")
    return cases[0]


def _choose(case: Case, wanted: Sequence[Modality]) -> list[Modality]:
    """The modalities to load; those asked for must be there."""
    absent = [modality for modality in wanted if modality not in case.images]
    if absent:
        raise CaseError(
            f"{case.folder}: case {case.name} has no {subset_name(absent)}, only {subset_name(case.images)}. "
            "Choose among these."
        )
    return sorted(set(wanted) or set(DEFAULT_MODALITIES).intersection(case.images) or case.images)


def _load(headless: HeadlessSlicer, case: Case, modality: Modality) -> Any:
    file = case.images[modality]
    if file.channel is None:
        return headless.add_volume(file.path)
    from MissingModalityLib.imaging.volumes import read_channel

    return mrml.add_volume(
        headless.scene, read_channel(file.path, file.channel), f"{case.name} {modality.title}"
    )


def _segment(headless: HeadlessSlicer, options: argparse.Namespace) -> Result:
    """What the panel's buttons Detect and Apply do."""
    logic = segmentation_logic()
    from MissingModalitySegLib.rawsection import RawSteps  # its folder is on the path only now

    guesses = logic.detectInputs(headless.scene)
    for node_id, guess in guesses.items():
        name = headless.scene.GetNodeByID(node_id).GetName()
        title = guess.modality.title if guess.modality is not None else "unknown"
        print(f"Detected        {name} is {title} (confidence {guess.confidence:.0%})")
    inputs, warnings = logic.proposeInputs(headless.scene)
    for warning in warnings:
        print(f"Note            {warning}")
    print("Segmenting ...", flush=True)
    begin = time.perf_counter()
    with progress_printer("bar" if sys.stderr.isatty() else "none") as show:
        run = logic.startSegmentation(
            inputs,
            student=options.student,
            device=options.device,
            onProgress=show,
            steps=RawSteps(keep=True),
        )
        run.wait()
    if run.exception is not None:
        raise run.exception
    seconds = time.perf_counter() - begin
    _lay_over(inputs, run.stepNodes)
    reference = next(iter(inputs.values()))
    classes = Grid.from_image(mrml.image_of(reference)).to_image(mrml.classes_of(run.segmentation, reference))
    return Result(inputs, run.segmentation, classes, logic.volumes(run.segmentation), run.report, seconds)


def _lay_over(inputs: dict[Modality, Any], made: Sequence[Any]) -> None:
    """Put volumes that were registered under the transforms that this has made, for scene and picture."""
    for transform in (node for node in made if node.IsA("vtkMRMLLinearTransformNode")):
        for node in inputs.values():
            if transform.GetName().startswith(f"{node.GetName()} onto "):
                node.SetAndObserveTransformNodeID(transform.GetID())


def _scores(label: sitk.Image | None, classes: sitk.Image) -> dict[str, float]:
    """Dice of each region against the case's label; empty where it has none."""
    if label is None:
        return {}
    found = sitk.GetArrayFromImage(classes)
    truth = sitk.GetArrayFromImage(Grid.from_image(classes).resample(label, sitk.sitkNearestNeighbor, 0))
    return {region: dice(region_mask(found, region), region_mask(truth, region)) for region in REGIONS}


def _save(
    headless: HeadlessSlicer,
    case: Case,
    label: sitk.Image | None,
    result: Result,
    scores: dict[str, float],
    folder: Path,
    synthetic: bool,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    headless.show(result.inputs[max(result.inputs, key=_shows_best)], _center(result.classes))
    headless.save_segmentation(result.node, folder / "segmentation.seg.nrrd")
    headless.save(folder / "scene.mrb")
    images = {modality: mrml.image_of(node) for modality, node in result.inputs.items()}
    names = {modality: node.GetName() for modality, node in result.inputs.items()}
    loaded = " + ".join(modality.title for modality in result.inputs)
    accuracy = ", ".join(f"{segment_of(name).name.lower()} {score:.2f}" for name, score in scores.items())
    patient = "of a synthetic patient " if synthetic else ""
    notes = [*worth(result.report), *(f"Warning: {warning}" for warning in result.report["warnings"])]
    if synthetic:
        notes.insert(0, "Expectation and estimate are of real patients; this one only shows how it works")
    draw_overlay(
        folder / "overlay.png",
        Study(images, names),
        result.classes,
        f"Brain tumor {patient}segmented from {loaded}",
        f"{case.name} ({', '.join(names.values())})" + (f"   Dice: {accuracy}" if scores else ""),
        label,
        notes,
    )
    report = {
        **result.report,
        "inputs": {modality.name: str(case.images[modality]) for modality in result.inputs},
        "output": str(folder),
        "dice": scores,
    }
    write_report(report, folder / "report.json")


def _shows_best(modality: Modality) -> int:
    """Order of preference for the slice views: tumors show best in FLAIR, then T2, T1ce, T1."""
    return -(Modality.FLAIR, Modality.T2, Modality.T1CE, Modality.T1).index(modality)


def _center(classes: sitk.Image) -> tuple[float, float, float]:
    """Middle of the tumor, or of the volume where there is none, in RAS (mm)."""
    array = sitk.GetArrayViewFromImage(classes)
    voxels = np.argwhere(array) if array.any() else np.array([array.shape]) / 2
    # numpy's order is z, y, x, ITK's x, y, z; ITK's points are LPS, Slicer's views RAS
    x, y, z = classes.TransformContinuousIndexToPhysicalPoint(voxels.mean(0)[::-1].tolist())
    return -x, -y, z


def _print_results(result: Result, scores: dict[str, float]) -> None:
    print(f"Subset used     {subset_name(result.inputs)}")
    print(f"Model           {result.report['student']['name']} on {result.report['device']['name']}")
    for warning in result.report["warnings"]:
        print(f"Warning         {warning}")
    for sentence in worth(result.report):
        print(f"Worth           {sentence}")
    print(f"\n{'Region':24} {'Volume cm³':>12} {'Dice':>8}")
    for region, title in TITLES.items():
        score = f"{scores[region]:8.3f}" if scores else "no label"
        print(f"{title:24} {result.volumes[region]:12.2f} {score}")
    prediction = result.report["seconds"]["prediction"]
    print(
        f"\nTime            {result.seconds:.1f} s from volumes to segments ({prediction:.1f} s prediction)"
    )
    print(f"Peak memory     {result.report['peak_memory_bytes'] / 2**30:.2f} GiB (segmentation process)")


if __name__ == "__main__":
    sys.exit(main())
