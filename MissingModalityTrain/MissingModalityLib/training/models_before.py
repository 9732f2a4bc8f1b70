"""The models that a run begins with or is taught by: its record and the models that it makes tell of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.errors import StudentError
from ..core.words import counted
from ..inference.card import read_card
from ..inference.descent import BEGAN, MODELS_BEFORE, TAUGHT, named, steps_of
from ..inference.learned import Learned
from ..inference.student import Student
from ..inference.weights import weights_sha256
from .given_files import teachers_of
from .record import RunRecord


def with_models_before(record: RunRecord, left: Sequence[str], begun: Sequence[str]) -> RunRecord:
    """The record with the models that stages ``left`` are going to read.

    What it tells of stages that have begun stays told, also where another model is read from now on.

    Args:
        record: of the run; it tells the weights of these models already, see :mod:`.given_files`.
        left: stages that are still to be trained, or trained on.
        begun: stages of which an epoch is over.

    Raises:
        StudentError: a model cannot be read.
    """
    kept = _told(record, begun) if begun else []
    known = list(map(_which, kept))
    read = [(one[0], _named(record, *one)) for one in _used(record, left, begun)]
    new = [_described(path, entry) for path, entry in read if _which(entry) not in known]
    return replace(record, models_before=[*kept, *new])


def models_before(record: RunRecord, stage: str) -> list[dict[str, Any]]:
    """What the model that a stage ends with tells of those before it."""
    stages = list(record.plan.stages)
    return _told(record, stages[: stages.index(stage) + 1])


def repeating_teachers(record: RunRecord) -> list[dict[str, str]]:
    """A warning, ``case`` and ``warning``, for each stage in which cases have no teacher that has not learned
    from them: such teachers repeat the label.

    Args:
        record: of a run whose cases are known, with what they hold.
    """
    trained = [name for name in record.cases if name not in record.validation]
    warnings = []
    for stage, settings in record.plan.stages.items():
        learned = [Learned(read_card(path).get("training")) for path in teachers_of({stage: settings})]
        known = [
            name
            for name in trained
            if learned and all(of_one.has(name, record.contents.get(name)) for of_one in learned)
        ]
        if known:
            warnings.append(
                f"Every model that teaches in stage {stage} has learned from {len(known)} of "
                f"{counted(len(trained), 'case')} trained on, such as '{known[0]}', so there they mostly "
                "repeat the label. The folds of a cross-validation teach what each has held out."
            )
    return [{"case": "", "warning": warning} for warning in warnings]


def _told(record: RunRecord, stages: Sequence[str]) -> list[dict[str, Any]]:
    """What the record tells of the models that stages have read.

    That of a run that an earlier version has begun has none of it: then what the files tell, as far as they
    are there and have the weights that they had.
    """
    if record.models_before:
        return [dict(entry) for entry in record.models_before if entry["stage"] in stages]
    return [_described_if_same(one[0], _named(record, *one)) for one in _used(record, stages, ())]


def _used(record: RunRecord, stages: Sequence[str], begun: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Of each model that stages read the path, the stage and how it is used there."""
    for name in stages:
        if record.initial and name == next(iter(record.plan.stages)) and name not in begun:
            yield record.initial, name, BEGAN
        for path in teachers_of({name: record.plan.stages[name]}):
            yield path, name, TAUGHT


def _named(record: RunRecord, path: str, stage: str, use: str) -> dict[str, Any]:
    return {"stage": stage, **named(path, use, record.given_files.get(path))}


def _described(path: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    training = read_card(path).get("training") or {}
    return {
        **entry,
        "steps": steps_of(training),
        "cases": sorted(Learned(training).cases),
        **({MODELS_BEFORE: training[MODELS_BEFORE]} if MODELS_BEFORE in training else {}),
    }


def _described_if_same(path: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with what a file tells, if it is there and has the weights that the entry names."""
    sha256 = entry["weights_sha256"]
    try:
        if sha256 is not None and weights_sha256(Student.load(path).network) == sha256:
            return _described(path, entry)
    except StudentError:  # moved or replaced since
        pass
    return dict(entry)


def _which(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[name] for name in ("stage", "use", "file", "weights_sha256"))
