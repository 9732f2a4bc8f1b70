"""Fixtures that find reference outputs and real cases; a test whose data is absent skips and says so."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import slicer_folder
from checkout import shared_folder
from MissingModalityLib.imaging import plausibility

# Set before PyTorch is imported, and for child processes. The last digits of sums depend on the number of
# threads, so results are those of one thread however many workers share the cores, which would also fight.
os.environ["OMP_NUM_THREADS"] = "1"

if sys.version_info < (3, 12):
    # A C extension behind the panels (PySide, by all appearances) gives back references to True that it never
    # took; at its end Python would find less than none, and abort. From 3.12 on True cannot die.
    for _ in range(100_000):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(True))


def pytest_configure() -> None:
    """Tell in one line, before any test, that a Slicer was named and is not there."""
    try:
        slicer_folder.folder()
    except FileNotFoundError as error:
        raise pytest.UsageError(str(error)) from error


_LONG = ("panels", "project", "runtime", "training")
"""Folders whose tests start processes, for seconds each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that two workers that take file by file end at about the same time."""
    items.sort(key=lambda item: item.path.parent.name not in _LONG)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say that the panels ran on Slicer's own files: a run on the stand-ins looks the same."""
    root = slicer_folder.folder()
    if root is not None:
        package = slicer_folder.package(root)
        terminalreporter.write_line(f"Slicer's Python files were those of {package}.")


def _existing(path: Path, what: str) -> Path:
    if not path.exists():
        pytest.skip(f"{what} not found at {path}; set MISSINGMODALITY_SHARED to the shared folder")
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder; skips the test where there is none."""
    return _existing(shared_folder(), "the shared folder is")


@pytest.fixture(scope="session")
def golden(shared: Path) -> Callable[[str], Path]:
    """`golden("rfnet")` is the path of the reference outputs rfnet.npz."""
    return lambda name: _existing(
        shared / "golden" / f"{name.removesuffix('.npz')}.npz", f"reference '{name}' is"
    )


@pytest.fixture(scope="session")
def real_case(shared: Path) -> Callable[[str], Path]:
    """`real_case("BraTS2021_00019")` is the folder of that case, in whichever split it lies."""

    def find(name: str) -> Path:
        cases = shared / "data" / "cases"
        return next(cases.glob(f"*/{name}"), None) or _existing(cases / name, f"case '{name}' is")

    return find


@pytest.fixture(scope="session")
def tiny_cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `small_cases.write_block_cases`; not to be changed."""
    from small_cases import write_block_cases

    return write_block_cases(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `small_networks.write_student`; not to be changed."""
    from small_networks import write_student

    return write_student(tmp_path_factory.mktemp("student") / "tiny.safetensors")


@pytest.fixture
def flair(tmp_path: Path) -> Path:
    """A volume of a brain named flair.nii.gz."""
    from small_patient import write_brain

    return write_brain(tmp_path / "flair.nii.gz", seed=1)


@pytest.fixture
def replaced_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """`replaced_process(script)` makes child processes run a shell script instead of Python."""
    from child_process import replace_process

    return lambda script: replace_process(monkeypatch, tmp_path, script)


@pytest.fixture(scope="session", autouse=True)
def true_head_sizes() -> Iterator[dict[str, float]]:
    """Smallest sizes of heads, mm3, by name; tests do without them, because their phantoms are tiny."""
    names = ("SMALLEST_HEAD_MM3", "SMALLEST_BRAIN_MM3", "SMALL_BRAIN_MM3")
    sizes = {name: getattr(plausibility, name) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(plausibility, name, 0.0)
        yield sizes
