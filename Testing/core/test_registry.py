"""Names of networks, methods, recipes and layouts, from this library, the console and other packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import MissingModalityLib
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.registry import PLUGINS, Registry

GROUP = "missing_modality.tools"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    monkeypatch.setenv(PLUGINS, "")
    monkeypatch.setenv("PYTHONPATH", str(Path(MissingModalityLib.__file__).parents[1]))


@pytest.fixture
def tools() -> Registry:
    return Registry("tool", GROUP, {"reader": "json:loads", "number": 7})


@pytest.fixture
def on_path(tmp_path, monkeypatch) -> Path:
    """A folder that modules are imported from."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.startswith("outside_")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def install(folder: Path, module: str, code: str, entries: str) -> None:
    """What pip makes of a package of one module."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    name = module.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entries}\n")


def in_child(code: str) -> str:
    """What a fresh Python prints with this one's environment."""
    begin = (
        f"from MissingModalityLib.core.registry import Registry\ntools = Registry('tool', '{GROUP}', {{}})\n"
    )
    command = [sys.executable, "-c", f"{begin}\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_built_in_items_are_imported_when_asked_for(tools):
    assert tools.names() == ("reader", "number")
    assert tools.get("reader") is json.loads
    assert tools.get("number") == 7
    assert tools.package("reader") == ""


def test_unknown_name_lists_the_names(tools):
    with pytest.raises(OptionError, match=r"Unknown tool 'writer'\. Choose one of: reader, number"):
        tools.get("writer")
    with pytest.raises(OptionError, match="Unknown tool 'writer'"):
        tools.package("writer")
    assert "writer" not in tools


def test_own_names_are_those_of_the_library_alone(tools):
    tools.register("mine", "json:dumps")
    assert tools.own_names() == ("reader", "number")
    assert set(tools.names()) == {"reader", "number", "mine"}


def test_entry_points_are_listed_without_being_imported(tools, on_path):
    install(on_path, "outside_hammer", "def hit(): return 'hit'", "hammer = outside_hammer:hit")
    assert "hammer" in tools
    assert tools.package("hammer") == "outside-hammer"
    assert "outside_hammer" not in sys.modules
    assert tools.get("hammer")() == "hit"


def test_packages_installed_later_are_seen(tools, on_path):
    assert "saw" not in tools
    install(on_path, "outside_saw", "SAW = 1", "saw = outside_saw:SAW")
    os.utime(on_path, (1, 1))  # clocks of file systems are too coarse for a test
    assert "saw" in tools


def test_a_package_cannot_take_a_name_of_ours(tools, on_path):
    install(on_path, "outside_thief", "def loads(): raise AssertionError", "reader = outside_thief:loads")
    assert tools.get("reader") is json.loads
    assert tools.package("reader") == ""


def test_package_that_cannot_be_imported_is_named(tools, on_path):
    install(on_path, "outside_broken", "raise RuntimeError('no license')", "broken = outside_broken:x")
    with pytest.raises(OptionError, match=r"tool 'broken' .* outside_broken:x .*no license"):
        tools.get("broken")


def test_what_does_not_do_as_an_item_is_refused(on_path):
    def check(name, item):
        if not callable(item):
            raise OptionError(f"{name} cannot be called")

    tools = Registry("tool", GROUP, {}, check)
    install(on_path, "outside_stone", "STONE = 1", "stone = outside_stone:STONE")
    with pytest.raises(OptionError, match="stone cannot be called"):
        tools.get("stone")
    with pytest.raises(OptionError, match="pebble cannot be called"):
        tools.register("pebble", 1)
    assert "pebble" not in tools


def test_registered_items_reach_child_processes(tools, on_path):
    (on_path / "outside_drill.py").write_text("class Drill:\n    speed = 9\n")
    import outside_drill

    tools.register("drill", outside_drill.Drill)
    assert tools.get("drill") is outside_drill.Drill
    assert tools.package("drill") == "outside_drill"
    assert in_child("print(tools.names(), tools.get('drill').speed, tools.package('drill'))") == (
        "('drill',) 9 outside_drill"
    )


def test_items_that_are_no_classes_are_registered_by_their_place(tools, on_path):
    (on_path / "outside_nails.py").write_text("NAILS = [1, 2, 3]\n")
    tools.register("nails", "outside_nails:NAILS")
    assert tools.get("nails") == [1, 2, 3]
    assert in_child("print(tools.get('nails'))") == "[1, 2, 3]"


def test_objects_that_a_module_has_reach_child_processes_too(tools, on_path):
    (on_path / "outside_screws.py").write_text("SCREWS = [4, 5]\n")
    from outside_screws import SCREWS

    tools.register("screws", SCREWS)
    tools.register("typed", [6])
    assert tools.package("screws") == "outside_screws"
    assert in_child("print(tools.get('screws'))") == "[4, 5]"
    told = in_child("try: tools.get('typed')\nexcept Exception as error: print(type(error).__name__, error)")
    assert told.startswith("OptionError The tool 'typed' was registered from an object that only the process")


@pytest.mark.parametrize("place", ["outside_absent:X", "outside_absent", "a b:c", "x:y;z=w"])
def test_place_that_cannot_be_found_is_refused(tools, place):
    with pytest.raises(OptionError, match="module:attribute"):
        tools.register("lost", place)


def test_child_processes_tell_what_they_cannot_see(tools):
    def made_here():
        return 1

    tools.register("local", made_here)
    assert tools.get("local") is made_here
    told = in_child("try: tools.get('local')\nexcept Exception as error: print(type(error).__name__, error)")
    assert told.startswith("OptionError The tool 'local' was registered from an object that only the process")


def test_registering_again_replaces(tools):
    tools.register("mine", len)
    tools.register("mine", max)
    assert tools.get("mine") is max
    assert tools.names() == ("reader", "number", "mine")


@pytest.mark.parametrize("name", ["reader", "hammer", "a b", "", "x=y", "x;y"])
def test_taken_or_impossible_names_are_refused(tools, on_path, name):
    install(on_path, "outside_hammer", "HAMMER = 1", "hammer = outside_hammer:HAMMER")
    with pytest.raises(OptionError, match=r"already|cannot name"):
        tools.register(name, len)
