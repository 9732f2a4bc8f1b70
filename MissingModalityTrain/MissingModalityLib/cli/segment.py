"""``segment``: one patient's volumes in, a label map out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.modalities import ALIASES, MODALITIES, Modality, modality_named
from .last_word import show_result
from .option_values import pair
from .options import (
    add_command,
    add_device,
    add_labels,
    add_one_visit,
    add_output,
    add_precision,
    add_regions,
    add_steps,
    add_student,
    chosen_steps,
)
from .speech import add_speech, shown_progress


class _Volume(argparse.Action):
    """Collects ``--flair F`` and its like in the order in which they are given, each at most once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        modality = Modality[self.const]
        # one mapping for all options keeps their order: the first volume gives the grid of the result
        if modality in namespace.inputs:
            parser.error(f"{option_string} was given twice: {namespace.inputs[modality]} and {values}")
        # a new mapping, for the default belongs to the parser
        namespace.inputs = {**namespace.inputs, modality: values}


_EXAMPLES = (
    "segment --flair flair.nii.gz --t1ce t1ce.nii.gz --output tumor.seg.nrrd",
    "segment --dicom FOLDER --output tumor.seg.nrrd",
    "segment -i FOLDER -o tumor.seg.nrrd",
    "segment -i case_t1c.nii.gz case_t2f.nii.gz -o tumor.nii.gz --labels brats2021",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "segment",
        run,
        "Segment the tumor of one patient from one to four volumes or DICOM.",
        _EXAMPLES,
    )
    _add_input(parser)
    _add_result(parser)
    add_student(parser)
    add_labels(parser, "OUT")
    add_steps(parser, mask=True)
    parser.add_argument(
        "--steps-output",
        type=Path,
        metavar="FOLDER",
        help="keep what the steps have made: brain.nrrd, transforms of moved volumes such as T1CE.tfm, and "
        "steps.report.json, the record of these",
    )
    add_device(parser)
    add_precision(parser)
    add_speech(parser)


def _add_input(parser: argparse.ArgumentParser) -> None:
    """Volumes, or DICOM and what to choose of it."""
    for modality in MODALITIES:
        _add_volume(parser, modality, f"--{modality.name.lower()}", f"{modality.title} volume")
        for other in (modality.name, *ALIASES[modality]):
            _add_volume(parser, modality, f"--{other}", argparse.SUPPRESS)
    parser.add_argument(
        "--input",
        "-i",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        dest="paths",
        help="volumes whose names tell the sequence, or a folder of DICOM files, in place of the options for "
        "these",
    )
    parser.add_argument(
        "--dicom",
        type=Path,
        metavar="DIR",
        help="folder of DICOM files of which the best series are used, in place of volumes",
    )
    parser.add_argument("--patient", metavar="ID", help="of several patients in the DICOM folder this one")
    parser.add_argument(
        "--study", metavar="DATE", help="of several visits this one: YYYY-MM-DD, or the Study Instance UID"
    )
    add_one_visit(parser)
    parser.add_argument(
        "--series",
        nargs="+",
        action="extend",
        default=[],
        type=pair,
        metavar="SEQUENCE=NAME",
        help="use these series of the DICOM folder, by number, description or UID as 'series' lists them: "
        "--series T1=5 T1ce='t1 post'",
    )


def _add_result(parser: argparse.ArgumentParser) -> None:
    """Where the result goes, and on whose voxels it lies."""
    add_output(
        parser,
        "OUT",
        ".seg.nrrd for 3D Slicer, .nii.gz, .nii, .nrrd, or of DICOM .dcm (a segmentation object)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace OUT, and files of --steps-output, whatever they are; without it only what an earlier "
        "segmentation has left: OUT with its report, and these with their record",
    )
    parser.add_argument(
        "--grid",
        metavar="VOLUME",
        help="on whose voxels OUT lies: flair, t1ce, t1, t2, or a file of another volume (default: those of "
        "the volume named first; of DICOM the finest series)",
    )
    add_regions(parser)


def _add_volume(parser: argparse.ArgumentParser, modality: Modality, option: str, text: str) -> None:
    parser.add_argument(
        option,
        type=Path,
        action=_Volume,
        const=modality.name,
        dest="inputs",
        default={},
        metavar="FILE",
        help=text,
    )


def run(options: argparse.Namespace) -> None:
    """Segment."""
    _take_paths(options)
    _refuse_contradictions(options)
    common = {
        "output": options.output,
        "student": options.student,
        "device": options.device,
        "labels": options.labels,
        "steps": chosen_steps(options),
        "steps_output": options.steps_output,
        "grid": options.grid,
        "overwrite": options.overwrite,
        "precision": options.precision,
    }
    with shown_progress(options) as progress:
        if options.dicom is not None:
            from ..inference.segment_dicom import segment_dicom

            report = segment_dicom(
                options.dicom,
                patient=options.patient,
                study=options.study,
                series=_named_series(options.series),
                one_visit=options.one_visit,
                on_progress=progress,
                regions=options.regions,
                **common,
            )
        else:
            from ..inference.segment_files import segment_files

            report = segment_files(options.inputs, on_progress=progress, **common)
    show_result(options, report, _summary(report))


def _take_paths(options: argparse.Namespace) -> None:
    """Put what ``--input`` names in the place of the options that say what it is.

    Raises:
        OptionError: a file's name does not tell its sequence, or two tell the same one.
    """
    from ..datasets.detection import FIT_TO_FILL_IN, detect_modality

    if len(options.paths) == 1 and options.paths[0].is_dir() and options.dicom is None:
        options.dicom = options.paths[0]
        return
    for path in options.paths:
        guess = detect_modality(path.name)
        if guess.modality is None or guess.confidence < FIT_TO_FILL_IN:
            why = guess.reason.rstrip(".")
            leave = "Leave it out, or name" if guess.excluded else "Name"
            raise OptionError(
                f"{path}: which sequence is it? {why}. {leave} it by its option: --flair {path}"
            )
        if guess.modality in options.inputs:
            name, other = guess.modality.title, options.inputs[guess.modality]
            raise OptionError(
                f"{other} and {path} are both {name} by their names. Name one as it is: --t1 FILE"
            )
        options.inputs = {**options.inputs, guess.modality: path}


def _refuse_contradictions(options: argparse.Namespace) -> None:
    """Raises OptionError."""
    if options.dicom is not None and options.inputs:
        given = ", ".join(f"--{modality.name.lower()}" for modality in options.inputs)
        raise OptionError(
            f"--dicom {options.dicom} and {given} contradict each other: give either a folder of DICOM, of "
            "which the series are chosen, or the volumes."
        )
    for name in ("patient", "study", "series", "one_visit"):
        if options.dicom is None and getattr(options, name) not in (None, [], False):
            raise OptionError(
                f"--{name.replace('_', '-')} chooses in a folder of DICOM. Give the folder by --dicom."
            )
    if options.dicom is None and not options.inputs:
        names = ", ".join(f"--{modality.name.lower()}" for modality in MODALITIES)
        raise OptionError(f"No volume given. Name at least one of {names}, or a folder of DICOM by --dicom.")
    if options.dicom is None and options.regions:
        raise OptionError(
            "--regions adds segments to a DICOM object, and that needs DICOM as input: give --dicom."
        )


def _named_series(pairs: Sequence[tuple[str, str]]) -> dict[Modality, str]:
    """Raises OptionError."""
    named: dict[Modality, str] = {}
    for sequence, name in pairs:
        modality = modality_named(sequence)
        if modality in named:
            raise OptionError(
                f"--series names {modality.title} twice: {named[modality]} and {name}. Name one."
            )
        named[modality] = name
    return named


def _summary(report: Mapping[str, Any]) -> str:
    from ..core.segments import in_full
    from ..inference.worth import worth

    volumes = ", ".join(f"{in_full(name)} {value:.1f}" for name, value in report["volumes_cm3"].items())
    presence = ", ".join(f"{name} {100 * value:.0f}" for name, value in report.get("presence", {}).items())
    return "\n".join(
        [
            *(f"Warning: {warning}" for warning in report["warnings"]),
            *report.get("dicom", {}).get("choice", []),
            f"Used {report['modalities']} on {report['device']['name']}: {report['seconds']['total']:.1f} s, "
            f"{report['peak_memory_bytes'] / 2**30:.1f} GiB",
            f"Volumes in cm³: {volumes}",
            *([f"Present at all, in %: {presence}"] if presence else []),
            *worth(report),
            f"Wrote {report['output']}",
        ]
    )
