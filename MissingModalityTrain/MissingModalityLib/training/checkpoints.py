"""The state of a stage between two epochs, written so that a killed run never leaves a broken one."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from ..atomic import replacing
from ..errors import StudentError

FILE_NAME = "checkpoint.pt"


def write_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint of ``folder`` by ``state`` (tensors and plain values) in one step.

    Raises:
        StudentError: it cannot be written, say because the disk is full; the last one is as it was.
    """
    path = folder / FILE_NAME
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as error:  # torch wraps what the file system says
        raise StudentError(
            f"{path}: the checkpoint cannot be written ({error}). The last one is whole: free some space and "
            "resume."
        ) from error


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The last whole state, on the CPU; tensors and plain values only, so nothing in the file can run.

    Raises:
        StudentError: there is none, or it is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise StudentError(
            f"{path}: there is no checkpoint. Train first, or choose the folder of a training run."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise StudentError(f"{path}: the checkpoint is damaged ({error}). Start the run again.") from error
