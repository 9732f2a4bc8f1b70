"""Makes the bundled student and its model card: train, export, evaluate, write the card.

    make student TRAIN=folder TEST=folder

Stopped at any moment it goes on where it was when called again. The settings fit two cores of a CPU that
multiplies bfloat16 natively; expect one to two hours. One case is left out: its license allows experiments
only, not weights that are passed on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MissingModalityLib.core.errors import MissingModalityError, OptionError
from MissingModalityLib.core.progress import progress_printer
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run import train
from MissingModalityLib.training.run_folder import RunFolder
from MissingModalityLib.training.stage_students import export

ROOT = Path(__file__).resolve().parents[1]
NAME = "glioma-any-subset"
RECIPE = "aem-kd"
NETWORK = None
"""None: the one that the recipe is made for."""

EXPERIMENTS_ONLY = "brats_2013_pat0001_1"
"""The case whose license allows experiments but no weights that are passed on."""

SETTINGS = {
    # held-out cases of the training set asked for context: most of the brain in every crop
    "patch_size": "128",
    "iterations_per_epoch": "50",
    "pretrain.epochs": "30",
    "train.epochs": "80",
    "posttrain.epochs": "20",
    # every stage starts where the one before has almost arrived: no rate as high as to undo it
    "pretrain.learning_rate": "2e-3",
    "train.learning_rate": "1e-3",
    "posttrain.learning_rate": "5e-4",
    "batch_size": "1",
    # a mean over about 1 / (1 - 0.99) = 100 steps, two epochs
    "ema_decay": "0.99",
    "precision": "bfloat16",
    # processes that cut crops would take the two cores from the network
    "num_workers": "0",
    # ten patients are few: none is held out, and the score comes from the test folder
    "validation_fraction": "0",
    "exclude": EXPERIMENTS_ONLY,
    # ahead of other whole recipes when three of the ten patients were held out
    "pretrain.synthesis.difference": "signed",
}
FACTS = {
    "name": NAME,
    "window": [128, 128, 128],  # the patch size of the training
    "license": "CC BY 4.0, attribution to the BraTS organizers and data contributors; research use only",
    "data_note": (
        "Adults with glioma from the BraTS 2018, 2020 and 2021 challenges (BraTS 2021: The Cancer Imaging "
        "Archive, doi:10.7937/jc8x-9874, CC BY 4.0), pre-operative, skull-stripped and co-registered by the "
        "organizers. Pre-training added cases made of these alone, the tumor of one patient in the brain of "
        "another."
    ),
    "limits": [
        "Trained on ten patients only: accuracy is below published levels and varies between patients.",
        "Not trained on metastases, meningiomas, children, resection cavities or heads with the skull on.",
        "Without T1ce the enhancing tumor is little more than a guess; check every result on the images.",
    ],
}


def main() -> int:
    """Run all steps; 0 done, 2 bad input with one message."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--train", type=Path, required=True, help="folder of training cases")
    parser.add_argument("--test", type=Path, required=True, help="folder of cases to score on")
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "bundled", help="folder of the run")
    parser.add_argument("--models", type=Path, default=ROOT / "Resources" / "Models", help="where it goes")
    options = parser.parse_args()
    try:
        _make(options.train, options.test, options.run, options.models)
    except (MissingModalityError, OSError) as error:
        print(f"bundled_student: error: {error}", file=sys.stderr)
        return 2
    return 0


def begin(data: Path, run: Path, settings: Mapping[str, Any] | None = None, **choices: Any) -> None:
    """Train the bundled student's recipe in a new run, with other settings over its own where given."""
    train(data, run, RECIPE, NETWORK, settings={**SETTINGS, **(settings or {})}, **choices)


def _make(data: Path, test: Path, run: Path, models: Path) -> None:
    # here: scoring reads volumes, and the recipe is also trained where nothing is installed that does
    from MissingModalityLib.evaluation.attach import attach_evaluation
    from MissingModalityLib.evaluation.evaluate import evaluate_folder, read_evaluation
    from MissingModalityLib.evaluation.model_card import write_model_card

    models.mkdir(parents=True, exist_ok=True)
    student = models / f"{NAME}.safetensors"
    with progress_printer("bar") as progress:
        folder = RunFolder(run)
        if folder.has_checkpoint:
            # a run that goes on keeps the settings it began with, and the window above belongs to these
            if RunRecord.read(folder).plan != make_plan(RECIPE, NETWORK, settings=SETTINGS):
                raise OptionError(f"{run} was begun with other settings. Choose another --run.")
            train(data, run, resume=True, on_progress=progress)
        else:
            begin(data, run, on_progress=progress)
        export(run, student, FACTS)
        evaluate_folder(student, test, run / "evaluation", on_progress=progress)
    attach_evaluation(student, run / "evaluation")
    write_model_card(student, read_evaluation(run / "evaluation"), models / f"{NAME}.md")


if __name__ == "__main__":
    sys.exit(main())
