"""Slicer's own Python files are found in an installed Slicer and in its sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import slicer_folder

LAYOUTS = {
    "installed": ("bin/Python/slicer", "lib/Slicer-5.12/qt-scripted-modules"),
    "on a Mac": ("Contents/bin/Python/slicer", "Contents/lib/Slicer-5.12/qt-scripted-modules"),
    "sources": ("Base/Python/slicer", "Modules/Scripted/SampleData"),
    "files alone": ("slicer", "."),
}


def make_slicer(root: Path, package: str, samples: str) -> None:
    """The files by which a Slicer is known, all empty."""
    files = [f"{package}/{name}" for name in slicer_folder.NEEDED]
    for file in (*files, f"{samples}/SampleData.py"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


@pytest.mark.parametrize(("package", "samples"), LAYOUTS.values(), ids=LAYOUTS)
def test_files_are_found_from_every_folder_of_slicer_that_people_may_name(
    tmp_path: Path, package: str, samples: str
) -> None:
    make_slicer(tmp_path, package, samples)
    for place in (".", package, Path(package).parent, samples, Path(samples).parent):
        named = (tmp_path / place).resolve()
        if named.is_relative_to(tmp_path):
            assert slicer_folder.package(named).samefile(tmp_path / package)
            assert slicer_folder.sample_data(named).samefile(tmp_path / samples / "SampleData.py")


def test_the_application_of_a_mac_is_found_where_it_was_dragged_to(tmp_path: Path) -> None:
    make_slicer(tmp_path, *(f"Slicer.app/{place}" for place in LAYOUTS["on a Mac"]))
    inside = tmp_path / "Slicer.app" / "Contents"
    for named in (tmp_path, inside.parent, inside):
        assert slicer_folder.package(named).samefile(inside / "bin" / "Python" / "slicer")
        assert slicer_folder.sample_data(named) is not None


def test_a_package_alone_has_no_sample_data(tmp_path: Path) -> None:
    make_slicer(tmp_path, ".", "elsewhere/deep")
    assert slicer_folder.package(tmp_path).samefile(tmp_path)
    assert slicer_folder.sample_data(tmp_path) is None


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("empty", r"/empty: neither a Slicer nor its sources.*bin/Python/slicer, .* below it\."),
        ("nowhere", r"/nowhere: there is no such folder\."),
        ("old", r"lacks i18n\.py, parameterNodeWrapper\. Slicer 5\.10 or later has it\."),
        ("", "is set and empty"),
    ],
)
def test_a_folder_that_is_no_slicers_is_told(
    tmp_path: Path, named: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "ScriptedLoadableModule.py").touch()
    monkeypatch.setenv(slicer_folder.VARIABLE, str(tmp_path / named) if named else "")
    with pytest.raises(FileNotFoundError, match=told):
        slicer_folder.folder()


def test_no_slicer_is_looked_for_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(slicer_folder.VARIABLE, raising=False)
    assert slicer_folder.folder() is None


@pytest.mark.slow
def test_a_wrong_folder_ends_the_tests_with_one_line_before_the_first(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(Path(__file__))]
    ended = subprocess.run(
        command, env={**os.environ, slicer_folder.VARIABLE: str(tmp_path)}, capture_output=True, text=True
    )
    assert ended.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = filter(None, ended.stderr.splitlines())
    assert line.startswith(f"ERROR: {slicer_folder.VARIABLE}={tmp_path}: neither a Slicer nor its sources")
