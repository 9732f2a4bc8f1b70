"""Batches of an epoch, made by processes beside the training one or in it, and the time spent on them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, default_collate

from ..core.errors import MissingModalityError, OptionError
from ..runtime import distributed
from .samples import PatchDataset, steps_of_rank


def batches(patches: PatchDataset, device: torch.device) -> DataLoader:
    """The batches of an epoch that fall to this process.

    Args:
        patches: of the epoch; workers hold a copy of it.
        device: that they will be sent to.
    """
    settings = patches.settings
    return DataLoader(
        patches,
        batch_sampler=list(steps_of_rank(settings, distributed.rank(), distributed.world())),
        # numbers alone are drawn faster than another process could hand them over
        collate_fn=_batch,
        num_workers=min(settings.num_workers, os.cpu_count() or 1) if patches.cut else 0,
        pin_memory=device.type == "cuda",  # else copies that should not block would
    )


def _batch(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Samples stacked; a single one is not copied for it."""
    return _with_axis(samples[0]) if len(samples) == 1 else default_collate(samples)


def _with_axis(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_axis(part) for name, part in value.items()}
    return torch.as_tensor(value)[None]


class DataTimer:
    """How much of the time of a loop it waits for its next batch."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._waited = 0.0

    def timed(self, batches: DataLoader) -> Iterator[dict[str, Any]]:
        """The batches, as they come."""
        asked = time.perf_counter()
        for batch in batches:
            self._waited += time.perf_counter() - asked
            yield batch
            asked = time.perf_counter()

    def data_wait_fraction(self) -> float:
        """0 to 1, since the timer was made."""
        return round(self._waited / max(time.perf_counter() - self._began, 1e-9), 4)


@contextmanager
def errors_of_workers() -> Iterator[None]:
    """What goes wrong in the processes of a DataLoader, as one message."""
    try:
        yield
    except MissingModalityError as error:
        # a worker wraps the message in its traceback
        error.args = (str(error).rpartition(f"{type(error).__name__}: ")[2].rstrip(),)
        raise
    except (RuntimeError, ConnectionError, EOFError) as error:
        # one that is killed while it hands something over breaks the connection
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise OptionError(
            f"A process that cuts crops has ended ({error}). Memory may have run out: lower "
            "num_workers, to 0 if need be, and resume."
        ) from error
