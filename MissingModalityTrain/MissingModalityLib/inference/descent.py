"""What a model descends from: with which models it began, which taught it, and how many steps made it.

The entry ``models_before`` of a card's training is a list of such models, each with its own list; it is empty
where there was none, and absent in files of versions that did not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

MODELS_BEFORE = "models_before"
BEGAN, TAUGHT = "began with", "taught by"
"""How a model before a run was used."""


def named(path: str, use: str, weights_sha256: str | None) -> dict[str, Any]:
    """The part of an entry that is known without the file: which it was, not where on a computer it lay.

    Args:
        path: of the model file.
        use: :data:`BEGAN` or :data:`TAUGHT`.
        weights_sha256: of its weights, if it is known.
    """
    kinds: tuple[type[PurePath], ...] = (PurePosixPath, PureWindowsPath)
    whole = next((kind(path) for kind in kinds if kind(path).is_absolute()), None)
    # folds have files of one name each in a folder of its own
    name = "/".join(whole.parts[1:][-2:]) if whole else path
    return {"use": use, "file": name, "weights_sha256": weights_sha256}


def steps_of(training: Mapping[str, Any]) -> int | None:
    """Steps of the optimizer that a run made until a model, by its card; None where that does not tell.

    Those of models with which the run began are not counted.
    """
    if type(training.get("steps")) is int:
        return training["steps"]
    try:  # of an earlier version: as many as its settings make
        stages, last = training["settings"]["stages"], training["stage"]
        names = list(stages)
        epochs = {name: stages[name]["epochs"] for name in names[: names.index(last)]}
        epochs[last] = training["epochs_done"]
        steps = sum(count * stages[name]["iterations_per_epoch"] for name, count in epochs.items())
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    return steps if type(steps) is int and steps >= 0 else None


def steps_in_all(steps: int | None, before: list[Mapping[str, Any]] | None) -> tuple[int, bool]:
    """Steps with those of the models that a run began with, and of those with which these began.

    Args:
        steps: of the run itself, if they are known.
        before: its entry ``models_before``; None where it is absent.

    Returns:
        How many are known, and whether that is all.
    """
    known, whole = steps or 0, steps is not None and before is not None
    for entry in before or ():
        if entry["use"] == BEGAN:
            earlier, all_of_them = steps_in_all(entry.get("steps"), entry.get(MODELS_BEFORE))
            known, whole = known + earlier, whole and all_of_them
    return known, whole


def all_before(
    before: list[Mapping[str, Any]] | None, whose: str = "this model"
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every model before one, with whose it was: entries, then theirs."""
    for entry in before or ():
        yield whose, entry
    for entry in before or ():
        yield from all_before(entry.get(MODELS_BEFORE), entry["file"])


def are_models_before(value: Any) -> bool:
    """Whether a value out of a file is a list of such entries."""
    return isinstance(value, list) and all(map(_is_entry, value))


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("use") in (BEGAN, TAUGHT)
        and all(isinstance(value.get(name), str) for name in ("stage", "file"))
        and isinstance(value.get("weights_sha256"), str | None)
        and type(value.get("steps")) in (int, type(None))
        and isinstance(value.get("cases", []), list)
        and all(isinstance(name, str) for name in value.get("cases", []))
        and are_models_before(value.get(MODELS_BEFORE, []))
    )
