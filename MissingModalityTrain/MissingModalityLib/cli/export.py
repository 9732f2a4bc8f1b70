"""``export``: a run in, a student file out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import OptionError, StudentError
from ..core.files import restored_if_refused

# reads headers alone: help must not load PyTorch
from ..inference.card import BLENDINGS, CHOICES, GATES, OF_SCORES, SELECTED, Card, read_card
from ..training.run_folder import RunFolder
from .last_word import other_methods_lines, show_result
from .option_values import at_least
from .options import add_command, add_cross_validation, add_output
from .speech import add_speech

_EXAMPLES = ("export --run run --output model.safetensors",)

_BY_OPTIONS = ("blending", "gate", "name", "license")
"""Facts of a card that only options give."""

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
    before, stored = _card_of(options.output), {}
    with restored_if_refused(options.output):
        student = export(options.folder, options.output, facts)
        if options.evaluation:
            # refuses an evaluation of other weights, so an earlier export of another epoch is found out
            stored = attach_evaluation(student, options.evaluation, options.cross_validation)
    card = read_card(student)
    own, own_card = _own_student(options.folder, card)
    lost, of_own = _lost(before, card, facts), _lost(own_card, card, facts)
    lines = _lost_in_words(lost, student, f"{student} was a model that had")
    if of_own != lost:
        lines += _lost_in_words(of_own, student, f"{own}, the model of the run itself, has")
    lines += [*other_methods_lines(stored), f"Wrote {student}"]
    show_result(options, {"output": str(student), "lost": list(lost)}, "\n".join(lines))


def _own_student(run: Path, exported: Card) -> tuple[Path, Card | None]:
    """The run's own model of what was exported, into which choices and scores may have been stored."""
    training = exported["training"]
    path = RunFolder(run).student(training["stage"])
    card = _card_of(path)
    same = card is not None and (card.get("training") or {}).get("epochs_done") == training["epochs_done"]
    return path, card if same else None


def _card_of(path: Path) -> Card | None:
    """Of a model, such as one that is about to be replaced."""
    try:
        return read_card(path)
    except StudentError:  # none, or one that nobody can use
        return None


def _lost(before: Card | None, after: Card, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a model had, as one that was replaced, and the new one has not, though nobody asked for it."""
    from ..evaluation.belonging import choice_of

    if before is None:
        return {}
    chosen = [name for name in (*CHOICES, "gate") if choice_of(before, name) != choice_of(after, name)]
    others = [name for name in before if name not in after and name not in CHOICES]
    names = dict.fromkeys([*chosen, *others])
    return {name: before[name] for name in names if name in before and name not in asked}


def _lost_in_words(lost: Mapping[str, Any], student: Path, had: str) -> list[str]:
    """What was lost, and what puts it back; ``had`` begins the sentence and tells whose it was."""
    if not lost:
        return []
    told = (*CHOICES, *_BY_OPTIONS)
    words = [f"{name} {value}" if name in told else f"its {name}" for name, value in lost.items()]
    ways = []
    if any(name in _BY_OPTIONS for name in lost):
        ways.append("options of export give " + ", ".join(name for name in _BY_OPTIONS if name in lost))
    if any(name in SELECTED for name in lost):
        ways.append(f"'select --run FOLDS --reuse --store {student}' stores what was chosen")
    if any(name in OF_SCORES for name in lost):
        ways.append("'evaluate --store' stores scores, and the estimate of Dice with --cross-validation")
    again = f" To have it back: {'; '.join(ways)}." if ways else ""
    return [f"Warning: {had} what this one has not: {', '.join(words)}.{again}"]
