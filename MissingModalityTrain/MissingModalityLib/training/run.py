"""A training run on disk, from a folder of cases to a student file.

A run's folder holds ``run.json`` (recipe, settings, seed, cases, what was left out, versions), ``prepared/``
(the case cache), ``checkpoint.pt`` (the state after the last whole epoch) and ``log.jsonl`` (one line per
epoch).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__, networks
from ..atomic import replacing
from ..cache import CachedCase, cache_case
from ..cases import Case, Listing, find_cases, split_cases
from ..devices import choose_device
from ..errors import CaseError, OptionError
from ..modalities import subset_name
from ..progress import Event
from ..regions import TumorClass
from ..student import Student
from .checkpoints import FILE_NAME, read_checkpoint
from .loop import Stage, Trainer
from .settings import RECIPES, Settings, from_json, resolve, to_json
from .supervised import Supervised

_FIXED = ("exclude", "validation", "network")
"""Settings that decide the cases and the weights of a run, and so cannot change when it resumes."""

_NAMED = 5
"""Left-out names per reason in the progress message; run.json has them all."""


def train(
    data: Path | None,
    output: Path,
    recipe: str = "segresnet",
    preset: str = "quick",
    resume: bool = False,
    seed: int = 0,
    device: str = "auto",
    settings: Mapping[str, str] | None = None,
    convention: str | None = None,
    progress: Callable[[Event], None] | None = None,
) -> Path:
    """Train a network on a folder of cases.

    Args:
        data: folder in any layout that :func:`cases.find_cases` knows; cases without a label are left out.
            With ``resume`` it may be None; another folder than before means that the data have moved.
        output: folder of the run, made if needed. With ``resume`` its checkpoint and settings are taken up.
        recipe: one of :data:`settings.RECIPES`.
        preset: "paper" or "quick".
        resume: go on after the last whole epoch. Recipe, preset, seed, convention, cases and split are those
            of the run, whatever is given here.
        seed: fixes everything random. On one CPU device the result is the same to the bit, resumed or not; on
            CUDA some kernels add in an order of their own, and results differ a little from run to run.
        device: "auto", "cpu", "cuda" or "cuda:i".
        settings: texts by key, put over the preset (when resuming: over the run's own settings, for good).
        convention: label convention, where the layout does not tell.
        progress: called with every step.

    Returns:
        ``output``.

    Raises:
        CaseError: no usable case, or ``output`` already holds another run.
        StudentError: nothing to resume, or the checkpoint is damaged.
        OptionError: unknown recipe, preset, setting, case or device, a value out of range, or one that cannot
            change when resuming.
    """
    output, report = Path(output), progress or (lambda event: None)
    place = choose_device(device)
    if resume:
        record, state = _resumed_record(data, output, settings or {}), read_checkpoint(output)
    else:
        options = resolve(recipe, preset, settings or {})
        record, state = _new_record(data, output, recipe, preset, seed, convention, options), None
    options = from_json(record["settings"])
    torch.manual_seed(record["seed"])
    network = networks.build(RECIPES[record["recipe"]].network, **options.network)
    _check_network(options, network)
    cases = _cache(record, output, report)
    trainer = Trainer(
        Stage(
            name="train",
            folder=output,
            network=network.to(place),
            method=Supervised(options.fusion_start),
            cases=[case for case in cases if case.name not in record["validation"]],
            held_out=[case for case in cases if case.name in record["validation"]],
            settings=options,
            seed=record["seed"],
            device=place,
            progress=report,
        )
    )
    if state:
        trainer.restore(state)
    _write_json(output / "run.json", record)
    trainer.fit()
    return output


def export(run: Path, output: Path, card: Mapping[str, Any] | None = None) -> Path:
    """Write the student of a run's last checkpoint.

    Args:
        run: folder of the run, finished or not.
        output: the .safetensors file to write.
        card: further facts for the header, e.g. ``{"license": "..."}``.

    Raises:
        CaseError: ``run`` is not a training run.
        StudentError: it has no whole checkpoint, or ``output`` cannot be written.
        OptionError: ``output`` does not end in .safetensors.
    """
    run, output = Path(run), Path(output)
    if output.suffix != ".safetensors":
        raise OptionError(f"{output}: a student file ends in .safetensors. Give it that ending.")
    record = _read_record(run)
    settings = from_json(record["settings"])
    state = read_checkpoint(run)
    network = networks.build(RECIPES[record["recipe"]].network, **settings.network)
    if "averaged" in state:
        prefix = "module."
        weights = {
            name.removeprefix(prefix): value
            for name, value in state["averaged"].items()
            if name.startswith(prefix)
        }
    else:
        weights = state["network"]
    network.load_state_dict(weights)
    training = {
        "recipe": record["recipe"],
        "preset": record["preset"],
        "settings": record["settings"],
        "seed": record["seed"],
        "epochs_done": state["epoch"],
        "cases": record["cases"],
        "validation": record["validation"],
        "versions": record["versions"],
    }
    Student(network, {"window": list(settings.crop), "training": training, **(card or {})}).save(
        output, half=True
    )
    return output


def _new_record(
    data: Path | None,
    output: Path,
    recipe: str,
    preset: str,
    seed: int,
    convention: str | None,
    settings: Settings,
) -> dict[str, Any]:
    if (output / FILE_NAME).exists():
        raise CaseError(
            f"{output} already holds a training run. Add --resume to go on, or choose another folder."
        )
    if data is None:
        raise OptionError("No data to train on. Give the folder that holds the cases.")
    listing = find_cases(data, convention)
    _check_excluded(listing, settings.exclude)
    labeled = [case for case in listing.cases if case.label and case.name not in settings.exclude]
    if not labeled:
        raise CaseError(
            f"{data}: no case with a label was found, and training needs labels. Check the folder."
        )
    _, held_out = split_cases(labeled, settings.validation, seed) if settings.validation else (labeled, [])
    return {
        "data": str(Path(data).resolve()),
        "convention": convention,
        "recipe": recipe,
        "preset": preset,
        "seed": seed,
        "cases": {case.name: subset_name(case.images) for case in labeled},
        "validation": [case.name for case in held_out],
        "left_out": _left_out(listing, settings.exclude),
        "versions": {"missing_modality": __version__, "torch": torch.__version__},
        "settings": to_json(settings),
    }


def _resumed_record(data: Path | None, output: Path, overrides: Mapping[str, str]) -> dict[str, Any]:
    """The run's own record with overrides put over its settings (more epochs, say)."""
    record = _read_record(output)
    settings = to_json(resolve(record["recipe"], record["preset"], overrides, from_json(record["settings"])))
    for name in _FIXED:
        # as JSON, because the record has lists where settings may have tuples
        if json.dumps(settings[name]) != json.dumps(record["settings"][name]):
            raise OptionError(
                f"{output}: the setting {name} is fixed by the run and cannot change when it resumes. "
                "Leave it out, or start a new run in another folder."
            )
    return {
        **record,
        "data": record["data"] if data is None else str(Path(data).resolve()),
        "settings": settings,
    }


def _check_excluded(listing: Listing, exclude: Sequence[str]) -> None:
    known = [case.name for case in listing.cases]
    unknown = [f"'{name}'" for name in exclude if name not in known]
    if unknown:
        raise OptionError(
            f"Setting exclude names {', '.join(unknown)}, which is no case of {listing.folder}. "
            f"Its cases: {_listed(known, 20)}."
        )


def _left_out(listing: Listing, exclude: Sequence[str]) -> list[dict[str, str]]:
    """Cases and files of a listing that a run does not use, and why."""
    reasons = {case.name: "no label" for case in listing.cases if not case.label}
    reasons |= {name: "excluded" for name in exclude}
    for entry in listing.skipped:
        reasons[Path(os.path.relpath(entry.path, listing.folder)).as_posix()] = entry.reason
    return [{"name": name, "reason": reason} for name, reason in reasons.items()]


def _describe(record: Mapping[str, Any]) -> str:
    """What a run trains on and what it leaves out, on one line."""
    held_out = len(record["validation"])
    parts = [f"{len(record['cases']) - held_out} cases to train on, {held_out} to validate on"]
    if record["settings"]["validation"] and not held_out:
        parts.append("no validation, because all cases are of one patient")
    reasons: dict[str, list[str]] = {}
    for entry in record.get("left_out", ()):
        reasons.setdefault(entry["reason"], []).append(entry["name"])
    parts += [
        f"left out {len(names)} ({reason}): {_listed(names, _NAMED)}" for reason, names in reasons.items()
    ]
    return "; ".join(parts)


def _listed(names: Sequence[str], limit: int) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _check_network(settings: Settings, network: nn.Module) -> None:
    if any(side % network.divisor for side in settings.crop):
        raise OptionError(
            f"Setting crop={settings.crop}: every side must be a multiple of {network.divisor} for "
            "this network."
        )
    if network.options.get("classes", len(TumorClass)) != len(TumorClass):
        raise OptionError(
            f"Setting network.classes={network.options['classes']}: labels have {len(TumorClass)} classes, "
            "background included. Leave it out."
        )


def _cache(record: dict[str, Any], output: Path, progress: Callable[[Event], None]) -> list[CachedCase]:
    """Prepared files of the run's cases."""
    cases = _cases_of(record)
    cached = []
    for number, case in enumerate(cases):
        progress(Event("prepare", number, len(cases), case.name))
        cached.append(cache_case(case, output / "prepared"))
    progress(Event("prepare", len(cases), len(cases), _describe(record)))
    return cached


def _cases_of(record: dict[str, Any]) -> Sequence[Case]:
    """The run's cases, found again; a case that has gone is an error, a new one is left alone."""
    found = {case.name: case for case in find_cases(Path(record["data"]), record["convention"]).cases}
    gone = [name for name in record["cases"] if name not in found]
    if gone:
        raise CaseError(
            f"{record['data']}: case '{gone[0]}' of this run is not there. Put it back, or give the "
            "folder that the data moved to."
        )
    return [found[name] for name in record["cases"]]


def _read_record(run: Path) -> dict[str, Any]:
    path = Path(run) / "run.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CaseError(
            f"{run} is no training run: it has no run.json. Choose the folder given to --output."
        ) from None
    except (OSError, ValueError) as error:
        raise CaseError(f"{path}: cannot be read ({error}). Start the run again.") from error


def _write_json(path: Path, record: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2), encoding="utf-8")
