"""Puts an evaluation into the student file that it is of, so that the file says how good it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from safetensors import safe_open

from ..core.aliases import OLD_CARD_KEYS, renamed
from ..core.errors import CaseError, MissingModalityError, StudentError
from ..core.files import explain_write_errors
from ..core.kinds import checked
from ..core.labels import REGIONS
from ..datasets.case import Case
from ..imaging.content import identity
from ..imaging.reading import read_study
from ..inference.card import BLENDINGS, CHOICES, OF_SCORES, SELECTED, read_card
from ..inference.learned import Learned
from ..inference.student import Student
from ..inference.weights import weights_sha256
from ..networks.head import THRESHOLD
from .calibration import FEWEST_PATIENTS, fit_calibration, lacking_features, patients_in
from .evaluate import prediction_facts, read_evaluation
from .gains import gains
from .pooling import check_rules, pool_evaluations, told_apart
from .scoring import labeled_cases
from .trained_alike import model_facts, other_methods, unlike_models

_FACTS = ("data", "date", "device", "hd95_rule", "hd95_definition")
_GROUPS = ("all", "with FLAIR", "with T1ce")
"""Averages that the panel and earlier versions read; the others can be made of the subsets."""

_NAMES_OF_SCORES = {"evaluation": "its evaluation", "calibration": "its estimate of Dice"}
_UNCHOSEN = {"blending": BLENDINGS[0], "thresholds": dict.fromkeys(REGIONS, THRESHOLD)}
"""What a card without the key decides by, where that is something; no size, axis or width is as good as 0."""

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


def trained_on(student: Path | str, evaluation: Mapping[str, Any]) -> list[str]:
    """Names of the evaluated cases that the student learned from, as far as its card tells.

    A case is known by the voxels of its volumes, under whatever name; by its name where the card or the
    evaluation is of an earlier version, which kept no hashes.
    """
    learned = Learned(read_card(student).get("training"))
    cases = evaluation["cases"]
    return [case["name"] for case in cases if learned.has(case["name"], case.get("voxels_sha256"))]


def first_learned(
    student: Path, data: Path, convention: str | None, cases: Collection[str] | Path | None
) -> str | None:
    """Name of a case that is going to be scored and that the student learned from, before any is scored.

    Only cases that were trained on under the name that they have now are read for it; :func:`trained_on`
    finds the others too, when all have been read.

    Args:
        student: a student file.
        data, convention, cases: as of :func:`.evaluate.evaluate_folder`, which tells what is wrong with them.
    """
    with suppress(MissingModalityError):
        learned = Learned(read_card(student).get("training"))
        for case in labeled_cases(data, convention, cases)[0]:
            if case.name in learned.cases and _is_known(case, learned):
                return case.name
    return None


def _is_known(case: Case, learned: Learned) -> bool:
    try:
        content = identity(read_study(case).images)
    except Exception:  # such a case is skipped, and told, when its turn comes
        return False
    return learned.has(case.name, content)


def check_weights(student: Student, evaluation: Mapping[str, Any], path: Path) -> None:
    """Refuse an evaluation of other weights, or of another window or choice (:data:`.card.CHOICES`).

    Raises:
        CaseError: naming the student file ``path`` and the student that was evaluated.
    """
    if evaluation.get("weights_sha256") != weights_sha256(student.network):
        raise CaseError(
            f"The evaluation is not one of {path.name}: it was made with other weights "
            f"({evaluation.get('student', 'unknown model')}). Evaluate this model and try again."
        )
    unlike = _decided_otherwise(student, evaluation)
    if unlike:
        name, found, own = unlike
        raise CaseError(
            f"The evaluation is not one of {path.name} as it is now: it was made with {name} "
            f"{found}, the file has {own}. Evaluate this model and try again."
        )


def check_cross_validation(
    student: Student, cross_validation: Iterable[Mapping[str, Any]], path: Path
) -> None:
    """Refuse scores of students of another kind or that decide otherwise: they say nothing of what this
    one's results are worth.

    Raises:
        CaseError: naming the student file ``path`` and what differs.
    """
    for evaluation in cross_validation:
        told = f"The cross-validation '{evaluation.get('student', 'unknown')}'"
        checks = (
            (
                unlike_models(evaluation.get("model") or {}, model_facts(student.card)),
                "is one of models with",
                "Give one of models that were trained as this one (train --folds), or leave it out.",
            ),
            (
                _decided_otherwise(student, evaluation),
                "was made with",
                "Store the same choices in the models of the folds and score these again (select --store, "
                "then train --resume), or leave the cross-validation out.",
            ),
        )
        for unlike, was, remedy in checks:
            if unlike:
                name, found, own = unlike
                raise CaseError(
                    f"{told} {was} {name} {found}, and {path.name} has {own}, so it does not tell what to "
                    f"expect of this model. {remedy}"
                )


def _decided_otherwise(student: Student, evaluation: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """What an evaluation was made with otherwise than the student would be now, of its window and its
    choices (:data:`.card.CHOICES`): the name, what it was and what it is."""
    facts = renamed(prediction_facts(student), OLD_CARD_KEYS)
    # older summaries lack it, and all have earlier names of the card's facts
    found = renamed(evaluation.get("prediction", facts), OLD_CARD_KEYS)
    for name in dict.fromkeys([*found, *(choice for choice in CHOICES if choice in facts)]):
        made, own = choice_of(found, name), choice_of(facts, name)
        if made != own:
            return name, made or "none", own or "none"
    return None


def choice_of(card: Mapping[str, Any], name: str) -> Any:
    """By what a card decides, of its window and its choices, whether it has the key or not."""
    return card.get(name) or _UNCHOSEN.get(name)


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
