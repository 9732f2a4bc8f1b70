"""Which cases a run trains on and validates on: found, prepared, left out with a reason, held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import CaseError, OptionError
from ..core.failures import note_failure
from ..core.labels import FIVE_CLASSES
from ..core.modalities import subset_name
from ..core.progress import Event, Progress, ProgressStage
from ..core.words import counted
from ..datasets.case import Case, CaseListing
from ..datasets.discovery import find_cases
from ..datasets.grouping import patients_of
from ..datasets.patients import changed, describe_changed, volumes_of
from ..datasets.splitting import split_cases, split_folds
from ..imaging.cache import CachedCase, cache_case
from ..imaging.folder_labels import check_numbering, folder_warnings, read_numbers
from ..inference.card import read_card
from ..inference.learned import BEFORE, Learned, joined
from ..runtime import distributed
from ..synthesis.pairing import check_choices
from .given_files import held_out_shapes, teachers_of
from .given_split import chosen_cases, given_split
from .models_before import repeating_teachers
from .record import RunRecord
from .synthetic_files import synthetic_files_told

_MOST_NAMES = 5
"""Left-out names per reason in the progress message, which is one line; run.json has them all."""


def list_cases(record: RunRecord) -> RunRecord:
    """The record of a run that begins, with the cases of its data that have a label.

    Held out are those that a list names, if there is one.

    Raises:
        CaseError: no case has a label, or one alone where synthesis needs two.
        OptionError: an excluded or listed case is not there, or there are fewer cases than folds.
    """
    listing = find_cases(Path(record.data), record.convention)
    exclude = _excluded(listing, record.plan.exclude)
    labeled, left_out = listing.labeled()
    held_out: tuple[str, ...] = ()
    if record.cases_list or record.validation_list:  # what else lies there was not asked for
        labeled, held_out = chosen_cases(listing, record.cases_list, record.validation_list)
        left_out = {}
    cases = {case.name: subset_name(case.images) for case in labeled if case.name not in exclude}
    if labeled and not cases:
        whole = counted(len(labeled), "case")
        raise CaseError(f"{record.data}: of {whole} with a label all are excluded. Exclude fewer.")
    if not cases:
        raise CaseError(
            f"{record.data}: no case with a label was found, and training needs labels. Check the folder."
        )
    if record.folds is not None and record.folds > len(cases):  # patients are no more than cases
        raise OptionError(
            f"folds={record.folds} cannot be made of {counted(len(cases), 'case')} with a label. Choose "
            "fewer."
        )
    for settings in record.plan.stages.values():
        if settings.synthesis.method != "none":  # here, and not when all cases have been prepared
            check_choices(settings.synthesis.method, settings.synthesis.factor, len(cases))
    return replace(
        record,
        cases=cases,
        validation=tuple(name for name in held_out if name in cases),
        left_out={**left_out, **dict.fromkeys(exclude, "excluded")},
    )


def prepare_run_cases(
    record: RunRecord,
    new: bool,
    folder: Path,
    report: Progress,
    accept_changes: bool | None = False,
    over: bool = False,
) -> tuple[RunRecord, list[CachedCase]]:
    """Prepare a run's cases into ``folder``; several processes share the work.

    Of a run that begins, a case that cannot be read is left out, as ``prepare`` does, and so it stays; what
    is held out is drawn from the others. A run that resumes has trained on its cases: without one of them it
    would not go on to the same result, so it stops and asks for it.

    Args:
        record: of the run.
        new: the run begins, so nothing is held out yet.
        folder: of the cache; what it has and is up to date is kept.
        report: called before each case and at the end.
        accept_changes: a run that resumes goes on with volumes and labels that hold other voxels than when
            it began; None where that cannot be asked for.
        over: it has nothing left to train, so it learns nothing of such changes.

    Returns:
        The record, of a run that begins without the cases that cannot be read, and the prepared files.

    Raises:
        CaseError: a case of the run has gone or holds other voxels than when the run began, the folder
            cannot be written to, or no case is left.
        ImageError, LabelError: a case of a run that resumes can no longer be read.
        LabelError: the folder of a run that begins mixes numberings and no convention is given.
    """
    cases = distributed.on_all_ranks(found_cases, record)
    mine = cases[distributed.rank() :: distributed.world()]
    if new and record.convention is None:
        numbers = dict(distributed.gather_from(lambda: read_numbers(mine, folder)))
        distributed.on_all_ranks(check_numbering, cases, numbers, record.data)
    rules = {
        "cavity_rule": record.plan.resection_cavity,
        "apart": record.plan.tells_non_enhancing,
    }
    outcomes = dict(distributed.gather_from(lambda: _prepare(mine, folder, rules, report, skip=new)))
    cached = {case.name: outcomes[case.name] for case in cases if isinstance(outcomes[case.name], CachedCase)}
    # processes without a common disk each prepare what they lack
    lacking = [case for case in cases if case.name in cached and not cached[case.name].path.exists()]
    cached |= distributed.on_all_ranks(lambda: {case.name: _cached(case, folder, rules) for case in lacking})
    prepared = list(cached.values())
    if new and rules["apart"] and not any(case.non_enhancing_voxels for case in prepared):
        distributed.raise_on_all_ranks(
            OptionError(
                "Setting network.classes=5: no label tells the non-enhancing core from necrosis. Give labels "
                f"of BraTS 2015 and the convention {FIVE_CLASSES}, or leave the setting out."
            )
        )
    if new:
        unreadable = {name: reason for name, reason in outcomes.items() if name not in cached}
        cases = [case for case in cases if case.name in cached]
        record = distributed.on_all_ranks(_with_split, record, cases, unreadable, cached)
        warnings = distributed.on_all_ranks(folder_warnings, prepared)
        warnings += _known_held_out(record) + held_out_shapes(record) + repeating_teachers(record)
        warnings += synthetic_files_told(cases, record.validation)
        record = replace(record, warnings=warnings)
    else:
        record = distributed.on_all_ranks(_with_contents, record, cached, accept_changes, over)
    report(Event(ProgressStage.PREPARE, len(mine), len(mine), describe_cases(record)))
    return record, prepared


def patients_of_run(record: RunRecord) -> dict[str, str]:
    """Whose each case of a run is, by its name, as the run's split has it.

    Raises:
        CaseError: a case has gone.
    """
    return _patients(record, found_cases(record), record.contents)


def found_cases(record: RunRecord) -> Sequence[Case]:
    """The run's cases, found again in its data; cases that were added since are not used.

    Raises:
        CaseError: one has gone, or has other volumes than when the run began.
    """
    listing = find_cases(Path(record.data), record.convention)
    # under the names that they had when the run began
    found = {name: replace(case, name=name) for name in record.cases if (case := listing.find(name))}
    gone = [name for name in record.cases if name not in found]
    if gone:
        raise CaseError(
            f"{record.data}: case '{gone[0]}' of this run is not there. Put it back, or give the folder that "
            "the data moved to."
        )
    for name, subset in record.cases.items():
        if subset_name(found[name].images) != subset:
            raise CaseError(
                f"{found[name].folder}: case '{name}' of this run had {subset} and now has "
                f"{subset_name(found[name].images)}. Put its volumes back as they were."
            )
    return [found[name] for name in record.cases]


def describe_cases(record: RunRecord) -> str:
    """What a run trains on and what it leaves out, on one line."""
    held_out = len(record.validation)
    parts = [f"{counted(len(record.cases) - held_out, 'case')} to train on, {held_out} to validate on"]
    if record.plan.validation_fraction and not held_out:
        parts.append("no validation, because all cases are of one patient")
    reasons: dict[str, list[str]] = {}
    for name, reason in record.left_out.items():
        reasons.setdefault(reason, []).append(name)
    parts += [
        f"left out {len(names)} ({reason}): {_listed(names, _MOST_NAMES)}"
        for reason, names in reasons.items()
    ]
    parts += [f"warning: {entry['warning']}" for entry in record.warnings[:_MOST_NAMES]]
    return "; ".join(parts)


def _patients(
    record: RunRecord, cases: Sequence[Case], contents: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    return patients_of(cases, contents, record.plan.patient, Path(record.data))


def _cached(case: Case, folder: Path, rules: Mapping[str, Any]) -> CachedCase:
    """A prepared case that reads its resection cavity and its non-enhancing core by the run's rules.

    Raises:
        LabelError: the rule refuses it.
    """
    cached = replace(cache_case(case, folder), **rules)
    if cached.cavity_voxels and cached.cavity_rule == "refuse":
        cached.label(tuple(slice(0, side) for side in cached.shape))
    return cached


def _prepare(
    cases: Sequence[Case], folder: Path, rules: Mapping[str, Any], report: Progress, skip: bool
) -> list[tuple[str, CachedCase | str]]:
    """Prepare what falls to this process, by name; with ``skip`` why, for those that cannot be read."""
    outcomes: list[tuple[str, CachedCase | str]] = []
    for number, case in enumerate(cases):
        report(Event(ProgressStage.PREPARE, number, len(cases), case.name))
        try:
            outcomes.append((case.name, _cached(case, folder, rules)))
        except CaseError:  # the folder cannot be written to
            raise
        except Exception as error:
            if not skip:
                raise
            outcomes.append((case.name, note_failure(error, case.name, folder).reason))
    return outcomes


def _with_split(
    record: RunRecord,
    cases: Sequence[Case],
    unreadable: Mapping[str, str],
    cached: Mapping[str, CachedCase],
) -> RunRecord:
    """The record of a run of these cases, of which a share is held out."""
    if not cases:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(unreadable.items())[:_MOST_NAMES])
        raise CaseError(f"'{record.data}' holds no case to train on ({reasons}). Check the folder.")
    contents = {name: case.content for name, case in cached.items()}
    patients = _patients(record, cases, contents)
    if record.validation_list is not None:
        held_out = given_split(record, cases, patients)
    elif record.folds is None:
        _, held_out = split_cases(cases, record.plan.validation_fraction, record.seed, patients)
    else:
        held_out = split_folds(cases, record.folds, record.seed, patients)[record.fold]
        _check_unseen(record, held_out, contents)
    return replace(
        record,
        cases={case.name: record.cases[case.name] for case in cases},
        validation=tuple(case.name for case in held_out),
        left_out={**record.left_out, **unreadable},
        contents=contents,
    )


def _with_contents(
    record: RunRecord, cached: Mapping[str, CachedCase], accept_changes: bool | None, over: bool
) -> RunRecord:
    """The record of a run that resumes with what its cases hold now.

    What they held before it has learned from too, and that stays told.

    Raises:
        CaseError: it is something else than when the run began, and that is not wanted.
    """
    now = {name: case.content for name, case in cached.items() if case.content}
    changes = changed(record.contents, now)
    if changes and not accept_changes:
        told = describe_changed(changes, "this run", "the run began")
        wanted = "; or, if the change is wanted, resume the run with --accept-changes (accept_changes=True)"
        more = "" if accept_changes is None else wanted
        raise CaseError(f"{record.data}: {told}. Put the files back as they were{more}.")
    if over:
        now = {name: content for name, content in now.items() if name not in changes}
        return replace(record, contents={**record.contents, **now})
    before = {name: volumes_of(record.contents[name]) for name in changes if name not in record.validation}
    return replace(
        record,
        contents={**record.contents, **now},
        learned_before=joined(record.learned_before, before),
    )


def _check_unseen(
    record: RunRecord, held_out: Sequence[Case], contents: Mapping[str, Mapping[str, str]]
) -> None:
    """Refuse to score a fold on what a model learned from that the run begins with or is taught by."""
    for path in filter(None, [record.initial, *teachers_of(record.plan.stages)]):
        learned = Learned(read_card(path).get("training"))
        seen = [case.name for case in held_out if learned.has(case.name, contents.get(case.name))]
        if seen:
            raise OptionError(
                f"{path} was trained on {_listed(seen, _MOST_NAMES)}, which fold {record.fold} holds "
                "out. Train the folds without it, or with a model of other patients."
            )


def _known_held_out(record: RunRecord) -> list[dict[str, str]]:
    """A warning where a model before this run learned from what the run holds out."""
    learned = Learned({BEFORE: record.learned_before})
    known = [name for name in record.validation if learned.has(name, record.contents.get(name))]
    if not known:
        return []
    warning = (
        "A model that the run begins with or is taught by learned from cases that are held out "
        f"({_listed(known, _MOST_NAMES)}), so their scores flatter it."
    )
    return [{"case": "", "warning": warning}]


def _excluded(listing: CaseListing, exclude: Sequence[str]) -> list[str]:
    """Names of the cases to leave out, which may be given by the names that earlier versions gave them.

    Raises:
        OptionError: an excluded case is not there.
    """
    known = [case.name for case in listing.cases]
    found = {name: listing.find(name) for name in exclude}
    unknown = [f"'{name}'" for name, case in found.items() if case is None]
    if unknown:
        raise OptionError(
            f"Setting exclude names {', '.join(unknown)}, which is no case of '{listing.folder}'. "
            f"Its cases: {_listed(known, 20)}."
        )
    return [case.name for case in found.values() if case]


def _listed(names: Sequence[str], limit: int) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
