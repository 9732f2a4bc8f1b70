"""A training run on disk, from a folder of cases to trained students; its files: :mod:`.run_folder`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import networks
from ..core.errors import CaseError, OptionError
from ..core.files import remove_stale_temporaries
from ..core.progress import Progress, reporter, silent
from ..methods.registry import METHODS
from ..runtime import distributed, lock
from ..runtime.devices import choose_device
from ..synthesis.tumor_cache import tumor_folder
from .folds import check_read_beside, fold_requests, join_folds, score_fold
from .followers import Followers
from .log import LogLine
from .loop import StageRun, Trainer
from .plan import Plan
from .record import RunRecord
from .request import TrainRequest, takes_request
from .resolve import State, is_over, resolve
from .run_cases import prepare_run_cases
from .run_folder import RunFolder, leaving_nothing
from .stage_cases import stage_cases
from .stage_students import drop_stages, keep_stage, load_weights


@takes_request
def train(on_progress: Progress | None = None, **choices: Any) -> Path:
    """Train a network on a folder of cases, through all stages of a recipe.

    Args:
        {choices}
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
    request = TrainRequest(**choices)
    report = reporter(on_progress)
    if request.folds is None:
        _train(request, report)
        return request.output
    unscored = []
    for part in fold_requests(request):
        _train(part, report)
        if not score_fold(part, report):
            unscored.append(part.output.name)
    if unscored:  # said when all are trained: a machine may have no more than this
        distributed.raise_on_all_ranks(
            CaseError(
                f"'{request.output}': {', '.join(unscored)} trained to the end, but not scored: the data are "
                "prepared cases alone, and scores are of volumes. Where these lie, give their folder with "
                "--resume --data."
            )
        )
    distributed.on_rank_zero(partial(join_folds, request.output))
    return request.output


def _train(request: TrainRequest, report: Progress) -> None:
    """Begin or resume one run."""
    with distributed.start(request.device) as name:
        device = distributed.on_all_ranks(choose_device, name)
        relaunched = distributed.restarted()
        record, state = distributed.on_all_ranks(resolve, request, relaunched)
        folder = RunFolder(request.output)
        _check_start(folder, state)
        with ExitStack() as held:
            if request.folds is not None:  # for the cases that the folds share
                parent = RunFolder(request.output.parent)
                distributed.on_rank_zero(lambda: held.enter_context(leaving_nothing(parent)))
            distributed.on_rank_zero(lambda: held.enter_context(leaving_nothing(folder)))
            distributed.on_rank_zero(lambda: held.enter_context(lock.held(folder.path)))
            progress = report if distributed.is_rank_zero() else silent
            followers = held.enter_context(Followers(folder, record, request.track))
            run(record, state, folder, device, progress, request.accept_changes, followers)


def run(
    record: RunRecord,
    state: State | None,
    folder: RunFolder,
    device: torch.device,
    report: Progress,
    accept_changes: bool = False,
    after_epoch: Callable[[LogLine], None] = lambda line: None,
) -> None:
    """Go through the stages that are left of a run.

    Args:
        record, state: from :func:`.resolve.resolve`; the record is written when the first stage begins.
        folder: of the run.
        device: of this process.
        report: called with every step.
        accept_changes: as in :class:`.request.TrainRequest`.
        after_epoch: called by the first process with each line of the log.

    Raises:
        CaseError, StudentError, OptionError: as :func:`train`.
    """
    distributed.on_all_ranks(_check_batches, record.plan)
    # before the network is built: its first weights follow from the seed, alike on all processes
    torch.manual_seed(record.seed)
    network = networks.build(record.plan.network, **record.plan.network_options)
    prepared = Path(record.prepared or folder.prepared)
    _remove_leftovers(folder, prepared)
    over = state is not None and is_over(record.plan, state)
    record, cases = prepare_run_cases(record, state is None, prepared, report, accept_changes, over)
    if state is None and record.folds is not None:
        distributed.on_all_ranks(check_read_beside, folder, record)
    stages = list(record.plan.stages)
    for name in stages[stages.index(state["stage"]) if state else 0 :]:
        # before its first epoch a stage begins with the weights before it, whatever its settings have become
        begun = state if state and state["stage"] == name and state["epoch"] else None
        if begun is None:
            distributed.on_all_ranks(_load_initial, network, record, folder, name)
        settings = record.plan.stages[name]
        stage = StageRun(
            name=name,
            stages=stages,
            folder=folder,
            network=network.to(device),
            method=METHODS.get(settings.method)(
                settings.method_options(), fresh=name == stages[0] and not record.initial
            ),
            cases=stage_cases(settings, record, cases, report),
            held_out=[case for case in cases if case.name in record.validation],
            settings=settings,
            seed=record.seed,
            seeding=record.seeding,
            device=device,
            progress=report,
            after_epoch=after_epoch,
        )
        _run_stage(stage, record, begun, new=state is None)
    _remove_leftovers(folder, prepared)


def _run_stage(stage: StageRun, record: RunRecord, begun: State | None, new: bool) -> None:
    """Train one stage to its end and keep its student; ``begun``: the state within it to go on from."""
    trainer = Trainer(stage)
    if begun:
        distributed.on_all_ranks(trainer.restore, begun)
    distributed.on_rank_zero(partial(_settle, trainer, record, new))
    trainer.fit()
    made = (trainer.model_to_export, trainer.steps)
    distributed.on_rank_zero(partial(keep_stage, stage.folder, record, stage.name, *made))
    distributed.barrier()  # a process that ends while another still answers it is aborted


def _check_start(folder: RunFolder, state: State | None) -> None:
    """Refuse to start where the ranks have read different checkpoints."""
    # ranks without a common disk would begin at different epochs, and wait for each other for a day, TIMEOUT
    places = distributed.gather([state and (state["stage"], state["epoch"])])
    if len(set(places)) > 1:
        distributed.raise_on_all_ranks(
            CaseError(
                f"{folder.path}: the processes find different checkpoints there. Choose a folder on a disk "
                "that all machines share."
            )
        )


def _settle(trainer: Trainer, record: RunRecord, new: bool) -> None:
    """Write record, checkpoint and log of a stage that begins or goes on.

    Called when settings that do not fit the checkpoint have been refused. Killed at any line it leaves a run
    that can be resumed.
    """
    stage = trainer.stage
    if new:  # first: a folder without a record is no run
        record.write(stage.folder)
    trainer.begin()
    if not trainer.done:
        drop_stages(stage.folder, stage.stages[stage.stages.index(stage.name) :])
    if not new:  # last: or new settings would be taken for those that the old checkpoint was made with
        record.write(stage.folder)


def _remove_leftovers(folder: RunFolder, prepared: Path) -> None:
    """Remove what killed processes have half written."""
    for place in (folder.path, prepared, tumor_folder(prepared)):
        remove_stale_temporaries(place)


def _check_batches(plan: Plan) -> None:
    world = distributed.world()
    for name, settings in plan.stages.items():
        if settings.batch_size % world:
            raise OptionError(
                f"Setting {name}.batch_size={settings.batch_size} cannot be shared among {world} processes. "
                f"Choose a multiple of {world}."
            )


def _load_initial(network: nn.Module, record: RunRecord, folder: RunFolder, stage: str) -> None:
    """The weights that a stage begins with: those of the stage before it, or those given to the run."""
    stages: Sequence[str] = list(record.plan.stages)
    before = stages.index(stage) - 1
    if before >= 0:
        load_weights(network, folder.student(stages[before]))
    elif record.initial:
        load_weights(network, Path(record.initial))
