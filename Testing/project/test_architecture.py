"""Who may import whom, as the table in ARCHITECTURE.md says it, and where tests stand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from checkout import ROOT

LIBRARY = ROOT / "MissingModalityTrain" / "MissingModalityLib"
PANELS = ("MissingModalitySeg", "MissingModalityTrain")
PACKAGES = {
    "MissingModalityLib": LIBRARY,
    "MissingModalityPanelLib": LIBRARY.with_name("MissingModalityPanelLib"),
    "MissingModalitySegLib": ROOT / "MissingModalitySeg" / "MissingModalitySegLib",
    "MissingModalityTrainLib": LIBRARY.with_name("MissingModalityTrainLib"),
}
SLICER_OR_QT = {"slicer", "vtk", "qt", "ctk", "PySide6"}
NO_TESTS = {"helpers", "tools", "fixtures", "mutations", "slicer_build"}
BESIDE_ROOMS = {"attacks", "panels", "project"}
"""Folders of tests that are not of one room of the library."""


@cache
def sources() -> dict[str, Path]:
    """Every Python file of the library and the panels, by the name under which it is imported."""
    files = {name: ROOT / name / f"{name}.py" for name in PANELS}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            files[".".join(parts).removesuffix(".__init__")] = path
    return files


@cache
def imported(path: Path, name: str) -> frozenset[str]:
    """Modules that a file names in imports, at its top or inside functions; relative ones in full."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *filter(None, [node.module])])
            # `from package import module` names a module, `from module import name` what is in one
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in sources() else base for a in node.names}
    return frozenset(found)


def arrows() -> Iterator[tuple[str, str]]:
    """(importer, imported) of all files of the library and the panels.

    The library's own ``__init__`` is left out: everybody may ask it for the version, and it imports no room.
    """
    known = sources().keys() - {"MissingModalityLib"}
    for name, path in sources().items():
        yield from ((name, target) for target in imported(path, name) & known - {name})


def place(name: str) -> str:
    """As the table names it: a room of the library, or a package or module beside the library."""
    package, _, rest = name.partition(".")
    return (rest.split(".")[0] or "__init__") if package == "MissingModalityLib" else package


def allowed() -> dict[str, set[str]]:
    """The table of ARCHITECTURE.md: place -> places and single modules that it may import.

    A row can name several places; "all but a, b" is every room of the library except those.
    """
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rooms = {place(name) for name in sources() if name.startswith("MissingModalityLib.")}
    found = {}
    for names, may in re.findall(r"^\| (`.+?) \|[^|\n]*\| ([^|\n]+) \|$", text, re.MULTILINE):
        named = set(re.findall(r"`([^`]+)`", may))
        for name in re.findall(r"`([^`]+)`", names):
            found[name] = rooms - named if may.startswith("all but") else named
    return found


def test_every_place_has_a_row_in_the_table() -> None:
    assert {place(name) for name in sources()} - {"__init__"} == set(allowed())


def test_imports_run_in_the_directions_of_the_table() -> None:
    table = allowed()
    wrong = [
        f"{name} imports {target}"
        for name, target in arrows()
        if place(name) != place(target)
        and not table[place(name)] & {place(target), target.removeprefix("MissingModalityLib.")}
    ]
    assert not wrong, wrong


@pytest.mark.parametrize("depth", ["places", "files"])
def test_there_is_no_circle(depth: str) -> None:
    graph: dict[str, set[str]] = {}
    for name, target in arrows():
        first, second = (name, target) if depth == "files" else (place(name), place(target))
        if first != second:
            graph.setdefault(first, set()).add(second)
    TopologicalSorter(graph).prepare()  # raises CycleError with the names of the circle


def test_of_the_library_only_mrml_knows_slicer_and_nothing_knows_qt() -> None:
    knowing = {
        place(name)
        for name, path in sources().items()
        if name.startswith("MissingModalityLib")
        and SLICER_OR_QT & {module.split(".")[0] for module in imported(path, name)}
    }
    assert knowing == {"mrml"}


def test_no_test_module_imports_another() -> None:
    for path in (ROOT / "Testing").rglob("*.py"):
        of_tests = {name for name in imported(path, path.stem) if name.split(".")[-1].startswith("test_")}
        assert not of_tests, (
            f"{path.relative_to(ROOT)} imports {sorted(of_tests)}: put what they share in helpers"
        )


def test_each_folder_of_tests_is_named_after_a_room() -> None:
    folders = {
        path.name for path in (ROOT / "Testing").iterdir() if path.is_dir() and path.name[0] not in "._"
    }
    assert folders - NO_TESTS <= set(allowed()) | BESIDE_ROOMS
    assert not [path for name in NO_TESTS for path in (ROOT / "Testing" / name).rglob("test_*.py")]
    assert not list((ROOT / "Testing").glob("test_*.py"))
