"""What a model card says of how a model was made: its data, its run, and the models before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.words import counted
from ..inference.descent import BEGAN, MODELS_BEFORE, all_before, steps_in_all, steps_of
from ..inference.learned import BEFORE, Learned
from .facts import facts_table, flattened
from .tables import markdown_lines


def data_section(card: Mapping[str, Any]) -> str:
    """The cases that a model was trained on, and what its card tells of them."""
    note = card.get("data_note") or "The model file does not tell their source and population."
    cases = training_cases(card)
    if not cases:
        unnamed = "The model file does not name the cases that it was trained on."
        return f"## Training data\n\n{unnamed}\n\n{note}\n"
    held_out = (card.get("training") or {}).get("validation") or ()
    table = markdown_lines(
        ["case", "volumes", "used for"],
        [
            [name, volumes, "validation" if name in held_out else "training"]
            for name, volumes in cases.items()
        ],
    )
    return f"## Training data\n\n{counted(len(cases), 'case')}:\n\n{table}\n{_before(card)}{note}\n"


def _before(card: Mapping[str, Any]) -> str:
    training = card.get("training") or {}
    before = training.get(BEFORE)
    if not before:
        return ""
    learned, hashes = Learned({BEFORE: before}), training.get("voxels_sha256") or {}
    held_out = [
        name
        for name in training.get("validation") or ()
        if learned.has(name, {volume: volume for volume in hashes.get(name) or ()})
    ]
    told = {volume for name in held_out for volume in hashes.get(name) or ()}
    further = [name for name, volumes in before.items() if name not in held_out and told.isdisjoint(volumes)]
    words = ((held_out, "case for validation", "cases for validation"), (further, "further case", ""))
    parts = [f"{counted(len(names), *noun)} ({', '.join(names)})" for names, *noun in words if names]
    return f"Models that it began with or was taught by had learned from {' and '.join(parts)}.\n\n"


def training_section(card: Mapping[str, Any]) -> str:
    """The record of the run that made a model, and of the models before it."""
    training = card.get("training") or {}
    settings = flattened(
        {
            key: value
            for key, value in training.items()
            if key not in ("cases", "validation", BEFORE, MODELS_BEFORE)
        }
    )
    if not settings:
        return "## Training\n\nThe model file does not say how it was trained.\n"
    return f"## Training\n\n{_descent(training)}{facts_table(settings)}"


def _descent(training: Mapping[str, Any]) -> str:
    """With which models it began, which taught it, what each had learned from, and the steps in all."""
    before = training.get(MODELS_BEFORE)
    if not before:  # there was none, or an earlier version did not tell
        return ""
    own = steps_of(training)
    known, whole = steps_in_all(own, before)
    steps = f"Its run made {'an unknown number of' if own is None else own} steps."
    if any(entry["use"] == BEGAN for entry in before):
        steps += (
            f" With those of the models that it began with it has made {'' if whole else 'at least '}{known}."
        )
    table = markdown_lines(
        ["model before it", "use", "steps", "learned from", "SHA-256 of its weights"],
        [
            [
                entry["file"],
                f"{whose} {'began with it' if entry['use'] == BEGAN else 'was taught by it'}",
                "not known" if entry.get("steps") is None else str(entry["steps"]),
                ", ".join(entry["cases"]) or "nothing that it tells" if "cases" in entry else "not known",
                entry["weights_sha256"] or "not known",
            ]
            for whose, entry in all_before(before)
        ],
    )
    return f"{steps}\n\n{table}\n"


def training_cases(card: Mapping[str, Any]) -> dict[str, str]:
    """Case name -> volumes, as the training run recorded them; empty where the file does not tell."""
    return dict((card.get("training") or {}).get("cases") or {})
