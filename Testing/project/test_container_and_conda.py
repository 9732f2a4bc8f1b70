"""The container file and the conda recipe say what the project says; neither can be built in these tests."""

from __future__ import annotations

import re
import tomllib

import yaml

import MissingModalityLib
from checkout import ROOT
from MissingModalityLib.clinical.brain_networks import REQUIREMENT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RECIPE = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text("utf-8"))
CONTAINER = (ROOT / "Containerfile").read_text("utf-8").replace("\\\n", " ")

OF_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
"""Packages that conda-forge calls otherwise."""


def conda_name(requirement: str) -> str:
    """A requirement of pip, as conda-forge writes it."""
    name, bound = re.fullmatch(r"([\w-]+)(\S+)", requirement).groups()
    return f"{OF_CONDA.get(name, name).lower()} {bound}"


def test_recipe_asks_for_what_the_project_asks_for() -> None:
    asked = [conda_name(requirement) for requirement in PROJECT["dependencies"]]
    assert sorted(RECIPE["requirements"]["run"]) == sorted([*asked, "python >=${{ python_min }}"])
    variants = yaml.safe_load((ROOT / "recipe" / "variants.yaml").read_text("utf-8"))
    assert variants["python_min"] == [PROJECT["requires-python"].removeprefix(">=")]


def test_recipe_names_version_licenses_and_command_of_the_project() -> None:
    assert RECIPE["context"]["version"] == MissingModalityLib.__version__
    assert RECIPE["about"]["license"] == PROJECT["license"]
    cards = {f"Resources/Models/{path.name}" for path in (ROOT / "Resources" / "Models").glob("*.md")}
    assert set(RECIPE["about"]["license_file"]) == {"LICENSE", *cards}
    commands = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert RECIPE["build"]["python"]["entry_points"] == commands


def test_container_is_made_of_files_that_are_there_and_reach_the_builder() -> None:
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINER, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    reach = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert sources and set(sources) <= set(reach)
    assert all((ROOT / source).exists() for source in sources)
    locks = re.findall(r"requirements[\w-]*\.txt", CONTAINER)
    assert set(locks) <= set(sources)


def test_container_runs_the_command_line_without_rights_and_strips_skulls() -> None:
    last_stage = CONTAINER.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last_stage, re.MULTILINE)
    (command,) = re.findall(r'^ENTRYPOINT \["(\S+)"\]$', last_stage, re.MULTILINE)
    assert command in PROJECT["scripts"]
    assert (
        "requirements-stripping.txt" in CONTAINER
        and REQUIREMENT in (PROJECT["optional-dependencies"]["stripping"])
    )
