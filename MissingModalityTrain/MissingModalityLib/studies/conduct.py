"""A study from a folder of cases to its table: trains what is not there, scores it, writes the table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

from ..core import strict_json
from ..core.errors import CaseError, OptionError
from ..core.kinds import checked
from ..core.progress import Progress, reporter
from ..core.words import counted
from ..runtime import distributed, lock
from .division import Division, divisions_of
from .grids import ALL, NOT_AVAILABLE, NOT_YET, TRAINED_ON, Printed, Scored
from .printed import printed_numbers
from .registry import data_set_named, study_named
from .report import check_output, write_tables
from .runs import Runs, StudyRun, is_available, needed_for, runs_of, train_run
from .sizes import Size, rows_of, size_named
from .study import DataSet, Row, Study

_PATIENCE_S = 20.0
"""Between two looks whether another process is done with a run; runs take minutes at least."""


@dataclass(frozen=True)
class StudyRequest:
    """What is asked of a study; the fields are arguments of :func:`study`."""

    name: str
    data: Path | str
    output: Path | str
    preset: str = "paper"
    seeds: int = 1
    test: Path | str | None = None
    lists: Path | str | None = None
    data_set: str | None = None
    steps: int | None = None
    settings: Mapping[str, Any] | None = None
    prepared: Path | str | None = None
    device: str = "auto"
    convention: str | None = None


@dataclass(frozen=True)
class StudyWork:
    """A request made into what has to be done."""

    request: StudyRequest
    study: Study
    data_set: DataSet
    size: Size
    divisions: Sequence[Division]
    runs: Runs
    output: Path


def prepare_study(request: StudyRequest) -> StudyWork:
    """All runs of a study, with their states; writes the lists of its divisions alone.

    Raises:
        OptionError: an unknown name, or a value out of range.
        CaseError: a folder holds no case, or lists cannot be written.
    """
    study, size = study_named(request.name), size_named(request.preset, request.steps)
    data_set = data_set_named(study, request.data_set)
    output = Path(request.output)
    check_output(output)
    divisions = divisions_of(
        data_set.splits,
        Path(request.data),
        output,
        request.test and Path(request.test),
        request.lists and Path(request.lists),
        request.convention,
        size.training_cases,
        size.test_cases,
    )
    runs = runs_of(study, size, divisions, request.seeds, output, dict(request.settings or {}))
    return StudyWork(request, study, data_set, size, divisions, runs, output)


@checked
def study(
    name: str,
    data: Path | str,
    output: Path | str,
    preset: str = "paper",
    seeds: int = 1,
    test: Path | str | None = None,
    lists: Path | str | None = None,
    data_set: str | None = None,
    steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    prepared: Path | str | None = None,
    device: str = "auto",
    convention: str | None = None,
    run: int | None = None,
    train: bool = True,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train what a paper's table needs, score it, and write the table beside the paper's printed numbers.

    Runs that are over are used, one that was stopped goes on, as long as their cases hold what they held.
    Processes that torchrun started share each run; several commands on one output folder share the runs among
    them.

    Args:
        name: of the study, a key of :data:`.registry.STUDIES`.
        data: folder of cases: those to train on, or all, which are divided then.
        output: folder of runs and tables, made if needed; studies in one folder share runs.
        preset: "paper", "light" or "quick".
        seeds: trainings for each row, with the seeds 0, 1, ...
        test: folder of the cases to score; default a part of ``data``.
        lists: folder with ``training.txt`` and ``test.txt``, names of cases of ``data``, one a line.
        data_set: which of the paper's, where it has the table for several.
        steps: of the optimizer for each row, in place of what a smaller preset has.
        settings: put over those of all trainings, as ``--set`` takes them.
        prepared: folder of prepared cases; default inside ``output``.
        device: as in :func:`~..runtime.devices.choose_device`.
        convention: label convention, where the layout does not fix it.
        run: train and score this one alone, counted from 0 as :func:`prepare_study` lists them, and what it
            begins with; no table is written.
        train: write the table of what is there, and train nothing.
        on_progress: called with every step.

    Returns:
        ``runs`` (the folders of all), and what :func:`.report.write_tables` returns where the table was
        written.

    Raises:
        OptionError: an unknown name or a value out of range.
        CaseError: no case, another process trains a run, a folder cannot be written to, or a case holds other
            voxels than when a run that is there began or was scored.
    """
    request = StudyRequest(
        *(
            name,
            data,
            output,
            preset,
            seeds,
            test,
            lists,
            data_set,
            steps,
            settings,
            prepared,
            device,
            convention,
        )
    )
    with distributed.start(request.device):
        work = distributed.on_rank_zero(partial(prepare_study, request))
        runs = work.runs.runs
        if run is not None and not 0 <= run < len(runs):
            raise OptionError(f"run={run}: the study has {counted(len(runs), 'run')}, from 0 on.")
        chosen = runs if run is None else tuple(needed_for(runs[run]))
        if train:
            _train_and_score(work, chosen, reporter(on_progress))
        result: dict[str, Any] = {"runs": [str(one.folder.path) for one in runs]}
        if run is None:
            result |= distributed.on_rank_zero(partial(write_table, work))
    return result


def _train_and_score(work: StudyWork, runs: Sequence[StudyRun], report: Progress) -> None:
    """Go through the runs; what another process is at is left to it, and waited for at the end."""
    cases = Path(work.request.prepared or work.output / "prepared")
    distributed.on_rank_zero(partial(_check_unchanged, work, runs, cases, report))
    scored = {cell.run.folder.path for cell in work.runs.cells}
    left = list(runs)
    while left:
        place = distributed.on_rank_zero(partial(_first_free, left))
        if place is None:
            sleep(_PATIENCE_S)
            continue
        run = left.pop(place)
        if not distributed.on_rank_zero(lambda run=run: run.is_over):
            train_run(
                run, Path(work.request.data), cases, work.request.device, work.request.convention, report
            )
        if run.folder.path in scored:
            _score(work, run, report)


def _check_unchanged(work: StudyWork, runs: Sequence[StudyRun], prepared: Path, report: Progress) -> None:
    """Refuse to use runs and scores that were made of other voxels than their cases have now.

    Runs that were stopped, too: each would be refused as it goes on, maybe after days of others.
    """
    from .unchanged import check_unchanged, of_scores, of_training

    begun = [run for run in runs if run.is_begun and run.folder.record.is_file()]
    origins = [of_training(run, Path(work.request.data)) for run in begun]
    for run in runs:
        if run.is_over and (evaluation := _present_scores(work, run)):
            origins.append(of_scores(run, evaluation, evaluation_folder(work, run), work.request.convention))
    check_unchanged(origins, prepared, report)


def _first_free(runs: Sequence[StudyRun]) -> int | None:
    """Place of the first run that no other process is at and that can begin; None where there is none."""
    ready = (run.after is None or run.after.is_over for run in runs)
    free = (place for place, is_ready in enumerate(ready) if is_ready)
    return next((place for place in free if not lock.is_held(runs[place].folder.path)), None)


def _score(work: StudyWork, run: StudyRun, report: Progress) -> None:
    """Evaluate a run's network on the test cases of its division, unless that is done."""
    from ..evaluation.evaluate import evaluate_folder
    from ..training.stage_students import export

    output = evaluation_folder(work, run)
    if distributed.on_rank_zero(lambda: _present_scores(work, run) is not None):
        return
    with ExitStack() as held:  # so that another machine does not score the same
        distributed.on_rank_zero(lambda: held.enter_context(lock.held(run.folder.path)) or True)
        student, card = scored_student(work, run), work.size.card_of(run.training.network)
        if card:
            card = {"name": run.folder.path.name, **card}
            distributed.on_rank_zero(partial(export, run.folder.path, student, card))
        evaluate_folder(
            student,
            run.division.test_data,
            output,
            device=work.request.device,
            convention=work.request.convention,
            hd95_rule=work.study.hd95_rule,
            resection_cavity=run.plan.resection_cavity,
            hd95_definition=work.study.hd95_definition,
            on_progress=report,
            cases=run.division.test,
        )


def _present_scores(work: StudyWork, run: StudyRun) -> dict[str, Any] | None:
    """Scores of the weights that a run ends with now, if it has any; such that cannot be read are none."""
    try:
        evaluation = _evaluation(work, run)
    except CaseError:
        return None
    return evaluation if evaluation is not None and _is_of(work, run, evaluation) else None


def _evaluation(work: StudyWork, run: StudyRun) -> dict[str, Any] | None:
    """What a run was scored, if it was.

    Raises:
        CaseError: its scores cannot be read.
    """
    from ..evaluation.evaluate import SUMMARY_FILE, read_evaluation

    folder = evaluation_folder(work, run)
    return read_evaluation(folder) if (folder / SUMMARY_FILE).is_file() else None


def _is_of(work: StudyWork, run: StudyRun, evaluation: Mapping[str, Any]) -> bool:
    """Whether scores are of the weights that a run ends with now: it may have been trained on by hand since.

    Of a run whose model was removed nothing else is known.
    """
    from ..training.stage_students import sha256_of

    if not run.student.is_file():
        return True
    exported = bool(work.size.card_of(run.training.network))  # which is what is scored then
    return evaluation.get("weights_sha256") == sha256_of(run.student, exported)


def scored_student(work: StudyWork, run: StudyRun) -> Path:
    """The student that a run is scored by: its own, or one with the facts that the preset gives it."""
    if work.size.card_of(run.training.network):
        return run.folder.path / "scored.safetensors"
    return run.student


def evaluation_folder(work: StudyWork, run: StudyRun) -> Path:
    """Where a run's scores lie, named by the cases and by all that decides a score beside the weights."""
    hd95 = (work.study.hd95_rule, work.study.hd95_definition)
    facts = [run.division.test, work.size.card_of(run.training.network), *hd95]
    cavity = run.plan.resection_cavity
    facts += [cavity] if cavity != "background" else []  # so are folders of earlier versions named
    key = hashlib.sha256(strict_json.dumps(facts).encode()).hexdigest()[:8]
    return run.folder.path / f"evaluation-{key}"


def write_table(work: StudyWork) -> dict[str, Any]:
    """The table of what has been scored so far.

    Raises:
        CaseError: it cannot be written.
    """
    rows = [_scored(work, row) for row in rows_of(work.study, work.size)]
    divisions = [division.note for division in work.divisions]
    steps = {cell.row.name: cell.run.steps_in_all for cell in work.runs.cells}
    lengths = ", ".join(f"{name} {count}" for name, count in steps.items())
    notes = [*divisions, f"Preset {work.request.preset}. Optimizer steps in all: {lengths}."]
    if seen := _learned_from(work):
        notes.append(f"Warning: networks were trained on test cases: {', '.join(seen)}. Scores flatter them.")
    printed = printed_numbers(work.study.source, work.data_set.name)
    one_division = len(work.divisions) == 1
    result = write_tables(work.study, work.data_set, rows, notes, printed, work.output, one_division)
    _draw_networks(work, rows, printed)
    return result


def _draw_networks(work: StudyWork, rows: Sequence[Scored], printed: Printed) -> None:
    """What there is to see of the network of each row with the first seed, and what it sees of a case."""
    from .figures import draw_case, draw_networks

    first = work.divisions[0]
    runs = {
        cell.row.name: cell.run
        for cell in work.runs.cells
        if not cell.subset and cell.run.seed == 0 and cell.run.division == first
    }
    students = {name: scored_student(work, run) for name, run in runs.items()}
    epochs = {
        name: run.plan.stages[work.study.course].epochs if work.study.course in run.plan.stages else 0
        for name, run in runs.items()
    }
    draw_networks(work.study, rows, printed, students, epochs, work.output)
    output = work.output / f"{work.study.name}-case"
    asked = work.request
    draw_case(students, first.test_data, first.test[0], output, asked.convention, asked.device)


def _learned_from(work: StudyWork) -> list[str]:
    """Names of test cases whose voxels a network of the table was trained on."""
    from ..evaluation.known_cases import trained_on

    seen: set[str] = set()
    for cell in work.runs.cells:
        evaluation = _evaluation(work, cell.run)
        if evaluation is not None and cell.run.is_over:
            seen |= set(trained_on(cell.run.student, evaluation))
    return sorted(seen)


def _scored(work: StudyWork, row: Row) -> Scored:
    if not is_available(row):
        return Scored(row, {}, NOT_AVAILABLE)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for cell in work.runs.cells:
        if cell.row != row:
            continue
        evaluation = _evaluation(work, cell.run)
        if evaluation is None:
            return Scored(row, {}, NOT_YET)
        if not _is_of(work, cell.run, evaluation):
            return Scored(row, {}, TRAINED_ON)
        found.setdefault(cell.subset or ALL, []).append(evaluation)
    return Scored(row, found)
