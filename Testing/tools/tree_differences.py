"""How results of two checkouts differ, as texts; empty where they do not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from safetensors.torch import load_file

VOLUMES = (".nii.gz", ".nrrd")
CLOCK = {"seconds", "waiting"}
"""Keys of a log line that no two runs have alike."""

CIRCUMSTANCES = {"seconds", "date", "versions", "device"}
"""Keys of an evaluation's summary that are not about its scores."""


def volumes(before: Path, after: Path) -> str:
    """Of all volumes below two folders: names, voxels to the bit, and where they lie."""
    names = [
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name.endswith(VOLUMES)}
        for folder in (before, after)
    ]
    if not names[0]:
        return f"no volumes in {before}"
    if names[0] != names[1]:
        return f"files are not the same: {_some(names[0] ^ names[1])}"
    found = {name: _voxels(before / name, after / name) for name in sorted(names[0])}
    return _some(f"{name}: {text}" for name, text in found.items() if text)


def _voxels(before: Path, after: Path) -> str:
    first, second = sitk.ReadImage(str(before)), sitk.ReadImage(str(after))
    for place in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection", "GetPixelID"):
        if getattr(first, place)() != getattr(second, place)():
            return f"{place[3:]} {getattr(first, place)()} against {getattr(second, place)()}"
    one, other = sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second)
    count = int((one != other).sum())
    return f"{count} of {one.size} voxels" if count else ""


def students(before: Path, after: Path) -> str:
    """Of two student files: names, shapes and bits of the weights."""
    return weights(load_file(before), load_file(after))


def checkpoints(before: Path, after: Path) -> str:
    """Of two checkpoints of runs: the network's weights."""
    states = [torch.load(path, map_location="cpu", weights_only=True) for path in (before, after)]
    return weights(*(state["network"] for state in states))


def weights(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> str:
    """Of two networks' weights by name: bits rather than values, so that NaN equals NaN."""
    if before.keys() != after.keys():
        return f"names are not the same: {_some(before.keys() ^ after.keys())}"
    return _some(name for name, tensor in before.items() if not _same_bits(tensor, after[name]))


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    alike = one.shape == other.shape and one.dtype == other.dtype
    return alike and np.array_equal(*(np.atleast_1d(x.numpy()).view(np.uint8) for x in (one, other)))


def logs(before: Path, after: Path) -> str:
    """Of two `log.jsonl`: every number but those of the clock."""
    lines = [path.read_text("utf-8").splitlines() for path in (before, after)]
    return records(*(list(map(json.loads, texts)) for texts in lines), CLOCK)


def evaluations(before: Path, after: Path) -> str:
    """Of two folders that `evaluate` has written: all scores and what is made of them."""
    tables = [(folder / "cases.csv").read_text("utf-8") for folder in (before, after)]
    if tables[0] != tables[1]:
        return "cases.csv"
    summaries = [(folder / "summary.json").read_text("utf-8") for folder in (before, after)]
    return records(*map(json.loads, summaries), CIRCUMSTANCES)


def records(before: Any, after: Any, ignored: Iterable[str] = ()) -> str:
    """Where two parsed JSON texts differ first; keys that only the second one has do not matter."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        compared = [key for key in before if key not in ignored]
        missing = [key for key in compared if key not in after]
        if missing:
            return f"no {_some(missing)}"
        parts = [(f"{key}: ", before[key], after[key]) for key in compared]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        parts = [(f"[{index}] ", *pair) for index, pair in enumerate(zip(before, after, strict=True))]
    else:
        both_nan = before != before and after != after
        return "" if before == after or both_nan else f"{before} against {after}"
    found = ((place, records(one, other, ignored)) for place, one, other in parts)
    return next((place + text for place, text in found if text), "")


def _some(names: Iterable[str], most: int = 3) -> str:
    """The first few of them."""
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
