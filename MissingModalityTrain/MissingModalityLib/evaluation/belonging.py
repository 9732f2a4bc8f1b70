"""Whether evaluations belong to a model as it is now, by its weights, its kind and what it decides by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..core.aliases import OLD_CARD_KEYS, renamed
from ..core.errors import CaseError
from ..core.labels import REGIONS
from ..inference.card import BLENDINGS, CHOICES
from ..inference.student import Student
from ..inference.weights import weights_sha256
from ..networks.head import THRESHOLD
from .evaluate import prediction_facts
from .trained_alike import model_facts, unlike_models

_UNCHOSEN = {"blending": BLENDINGS[0], "thresholds": dict.fromkeys(REGIONS, THRESHOLD)}
"""What a card without the key decides by, where that is something; no size, axis or width is as good as 0."""


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
