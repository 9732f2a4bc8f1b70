"""``evaluate``: a student and labeled cases in, tables out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.labels import CAVITY_RULES
from ..core.printable import printable

# of light files: help must not load PyTorch
from ..evaluation.hd95_rules import HD95_DEFINITIONS, HD95_RULES
from ..evaluation.measures import AGREEMENTS, MEASURES, TABLE_METRICS
from ..runtime.ranks import launched_rank
from .last_word import failure_code, other_methods_lines, show_result, skipped_lines, warning_lines
from .option_values import label_numbers
from .options import (
    add_choice,
    add_command,
    add_convention,
    add_cross_validation,
    add_data,
    add_device,
    add_output,
    add_student,
)
from .speech import LOG, add_speech, shown_progress

_EXAMPLES = (
    "evaluate --data TEST_CASES --output results",
    "evaluate --model model.safetensors --data TEST_CASES --output results --store",
    "evaluate --model model.safetensors --data TEST_CASES --output results --store --cross-validation FOLDS",
    "evaluate --predictions LABEL_MAPS --data TEST_CASES --output results-of-another",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands, "evaluate", run, "Score a model on cases with labels, over all subsets.", _EXAMPLES
    )
    add_student(parser)
    _add_predictions(parser)
    add_data(parser, "folder of cases with labels")
    add_output(parser, "DIR", "folder for tables and report")
    parser.add_argument(
        "--cases",
        type=Path,
        metavar="FILE",
        help="text file with the names of the cases to score, one a line (default: all with a label)",
    )
    _add_scores(parser)
    parser.add_argument(
        "--store",
        action="store_true",
        help="keep the table in the model file too, unless it was trained on any of these cases",
    )
    add_cross_validation(
        parser,
        "with --store: folders of cross-validations by models that decide as this one does, whose "
        "out-of-fold scores count in the table that is kept",
    )
    add_choice(
        parser, "--resection-cavity", CAVITY_RULES, "background", "what a labeled resection cavity counts as"
    )
    add_convention(parser)
    add_device(parser)
    add_speech(parser)


def _add_predictions(parser: argparse.ArgumentParser) -> None:
    """What is scored in place of a model."""
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="DIR",
        help="score the label maps in this folder, of any program, in place of a model: each called like its "
        "case; one folder for each subset, such as FLAIR+T1ce, or all predicted from all sequences",
    )
    parser.add_argument(
        "--prediction-labels",
        type=label_numbers,
        metavar="NAME",
        help="how these label maps are numbered (default: as the cases' labels, or as their values tell)",
    )


def _add_scores(parser: argparse.ArgumentParser) -> None:
    """What is measured, and what the tables print of it."""
    add_choice(parser, "--hd95", HD95_DEFINITIONS, "directed", "what HD95 is")
    add_choice(parser, "--hd95-rule", HD95_RULES, "penalty", "HD95 where a region is empty")
    parser.add_argument(
        "--metrics",
        type=lambda text: text.split(","),
        default=TABLE_METRICS,
        metavar="NAME[,NAME...]",
        help="scores that the tables print, of "
        + ", ".join((*MEASURES, *AGREEMENTS))
        + f"; all are measured and kept (default: {','.join(TABLE_METRICS)})",
    )


def run(options: argparse.Namespace) -> int:
    """Evaluate."""
    if options.cross_validation and not options.store:
        raise OptionError("--cross-validation counts in a model's file alone. Add --store, or leave it out.")
    if options.predictions is not None:
        return _run_predictions(options)
    from ..evaluation.attach import attach_evaluation, check_storable
    from ..evaluation.evaluate import evaluate_folder
    from ..evaluation.known_cases import first_learned, trained_on
    from ..inference.locations import bundled_student
    from ..runtime import distributed

    if options.store and options.student is None:
        raise OptionError("--store writes into a model file, and the bundled one stays. Add --model.")
    if options.prediction_labels is not None:
        raise OptionError("--prediction-labels is of label maps. Add --predictions.")
    student = options.student or bundled_student()
    # what cannot be stored shows before the long part
    calibration = check_storable(student, options.cross_validation, _how(options)) if options.store else None
    if not launched_rank():  # of several processes that torchrun has started, the first one speaks
        learned = first_learned(student, options.data, options.convention, options.cases)
        _tell_learned(learned, options.store)
        calibration = None if learned else calibration  # which is not going to be stored

    with shown_progress(options) as progress:
        result = evaluate_folder(
            student,
            options.data,
            options.output,
            device=options.device,
            on_progress=progress,
            calibration=calibration,
            **_how(options),
        )
    seen = trained_on(student, result)
    # scores on cases that it learned from would stand in the file as if they were of new ones
    stored: dict[str, Any] = {}
    if options.store and not seen:
        stored = distributed.on_rank_zero(
            lambda: attach_evaluation(student, options.output, options.cross_validation)
        )
    warning = f"Warning: the model was trained on {', '.join(seen)}; scores on these flatter it"
    not_stored = ", so none were stored in its file" if options.store else ""
    warnings = [*skipped_lines(result["skipped"]), *warning_lines(result["warnings"])]
    warnings += [f"{warning}{not_stored}."] if seen else []
    warnings += other_methods_lines(stored)
    show_result(options, {**result, "seen": seen}, "\n".join([*warnings, f"Wrote {options.output}"]))
    return failure_code(result)


def _tell_learned(case: str | None, store: bool) -> None:
    """Say before the long part what its scores will be worth, where the model has learned from a case."""
    if case is None:
        return
    not_stored = ", and none will be stored in its file" if store else ""
    told = (
        f"Warning: the model was trained on {case}, which is to be scored. Scores on such cases flatter "
        f"it{not_stored}. To score others alone, stop and list them with --cases."
    )
    LOG.info("%s", told)
    print(printable(told), file=sys.stderr, flush=True)


def _how(options: argparse.Namespace) -> dict[str, Any]:
    """What scores are made of and by, whatever predicts."""
    return {
        "convention": options.convention,
        "hd95_rule": options.hd95_rule,
        "hd95_definition": options.hd95,
        "cases": options.cases,
        "metrics": options.metrics,
        "resection_cavity": options.resection_cavity,
    }


def _run_predictions(options: argparse.Namespace) -> int:
    """Score label maps."""
    from ..evaluation.foreign import evaluate_predictions

    if options.student is not None or options.store:
        other = "--model" if options.student is not None else "--store"
        raise OptionError(f"--predictions scores label maps and no model. Leave out {other}.")
    with shown_progress(options) as progress:
        result = evaluate_predictions(
            options.predictions,
            options.data,
            options.output,
            labels=options.prediction_labels,
            on_progress=progress,
            **_how(options),
        )
    warnings = [*skipped_lines(result["skipped"]), *warning_lines(result["warnings"])]
    show_result(options, result, "\n".join([*warnings, f"Wrote {options.output}"]))
    return failure_code(result)
