"""``export``: a run in, a student file out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.files import restored_if_refused
from ..inference.card import BLENDINGS, GATES  # reads headers alone: help must not load PyTorch
from .options import add_command, add_cross_validation, add_output, at_least, show_result
from .speech import add_speech

_EXAMPLES = ("export --run run --output model.safetensors",)

_MOST_VOXELS = 10**6
"""A liter, more than any glioma enhances."""


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(commands, "export", run, "Turn a training run into one model file.", _EXAMPLES)
    parser.add_argument(
        "--run", type=Path, required=True, metavar="RUN", dest="folder", help="folder of the run"
    )
    add_output(parser, "FILE", "a .safetensors file")
    parser.add_argument("--name", help="what to call the model")
    parser.add_argument("--license", metavar="TEXT", help="of the model file")
    parser.add_argument(
        "--gate",
        choices=GATES,
        help="what the presence of a class does to its probability, for networks that tell presence "
        f"(default: {GATES[0]})",
    )
    parser.add_argument(
        "--blending",
        choices=BLENDINGS,
        help="how windows that overlap are put together: weighted by a Gaussian, or all alike, as in "
        f"the public codes of RFNet and those after it (default: {BLENDINGS[0]})",
    )
    parser.add_argument(
        "--et-minimum",
        type=at_least(0, _MOST_VOXELS),
        metavar="VOXELS",
        help="take enhancing tumor for necrosis where all of it is fewer voxels of 1 mm (tables of RFNet and "
        "those after it: 500; default: keep all)",
    )
    parser.add_argument(
        "--evaluation",
        type=Path,
        metavar="DIR",
        help="folder that 'evaluate' has written for an earlier export of this very run; its table is stored",
    )
    add_cross_validation(
        parser,
        "with --evaluation: folders of out-of-fold evaluations of training cases, to be counted in",
    )
    add_speech(parser)


def run(options: argparse.Namespace) -> None:
    """Export."""
    from ..evaluation.attach import attach_evaluation
    from ..evaluation.evaluate import read_evaluation
    from ..training.stage_students import export

    if options.cross_validation and not options.evaluation:
        raise OptionError("--cross-validation counts only beside --evaluation. Give both.")
    for folder in filter(None, [options.evaluation, *options.cross_validation]):
        read_evaluation(folder)  # refuse what is no evaluation before anything is written
    # what was not given is left to the run
    facts = {"name": options.name, "license": options.license, "gate": options.gate}
    facts["blending"] = options.blending
    facts = {key: text for key, text in facts.items() if text}
    if options.et_minimum is not None:
        facts["min_enhancing_voxels"] = options.et_minimum
    with restored_if_refused(options.output):
        student = export(options.folder, options.output, facts)
        if options.evaluation:
            # refuses an evaluation of other weights, so an earlier export of another epoch is found out
            attach_evaluation(student, options.evaluation, options.cross_validation)
    show_result(options, {"output": str(student)}, f"Wrote {student}")
