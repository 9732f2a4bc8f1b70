"""Puts an evaluation into the student file that it is of, so that the file says how good it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from safetensors import safe_open

from ..core.aliases import OLD_CARD_KEYS, renamed
from ..core.errors import CaseError
from ..core.labels import REGIONS
from ..core.modalities import MODALITIES, SUBSETS, subset_name
from ..inference.card import CHOICES, read_card
from ..inference.student import Student
from .evaluate import prediction_facts, read_evaluation, weights_sha256

_FACTS = ("data", "date", "device", "hd95_rule", "weights_sha256")
_DECIMALS = {"dice": 4, "hd95": 2}
"""A hundredth of the Dice points and a hundredth of the millimeters that tables print."""


def attach_evaluation(student: Path | str, evaluation: Path | str) -> dict[str, Any]:
    """Store the summary of an evaluation in a student file, in place and in the file's own precision.

    Args:
        student: a student file; its card gets the entry ``evaluation``, an earlier one is replaced.
        evaluation: folder that :func:`.evaluate.evaluate_folder` has written for these very weights.

    Returns:
        The entry, see :func:`summary_of`.

    Raises:
        StudentError: the student file cannot be used or written.
        CaseError: the folder holds no evaluation, or one of another student; the file is as it was.
    """
    student = Path(student)
    found = read_evaluation(evaluation)
    network = Student.load(student)
    check_weights(network, found, student)
    network.card["evaluation"] = summary_of(found)
    network.save(student, half=_is_half(student))
    return network.card["evaluation"]


def store_choices(student: Path | str, chosen: Mapping[str, Any]) -> None:
    """Put what was chosen for a student into its file, in place and in the file's own precision.

    An evaluation that the file held is of what it was before, and is taken out.

    Args:
        student: a student file.
        chosen: keys of :data:`~..inference.card.CHOICES`, as :func:`.selection.choose` returns them.

    Raises:
        StudentError: the student file cannot be used or written.
        OptionError: a fact of another kind, out of its range or not for this network.
    """
    student = Path(student)
    loaded = Student.load(student)
    facts = {name: value for name, value in loaded.card.items() if name != "evaluation"}
    Student(loaded.network, {**facts, **chosen}).save(student, half=_is_half(student))


def trained_on(student: Path | str, evaluation: Mapping[str, Any]) -> list[str]:
    """Names of the evaluated cases that the student learned from, as far as its card tells."""
    training = read_card(student).get("training") or {}
    # cases held out to validate on stand among the cases of the run, but nothing was learned from them
    learned = set(training.get("cases") or ()) - set(training.get("validation") or ())
    return [case["name"] for case in evaluation["cases"] if case["name"] in learned]


def check_weights(student: Student, evaluation: Mapping[str, Any], path: Path) -> None:
    """Refuse an evaluation of other weights, or of another window or choice (:data:`.card.CHOICES`).

    Raises:
        CaseError: naming the student file ``path`` and the student that was evaluated.
    """
    if evaluation.get("weights_sha256") != weights_sha256(student):
        raise CaseError(
            f"The evaluation is not one of {path.name}: it was made with other weights "
            f"({evaluation.get('student', 'unknown student')}). Evaluate this student and try again."
        )
    facts = renamed(prediction_facts(student), OLD_CARD_KEYS)
    # older summaries lack it, and all have earlier names of the card's facts
    found = renamed(evaluation.get("prediction", facts), OLD_CARD_KEYS)
    for name in dict.fromkeys([*found, *(choice for choice in CHOICES if choice in facts)]):
        if found.get(name) != facts.get(name):
            raise CaseError(
                f"The evaluation is not one of {path.name} as it is now: it was made with {name} "
                f"{found.get(name)}, the file has {facts.get(name)}. Evaluate this student and try again."
            )


def summary_of(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an evaluation that fits into a header.

    Returns:
        ``data`` (name of the folder), ``date``, ``device``, ``hd95_rule``, ``weights_sha256``, ``cases`` (how
        many), and ``subsets`` and ``averages`` as in :func:`.tables.summarize`: mean and standard deviation
        of Dice (0..1, 4 decimals) and HD95 (mm, 2 decimals) per region; ``gains``: for each subset and each
        modality ``added`` to it, mean Dice per region ``before`` and ``after`` over the ``cases`` that allow
        both, for the means of two subsets may be over different cases. No case is named.
    """
    return {
        **{name: evaluation[name] for name in _FACTS},
        "cases": len(evaluation["cases"]),
        "subsets": [_rounded(entry) for entry in evaluation["subsets"]],
        "averages": {title: _rounded(entry) for title, entry in evaluation["averages"].items()},
        "gains": list(_gains(evaluation["rows"])),
    }


def _gains(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    dice: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        dice.setdefault(row["subset"], {}).setdefault(row["case"], {})[row["region"]] = row["dice"]
    for subset in SUBSETS:
        for modality in sorted(set(MODALITIES) - set(subset)):
            # only cases that have both subsets: a mean over other cases would differ because of the cases
            before = dice.get(subset_name(subset), {})
            after = dice.get(subset_name((*subset, modality)), {})
            shared = before.keys() & after.keys()
            if shared:
                yield {
                    "subset": subset_name(subset),
                    "added": modality.title,
                    "cases": len(shared),
                    "before": _means(before, shared),
                    "after": _means(after, shared),
                }


def _means(dice: Mapping[str, Mapping[str, float]], cases: Collection[str]) -> dict[str, float]:
    return {region: round(fmean(dice[case][region] for case in cases), 4) for region in REGIONS}


def _rounded(entry: Mapping[str, Any]) -> dict[str, Any]:
    rounded = {
        name: {
            region: None if value is None else round(value, decimals) for region, value in entry[name].items()
        }
        for metric, decimals in _DECIMALS.items()
        for name in (metric, f"{metric}_std")
    }
    return {**entry, **rounded}


def _is_half(path: Path) -> bool:
    with safe_open(path, "pt") as file:
        return any(file.get_slice(name).get_dtype() == "F16" for name in file.keys())  # noqa: SIM118
