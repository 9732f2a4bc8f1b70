"""Slicer's own Python files are found in an installed Slicer and in its sources."""

from __future__ import annotations

from pathlib import Path

import pytest

import genuine_slicer

LAYOUTS = {
    "installed": ("bin/Python/slicer", "lib/Slicer-5.12/qt-scripted-modules"),
    "on a Mac": ("Contents/bin/Python/slicer", "Contents/lib/Slicer-5.12/qt-scripted-modules"),
    "sources": ("Base/Python/slicer", "Modules/Scripted/SampleData"),
}


@pytest.mark.parametrize(("package", "samples"), LAYOUTS.values(), ids=LAYOUTS)
def test_files_are_found_from_the_folder_of_slicer_and_from_that_of_its_package(
    tmp_path: Path, package: str, samples: str
) -> None:
    for file in (f"{package}/ScriptedLoadableModule.py", f"{samples}/SampleData.py"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    for named in (tmp_path, tmp_path / package, (tmp_path / package).parent):
        assert genuine_slicer.package(named).samefile(tmp_path / package)
        assert genuine_slicer.sample_data(named).samefile(tmp_path / samples / "SampleData.py")


def test_a_folder_without_slicer_is_told_with_the_places_that_were_looked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(genuine_slicer.VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"bin/Python/slicer, .*") as caught:
        genuine_slicer.package(genuine_slicer.folder())
    assert str(tmp_path) in str(caught.value)
    monkeypatch.delenv(genuine_slicer.VARIABLE)
    assert genuine_slicer.folder() is None


def test_a_package_alone_has_no_sample_data(tmp_path: Path) -> None:
    (tmp_path / "ScriptedLoadableModule.py").touch()
    assert genuine_slicer.package(tmp_path).samefile(tmp_path)
    assert genuine_slicer.sample_data(tmp_path) is None
