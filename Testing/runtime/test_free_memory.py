"""What a training can take of main memory, from what Linux tells of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from MissingModalityLib.runtime import free_memory as room
from MissingModalityLib.runtime.free_memory import free_memory

CPU = torch.device("cpu")
GIB = 2**30


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A computer of 64 GiB, 40 of which are free, with folders for what it tells."""
    monkeypatch.setattr(room, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(room, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(room, "memory_of", lambda device: 64 * GIB)
    told(tmp_path / "proc" / "meminfo", f"MemTotal: {64 * 2**20} kB\nMemAvailable:   {40 * 2**20} kB\n")
    return tmp_path


def told(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_other_programs_hold_is_not_free(system: Path) -> None:
    assert free_memory(CPU) == 40 * GIB


@pytest.mark.parametrize(
    ("group", "file"),
    [
        ("0::/job_7/step_0", "groups/job_7/memory.max"),
        ("0::/", "groups/memory.max"),
        ("9:cpu:/else\n4:hugetlb,memory:/docker/3f", "groups/memory/memory.limit_in_bytes"),
    ],
)
def test_a_job_or_container_has_what_it_may_take(system: Path, group: str, file: str) -> None:
    told(system / "proc" / "self" / "cgroup", f"{group}\n")
    told(system / file, f"{16 * GIB}\n")
    assert free_memory(CPU) == 16 * GIB


def test_a_group_without_limit_may_take_all_that_is_free(system: Path) -> None:
    told(system / "proc" / "self" / "cgroup", "0::/user.slice\n")
    told(system / "groups" / "user.slice" / "memory.max", "max\n")
    assert free_memory(CPU) == 40 * GIB


def test_a_system_that_tells_nothing_of_what_is_free_has_all_of_it(system: Path, monkeypatch) -> None:
    (system / "proc" / "meminfo").unlink()
    assert free_memory(CPU) == 64 * GIB
    monkeypatch.setattr(room, "memory_of", lambda device: 0)
    assert free_memory(CPU) == 0
