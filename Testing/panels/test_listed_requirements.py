"""The panels ask for what the package asks for."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import slicer
import slicer.util

import slicer_standin

dependencies = slicer_standin.load_module("MissingModalityPanelLib.dependencies")


def listed_requirements(name: str) -> list[Any]:
    resources = Path(slicer_standin.load_module(name).__file__).with_name("Resources")
    return [
        each
        for path in resources.glob("requirements*.txt")
        for each in slicer.packaging.load_requirements(path)
    ]


@pytest.mark.parametrize("name", ["MissingModalitySeg", "MissingModalityTrain"])
def test_requirements_are_lower_bounds_and_leave_pytorch_to_its_extension(name: str) -> None:
    listed = listed_requirements(name)
    assert listed and all(str(each.specifier).startswith(">=") for each in listed)
    assert "torch" not in {each.name for each in listed}


@pytest.mark.parametrize("name", ["MissingModalitySeg", "MissingModalityTrain"])
def test_minimum_versions_are_those_of_the_package(name: str) -> None:
    """What Slicer is asked for is what `pip install` brings without Slicer."""
    project = Path(slicer_standin.__file__).parents[2] / "pyproject.toml"
    wanted = set(tomllib.loads(project.read_text("utf-8"))["project"]["dependencies"])
    assert {f"torch{dependencies.TORCH_REQUIREMENT}", *map(str, listed_requirements(name))} <= wanted


def test_what_dicom_seg_asks_for_is_what_the_package_asks_for() -> None:
    project = Path(slicer_standin.__file__).parents[2] / "pyproject.toml"
    extras = tomllib.loads(project.read_text("utf-8"))["project"]["optional-dependencies"]
    assert extras["dicom"] == [dependencies.DICOM_SEG_REQUIREMENT]
