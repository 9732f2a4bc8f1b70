"""What the project takes from others is the very thing that was looked at: locked, hashed, pinned."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from checkout import ROOT
from MissingModalityLib.clinical.brain_networks import REQUIREMENT

requirements = pytest.importorskip("packaging.requirements")
utils = pytest.importorskip("packaging.utils")

LOCKS = (
    "requirements.txt",
    "requirements-torch.txt",
    "requirements-stripping.txt",
    "requirements-docs.txt",
    "requirements-tools.txt",
)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def locked(file: str) -> dict[str, tuple[str, list[str]]]:
    """Name to version and hashes of what a lock file lists."""
    lines = (ROOT / file).read_text("utf-8").replace("\\\n", " ").splitlines()
    found = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in lines)):
        requirement, *hashes = line.split("--hash=")
        parsed = requirements.Requirement(requirement)
        (version,) = parsed.specifier
        assert version.operator == "==", line
        found[utils.canonicalize_name(parsed.name)] = (version.version, [text.strip() for text in hashes])
    return found


@pytest.mark.parametrize("file", LOCKS)
def test_every_locked_package_has_one_version_and_its_hashes(file: str) -> None:
    packages = locked(file)
    assert packages
    for name, (_, hashes) in packages.items():
        assert hashes, f"{file}: {name} has no hash; write it again by `make lock`"
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", text) for text in hashes), name


def test_the_lock_meets_every_bound_of_the_project() -> None:
    """Python's standard library aside, what pyproject.toml asks for is what gets installed and tested."""
    versions = {name: version for file in LOCKS[:4] for name, (version, _) in locked(file).items()}
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["test"], *extras["stripping"], *extras["docs"]]
    for requirement in map(requirements.Requirement, asked):
        version = versions[utils.canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}, but {version} is locked: `make lock`"


def test_locks_that_share_an_environment_agree_and_torch_brings_its_companions_by_itself() -> None:
    """Another build of torch needs no CUDA: the lock without torch must not bring it."""
    without, torch = locked("requirements.txt"), locked("requirements-torch.txt")
    assert "torch" in torch
    assert not [name for name in without if re.match("torch$|triton|nvidia-|cuda-", name)]
    for other in (torch, locked("requirements-docs.txt")):
        shared = without.keys() & other.keys()
        assert {name: without[name] for name in shared} == {name: other[name] for name in shared}


@pytest.mark.parametrize(
    ("choice", "first"),
    [
        ([], "torch=="),
        (
            ["TORCH=--require-hashes --no-deps -r requirements-torch.txt"],
            "--require-hashes --no-deps -r requirements-torch.txt",
        ),
    ],
    ids=["the machine's own torch", "the public torch"],
)
def test_make_checks_hashes_of_all_but_the_machines_own_torch(
    choice: list[str], first: str, tmp_path: Path
) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make")
    command = [make, "-n", "-C", ROOT, "install", f"VENV={tmp_path}/none", *choice]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    installs = re.findall(r"pip install --quiet (.*)", done.stdout)
    assert first in installs[0]
    assert installs[1] == "--require-hashes -r requirements.txt"
    assert installs[2] == "--require-hashes --no-deps -r requirements-stripping.txt"
    assert "--no-deps" in installs[3] and installs[3].endswith("-e .")


def test_a_python_that_cannot_make_environments_leaves_no_half_one_and_is_told(tmp_path: Path) -> None:
    """As Debian's without python3-venv: what it leaves would count as an environment at the next call."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make")
    python, environment = tmp_path / "python3", tmp_path / "environment"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || {{ mkdir -p {environment}/bin; exit 1; }}\n')
    python.chmod(0o700)
    command = [make, "-C", ROOT, "install", f"VENV={environment}", f"PYTHON={python}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "apt install python3-venv" in done.stderr
    assert not environment.exists()


def test_the_package_of_brain_networks_brings_nothing_else_and_is_the_one_that_is_opened() -> None:
    """It asks for a GUI toolkit and more, which would be installed for two files that are read."""
    assert list(locked("requirements-stripping.txt")) == ["deepbet"]
    assert PROJECT["optional-dependencies"]["stripping"] == [REQUIREMENT]


def test_workflows_run_on_three_systems_and_may_only_read() -> None:
    text = "\n".join(path.read_text("utf-8") for path in WORKFLOWS)
    for system in ("ubuntu", "windows", "macos"):
        assert re.search(rf"\b{system}-\d", text), system
    for path in WORKFLOWS:
        assert "\npermissions:\n  contents: read\n" in path.read_text("utf-8"), path.name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_name_their_release(path: Path) -> None:
    actions = re.findall(r"uses: *(.*)", path.read_text("utf-8"))
    assert actions
    for action in actions:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_security_rules_are_on() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    ignored = {rule for rules in lint["per-file-ignores"].values() for rule in rules}
    assert ignored == {"S101", "S603"}, "what a file may do beyond is marked where it stands"
