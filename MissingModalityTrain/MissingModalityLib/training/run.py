"""A training run on disk, from a folder of cases to a student file.

A run's folder holds ``run.json`` (recipe, settings, seed, cases, versions), ``prepared/`` (the case cache),
``checkpoint.pt`` (the state after the last whole epoch) and ``log.jsonl`` (one line per epoch).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import __version__, networks
from ..atomic import replacing
from ..cache import CachedCase, cache_case
from ..cases import Case, find_cases, split_cases
from ..devices import choose_device
from ..errors import CaseError, OptionError
from ..modalities import subset_name
from ..progress import Event
from ..student import Student
from .checkpoints import FILE_NAME, read_checkpoint
from .loop import Stage, fit
from .settings import RECIPES, Settings, from_json, resolve, to_json
from .supervised import Supervised


def train(
    data: Path,
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
        output: folder of the run, made if needed. With ``resume`` its checkpoint and settings are taken up.
        recipe: one of :data:`settings.RECIPES`.
        preset: "paper" or "quick".
        resume: go on after the last whole epoch; recipe, preset, seed and split are those of the run.
        seed: fixes everything random on one device.
        device: "auto", "cpu", "cuda" or "cuda:i".
        settings: texts by key, put over the preset (when resuming: over the run's own settings).
        convention: label convention, where the layout does not tell.
        progress: called with every step.

    Returns:
        ``output``.

    Raises:
        CaseError: no usable case, or ``output`` already holds another run.
        OptionError: unknown recipe, preset, setting or device, or a value out of range.
    """
    report = progress or (lambda event: None)
    place = choose_device(device)
    if resume:
        record = _read_record(output)
        options = _overridden(record, settings or {})
        read_checkpoint(output, torch.device("cpu"))
    else:
        options = resolve(recipe, preset, settings or {})
        record = _new_record(data, output, recipe, preset, seed, convention, options)
    torch.manual_seed(record["seed"])
    network = networks.build(RECIPES[record["recipe"]].network, **options.network)
    _check_crop(options, network.divisor)
    cases = _cache(record, output, report)
    if not resume:
        _write_json(output / "run.json", {**record, "settings": to_json(options)})
    held_out = [case for case in cases if case.name in record["validation"]]
    stage = Stage(
        name="train",
        folder=output,
        network=network.to(place),
        method=Supervised(options.fusion_start),
        cases=[case for case in cases if case.name not in record["validation"]],
        held_out=held_out,
        settings=options,
        seed=record["seed"],
        device=place,
        progress=report,
    )
    fit(stage, resume)
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
    state = read_checkpoint(run, torch.device("cpu"))
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
    data: Path, output: Path, recipe: str, preset: str, seed: int, convention: str | None, settings: Settings
) -> dict[str, Any]:
    if (output / FILE_NAME).exists():
        raise CaseError(
            f"{output} already holds a training run. Add --resume to go on, or choose another folder."
        )
    labelled = [
        case
        for case in find_cases(data, convention).cases
        if case.label and case.name not in settings.exclude
    ]
    if not labelled:
        raise CaseError(
            f"{data}: no case with a label was found, and training needs labels. Check the folder."
        )
    _, held_out = split_cases(labelled, settings.validation, seed) if settings.validation else (labelled, [])
    return {
        "data": str(Path(data).resolve()),
        "convention": convention,
        "recipe": recipe,
        "preset": preset,
        "seed": seed,
        "cases": {case.name: subset_name(case.images) for case in labelled},
        "validation": [case.name for case in held_out],
        "versions": {"missing_modality": __version__, "torch": torch.__version__},
        "settings": to_json(settings),
    }


def _overridden(record: dict[str, Any], overrides: Mapping[str, str]) -> Settings:
    """The run's own settings with overrides put over them (more epochs, say)."""
    return resolve(record["recipe"], record["preset"], overrides, from_json(record["settings"]))


def _check_crop(settings: Settings, divisor: int) -> None:
    if any(side % divisor for side in settings.crop):
        raise OptionError(
            f"Setting crop={settings.crop}: every side must be a multiple of {divisor} for this network."
        )


def _cache(record: dict[str, Any], output: Path, progress: Callable[[Event], None]) -> list[CachedCase]:
    """Prepared files of the run's cases."""
    cases = _cases_of(record)
    cached = []
    for number, case in enumerate(cases):
        progress(Event("prepare", number, len(cases), case.name))
        cached.append(cache_case(case, output / "prepared"))
    progress(Event("prepare", len(cases), len(cases)))
    return cached


def _cases_of(record: dict[str, Any]) -> Sequence[Case]:
    """The run's cases, found again; a case that has gone is an error, a new one is left alone."""
    found = {case.name: case for case in find_cases(Path(record["data"]), record["convention"]).cases}
    gone = [name for name in record["cases"] if name not in found]
    if gone:
        raise CaseError(
            f"{record['data']}: case '{gone[0]}' of this run is no longer there. Put it back to resume."
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
