"""Memory freed by one step of training is there for the next one, and for the system after the last."""

from __future__ import annotations

import sys

import pytest
import torch

from MissingModalityLib.runtime.freed_memory import freed_memory_kept

resource = pytest.importorskip("resource")
MEGABYTES = 40
PAGES = MEGABYTES * 2**20 // 4096
"""That a tensor of so many megabytes takes; more than glibc ever keeps by itself."""


def _use_and_free() -> int:
    """Pages that the system had to hand out for a tensor which is freed again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(MEGABYTES * 2**18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_what_a_step_freed_costs_the_next_one_no_new_pages_and_is_given_back_at_the_end() -> None:
    with freed_memory_kept():
        assert [_use_and_free() for _ in range(8)][-1] < PAGES / 10, "holes fit after some"
    assert _use_and_free() > PAGES / 2


def test_an_error_in_between_gives_it_back_too() -> None:
    with pytest.raises(ZeroDivisionError), freed_memory_kept():
        _use_and_free()
        raise ZeroDivisionError
    assert _use_and_free() > PAGES / 2 or sys.platform != "linux"
