"""What Slicer's build and pip find here: nothing forgotten, nothing missing."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from hashlib import sha256
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
    entry = re.search(r"^ +version = \{(\S+)\}", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert entry and entry[1] == MissingModalityLib.__version__


def wheel_sources(folder: Path) -> Path:
    """A folder with what the wheel is made of."""
    source = folder / "source"
    for folder in ("MissingModalityTrain", "Resources/Models"):
        shutil.copytree(
            ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for file in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    return source


def build(source: Path, kind: str) -> None:
    """The distribution of a kind, as pip has setuptools build it; beside the sources."""
    command = [sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_{kind}('..')"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def build_wheel(source: Path) -> Path:
    """The wheel made of the source distribution, as for whoever has no checkout; beside the sources."""
    build(source, "sdist")
    (archive,) = source.parent.glob("*.tar.gz")
    shutil.unpack_archive(archive, source.parent, filter="data")
    build(archive.with_name(archive.name.removesuffix(".tar.gz")), "wheel")
    return next(source.parent.glob("*.whl"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    pytest.importorskip("setuptools")
    return build_wheel(wheel_sources(tmp_path_factory.mktemp("wheel")))


def test_wheel_holds_the_library_and_the_models(built: Path) -> None:
    with zipfile.ZipFile(built) as wheel:
        packed = set(wheel.namelist())
    library = {file for file in bundled_files(ROOT / MODULES[1]) if file.startswith("MissingModalityLib/")}
    models = {f"MissingModalityLib/{entry}" for entry in cmake_list(ROOT, "MODELS")}
    assert library | models <= packed


def test_what_an_index_shows_names_both_licenses_and_links_to_whole_addresses(built: Path) -> None:
    with zipfile.ZipFile(built) as wheel:
        (entry,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(wheel.read(entry))
    assert metadata["License-Expression"] == "Apache-2.0 AND CC-BY-4.0"
    cards = {f"Resources/Models/{path.name}" for path in (ROOT / "Resources" / "Models").glob("*.md")}
    assert set(metadata.get_all("License-File")) == {"LICENSE", *cards}
    targets = re.findall(r"\]\(([^)]+)\)", metadata.get_payload())
    assert targets and all(target.startswith(("https://", "#")) for target in targets)
    (picture, *_) = re.findall(r"!\[[^]]*\]\(([^)]+)\)", metadata.get_payload())
    assert picture.startswith("https://raw.githubusercontent.com/")
    assert (ROOT / picture.partition("/main/")[2]).is_file()


@pytest.mark.slow
def test_two_builds_of_the_wheel_are_the_same_to_the_byte(built: Path, tmp_path: Path) -> None:
    """Also for someone else's checkout of another day, whose files only the owner may read."""
    source = wheel_sources(tmp_path)
    for path in source.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
        path.chmod(0o700 if path.is_dir() else 0o600)
    again = build_wheel(source)
    assert again.name == built.name
    assert sha256(again.read_bytes()).hexdigest() == sha256(built.read_bytes()).hexdigest()
