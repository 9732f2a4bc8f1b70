"""``checkpoint.pt``: the state of a stage between two epochs; a killed run never leaves a broken one.

A dictionary that ``torch.save`` writes, of tensors and plain values only. ``stage`` and ``epoch`` say where
the run stands (``epoch`` counts those that are over, 0 before the first), and ``steps`` how many steps the
optimizer has made in the stage, which earlier versions did not count; ``network``, ``optimizer``, ``scaler``
and ``method`` are the states of these parts, the scaler's empty unless the precision is float16; ``averaged``
is the state of the running average of the weights, in runs that have one.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import StudentError
from ..core.files import atomic_write, explain_write_errors
from ..inference.weights import first_not_finite
from .run_folder import RunFolder
from .settings import Settings

_WEIGHTS = ("network", "averaged")
"""Parts of a state that a student is made of."""


def tensors_in(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in a nested state, each under its path in it, such as ``network.body.weight``."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, (Mapping, list, tuple)):
        for key, part in state.items() if isinstance(state, Mapping) else enumerate(state):
            yield from tensors_in(part, f"{name}.{key}" if name else str(key))


def write_checkpoint(folder: RunFolder, state: dict[str, Any]) -> None:
    """Replace the checkpoint of ``folder`` by ``state`` (tensors and plain values) in one step.

    Raises:
        StudentError: it cannot be written, say because the disk is full; the last one is as it was.
    """
    path = folder.checkpoint
    whole = io.BytesIO()  # torch, writing to a file, would hide what the file system says
    torch.save(state, whole)
    remedy = "The last checkpoint is whole: free some space and resume."
    with explain_write_errors(path, remedy, StudentError), atomic_write(path) as temporary:
        temporary.write_bytes(whole.getbuffer())


def steps_of_stage(state: Mapping[str, Any], settings: Settings) -> int:
    """Steps that a stage has made until a state; where that was not counted, as many as its settings make."""
    return int(state.get("steps", state["epoch"] * settings.iterations_per_epoch))


def read_checkpoint(folder: RunFolder) -> dict[str, Any]:
    """The last whole state, on the CPU; tensors and plain values only, so nothing in the file can run.

    Raises:
        StudentError: there is none, it is damaged, or a weight in it is no number.
    """
    path = folder.checkpoint
    if not path.is_file():
        raise StudentError(
            f"{path}: there is no checkpoint. If the run was stopped while its cases were prepared, start it "
            "again without --resume; else choose the folder of a training run."
        )
    try:
        _check_bytes(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        _check(state)
    except Exception as error:  # there is hardly an error that a flipped bit cannot cause
        raise StudentError(
            f"{path}: the checkpoint is damaged ({error}). Put back a copy, or delete it and start the run "
            "again."
        ) from error
    return state


def _check_bytes(path: Path) -> None:
    """Hold the bytes against the checksums beside them, which torch does not look at.

    Raises:
        ValueError: naming the part that is not what was written, or is packed, as torch packs none: a few
            kilobytes would unpack to gigabytes.
        zipfile.BadZipFile: it is no archive of torch at all.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > path.stat().st_size:
                raise ValueError(f"{entry.filename} is packed")
        part = archive.testzip()
    if part is not None:
        raise ValueError(f"{part} is not what was written")


def _check(state: Any) -> None:
    """Refuse what is no state of a run, or one whose weights are no numbers.

    Raises:
        KeyError, TypeError, ValueError: naming what is wrong.
    """
    kinds = {"stage": str, "epoch": int, "network": dict}
    lacking = [part for part, kind in kinds.items() if not isinstance(state[part], kind)]
    if lacking:
        raise ValueError(f"its {lacking[0]} is none")
    if isinstance(state["epoch"], bool) or state["epoch"] < 0:
        raise ValueError(f"its epoch is {state['epoch']}")
    if type(state.get("steps", 0)) is not int or state.get("steps", 0) < 0:
        raise ValueError(f"its steps are {state['steps']!r:.60}")
    name = first_not_finite(dict(tensors_in({part: state[part] for part in _WEIGHTS if part in state})))
    if name is not None:
        raise ValueError(f"{name} holds NaN or infinity")
