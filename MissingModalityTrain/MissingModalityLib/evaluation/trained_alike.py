"""Whether models were trained alike, so that scores of the ones tell what to expect of the other.

The folds of a cross-validation have other weights than the model that their scores are told of, and mostly
fewer steps. What both have to have in common is the network with its options, and the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core import strict_json


def model_facts(card: Mapping[str, Any]) -> dict[str, Any]:
    """What a summary says of the model that was scored: ``network``, ``head``, ``options`` and ``recipe``,
    which is None where the card names none."""
    facts = {name: card[name] for name in ("network", "head", "options")}
    facts["recipe"] = (card.get("training") or {}).get("recipe")
    return strict_json.loads(strict_json.dumps(facts))  # lists for tuples, as in files


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
