"""What Slicer's build installs is enough: the extension works from there alone; a forgotten file shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from checkout import MODULES, ROOT, bundled_files
from install_tree import configure, copy_sources, files_of, install, run, run_python, tool

PANELS = ("panels", "imaging")
"""Rooms of tests that run on real MRML nodes: apart from the others, as every process has one scene."""
TEST_PATHS = "pythonpath=Testing/helpers Testing/tools"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the build in build/ and the installed extension in installed/."""
    folder = tmp_path_factory.mktemp("tree")
    install(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def modules(tree: Path) -> Path:
    """The folder of installed modules."""
    return tree / "installed" / "lib" / "Slicer-5.12" / "qt-scripted-modules"


@pytest.fixture
def sources(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """A copy of the checkout with one text in one file replaced."""

    def changed(file: str, old: str, new: str) -> Path:
        copy = copy_sources(tmp_path / "checkout")
        text = (copy / file).read_text("utf-8")
        assert text.count(old) == 1
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")
        return copy

    return changed


def look(modules: Path, folder: Path) -> str:
    """What look_at_modules.py says of installed modules: "complete", or an error in its last line."""
    done = run_python(modules, folder, "Testing/helpers/look_at_modules.py", modules)
    last = done.stdout.strip().splitlines()[-1]
    assert (done.returncode == 0) == (last == "complete"), done.stdout
    return last


def test_tree_holds_every_file_of_both_modules_and_the_models(modules: Path) -> None:
    expected = {file for module in MODULES for file in bundled_files(ROOT / module)}
    expected |= {f"Resources/Models/{file}" for file in bundled_files(ROOT / "Resources" / "Models")}
    assert files_of(modules) == expected


def test_everything_imports_and_both_panels_open_from_the_tree_alone(modules: Path, tmp_path: Path) -> None:
    assert look(modules, tmp_path) == "complete"


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("MissingModalityTrain/MissingModalityLib/core/modalities.py", "No module named"),
        pytest.param(
            *("MissingModalitySeg/MissingModalitySegLib/segmentationrun.py", "No module named"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("MissingModalitySeg/Resources/UI/Inputs.ui", "Inputs.ui"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("MissingModalityTrain/Resources/requirements-training.txt", "misses Resources/requirements"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_file_that_is_absent_shows(file: str, error: str, tmp_path: Path) -> None:
    copy = copy_sources(tmp_path / "checkout")
    (copy / file).unlink()
    modules = install(copy, tmp_path)
    assert file.partition("/")[2] not in files_of(modules)
    assert error in look(modules, tmp_path)


def test_a_new_file_is_installed_without_being_listed(tmp_path: Path) -> None:
    copy = copy_sources(tmp_path / "checkout")
    (copy / "MissingModalityTrain" / "MissingModalityLib" / "core" / "fresh.py").write_text("")
    assert "MissingModalityLib/core/fresh.py" in files_of(install(copy, tmp_path))


@pytest.mark.slow
def test_model_forgotten_in_the_list_fails(sources: Callable[[str, str, str], Path], tmp_path: Path) -> None:
    line = "  Resources/Models/glioma-any-subset.safetensors\n"
    modules = install(sources("CMakeLists.txt", line, ""), tmp_path)
    assert "No student" in look(modules, tmp_path)


def test_model_that_does_not_exist_stops_cmake(
    sources: Callable[[str, str, str], Path], tmp_path: Path
) -> None:
    entry = "  Resources/Models/glioma-any-subset.md\n"
    source = sources("CMakeLists.txt", entry, f"{entry}  Resources/Models/absent.md\n")
    done = configure(source, tmp_path / "build")
    assert done.returncode != 0
    assert "absent.md" in done.stdout


def test_ctest_knows_the_self_test_of_each_module(tree: Path) -> None:
    listed = run(tool("ctest"), "-N", "-V", folder=tree / "build").stdout
    for module in MODULES:
        assert f"py_{module}\n" in listed
        assert f'"{ROOT / module}" "{module}"' in listed, "the folder that holds the module's test"


@pytest.mark.slow
def test_ctest_passes_on_the_build_tree(tree: Path) -> None:
    done = run(tool("ctest"), "--output-on-failure", folder=tree / "build")
    assert done.returncode == 0, done.stdout
    assert f"100% tests passed, 0 tests failed out of {len(MODULES)}" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("panels", [True, False], ids=["panels", "library"])
def test_suite_passes_from_the_tree_alone(panels: bool, modules: Path, tmp_path: Path) -> None:
    rooms = {path.parent.name for path in (ROOT / "Testing").glob("*/test_*.py")} - {"project"}
    chosen = rooms & set(PANELS) if panels else rooms - set(PANELS)
    folders = [f"Testing/{room}" for room in sorted(chosen)]
    done = run_python(modules, tmp_path, "-m", "pytest", "-q", "-o", TEST_PATHS, *folders)
    assert done.returncode == 0, done.stdout[-6000:]
