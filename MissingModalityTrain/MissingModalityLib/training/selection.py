"""Choices for students of a network, made on its cross-validation: :mod:`~..evaluation.selection`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from ..core import strict_json
from ..core.errors import CaseError, OptionError
from ..core.files import explain_write_errors, read_text, write_report
from ..core.kinds import checked
from ..core.labels import REGIONS
from ..core.progress import Progress, reporter
from ..evaluation.selection import choose
from ..evaluation.trained_alike import model_facts, other_methods, unlike_models
from ..inference.card import SELECTED, read_card
from ..inference.learned import Learned
from ..inference.student import Student
from ..inference.weights import weights_sha256
from ..runtime.devices import choose_device
from .folds import check_alike, fold_folder, fold_records, last_students, prepared_folder
from .record import RunRecord
from .run_cases import patients_of_run, prepare_run_cases

SELECTION_FILE = "selection.json"
"""In the folder of a cross-validation: what :func:`select` returned."""

_WRITABLE = "Move what is in its place away, or copy its folder to a disk that takes files, and try again."

_ANEW = "Select anew, without --reuse."


@checked
def select(
    run: Path | str,
    smoothing_mm: Sequence[float | Mapping[str, float]] = (),
    overlap: Sequence[float] = (),
    mirror: Sequence[Sequence[int]] = (),
    mirror_windows: Sequence[Sequence[int]] = (),
    device: str = "auto",
    on_progress: Progress | None = None,
    data: Path | str | None = None,
) -> dict[str, Any]:
    """Choose what beside its weights decides a student's results, on a cross-validation that is over.

    Each fold's student predicts the cases that it has held out. Thresholds of the regions, the smallest piece
    of each and the least volume of enhancing tumor are always chosen. ``export`` and
    :func:`~..evaluation.attach.store_choices` take the entry ``chosen``.

    Args:
        run: folder of the cross-validation; ``selection.json`` goes there.
        smoothing_mm, overlap, mirror, mirror_windows: further values to try of these keys of a student's
            card, see :class:`~..inference.card.Card`. Each takes as long as predicting all cases, cases
            mirrored as many times longer as there are combinations.
        device: as in :func:`~..runtime.devices.choose_device`.
        on_progress: called for each case.
        data: folder that the cases have moved to since; default where the folds found them.

    Returns:
        What :func:`~..evaluation.selection.choose` gives, and ``weights_sha256`` of the folds' students, in
        order.

    Raises:
        CaseError: no cross-validation, a fold of it is not trained to its end or unlike the others, its
            model has learned from what it holds out, a case has gone, or nothing can be written there.
        OptionError: a value out of its range, or there is no such device.
    """
    run, report = Path(run), reporter(on_progress)
    records, students = _folds(run)
    check_can_write(run / SELECTION_FILE)  # before hours of predictions
    pairs = []
    for record, path in zip(records, students, strict=True):
        if data is not None:
            record = replace(record, data=os.path.realpath(data))
        prepared = prepared_folder(fold_folder(run, record.fold), record)
        _, cases = prepare_run_cases(record, False, prepared, report, accept_changes=None)
        pairs.append((Student.load(path), [case for case in cases if case.name in record.validation]))
    variants = {
        "smoothing_mm": smoothing_mm,
        "overlap": overlap,
        "mirror": [list(axes) for axes in mirror],
        "mirror_windows": [list(axes) for axes in mirror_windows],
    }
    chosen = choose(pairs, _patients(records, record), variants, choose_device(device), report)
    chosen["weights_sha256"] = [weights_sha256(student.network) for student, _ in pairs]
    with explain_write_errors(run / SELECTION_FILE, _WRITABLE):
        write_report(chosen, run / SELECTION_FILE)
    return chosen


def check_can_write(path: Path) -> None:
    """Refuse a file that will be written only after hours, and cannot be.

    Raises:
        CaseError: its folder takes no file, or a folder is in its place.
    """
    with explain_write_errors(path, _WRITABLE):
        TemporaryFile(dir=path.parent).close()
        if path.is_dir():
            raise IsADirectoryError("a folder is in its place")


def read_selection(run: Path) -> dict[str, Any]:
    """What :func:`select` returned when it was called on this cross-validation, from its file.

    Raises:
        CaseError: as :func:`select` refuses ``run``; there is no such file, or one of no use; or a fold has
            other weights than then, of which it says nothing.
        StudentError: a fold's student is damaged.
    """
    path = run / SELECTION_FILE
    try:
        found = strict_json.loads(read_text(path))
        _check_selection(found)
        chosen_on = found["weights_sha256"]
    except FileNotFoundError:
        raise CaseError(
            f"'{run}' holds no {path.name}, so nothing has been chosen there yet. {_ANEW}"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CaseError(f"{path}: cannot be used as what was chosen ({error}). {_ANEW}") from error
    if chosen_on != [weights_sha256(Student.load(student).network) for student in _folds(run)[1]]:
        raise CaseError(f"{path}: was chosen before the folds had the weights that they have now. {_ANEW}")
    return found


def _check_selection(found: Mapping[str, Any]) -> None:
    """Raise what Python raises, or ValueError, where a file lacks what is told of a selection and stored."""
    if not isinstance(found["cases"], int) or not set(found["chosen"]) <= set(SELECTED):
        raise ValueError("it is no selection")
    for dice in (found[when][region] for when in ("before", "after") for region in REGIONS):
        float(dice)
    for entry in (entry for entries in found.get("tried", {}).values() for entry in entries):
        if "value" not in entry or not all(
            isinstance(entry.get(name) or 0.0, int | float) for name in ("gain", "gain_error")
        ):
            raise ValueError("it does not tell what was tried")


def check_fits(run: Path, student: Path) -> str:
    """Refuse a model file of another network or recipe than the folds have, since nothing is chosen for it
    there, and one where nothing can be stored.

    Returns:
        By what other methods the folds were trained, see :func:`~..evaluation.trained_alike.other_methods`.

    Raises:
        StudentError: no model file, or one of a fold is damaged.
        CaseError: as :func:`select` refuses ``run``, or the model's folder takes no file.
        OptionError: another network, option of it, head or recipe.
    """
    of_student, of_fold = map(model_facts, (read_card(student), read_card(_folds(run)[1][0])))
    unlike = unlike_models(of_student, of_fold)
    if unlike:
        name, own, of_folds = unlike
        raise OptionError(
            f"{student}: its {name} is {own}, that of the folds in '{run}' is {of_folds}. Store what was "
            "chosen in a model that was trained as they were."
        )
    check_can_write(student)
    return other_methods(of_fold, of_student)


def _patients(records: Sequence[RunRecord], moved: RunRecord) -> dict[str, str]:
    """Whose each case is, as the folds were divided; ``moved``: one of them with the data where they are now.

    The setting ``patient`` looks at a case's path inside the data, so where these lie otherwise it may find
    other patients, or none.

    Raises:
        CaseError: it does.
    """
    remedy = (
        f"Give the folder in which the cases lie as they did in '{records[0].data}' when the folds began."
    )
    try:
        patients = patients_of_run(moved)
    except OptionError as error:
        raise CaseError(
            f"{moved.data}: the setting patient={moved.plan.patient} does not find the patient of every case "
            f"there. {remedy}"
        ) from error
    held_out: dict[str, int] = {}
    for fold, name in ((record.fold, name) for record in records for name in record.validation):
        if moved.plan.patient and held_out.setdefault(patients[name], fold) != fold:
            raise CaseError(
                f"{moved.data}: by the setting patient={moved.plan.patient} '{name}' is of a patient whom "
                f"fold {held_out[patients[name]]} holds out, and fold {fold} holds it out. {remedy}"
            )
    return patients


def _folds(run: Path) -> tuple[list[RunRecord], list[Path]]:
    """The records and the last students of a cross-validation that is over."""
    records = fold_records(run)
    students = last_students(run, records)
    if len(students) < records[0].folds:
        raise CaseError(
            f"{run}: not all of its {records[0].folds} folds are trained to the end. Resume it first."
        )
    check_alike(run, records)
    for record, path in zip(records, students, strict=True):
        learned = Learned(read_card(path).get("training"))
        seen = [name for name in record.validation if learned.has(name, record.contents.get(name))]
        if seen:
            raise CaseError(
                f"{path}: has learned from '{seen[0]}', which fold {record.fold} holds out, so it is not the "
                f"model that this fold was trained to. Resume the folds, train --folds {record.folds} "
                "--resume, which writes that again."
            )
    return records, students
