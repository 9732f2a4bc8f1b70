"""Puts an evaluation into the student file that it is of, so that the file says how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from safetensors import safe_open

from ..core.errors import CaseError, StudentError
from ..core.files import explain_write_errors
from ..core.kinds import checked
from ..inference.card import CHOICES, OF_SCORES, SELECTED
from ..inference.student import Student
from ..inference.weights import weights_sha256
from .belonging import check_cross_validation, check_weights
from .calibration import FEWEST_PATIENTS, fit_calibration, lacking_features, patients_in
from .evaluate import read_evaluation
from .gains import gains
from .known_cases import trained_on
from .pooling import check_rules, pool_evaluations, told_apart
from .trained_alike import model_facts, other_methods

_FACTS = ("data", "date", "device", "hd95_rule", "hd95_definition")
_GROUPS = ("all", "with FLAIR", "with T1ce")
"""Averages that the panel and earlier versions read; the others can be made of the subsets."""

_NAMES_OF_SCORES = {"evaluation": "its evaluation", "calibration": "its estimate of Dice"}

_DECIMALS = {"dice": 4, "hd95": 2, "lesion_dice": 4, "lesion_hd95": 2}
"""A hundredth of the Dice points and a hundredth of the millimeters that tables print."""


@checked
def attach_evaluation(
    student: Path | str, evaluation: Path | str, cross_validation: Sequence[Path | str] = ()
) -> dict[str, Any]:
    """Store the summary of evaluations in a student file, in place and in the file's own precision.

    Where the cross-validation is of enough patients and tells what the probabilities told, the estimate of
    Dice for each result is fitted to it, see :func:`.calibration.fit_calibration`; else the file keeps the
    one that it has, if it has any, which is of the same weights and choices.

    Args:
        student: a student file; its card gets the entries ``evaluation`` and ``calibration``, earlier ones
            are replaced.
        evaluation: folder that :func:`.evaluate.evaluate_folder` has written for these very weights.
        cross_validation: folders of evaluations by students that were trained like this one without the
            patients that they were scored on, or of this one on patients held out, all of which decide as it
            does; their patients count like the others.

    Returns:
        The entry ``evaluation``, see :func:`summary_of`. ``other_methods`` in it says that students of the
        cross-validation were trained by other methods, and by which, where they were.

    Raises:
        StudentError: the student file cannot be used or written.
        CaseError: a folder holds no evaluation, the first one is of another student, students of another one
            are of another kind or decide otherwise, or were scored by a version that told less, one of this
            student is of cases that it learned from, or they mean different distances by HD95; the file is
            as it was.
    """
    student = Path(student)
    found, *others = map(read_evaluation, (evaluation, *cross_validation))
    network = Student.load(student)
    check_weights(network, found, student)
    check_cross_validation(network, others, student)
    _check_features(cross_validation, others)
    _check_own(student, network, [found, *others])
    calibration, facts = _calibration(others), model_facts(network.card)
    found, *others = told_apart([found, *others])
    unlike = [other_methods(other.get("model") or {}, facts) for other in others]
    network.card["evaluation"] = {
        **summary_of([found, *others]),
        "weights_sha256": found["weights_sha256"],
        "cross_validated": len({case["name"] for other in others for case in other["cases"]}),
        **({"other_methods": "; ".join(dict.fromkeys(filter(None, unlike)))} if any(unlike) else {}),
    }
    network.card["calibration"] = calibration or network.card.calibration
    network.save(student, half=_is_half(student))
    return network.card["evaluation"]


def check_storable(
    student: Path | str, cross_validation: Sequence[Path | str], rules: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Refuse, before an evaluation, what :func:`attach_evaluation` would refuse only after it.

    Args:
        student, cross_validation: as :func:`attach_evaluation` takes them.
        rules: what the evaluation is going to say of itself, see :func:`.pooling.check_rules`.

    Returns:
        The calibration that :func:`attach_evaluation` will store; None where it has none to.

    Raises:
        StudentError, CaseError: as :func:`attach_evaluation`.
    """
    student = Path(student)
    loaded, others = Student.load(student), list(map(read_evaluation, cross_validation))
    check_cross_validation(loaded, others, student)
    _check_features(cross_validation, others)
    check_rules([*others, rules])
    _check_own(student, loaded, others)
    with explain_write_errors(student, "Choose a model in a folder that can be written to.", StudentError):
        TemporaryFile(dir=student.parent).close()
    return _calibration(others)


def store_choices(student: Path | str, chosen: Mapping[str, Any]) -> list[str]:
    """Put what was chosen for a student into its file, in place and in the file's own precision.

    What the file had of :data:`~..inference.card.SELECTED` and was not chosen goes: choices are made
    together. An evaluation and an estimate of Dice that it held are of what it was before, and are taken out;
    a file that has all choices already stays as it is.

    Args:
        student: a student file.
        chosen: keys of :data:`~..inference.card.CHOICES`, as :func:`.selection.choose` returns them.

    Returns:
        What else changed, in words.

    Raises:
        StudentError: the student file cannot be used or written.
        OptionError: a fact of another kind, out of its range or not for this network.
    """
    student = Path(student)
    loaded = Student.load(student)
    changed = with_choices(loaded, chosen)
    before, after = ({name: card.get(name) for name in CHOICES} for card in (loaded.card, changed.card))
    if before == after:
        return []
    changed.save(student, half=_is_half(student))
    return [
        *(
            f"{name} {before[name]}"
            for name in SELECTED
            if name not in chosen and before[name] != after[name]
        ),
        *(_NAMES_OF_SCORES[name] for name in OF_SCORES if name in loaded.card),
    ]


def with_choices(student: Student, chosen: Mapping[str, Any]) -> Student:
    """The student with these choices and no others, and without scores of what it was before.

    Raises:
        OptionError: a fact of another kind, out of its range or not for this network.
    """
    facts = {name: value for name, value in student.card.items() if name not in (*SELECTED, *OF_SCORES)}
    return Student(student.network, {**facts, **chosen})


def _calibration(cross_validation: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Fitted to the cross-validation alone: patients to report on choose nothing, no threshold either."""
    evaluations = told_apart(cross_validation)
    rows = [row for evaluation in evaluations for row in evaluation["rows"] if row.get("features")]
    return fit_calibration(rows) if len(patients_in(rows)) >= FEWEST_PATIENTS else None


def _check_features(folders: Sequence[Path | str], evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Refuse scores of a version that told less of the probabilities than the estimate of Dice needs."""
    for folder, evaluation in zip(folders, evaluations, strict=True):
        if lacking := lacking_features(evaluation["rows"]):
            raise CaseError(
                f"'{folder}': its scores are of an earlier version and lack {', '.join(lacking)}, to which "
                "the estimate of Dice is fitted. Score its cases again (train --resume does so with folds), "
                "or leave the cross-validation out."
            )


def _check_own(student: Path, network: Student, evaluations: Iterable[Mapping[str, Any]]) -> None:
    """Refuse scores of the student itself on cases that it learned from."""
    own = weights_sha256(network.network)
    for evaluation in evaluations:
        if evaluation.get("weights_sha256") == own:
            _check_unseen(student, evaluation)


def _check_unseen(student: Path, evaluation: Mapping[str, Any]) -> None:
    """Refuse scores on cases that the student learned from: its file would tell them as if of new ones."""
    seen = trained_on(student, evaluation)
    if seen:
        raise CaseError(
            f"{student.name} was trained on {', '.join(seen)}; scores on these flatter it. Evaluate it on "
            "other cases, or list those with --cases."
        )


def summary_of(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The part of evaluations that fits into a header.

    Returns:
        ``data`` (names of the folders), ``date``, ``device``, ``hd95_rule``, ``hd95_definition``, ``cases``
        (how many, the same in every row where any has all sequences that others have), ``left_out`` (how many
        lack one), and ``subsets`` and ``averages`` as in :func:`.averages.summarize`: mean and standard
        deviation of Dice (0..1, 4 decimals) and HD95 (mm, 2 decimals) per region, whole and lesion-wise;
        ``gains``: see :func:`.gains.gains`. No case is named.
    """
    pooled = pool_evaluations(evaluations)
    return {
        **{name: pooled[name] for name in _FACTS},
        "cases": len(pooled["cases"]),
        "left_out": len(pooled["left_out"]),
        "subsets": [_rounded(entry) for entry in pooled["subsets"]],
        "averages": {
            title: _rounded(pooled["averages"][title]) for title in _GROUPS if title in pooled["averages"]
        },
        "gains": gains(pooled["rows"]),
    }


def _rounded(entry: Mapping[str, Any]) -> dict[str, Any]:
    rounded = {
        name: {
            region: None if value is None else round(value, decimals) for region, value in entry[name].items()
        }
        for metric, decimals in _DECIMALS.items()
        for name in (metric, f"{metric}_std")
        if name in entry
    }
    return {**entry, **rounded}


def _is_half(path: Path) -> bool:
    with safe_open(path, "pt") as file:
        return any(file.get_slice(name).get_dtype() == "F16" for name in file.keys())  # noqa: SIM118
