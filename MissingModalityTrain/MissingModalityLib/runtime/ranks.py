"""Which of several processes this one is, as torchrun says it in the environment; imports no torch.

A process that torchrun did not start is rank 0 of a world of 1.
"""

from __future__ import annotations

import os

from ..core.errors import OptionError

_RESTART_COUNTS = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")


def launched_rank() -> int:
    """Number of this process over all machines, from 0."""
    return _whole_number("RANK", 0)


def launched_local_rank() -> int:
    """Number of this process on its machine, from 0; its CUDA device has the same.

    Raises:
        OptionError: one of several processes was started without it, so all would take the first device.
    """
    if launched_world_size() > 1 and not os.environ.get("LOCAL_RANK"):
        raise OptionError(
            "WORLD_SIZE is set and LOCAL_RANK is not, so processes cannot share the devices. Start them by "
            "torchrun, or set LOCAL_RANK for each (with srun: LOCAL_RANK=$SLURM_LOCALID)."
        )
    return _whole_number("LOCAL_RANK", 0)


def launched_world_size() -> int:
    """How many processes were launched for one command."""
    return _whole_number("WORLD_SIZE", 1)


def was_relaunched() -> bool:
    """Whether torchrun or Slurm has started this process anew after a failure."""
    return any(_whole_number(name, 0) for name in _RESTART_COUNTS)


def _whole_number(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)
