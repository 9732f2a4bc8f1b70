"""``segment``: one patient's volumes in, a label map out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.labels import CONVENTIONS
from ..core.modalities import MODALITIES, Modality
from ..core.progress import progress_printer
from .options import add_command, add_device, add_progress, add_steps, chosen_steps, show_result


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


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands, "segment", run, "Segment the tumor of one patient from one to four volumes."
    )
    for modality in MODALITIES:
        parser.add_argument(
            f"--{modality.name.lower()}",
            type=Path,
            action=_Volume,
            const=modality.name,
            dest="inputs",
            default={},
            metavar="FILE",
            help=f"{modality.title} volume",
        )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=".seg.nrrd for 3D Slicer, or .nii.gz, .nii, .nrrd; on the grid of the volume named first",
    )
    parser.add_argument(
        "--student", type=Path, metavar="S", help="trained network (default: the bundled one)"
    )
    parser.add_argument(
        "--labels",
        choices=tuple(CONVENTIONS),
        default="classes",
        help="numbers in OUT; classes: 1 NCR/NET, 2 ED, 3 ET; brats2021: 4 for ET (default: %(default)s)",
    )
    add_steps(parser, mask=True)
    parser.add_argument(
        "--steps-output",
        type=Path,
        metavar="FOLDER",
        help="keep what the steps have made: brain.nrrd, and transforms of moved volumes such as T1CE.tfm",
    )
    add_device(parser)
    add_progress(parser)


def run(options: argparse.Namespace) -> None:
    """Segment."""
    from ..inference.segment_files import segment_files

    with progress_printer(options.progress) as progress:
        report = segment_files(
            options.inputs,
            options.output,
            options.student,
            options.device,
            options.labels,
            progress,
            chosen_steps(options),
            options.steps_output,
        )
    show_result(options, report, _summary(report))


def _summary(report: Mapping[str, Any]) -> str:
    from ..inference.worth import worth

    volumes = ", ".join(f"{name} {value:.1f}" for name, value in report["volumes_cm3"].items())
    presence = ", ".join(f"{name} {100 * value:.0f}" for name, value in report.get("presence", {}).items())
    return "\n".join(
        [
            *(f"Warning: {warning}" for warning in report["warnings"]),
            f"Used {report['modalities']} on {report['device']['name']}: {report['seconds']['total']:.1f} s, "
            f"{report['peak_memory_bytes'] / 2**30:.1f} GiB",
            f"Volumes in cm3: {volumes}",
            *([f"Present at all, in %: {presence}"] if presence else []),
            *worth(report),
            f"Wrote {report['output']}",
        ]
    )
