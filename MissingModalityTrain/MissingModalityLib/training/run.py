"""A training run on disk, from a folder of cases to trained students.

A run's folder holds ``run.json`` (recipe, settings, seed, cases, what was left out, versions), ``prepared/``
(the case cache, unless another folder was given), ``checkpoint.pt`` (the state after the last whole epoch),
``log.jsonl`` (one line per epoch) and, for every stage that is over, its student: ``pretrain.safetensors``,
``train.safetensors`` and so on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import networks
from ..core.errors import CaseError, OptionError
from ..core.files import clear_leftovers
from ..core.labels import TumorClass
from ..core.progress import Event, Progress
from ..imaging.cache import CachedCase, cache_case
from ..methods.joint import JointDistillation
from ..methods.method import Method
from ..methods.self_distillation import Distillation
from ..methods.supervised import Supervised
from ..runtime import distributed, lock
from ..runtime.devices import choose_device
from ..synthesis.options import SynthesisOptions
from ..synthesis.pairing import synthetic_cases
from ..synthesis.tumor_cache import cache_tumor
from .checkpoints import FILE_NAME as CHECKPOINT
from .checkpoints import read_checkpoint
from .loop import Stage, Trainer
from .recipes import STAGES, Plan, flattened, from_json, make_plan, read_config, to_json
from .record import cases_of, describe_cases, new_record, read_record, resumed_record, write_record
from .samples import possible_subsets
from .settings import Settings
from .stage_students import drop_stages, keep_stage, load_weights, stage_file


def train(
    data: Path | str | None,
    output: Path | str,
    recipe: str = "baseline",
    network: str | None = None,
    preset: str = "paper",
    stages: Sequence[str] | None = None,
    settings: Mapping[str, Any] | Plan | None = None,
    config: Path | str | None = None,
    initial: Path | str | None = None,
    resume: bool = False,
    restart: str | None = None,
    seed: int = 0,
    device: str = "auto",
    convention: str | None = None,
    prepared: Path | str | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Train a network on a folder of cases, through all stages of a recipe.

    Args:
        data: folder in any layout that :func:`datasets.find_cases` knows; cases without a label are left out.
            With ``resume`` it may be None; another folder than before means that the data have moved.
        output: folder of the run, made if needed. With ``resume`` its checkpoint and settings are taken up.
        recipe: one of :data:`recipes.RECIPES`: which stages there are.
        network: one of :data:`recipes.NETWORKS`; default the recipe's own.
        preset: "paper", "light" for a computer without GPU, or "quick" for a trial.
        stages: those of the recipe to go through; default all.
        settings: values or texts by key, put over the preset (when resuming: over the run's own settings, for
            good), see :func:`recipes.change_plan`; or a whole plan in place of recipe, network, preset,
            stages and config.
        config: YAML file of such settings; ``settings`` come on top of it.
        initial: student file whose weights the first stage begins with.
        resume: go on after the last whole epoch. Recipe, network, preset, stages, seed, convention, cases and
            split are those of the run, whatever is given here. Processes that torchrun or Slurm has restarted
            resume by themselves.
        restart: with ``resume``, the stage to begin anew, with the weights that the one before it ended with.
        seed: fixes everything random. On one CPU device the result is the same to the bit, resumed or not; on
            CUDA some kernels add in an order of their own, and results differ a little from run to run.
        device: "auto", "cpu", "cuda" or "cuda:i"; under torchrun every process takes its own CUDA device.
        convention: label convention, where the layout does not tell.
        prepared: folder of prepared cases to use and to fill; default that of the run when resuming, else
            inside ``output``.
        on_progress: called with every step.

    Returns:
        ``output``.

    Raises:
        CaseError: no usable case, ``output`` already holds another run or another process trains in it, or a
            disk is full.
        StudentError: nothing to resume, or a checkpoint or student is damaged or does not fit.
        OptionError: an unknown name, a value out of range, one that cannot change when resuming, or a loss
            that is no longer a number.
    """
    output, report = Path(output), on_progress or (lambda event: None)

    def begin() -> tuple[dict[str, Any], dict[str, Any] | None]:
        changes = _changes(settings, stages, config)
        if resume:
            return _take_up(data, output, changes, restart, prepared)
        if restart:
            raise OptionError(f"Only a run that is resumed can restart stage {restart}. Add --resume.")
        if seed < 0:
            raise OptionError(f"seed={seed}: a seed is a whole number of at least 0. Choose another.")
        given = isinstance(changes, Plan)
        plan = changes if given else make_plan(recipe, network, preset, stages, changes)
        _check_plan(plan, bool(initial))
        if initial is not None:
            load_weights(networks.build(plan.network, **plan.network_options), Path(initial))
        facts = {"recipe": None if given else recipe, "preset": None if given else preset}
        facts |= {"seed": seed, "convention": convention}
        facts["initial"] = None if initial is None else str(Path(initial).resolve())
        if restarted and _is_run(output, data, plan, facts):
            return _take_up(data, output, {}, None, prepared)
        facts["prepared"] = None if prepared is None else str(Path(prepared).resolve())
        return new_record(data, output, plan, **facts), None

    with distributed.start(device) as device:
        place = distributed.together(choose_device, device)
        restarted = distributed.restarted()
        record, state = distributed.together(begin)
        _check_start(output, state)
        with ExitStack() as held:
            distributed.on_first(lambda: held.enter_context(lock.held(output)))
            _train_stages(record, state, output, place, report if distributed.is_first() else _silent)
    return output


def _silent(event: Event) -> None:
    """Of several processes, one tells."""


def _changes(
    settings: Mapping[str, Any] | Plan | None, stages: Sequence[str] | None, config: Path | None
) -> dict[str, Any] | Plan:
    """What is given beside recipe, network and preset, or in their place."""
    if isinstance(settings, Plan):
        if config is not None or stages is not None:
            raise OptionError("A whole plan has its stages and settings. Leave out stages and config.")
        return settings
    return {**(read_config(config) if config else {}), **flattened(settings or {})}


def _take_up(
    data: Path | None,
    output: Path,
    changes: Mapping[str, Any] | Plan,
    restart: str | None,
    prepared: Path | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record and the state that a resumed run goes on from."""
    if isinstance(changes, Plan):
        raise OptionError("A run that is resumed has its plan. Give only the settings that change.")
    stages = list(read_record(output)["settings"]["stages"])
    state = read_checkpoint(output)
    if restart:
        if restart not in stages[: stages.index(state["stage"]) + 1]:
            raise OptionError(
                f"Stage '{restart}' cannot restart: {output} has gone through "
                f"{', '.join(stages[: stages.index(state['stage']) + 1])}."
            )
        state = {"stage": restart, "epoch": 0}
    record = resumed_record(data, output, changes, stages[: stages.index(state["stage"])])
    _check_plan(from_json(record["settings"]), bool(record["initial"]))
    _check_epochs(record, state)
    if prepared is not None:
        record["prepared"] = str(Path(prepared).resolve())
    return record, state


def _check_epochs(record: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    stage, done = state["stage"], state["epoch"]
    epochs = record["settings"]["stages"][stage]["epochs"]
    if epochs < done:
        raise OptionError(
            f"Setting {stage}.epochs={epochs}: {done} are done already. Set {stage}.epochs={done} to end the "
            f"stage there, or restart it."
        )


def _is_run(output: Path, data: Path | None, plan: Plan, facts: Mapping[str, Any]) -> bool:
    """Whether ``output`` holds what this very command had begun, and not some other run."""
    if data is None or not (output / CHECKPOINT).exists():
        return False
    record = read_record(output)
    here = {**facts, "data": str(Path(data).resolve()), "settings": json.loads(json.dumps(to_json(plan)))}
    return all(record.get(name) == value for name, value in here.items())


def _check_start(output: Path, state: Mapping[str, Any] | None) -> None:
    """Processes that do not share a disk would begin at different epochs, and wait for each other forever."""
    places = distributed.gather([state and (state["stage"], state["epoch"])])
    if len(set(places)) > 1:
        distributed.refuse(
            CaseError(
                f"{output}: the processes find different checkpoints there. Choose a folder on a disk that "
                "all machines share."
            )
        )


def _check_plan(plan: Plan, initial: bool) -> None:
    """What would fail late, found before anything is written; ``initial``: the run begins with a student."""
    if not plan.stages:
        raise OptionError(f"The plan has no stage. Name at least one of {', '.join(STAGES)}.")
    first, settings = next(iter(plan.stages.items()))
    if settings.method == "distillation" and not initial:
        raise OptionError(
            f"Stage {first} distills, so it needs a trained network to begin with. Add the stage train "
            "before it, or give --init a student file."
        )
    network = networks.build(plan.network, **plan.network_options)
    if network.options.get("classes", len(TumorClass)) != len(TumorClass):
        raise OptionError(
            f"Setting network.classes={network.options['classes']}: labels have {len(TumorClass)} classes, "
            "background included. Leave it out."
        )
    for stage in plan.stages.values():
        _method(stage, fresh=True).check(network)
        if any(side % network.divisor for side in stage.patch_size):
            raise OptionError(
                f"Setting patch_size={stage.patch_size}: every side must be a multiple of "
                f"{network.divisor} for this network."
            )


def _train_stages(
    record: dict[str, Any],
    state: dict[str, Any] | None,
    output: Path,
    device: torch.device,
    report: Progress,
) -> None:
    plan = from_json(record["settings"])
    distributed.together(_check_batches, plan)
    torch.manual_seed(record["seed"])
    network = networks.build(plan.network, **plan.network_options)
    prepared = Path(record.get("prepared") or output / "prepared")
    _tidy(output, prepared)
    cases = _cache(record, prepared, report)
    names = list(plan.stages)
    for name in names[names.index(state["stage"]) if state else 0 :]:
        # before its first epoch a stage begins with the weights before it, whatever its settings have become
        begun = state if state and state["stage"] == name and state["epoch"] else None
        if begun is None:
            distributed.together(_load_initial, network, record, output, names, name)
        trainer = Trainer(
            Stage(
                name=name,
                stages=names,
                folder=output,
                network=network.to(device),
                method=_method(plan.stages[name], fresh=name == names[0] and not record["initial"]),
                cases=_stage_cases(plan.stages[name], record, cases, report),
                held_out=[case for case in cases if case.name in record["validation"]],
                settings=plan.stages[name],
                seed=record["seed"],
                device=device,
                progress=report,
            )
        )
        if begun:
            distributed.together(trainer.restore, begun)
        distributed.on_first(partial(_settle, trainer, record, state is None))
        trainer.fit()
        distributed.on_first(partial(keep_stage, output, record, name, trainer.result))
        distributed.barrier()  # a process that ends while another still answers it is aborted
    _tidy(output, prepared)


def _settle(trainer: Trainer, record: Mapping[str, Any], new: bool) -> None:
    """Write down that a stage begins or goes on; settings that do not fit its checkpoint are refused by now.

    A kill in between leaves a run that is true: without a record it is none yet, so a new one begins with it;
    the record of one that resumes comes last, lest its new settings pass for those of the old checkpoint.
    """
    stage = trainer.stage
    if new:
        write_record(stage.folder, record)
    trainer.begin()
    if not trainer.done:
        drop_stages(stage.folder, stage.stages[stage.stages.index(stage.name) :])
    if not new:
        write_record(stage.folder, record)


def _tidy(output: Path, prepared: Path) -> None:
    for folder in (output, prepared, prepared / "tumors"):
        clear_leftovers(folder)


def _check_batches(plan: Plan) -> None:
    world = distributed.world()
    for name, settings in plan.stages.items():
        if settings.batch_size % world:
            raise OptionError(
                f"Setting {name}.batch_size={settings.batch_size} cannot be shared among {world} processes. "
                f"Choose a multiple of {world}."
            )


def _load_initial(
    network: nn.Module, record: Mapping[str, Any], output: Path, names: Sequence[str], stage: str
) -> None:
    """The weights that a stage begins with: those of the stage before it, or those given to the run."""
    before = names.index(stage) - 1
    if before >= 0:
        load_weights(network, stage_file(output, names[before]))
    elif record["initial"]:
        load_weights(network, Path(record["initial"]))


def _method(settings: Settings, fresh: bool) -> Method:
    if settings.method == "supervised":
        # weights that were trained before have learned each modality on its own
        return Supervised(settings.fusion_start_epoch if fresh else 0)
    if settings.method == "joint":
        return JointDistillation(settings.joint_options())
    return Distillation(
        settings.teacher_every, settings.feature_weight, settings.prediction_weight, settings.distilled
    )


def _stage_cases(
    settings: Settings, record: Mapping[str, Any], cases: Sequence[CachedCase], report: Progress
) -> list[CachedCase]:
    """The cases that a stage trains on: those not held out, and synthetic ones made of these."""
    real = [case for case in cases if case.name not in record["validation"]]
    made = []
    if settings.synthesis != "none":
        folder, options = real[0].path.parent / "tumors", settings.synthesis_options()
        if settings.synthesis == "aem" and distributed.world() > 1:
            distributed.together(_cut_share, real, folder, options)
        arguments = (real, settings.factor, record["seed"], settings.synthesis, options, folder, report)
        made = distributed.together(synthetic_cases, *arguments)
    usable = [case for case in (*real, *made) if possible_subsets(case, settings)]
    if not usable:
        subsets = ", ".join(settings.training_subsets)
        distributed.refuse(
            CaseError(
                f"{record['data']}: no case has the modalities of {subsets}. Change the setting "
                "training_subsets."
            )
        )
    return usable


def _cut_share(cases: Sequence[CachedCase], folder: Path, options: SynthesisOptions) -> None:
    """Cut the tumors that fall to this process; then all find them all."""
    for case in cases[distributed.rank() :: distributed.world()]:
        if len(case.tumor_voxels()):
            cache_tumor(case, folder, options)


def _cache(record: Mapping[str, Any], folder: Path, report: Progress) -> list[CachedCase]:
    """Prepared files of the run's cases; several processes share the work."""
    cases = distributed.together(cases_of, record)
    mine = cases[distributed.rank() :: distributed.world()]

    def prepare() -> None:
        for number, case in enumerate(mine):
            report(Event("prepare", number, len(mine), case.name))
            cache_case(case, folder)

    distributed.together(prepare)
    report(Event("prepare", len(mine), len(mine), describe_cases(record)))
    return distributed.together(lambda: [cache_case(case, folder) for case in cases])
