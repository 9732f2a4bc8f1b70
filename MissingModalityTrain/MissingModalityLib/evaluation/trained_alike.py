"""Whether models were trained alike, so that scores of the ones tell what to expect of the other.

The folds of a cross-validation have other weights than the model that their scores are told of, and mostly
fewer steps. What both have to have in common is the network with its options, and the recipe. Models by other
methods, such as one that the folds have taught, may be better or worse than the folds: that is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core import strict_json


def model_facts(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a summary says of the model that was scored: ``network``, ``head``, ``options``, ``recipe``, and
    ``methods`` by stage; the last two are None and empty where the card names none."""
    facts = {name: card[name] for name in ("network", "head", "options")}
    training = card.get("training") or {}
    facts["recipe"] = training.get("recipe")
    facts["methods"] = _methods(training.get("settings"))
    return strict_json.loads(strict_json.dumps(facts))  # lists for tuples, as in files


def _methods(settings: Any) -> dict[str, Any]:
    """By stage, of a card's settings, which may be anything in a file that others have made."""
    stages = settings.get("stages") if isinstance(settings, Mapping) else None
    found = stages.items() if isinstance(stages, Mapping) else ()
    return {
        name: stage["method"] for name, stage in found if isinstance(stage, Mapping) and "method" in stage
    }


def unlike_models(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """What differs between two models by :func:`model_facts`: the name, and what the first and second have.

    What is not known of one of them differs from nothing: summaries of earlier versions say nothing, and
    networks of earlier versions lack options that have been added since.
    """
    for name in ("network", "head", "recipe"):
        one, other = first.get(name), second.get(name)
        if one and other and one != other:
            return name, one, other
    options, others = first.get("options") or {}, second.get("options") or {}
    for name, value in options.items():
        if name in others and others[name] != value:
            return f"network.{name}", value, others[name]
    return None


def other_methods(theirs: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """By what methods models were trained, if by others than one that their scores are told of.

    Args:
        theirs, own: :func:`model_facts` of both.

    Returns:
        Both, in words; empty where they are the same, or not known of one of them, as of earlier versions.
    """
    first, second = theirs.get("methods"), own.get("methods")
    if not first or not second or first == second:
        return ""
    return f"{_in_words(first)}, not {_in_words(second)}"


def _in_words(methods: Mapping[str, Any]) -> str:
    several = len(methods) > 1
    return ", ".join(f"{method} in {stage}" if several else str(method) for stage, method in methods.items())
