"""Cross-validation: one run for each fold of the patients, scored on the patients that it has held out.

A cross-validation's folder holds ``fold0/``, ``fold1/`` ..., each an ordinary run's folder with the scores of
its last student in ``evaluation/``; ``prepared/``, which all folds share; and, when every fold is scored,
``evaluation/`` with the out-of-fold scores of all cases.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core import strict_json
from ..core.errors import CaseError, OptionError
from ..core.progress import Progress
from ..core.settings import flat
from ..datasets.discovery import find_cases
from ..datasets.patients import of_voxels
from ..datasets.prepared import are_prepared
from ..evaluation.summary import EVALUATION_FOLDER
from ..inference.student import Student
from ..runtime import distributed
from .plan import Plan, change_plan, to_json
from .record import RunRecord
from .request import TrainRequest
from .run_folder import RunFolder


def fold_requests(request: TrainRequest) -> Iterator[TrainRequest]:
    """What is asked for, fold by fold, each in a folder of its own.

    Raises:
        OptionError: a stage is to begin anew, which is asked of one run.
    """
    if request.restart:
        raise OptionError(
            f"restart={request.restart} is for one fold. Leave out folds, and give that fold's "
            "folder as output."
        )
    folds = range(request.folds) if request.fold is None else [request.fold]
    for fold in folds:
        yield replace(request, output=fold_folder(request.output, fold).path, fold=fold)


def shared_prepared(request: TrainRequest) -> Path | None:
    """Where the prepared cases of a run that begins lie: folds share them, unless a folder was given.

    Args:
        request: for one run or fold.

    Returns:
        None for the run's own folder.
    """
    if request.prepared is None and request.folds is not None:
        return RunFolder(request.output.parent).prepared
    return request.prepared


def prepared_folder(folder: RunFolder, record: RunRecord) -> Path:
    """Where the prepared cases of a run that is there lie, or go.

    Folds name the folder that they share by its whole path. A cross-validation that was moved as a whole has
    taken it along: the old place is not filled anew then.
    """
    if record.prepared is None:
        return folder.prepared
    if record.folds is not None and not os.path.isdir(record.prepared):
        return RunFolder(folder.path.absolute().parent).prepared
    return Path(record.prepared)


def record_beside(request: TrainRequest) -> RunRecord | None:
    """The record of a fold that begins when a cross-validation is resumed: that of another fold, as its own.

    Args:
        request: for one fold.

    Returns:
        None where no other fold has begun yet.

    Raises:
        OptionError: a setting that a plan cannot have, or a whole plan.
        CaseError: the other fold is one of another number of folds, or its record cannot be read.
    """
    for other in range(request.folds):
        folder = fold_folder(request.output.parent, other)
        if not folder.has_checkpoint:
            continue
        record = RunRecord.read(folder)
        if record.folds != request.folds:
            raise CaseError(
                f"'{folder.path}' is fold {record.fold} of {record.folds}. Give folds={record.folds}, or "
                "choose another folder."
            )
        changes = request.changes()
        plan = record.plan if isinstance(changes, Plan) else change_plan(record.plan, changes)
        return replace(
            record, plan=plan, cases={}, validation=(), left_out={}, warnings=(), fold=request.fold
        )
    return None


def check_beside(request: TrainRequest, record: RunRecord) -> None:
    """Refuse a fold that begins unlike another one, with which it could not be joined when it is trained.

    Args:
        request: for one fold. Of one that is resumed the settings may be those that the others get next.
        record: what it is going to be made of, see :func:`leaving_out_as_beside`.

    Raises:
        CaseError: it differs from another fold, or the record of that cannot be read.
    """
    for path, there in _folds_beside(request.output, record):
        plan = there.plan if request.resume else record.plan
        unlike = _unlike(replace(record, plan=plan), there)
        if unlike:
            raise CaseError(
                f"'{path}' has begun with other {unlike}, and folds that are unlike are not joined. "
                "Give what it was given, or --resume to take over its settings; or choose another folder."
            )


def leaving_out_as_beside(request: TrainRequest, record: RunRecord) -> RunRecord:
    """The record of a fold that begins, without the cases that another fold could not read.

    Who is held out is drawn from the cases that can be read: with one case more the folds would be divided
    otherwise, and could not be joined.

    Args:
        request: for one fold.
        record: with all cases of its data.

    Raises:
        CaseError: the record of another fold cannot be read.
    """
    gone: dict[str, str] = {}
    for path, there in _folds_beside(request.output, record):
        told = {name: f"as in {path.name}: {reason}" for name, reason in there.left_out.items()}
        gone = {name: told[name] for name in record.cases if name in told} | gone
    cases = {name: subset for name, subset in record.cases.items() if name not in gone}
    return replace(record, cases=cases, left_out={**record.left_out, **gone})


def check_read_beside(folder: RunFolder, record: RunRecord) -> None:
    """Refuse a fold whose cases, now that all have been read, are not those of another fold.

    Args:
        folder: of the fold that begins.
        record: what it is going to be made of, without the cases that cannot be read.

    Raises:
        CaseError: naming a case that one of them alone has, or the record of another one cannot be read.
    """
    for path, there in _folds_beside(folder.path, record):
        lost = [name for name in there.cases if name not in record.cases]
        if lost:
            raise CaseError(
                f"'{path}' has case '{lost[0]}', and now it cannot be read ({record.left_out.get(lost[0])}). "
                "Folds of unlike cases are not joined: make it readable, and go on with --resume."
            )
        more = [name for name in record.cases if name not in there.cases]
        if more:  # it began while these cases were read
            raise CaseError(
                f"'{path}' began without case '{more[0]}' ({there.left_out.get(more[0])}). Folds of unlike "
                "cases are not joined: begin this fold again, which leaves it out too, with --resume."
            )


def _folds_beside(output: Path, record: RunRecord) -> Iterator[tuple[Path, RunRecord]]:
    """Folders and records of the other folds that have begun."""
    for other in range(record.folds):
        folder = fold_folder(output.parent, other)
        if other != record.fold and folder.has_checkpoint:
            yield folder.path, RunRecord.read(folder)


def files_beside(request: TrainRequest) -> dict[str, str]:
    """What the folds that have begun already tell of the files that they read, see :mod:`.given_files`.

    Args:
        request: for one fold.

    Raises:
        CaseError: the record of another fold cannot be read.
    """
    known: dict[str, str] = {}
    for other in range(request.folds):
        folder = fold_folder(request.output.parent, other)
        if folder.has_checkpoint:
            known |= RunRecord.read(folder).given_files
    return known


def score_fold(request: TrainRequest, report: Progress) -> bool:
    """Score the last student of a fold on the cases that it has held out, unless that is done.

    Args:
        request: for one fold, which is trained.
        report: called with every prediction.

    Returns:
        Whether it is scored; not where the data are prepared cases alone, of which nothing can be.

    Raises:
        CaseError: no case can be scored, or the scores cannot be written.
    """
    # here, because training from prepared cases does without what reads volumes
    from ..evaluation.evaluate import evaluate_folder

    folder = RunFolder(request.output)
    record = RunRecord.read(folder)
    student, output = last_student(folder, record), folder.path / EVALUATION_FOLDER
    if distributed.on_all_ranks(_is_scored, student, output, record):
        return True
    if distributed.on_all_ranks(lambda: are_prepared(find_cases(record.data, record.convention).cases)):
        return False
    evaluate_folder(
        student,
        record.data,
        output,
        device=request.device,
        convention=record.convention,
        on_progress=report,
        cases=record.validation,
        resection_cavity=record.plan.resection_cavity,
    )
    return True


def join_folds(output: Path) -> bool:
    """Write the out-of-fold scores of all cases into ``output/evaluation``, if every fold has been scored.

    Returns:
        Whether every fold has.

    Raises:
        CaseError: folds were trained with different plans or on different cases.
    """
    from ..evaluation.joining import join_evaluations

    records = fold_records(output)
    folders = [fold_folder(output, fold).path / EVALUATION_FOLDER for fold in range(records[0].folds)]
    students = last_students(output, records)
    if len(students) < len(folders) or not all(map(_is_scored, students, folders, records)):
        return False
    check_alike(output, records)
    join_evaluations(folders, output / EVALUATION_FOLDER, f"{output.resolve().name}, {len(folders)} folds")
    return True


def fold_records(output: Path) -> list[RunRecord]:
    """The records of the folds that have begun, in order.

    Raises:
        CaseError: the folder holds no fold, or a record that cannot be read.
    """
    # a copy beside the folds, "fold0 (old)", is none of them
    numbers = sorted(
        int(path.parent.name[4:])
        for path in output.glob("fold*/run.json")
        if re.fullmatch(r"fold(0|[1-9]\d*)", path.parent.name, re.ASCII)
    )
    records = {number: RunRecord.read(fold_folder(output, number)) for number in numbers}
    if not records or any(record.folds is None for record in records.values()):
        raise CaseError(
            f"'{output}' holds no cross-validation. Choose the folder that was given to train with folds."
        )
    for number, record in records.items():
        if record.fold != number:
            raise CaseError(
                f"'{fold_folder(output, number).path}' holds fold {record.fold} by its run.json. Give the "
                "folder back its name, or remove it."
            )
    return list(records.values())


def check_alike(output: Path, records: Sequence[RunRecord]) -> None:
    """Refuse folds that are of no one cross-validation.

    Raises:
        CaseError: folds were trained with different plans or on different cases, or do not hold out each of
            them once.
    """
    first = records[0]
    for record in records:
        unlike = _unlike(record, first)
        if unlike:
            raise CaseError(
                f"{output}: fold {record.fold} was trained with other {unlike} than fold {first.fold}. Train "
                "it again as the others, in an empty folder."
            )
    held_out = Counter(name for record in records for name in record.validation)
    for name in {**first.cases, **held_out}:
        if held_out[name] != 1:
            raise CaseError(
                f"{output}: case '{name}' is held out by {held_out[name]} of the folds, and has to be by "
                "one. Put back run.json of each fold as the training wrote it, or train them again elsewhere."
            )


def last_students(output: Path, records: Sequence[RunRecord]) -> list[Path]:
    """The students of the folds that are trained to their end, in order."""
    students = [last_student(fold_folder(output, record.fold), record) for record in records]
    return [path for path in students if path.is_file()]


def last_student(folder: RunFolder, record: RunRecord) -> Path:
    """The student that a run ends with, which is not there before its last stage is over."""
    return folder.student(list(record.plan.stages)[-1])


def fold_folder(output: Path, fold: int) -> RunFolder:
    """Of one fold inside the folder of a cross-validation."""
    return RunFolder(output / f"fold{fold}")


def _unlike(record: RunRecord, other: RunRecord) -> str:
    """What of all that folds must have alike two of them have not, in words; empty if they have it all."""
    pairs = [(one.folds, one.seed, dict(one.cases), _settings(one)) for one in (record, other)]
    words = ("folds", "seed", "cases", "settings")
    unlike = [word for word, own, there in zip(words, *pairs, strict=True) if own != there]
    if "settings" in unlike:
        own, there = pairs[0][-1], pairs[1][-1]
        names = [name for name in {**own, **there} if own.get(name) != there.get(name)]
        unlike[-1] += f" ({', '.join(names)})"
    return " and ".join(unlike)


def _settings(record: RunRecord) -> dict[str, Any]:
    """Of a plan by their whole names, as JSON has them."""
    return flat(strict_json.loads(strict_json.dumps(to_json(record.plan))))


def _is_scored(student: Path, output: Path, record: RunRecord) -> bool:
    """Whether ``output`` holds scores of this very student on what its fold has held out: since then the fold
    may have been trained on, or given what :func:`.selection.select` has chosen, or other cases may have been
    scored into this folder."""
    from ..evaluation.belonging import check_weights
    from ..evaluation.calibration import lacking_features
    from ..evaluation.evaluate import read_evaluation

    try:
        evaluation = read_evaluation(output)
        check_weights(Student.load(student), evaluation, student)
    except CaseError:
        return False
    # an earlier version may have told less than the estimate of Dice is fitted to
    return _is_of_fold(evaluation, record) and not lacking_features(evaluation["rows"])


def _is_of_fold(evaluation: Mapping[str, Any], record: RunRecord) -> bool:
    """Whether scores are of the cases that a fold has held out, but for those that could not be scored."""
    if evaluation.get("resection_cavity", "background") != record.plan.resection_cavity:
        return False
    volumes = {case["name"]: of_voxels(case.get("voxels_sha256", {})) for case in evaluation["cases"]}
    skipped = {entry["path"] for entry in evaluation["skipped"]}
    return volumes.keys() <= set(record.validation) <= volumes.keys() | skipped and all(
        # earlier versions kept no hashes, here or there
        record.contents.get(name, {}).get(key, digest) == digest
        for name, of_case in volumes.items()
        for key, digest in of_case.items()
    )
