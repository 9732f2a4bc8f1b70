"""What a launcher says of a process is read in one place, and read without PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.runtime import ranks
from processes import environment

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_a_process_that_nobody_launched_is_alone() -> None:
    assert (ranks.launched_rank(), ranks.launched_local_rank(), ranks.launched_world_size()) == (0, 0, 1)
    assert not ranks.was_relaunched()


def test_what_the_launcher_says_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES[:3], ("5", "1", "8"), strict=True):
        monkeypatch.setenv(name, value)
    assert (ranks.launched_rank(), ranks.launched_local_rank(), ranks.launched_world_size()) == (5, 1, 8)


def test_one_of_several_processes_is_told_its_number_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="LOCAL_RANK"):
        ranks.launched_local_rank()


@pytest.mark.parametrize("name", NAMES[3:])
@pytest.mark.parametrize(("count", "relaunched"), [("", False), ("0", False), ("2", True)])
def test_a_restart_is_noticed(
    name: str, count: str, relaunched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, count)
    assert ranks.was_relaunched() == relaunched


def test_what_panels_read_of_a_run_loads_no_torch() -> None:
    code = (
        "import sys; from MissingModalityLib.runtime import background, jobs, processes, ranks; "
        "from MissingModalityLib.training import log, record, request, run_folder, status; "
        "assert not {'torch', 'monai', 'SimpleITK'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
