"""What Slicer's build and pip find here: nothing forgotten, nothing missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from checkout import MODULES, ROOT, bundled_files


def cmake_list(folder: Path, name: str) -> list[str]:
    """The entries of `set(name ...)` in a folder's CMakeLists.txt."""
    text = re.sub(r"#.*", "", (folder / "CMakeLists.txt").read_text("utf-8"))
    found = re.search(rf"\bset\({name}\s([^)]*)\)", text)
    assert found, f"{folder.name}/CMakeLists.txt sets no {name}"
    return found[1].split()


def test_every_bundled_model_is_packaged() -> None:
    models = ROOT / "Resources" / "Models"
    for file in bundled_files(models) if models.is_dir() else []:
        entry = f"Resources/Models/{file}"
        assert entry in cmake_list(ROOT, "MODELS"), f"add the line '  {entry}' to MODELS in CMakeLists.txt"


def test_every_packaged_model_exists_and_is_named_once() -> None:
    entries = cmake_list(ROOT, "MODELS")
    absent = [entry for entry in entries if not (ROOT / entry).is_file()]
    assert not absent, f"CMakeLists.txt names files in MODELS that do not exist: {absent}"
    assert len(entries) == len(set(entries))


def test_one_version_everywhere() -> None:
    import MissingModalityLib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "MissingModalityLib.__version__"}
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert citation and citation[1] == MissingModalityLib.__version__


def test_wheel_holds_the_library_and_the_models(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    for folder in ("MissingModalityTrain", "Resources/Models"):
        if (ROOT / folder).is_dir():
            shutil.copytree(
                ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = set(wheel.namelist())
    library = {file for file in bundled_files(ROOT / MODULES[1]) if file.startswith("MissingModalityLib/")}
    models = {f"MissingModalityLib/{entry}" for entry in cmake_list(ROOT, "MODELS")}
    assert library | models <= packed
