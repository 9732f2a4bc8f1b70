"""The extension built and installed by its own CMake files, and programs that see this copy alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import ROOT, shared_folder

SOURCES = ("CMakeLists.txt", "MissingModalitySeg", "MissingModalityTrain", "Resources/Models", "Testing")
generated = shutil.ignore_patterns("__pycache__", "*.egg-info", ".pytest_cache")


def tool(name: str) -> str:
    """`cmake` or `ctest`: of the system, or of the Python package cmake; without it the test skips."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"{name} not found; `pip install cmake` brings it")
    return found


def run(*command: object, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    """Run a program to its end, whatever the end is; standard error goes into the output."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def copy_sources(folder: Path) -> Path:
    """What CMake needs of the checkout, for tests that break it."""
    for name in SOURCES:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=generated)
        else:
            shutil.copy(source, target)
    return folder


def configure(source: Path, build: Path) -> subprocess.CompletedProcess:
    """Run CMake on the extension with the stand-in for Slicer."""
    options = {
        "Slicer_DIR": ROOT / "Testing" / "slicer_build",
        "STAND_IN_PYTHON": sys.executable,
        "BUILD_TESTING": "ON",
    }
    # Nothing is compiled, so a machine without compilers will do.
    for language in ("C", "CXX"):
        options[f"CMAKE_{language}_COMPILER"] = tool("cmake")
        options[f"CMAKE_{language}_COMPILER_FORCED"] = "ON"
    given = [f"-D{name}={value}" for name, value in options.items()]
    return run(tool("cmake"), "-S", source, "-B", build, *given)


def install(source: Path, folder: Path) -> Path:
    """Configure, into folder/build, and install; returns the folder of modules, as Slicer has it."""
    build, installed = folder / "build", folder / "installed"
    done = configure(source, build)
    assert done.returncode == 0, done.stdout
    done = run(tool("cmake"), "--install", build, "--prefix", installed)
    assert done.returncode == 0, done.stdout
    return installed / "lib" / "Slicer-5.12" / "qt-scripted-modules"


def files_of(modules: Path) -> set[str]:
    """What is installed there, relative to it."""
    return {
        path.relative_to(modules).as_posix()
        for path in modules.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run_python(modules: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    """Python with the installed modules and a copy of the tests, and nothing else of the checkout."""
    if not (folder / "Testing").exists():
        shutil.copytree(ROOT / "Testing", folder / "Testing", ignore=generated)
        (folder / "Resources" / "Docs").mkdir(parents=True)
        for name in ("README.md", "Resources/Docs/python.md", "pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
    return run(
        sys.executable,
        *arguments,
        folder=folder,
        PYTHONPATH=os.pathsep.join(map(str, (modules, folder / "Testing" / "helpers"))),
        MISSINGMODALITY_SHARED=str(shared_folder()),
    )
