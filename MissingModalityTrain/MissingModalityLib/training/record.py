"""``run.json``: what a run is made of, kept so that it can be resumed, exported and understood later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..core.errors import CaseError, OptionError
from ..core.files import replacing
from ..core.modalities import subset_name
from ..datasets.case import Case, Listing
from ..datasets.discovery import find_cases
from ..datasets.splitting import split_cases
from .checkpoints import FILE_NAME as CHECKPOINT
from .recipes import Plan, change_plan, from_json, to_json

FILE_NAME = "run.json"

_FIXED = ("exclude", "validation_fraction", "network_options", "network")
"""Settings that decide the cases and the weights of a run, and so cannot change when it resumes."""

_NAMED = 5
"""Left-out names per reason in the progress message; run.json has them all."""


def new_record(data: Path | None, output: Path, plan: Plan, **facts: Any) -> dict[str, Any]:
    """The record of a run that begins.

    Args:
        data: folder of cases; those without a label are left out.
        output: folder of the run.
        plan: what to do.
        **facts: recipe, preset, seed, convention and the like, kept as they are.

    Raises:
        CaseError: no case with a label, or ``output`` already holds a run.
        OptionError: no data, or an excluded case that is not there.
    """
    if (output / CHECKPOINT).exists():
        raise CaseError(
            f"{output} already holds a training run. Add --resume to go on, or choose another folder."
        )
    if data is None:
        raise OptionError("No data to train on. Give the folder that holds the cases.")
    listing = find_cases(data, facts.get("convention"))
    _check_excluded(listing, plan.exclude)
    labeled, left_out = listing.labeled()
    labeled = [case for case in labeled if case.name not in plan.exclude]
    left_out |= dict.fromkeys(plan.exclude, "excluded")
    if not labeled:
        raise CaseError(
            f"{data}: no case with a label was found, and training needs labels. Check the folder."
        )
    _, held_out = (
        split_cases(labeled, plan.validation_fraction, facts["seed"])
        if plan.validation_fraction
        else (labeled, [])
    )
    return {
        "data": str(Path(data).resolve()),
        **facts,
        "cases": {case.name: subset_name(case.images) for case in labeled},
        "validation": [case.name for case in held_out],
        "left_out": [{"name": name, "reason": reason} for name, reason in left_out.items()],
        "versions": {"missing_modality": __version__, "torch": torch.__version__},
        "settings": to_json(plan),
    }


def resumed_record(
    data: Path | None, output: Path, changes: Mapping[str, Any], finished: Sequence[str]
) -> dict[str, Any]:
    """A run's own record with changes put over its settings (more epochs, say), for good.

    Args:
        data: where the cases are now, if they have moved.
        output: folder of the run.
        changes: as :func:`recipes.change_plan` takes them.
        finished: stages that are over.

    Raises:
        CaseError: ``output`` is no run.
        OptionError: as :func:`recipes.change_plan`, or a change of what the run began with.
    """
    record = read_record(output)
    before = from_json(record["settings"])
    plan = change_plan(before, changes, finished)
    for name in _FIXED:
        # as JSON, because the record has lists where settings may have tuples
        if json.dumps(getattr(plan, name)) != json.dumps(getattr(before, name)):
            raise OptionError(
                f"{output}: the setting {name} is fixed by the run and cannot change when it resumes. "
                "Leave it out, or start a new run in another folder."
            )
    moved = record["data"] if data is None else str(Path(data).resolve())
    return {**record, "data": moved, "settings": to_json(plan)}


def cases_of(record: Mapping[str, Any]) -> Sequence[Case]:
    """The run's cases, found again; one that has gone or lost a volume is an error, a new one is left alone.

    Raises:
        CaseError: naming the case.
    """
    found = {case.name: case for case in find_cases(Path(record["data"]), record["convention"]).cases}
    gone = [name for name in record["cases"] if name not in found]
    if gone:
        raise CaseError(
            f"{record['data']}: case '{gone[0]}' of this run is not there. Put it back, or give the "
            "folder that the data moved to."
        )
    for name, subset in record["cases"].items():
        if subset_name(found[name].images) != subset:
            raise CaseError(
                f"{found[name].folder}: case '{name}' of this run had {subset} and now has "
                f"{subset_name(found[name].images)}. Put its volumes back as they were."
            )
    return [found[name] for name in record["cases"]]


def describe_cases(record: Mapping[str, Any]) -> str:
    """What a run trains on and what it leaves out, on one line."""
    held_out = len(record["validation"])
    parts = [f"{len(record['cases']) - held_out} cases to train on, {held_out} to validate on"]
    if record["settings"]["validation_fraction"] and not held_out:
        parts.append("no validation, because all cases are of one patient")
    reasons: dict[str, list[str]] = {}
    for entry in record.get("left_out", ()):
        reasons.setdefault(entry["reason"], []).append(entry["name"])
    parts += [
        f"left out {len(names)} ({reason}): {_listed(names, _NAMED)}" for reason, names in reasons.items()
    ]
    return "; ".join(parts)


def read_record(run: Path) -> dict[str, Any]:
    """The record of a run, its settings under the names of today.

    Raises:
        CaseError: the folder holds no run, or one of another version.
    """
    path = Path(run) / FILE_NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {**record, "settings": to_json(from_json(record["settings"]))}
    except FileNotFoundError:
        raise CaseError(
            f"{run} is no training run: it has no {FILE_NAME}. Choose the folder given to --output."
        ) from None
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: cannot be read ({error}). Start the run again.") from error
    except (KeyError, TypeError, AttributeError, OptionError) as error:
        raise CaseError(
            f"{path}: holds other settings than this version knows ({error}). Use the version that the run "
            "began with, or start a new run."
        ) from error


def write_record(run: Path, record: Mapping[str, Any]) -> None:
    """Replace the record of a run."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        with replacing(run / FILE_NAME) as temporary:
            temporary.write_text(json.dumps(record, indent=2), encoding="utf-8")
    except OSError as error:
        raise CaseError(
            f"{run}: cannot be written to ({error}). Choose a folder on a disk with free space."
        ) from error


def _check_excluded(listing: Listing, exclude: Sequence[str]) -> None:
    known = [case.name for case in listing.cases]
    unknown = [f"'{name}'" for name in exclude if name not in known]
    if unknown:
        raise OptionError(
            f"Setting exclude names {', '.join(unknown)}, which is no case of {listing.folder}. "
            f"Its cases: {_listed(known, 20)}."
        )


def _listed(names: Sequence[str], limit: int) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
