"""What `compare_trees.py` runs inside one checkout, whose library is on PYTHONPATH; public names alone.

python tree_probe.py interface               public names with their parameters, as JSON
python tree_probe.py accepts JSON            which keywords of classes with defaults are refused
python tree_probe.py cases FOLDER            small labeled cases of BraTS 2021
python tree_probe.py train STEP CODE JSON    mm.train(**JSON), which ends with exit code CODE at that step
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import sys
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import MissingModalityLib as mm

COARSE = {"shape": (44, 54, 46), "spacing": (4.0, 4.0, 4.0)}
PATIENTS = (("flair", "t1ce", "t1", "t2"), ("flair", "t1ce", "t1", "t2"), ("flair", "t1ce"))
"""Files of each patient: one lacks sequences."""


def interface() -> dict[str, Any]:
    """Functions with the names of their parameters; classes of settings with their keywords and defaults."""
    found: dict[str, Any] = {"functions": {}, "classes": {}}
    for name in mm.__all__:
        item = getattr(mm, name)
        if inspect.isclass(item):
            found["classes"][name] = _plain_defaults(item) if is_dataclass(item) else {}
        elif callable(item):
            found["functions"][name] = list(inspect.signature(item).parameters)
    return found


def _plain_defaults(item: type) -> dict[str, str]:
    """Defaults that can be written down, by keyword, of a class that can be made without arguments."""
    parameters = inspect.signature(item).parameters.values()
    if any(each.default is each.empty for each in parameters):
        return {}
    kinds = (bool, int, float, str, tuple)  # a dictionary's default is a factory
    return {each.name: repr(each.default) for each in parameters if isinstance(each.default, kinds)}


def accepts(classes: dict[str, dict[str, str]]) -> dict[str, str]:
    """Why a class of that name, or one of its keywords with its default, is refused."""
    refused = {}
    for name, defaults in classes.items():
        if not hasattr(mm, name):
            refused[name] = "no such class"
            continue
        for keyword, default in defaults.items():
            try:
                getattr(mm, name)(**{keyword: ast.literal_eval(default)})
            except (TypeError, mm.MissingModalityError) as error:
                refused[f"{name}({keyword}={default})"] = str(error)
    return refused


def write_cases(folder: Path) -> None:
    """Phantoms on a coarse grid whose voxels are then called 1 mm: brains the size of a plum."""
    import numpy as np
    import SimpleITK as sitk

    for seed, names in enumerate(PATIENTS):
        volumes, label = mm.grow_patient(seed, **COARSE)
        classes = sitk.GetArrayFromImage(label)
        images = {modality.name.lower(): sitk.GetArrayFromImage(each) for modality, each in volumes.items()}
        arrays = {name: images[name] for name in names}
        arrays["seg"] = np.where(classes == 3, 4, classes).astype(np.uint8)
        case = folder / f"patient_{seed:04d}"
        case.mkdir(parents=True)
        for name, array in arrays.items():
            sitk.WriteImage(sitk.GetImageFromArray(array), str(case / f"{name}.nii.gz"))


def train(step: int, code: int, arguments: dict[str, Any]) -> None:
    """Train, and end the process without any cleaning up at that optimizer step, counted over all stages."""
    done = 0

    def watch(event: mm.Event) -> None:
        nonlocal done
        done += "loss" in event.values
        if done == step:
            os._exit(code)

    mm.train(**arguments, on_progress=watch)


def main(command: str, *arguments: str) -> None:
    if command == "interface":
        print(json.dumps(interface()))
    elif command == "accepts":
        print(json.dumps(accepts(json.loads(arguments[0]))))
    elif command == "cases":
        write_cases(Path(arguments[0]))
    elif command == "train":
        train(int(arguments[0]), int(arguments[1]), json.loads(arguments[2]))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
