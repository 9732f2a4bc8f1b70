"""From what is asked for to what a run is made of: all that can be refused before anything is written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import __version__, networks
from ..core import strict_json
from ..core.errors import CaseError, OptionError, StudentError
from ..core.labels import TumorClass
from ..core.seeding import SEED_SEQUENCE_RULE, check_seed
from ..core.setting_texts import as_text
from ..core.settings import flat
from ..inference.learned import joined, learned_by
from ..inference.student import Student
from ..methods.registry import METHODS
from ..networks.head import Head
from ..networks.heads import FIVE_CLASSES
from ..networks.network import Network
from ..networks.options import CAVITY, HEAD_NAMES
from ..synthesis.options import GROWING
from .checkpoints import read_checkpoint
from .folds import (
    check_beside,
    files_beside,
    leaving_out_as_beside,
    prepared_folder,
    record_beside,
    shared_prepared,
)
from .followers import check_trackers
from .given_files import models_of, teachers_of, with_given_files
from .models_before import with_models_before
from .plan import Plan, change_plan
from .record import RunRecord
from .request import TrainRequest
from .run_cases import list_cases
from .run_folder import RunFolder
from .stage_students import load_weights

State = dict[str, Any]
"""What a checkpoint holds: ``stage``, ``epoch`` (done within it) and the state of every part."""

_FIXED = (
    *("exclude", "patient", "validation_fraction", "resection_cavity", "missing_rates"),
    *("network_options", "network"),
)
"""Settings that decide the cases and the weights of a run, and so cannot change when it resumes."""

_FREE = (
    *("epochs", "num_workers", "case_cache", "compile", "precision"),
    *("validation_interval", "validation_subsets"),
)
"""Settings of a stage that is over which may still change: when it ended, and such as only decide how fast a
machine computes and what it shows. Folds that are not over get them too, and have to be like the others."""

_ASKED = (
    *("data", "recipe", "preset", "seed", "convention", "initial", "folds", "fold"),
    *("cases_list", "validation_list", "settings"),
)
"""Keys of run.json that say what was asked for; a run of the same ones was begun by the same command."""


def resolve(request: TrainRequest, relaunched: bool = False) -> tuple[RunRecord, State | None]:
    """What the run is made of and, where it goes on, the state to go on from. Writes nothing.

    Args:
        request: what is asked for.
        relaunched: torchrun or Slurm has started the command anew: a run that it had begun goes on.

    Raises:
        CaseError: no usable case, or ``output`` already holds another run.
        StudentError: nothing to resume, or a checkpoint or student is damaged or does not fit.
        OptionError: an unknown name, a value out of range, or one that cannot change when resuming.
    """
    check_trackers(request.track)
    folder = RunFolder(request.output)
    # a cross-validation that is resumed begins the folds that it lacks
    begins = not request.resume or (request.folds is not None and not folder.has_checkpoint)
    if not begins:
        return _resumed(request, request.changes())
    if request.restart:
        raise OptionError(f"Only a run that is resumed can restart stage {request.restart}. Add --resume.")
    if request.folds is None and folder.holds_folds:
        raise CaseError(
            f"'{request.output}' is a cross-validation. Give folds and --resume to go on with it, or choose "
            "another folder."
        )
    _check_folder_of_folds(request)
    beside = record_beside(request) if request.resume else None
    asked = _moved(beside, request) if beside else _asked(request)
    if folder.has_checkpoint:
        if relaunched and _asks_for(asked, RunRecord.read(folder)):
            return _resumed(request, {})
        raise CaseError(
            f"'{request.output}' already holds a training run. Add --resume to go on, or choose another "
            "folder."
        )
    if request.folds is not None:
        asked = replace(asked, given_files=files_beside(request))
    asked = with_given_files(asked, list(asked.plan.stages), True, request.accept_changes)
    asked = with_models_before(asked, list(asked.plan.stages), ())
    record = list_cases(_with_learned(asked, list(asked.plan.stages), True))
    if request.folds is not None:
        record = leaving_out_as_beside(request, record)
        check_beside(request, record)
    return record, None


def _check_folder_of_folds(request: TrainRequest) -> None:
    """Refuse folds in the folder of an ordinary run: who looks there later would take it for the one or the
    other."""
    if request.folds is None:
        return
    whole = RunFolder(request.output.parent)
    if whole.has_checkpoint and not whole.holds_folds:
        raise CaseError(
            f"'{whole.path}' holds a training run, which is no cross-validation. Leave out folds to go on "
            "with it, or choose another folder."
        )


def _asked(request: TrainRequest) -> RunRecord:
    """The record of a run that begins, before its cases are looked for."""
    check_seed(request.seed)
    plan, whole_plan = request.plan()
    _check_plan(plan, bool(request.initial))
    if request.initial is not None:
        load_weights(networks.build(plan.network, **plan.network_options), request.initial)
    if request.folds is not None and request.validation_cases is not None:
        raise OptionError(
            f"validation_cases={request.validation_cases}: folds hold out each case in turn. Leave out one "
            "of the two."
        )
    if request.data is None:
        raise OptionError("No data to train on. Give the folder that holds the cases.")
    return RunRecord(
        data=_whole(request.data),
        cases={},
        validation=(),
        plan=plan,
        recipe=None if whole_plan else request.recipe,
        preset=None if whole_plan else request.preset,
        seed=request.seed,
        seeding=SEED_SEQUENCE_RULE,
        growing=GROWING,
        convention=request.convention,
        initial=_whole(request.initial),
        prepared=_whole(shared_prepared(request)),
        versions={"missing_modality": __version__, "torch": torch.__version__},
        folds=request.folds,
        fold=request.fold,
        cases_list=_whole(request.cases),
        validation_list=_whole(request.validation_cases),
    )


def _with_learned(record: RunRecord, left: Sequence[str], from_start: bool) -> RunRecord:
    """The record with what the models that its stages ``left`` read learned from, beside what it tells."""
    learned = learned_by(models_of(record, {name: record.plan.stages[name] for name in left}, from_start))
    return replace(record, learned_before=joined(record.learned_before, learned))


def _asks_for(asked: RunRecord, there: RunRecord) -> bool:
    """Whether a run that is there is the one that is asked for; lists and tuples are alike, as in JSON."""
    first, second = (strict_json.loads(strict_json.dumps(record.to_json())) for record in (asked, there))
    return all(first.get(name) == second.get(name) for name in _ASKED)


def _resumed(request: TrainRequest, changes: Mapping[str, Any] | Plan) -> tuple[RunRecord, State]:
    """The record and the state that a resumed run goes on from."""
    if isinstance(changes, Plan):
        raise OptionError("A run that is resumed has its plan. Give only the settings that change.")
    folder = RunFolder(request.output)
    record = RunRecord.read(folder)
    if request.folds and (request.folds, request.fold) != (record.folds, record.fold):
        raise OptionError(
            f"'{folder.path}' is fold {record.fold} of {record.folds}, not {request.fold} of "
            f"{request.folds}. Give folds as the run began with, or choose another folder."
        )
    if request.initial is not None and _whole(request.initial) != record.initial:
        began = f"began with {record.initial}" if record.initial else "began without a model"
        raise OptionError(
            f"'{folder.path}' {began}, not with {request.initial}, and goes on from its own weights. Leave "
            "out --init (initial), or start a new run in another folder."
        )
    state = read_checkpoint(folder)
    stages = list(record.plan.stages)
    if state["stage"] not in stages:
        raise StudentError(
            f"{folder.checkpoint}: the checkpoint is of stage '{state['stage']}', and {folder.record} has "
            f"{', '.join(stages)}. Put back copies of both, or start a new run."
        )
    begun = stages[: stages.index(state["stage"]) + 1]
    if request.restart:
        if request.restart not in begun:
            raise OptionError(
                f"Stage '{request.restart}' cannot restart: '{folder.path}' has gone through "
                f"{', '.join(begun)}."
            )
        state = {"stage": request.restart, "epoch": 0}
    finished = stages[: stages.index(state["stage"])]
    plan = request.applied(partial(change_plan, record.plan, finished=finished), changes)
    _check_fixed(folder, record.plan, plan)
    _check_plan(plan, bool(record.initial))
    _check_epochs(plan, state)
    _check_over(folder, record.plan, plan, state)
    record = _moved(replace(record, plan=plan), request)
    # what a stage that is over has read is nobody's any more
    left = [name for name in stages[len(finished) :] if name != state["stage"] or not _is_whole(plan, state)]
    from_start = not finished and not state["epoch"]
    record = with_given_files(record, left, from_start, request.accept_changes)
    record = with_models_before(record, left, begun if state["epoch"] else finished)
    return _with_learned(record, left, from_start), state


def is_over(plan: Plan, state: State) -> bool:
    """Whether a run has gone through all its stages."""
    return state["stage"] == list(plan.stages)[-1] and _is_whole(plan, state)


def _is_whole(plan: Plan, state: State) -> bool:
    """Whether the stage of a state has made all its epochs."""
    return state["epoch"] >= plan.stages[state["stage"]].epochs


def _moved(record: RunRecord, request: TrainRequest) -> RunRecord:
    """The record with the folders that were given now, where any were: what lies in them may have moved."""
    own = record.prepared and prepared_folder(RunFolder(request.output), record)
    return replace(
        record,
        data=_whole(request.data) or record.data,
        prepared=_whole(request.prepared or own),
    )


def _check_fixed(folder: RunFolder, before: Plan, plan: Plan) -> None:
    for name in _FIXED:
        # as JSON, because the record has lists where settings may have tuples
        if strict_json.dumps(getattr(plan, name)) != strict_json.dumps(getattr(before, name)):
            raise OptionError(
                f"{folder.path}: the setting {_typed(name, before, plan)} is fixed by the run and cannot "
                "change when it resumes. Leave it out, or start a new run in another folder."
            )


def _typed(name: str, before: Plan, plan: Plan) -> str:
    """A setting that differs between plans as it is typed: options of the network one by one."""
    if name != "network_options":
        return name
    old, new = before.network_options, plan.network_options
    return " and ".join(f"network.{key}" for key in {**old, **new} if old.get(key) != new.get(key))


def _check_epochs(plan: Plan, state: State) -> None:
    stage, done = state["stage"], state["epoch"]
    epochs = plan.stages[stage].epochs
    if epochs < done:
        raise OptionError(
            f"Setting {stage}.epochs={epochs}: {done} are done already. Set {stage}.epochs={done} to end the "
            f"stage there, or restart it."
        )


def _check_over(folder: RunFolder, before: Plan, plan: Plan, state: State) -> None:
    """Refuse settings that nothing would be trained with: the model would tell that it was."""
    name = state["stage"]
    if not _is_whole(plan, state):
        return
    old, new = (
        flat(strict_json.loads(strict_json.dumps(asdict(one.stages[name])))) for one in (before, plan)
    )
    changed = [key for key in new if new[key] != old.get(key) and key not in _FREE]
    if changed:
        raise OptionError(
            f"{folder.path}: stage {name} is over, so nothing would be trained with "
            f"{name}.{changed[0]}={as_text(new[changed[0]])}. Leave it out, set {name}.epochs to more than "
            f"{state['epoch']}, or restart the stage."
        )


def _check_plan(plan: Plan, initial: bool) -> None:
    """Refuse a plan that would fail after hours; ``initial``: the run begins with a student."""
    if not plan.stages:
        raise OptionError("The plan has no stage. Name at least one stage of its recipe.")
    first, settings = next(iter(plan.stages.items()))
    if METHODS.get(settings.method).needs_trained_network and not initial:
        raise OptionError(
            f"Stage {first} distills, so it needs a trained network to begin with. Add the stage train "
            "before it, or give --init a model file."
        )
    network = networks.build(plan.network, **plan.network_options)
    if network.options.get("classes", len(TumorClass)) not in (len(TumorClass), FIVE_CLASSES.channels):
        raise OptionError(
            f"Setting network.classes={network.options['classes']}: labels have {len(TumorClass)} classes, "
            f"background included, or {FIVE_CLASSES.channels} in BraTS 2015. Leave it out."
        )
    grown = [name for name, stage in plan.stages.items() if stage.synthesis.method == "grown"]
    if plan.tells_non_enhancing and grown:
        raise OptionError(
            f"Setting {grown[0]}.synthesis.method=grown: grown tumors have one core, and network.classes=5 "
            "tells two parts of it. Set synthesis.method=aem."
        )
    _check_cavity(plan, network.head)
    for stage in plan.stages.values():
        METHODS.get(stage.method)(stage.method_options()).check(network)
        _check_sides(stage.patch_size, network, "this network")
        for path in teachers_of({"": stage}):
            _check_sides(stage.patch_size, Student.load(path).network, f"the teacher {path}")


def _check_sides(sides: Sequence[int], network: Network, whose: str) -> None:
    if any(side % network.divisor for side in sides):
        raise OptionError(
            f"Setting patch_size={sides}: every side must be a multiple of {network.divisor} for {whose}."
        )


def _check_cavity(plan: Plan, head: Head) -> None:
    """Refuse a network that cannot learn the cavity, or has a channel for it that nothing would teach."""
    if (plan.resection_cavity == "class") == head.cavity:
        return
    if head.cavity:
        raise OptionError(
            f"Setting network.head={head.name}: no label would teach the network what a resection cavity is. "
            "Set resection_cavity=class too, or choose another head."
        )
    raise OptionError(
        f"Setting resection_cavity=class: the network {plan.network} tells no resection cavity. Choose one "
        f"whose network.head can be {', '.join(name for name in HEAD_NAMES if name.endswith(CAVITY))}, or "
        "another resection_cavity."
    )


def _whole(path: Path | None) -> str | None:
    """A path that holds from any folder; None stays None."""
    return None if path is None else os.path.realpath(path)
