"""Installing what Slicer lacks: every way that it can go, in a folder of packages without PyTorch at first.

What only the desktop has is played by desktop_standin.py.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
import slicer.util

import slicer_standin
from desktop_standin import EXTENSION, Desktop, desktop_without_pytorch
from MissingModalityLib.clinical.brain_networks import REQUIREMENT

dependencies = slicer_standin.load_module("MissingModalityPanelLib.dependencies")
PIP_ENSURE = slicer.packaging.pip_ensure


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    with desktop_without_pytorch(tmp_path, monkeypatch) as desktop:
        yield desktop


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("# no PyTorch here\nnotional>=1.4\n")
    return path


def have_extension(desktop: Desktop) -> None:
    """The extension was there when Slicer started."""
    (desktop.extension / "PyTorchUtils.py").write_text(EXTENSION)
    sys.path.append(str(desktop.extension))


def refusal(requirements: Path) -> str:
    with pytest.raises(RuntimeError) as caught:
        dependencies.ensureDependencies("Segmentation", requirements)
    return str(caught.value)


def test_nothing_is_asked_when_all_is_there(desktop: Desktop, requirements: Path) -> None:
    desktop.add("torch", "2.4.0")
    desktop.add("notional", "1.4")
    dependencies.ensureDependencies("Segmentation", requirements)
    assert desktop.happened == []


def test_a_button_pressed_once_more_during_an_installation_starts_nothing(
    desktop: Desktop, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop.add("torch", "2.4.0")
    ensure, told = slicer.packaging.pip_ensure, []

    def turn_event_loop(*arguments: Any, **options: Any) -> None:
        told.append(refusal(requirements))
        for other in (dependencies.ensureStripping, dependencies.ensureDicomSeg):
            with pytest.raises(RuntimeError, match="are being installed"):
                other("Segmentation")
        ensure(*arguments, **options)

    monkeypatch.setattr(slicer.packaging, "pip_ensure", turn_event_loop)
    dependencies.ensureDependencies("Segmentation", requirements)
    assert told == ["Packages are being installed. Try again when that has ended."]
    assert desktop.happened == ["pip: notional>=1.4 for Segmentation"]
    dependencies.ensureDependencies("Segmentation", requirements)


def test_extension_installs_pytorch_before_pip_installs_the_rest(
    desktop: Desktop, requirements: Path
) -> None:
    have_extension(desktop)
    dependencies.ensureDependencies("Segmentation", requirements)
    assert desktop.happened == ["PyTorchUtils installs torch>=2.4", "pip: notional>=1.4 for Segmentation"]


def test_missing_extension_is_offered_installed_and_used_without_restart(
    desktop: Desktop, requirements: Path
) -> None:
    dependencies.ensureDependencies("Segmentation", requirements)
    question, *rest = desktop.happened
    assert question.startswith("Segmentation: ") and "extension 'PyTorch'" in question
    assert rest == [
        "extension PyTorch",
        "PyTorchUtils installs torch>=2.4",
        "pip: notional>=1.4 for Segmentation",
    ]
    assert desktop.interactive, "the extensions manager asks again from now on"


def test_declined_extension_leaves_everything_as_it_was(desktop: Desktop, requirements: Path) -> None:
    desktop.agrees = False
    assert refusal(requirements) == "torch>=2.4: needed, and not installed. Try again to be asked again."
    assert len(desktop.happened) == 1
    assert not any(desktop.site.iterdir())


def test_declined_download_of_pytorch_is_no_failure_of_the_network(
    desktop: Desktop, requirements: Path
) -> None:
    have_extension(desktop)
    desktop.agrees = False
    assert refusal(requirements) == "torch>=2.4: needed, and not installed. Try again to be asked again."


def test_extension_that_no_server_has_is_replaced_by_pip(desktop: Desktop, requirements: Path) -> None:
    desktop.offered = False
    dependencies.ensureDependencies("Segmentation", requirements)
    assert desktop.happened[1:] == [
        "extension PyTorch",
        "pip: torch>=2.4 for Segmentation",
        "pip: notional>=1.4 for Segmentation",
    ]


def test_slicer_without_extensions_manager_uses_pip(
    desktop: Desktop, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(slicer.app, "extensionsManagerModel")
    dependencies.ensureDependencies("Segmentation", requirements)
    assert desktop.happened[0] == "pip: torch>=2.4 for Segmentation"


def test_installed_extension_that_was_not_loaded_is_loaded(desktop: Desktop, requirements: Path) -> None:
    (desktop.extension / "PyTorchUtils.py").write_text(EXTENSION)
    desktop.installed.append("PyTorch")
    dependencies.ensureDependencies("Segmentation", requirements)
    assert desktop.happened[0] == "PyTorchUtils installs torch>=2.4"


def test_installed_extension_that_cannot_be_loaded_needs_a_restart(
    desktop: Desktop, requirements: Path
) -> None:
    desktop.installed.append("PyTorch")
    assert "installed but not loaded" in refusal(requirements)
    assert desktop.happened == []


@pytest.mark.parametrize("extension", [True, False], ids=["by the extension", "by pip"])
def test_offline_message_names_what_is_missing_and_how_to_bring_it(
    extension: bool, desktop: Desktop, requirements: Path
) -> None:
    if extension:
        have_extension(desktop)
    desktop.online = False
    message = refusal(requirements)
    assert message.startswith("torch>=2.4: needed, and could not be installed")
    recipe = "slicer.util.pip_install(glob.glob('FOLDER/*.whl'))"
    assert all(part in message for part in ("Python Package Index", "HTTPS_PROXY", "disk space", recipe))


def test_offline_message_leaves_out_what_is_there(desktop: Desktop, requirements: Path) -> None:
    desktop.add("torch", "2.9.0")
    desktop.add("other", "1.0")
    requirements.write_text("other>=1.0\nnotional>=1.4\n")
    desktop.online = False
    assert refusal(requirements).startswith("notional>=1.4: needed, and could not be installed")


def test_declined_packages_are_named_without_advice_on_networks(desktop: Desktop, requirements: Path) -> None:
    desktop.add("torch", "2.9.0")
    desktop.agrees = False
    assert refusal(requirements) == "notional>=1.4: needed, and not installed. Try again to be asked again."


def test_slicer_of_intel_macs_is_told_that_there_is_no_pytorch_before_anything_is_tried(
    desktop: Desktop, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies.sys, "platform", "darwin")
    monkeypatch.setattr(dependencies.platform, "machine", lambda: "x86_64")
    message = refusal(requirements)
    assert "Intel Macs" in message and "command line" in message
    assert desktop.happened == []


def test_older_packages_count_as_missing(desktop: Desktop, requirements: Path) -> None:
    desktop.add("torch", "2.3.1")
    desktop.add("notional", "1.3.2")
    have_extension(desktop)
    dependencies.ensureDependencies("Segmentation", requirements)
    assert desktop.happened == ["PyTorchUtils installs torch>=2.4", "pip: notional>=1.4 for Segmentation"]


def test_old_pytorch_in_use_is_not_replaced_under_its_user(
    desktop: Desktop, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop.add("torch", "2.3.1")
    import torch

    assert torch.__file__.startswith(str(desktop.site))
    message = refusal(requirements)
    assert "PyTorch >=2.4 is needed" in message and "Restart Slicer" in message
    assert desktop.happened == []


@pytest.mark.parametrize("left", ["record", "folder", "record without version"])
def test_half_an_installation_of_pytorch_is_none(left: str, desktop: Desktop) -> None:
    desktop.add("torch", "2.9.0", source=None if left == "record" else "")
    for path in desktop.site.glob("torch-*/METADATA"):
        if left == "folder":
            path.unlink()
            path.parent.rmdir()
        elif left == "record without version":
            path.write_text("")
    assert not dependencies.isTorchInstalled()
    desktop.add("torch", "2.9.0")
    assert dependencies.isTorchInstalled()


@pytest.mark.parametrize("error", [TypeError, ValueError])
def test_record_that_python_cannot_read_counts_as_none(
    error: type[Exception], desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pip_check(requirement: str) -> bool:
        raise error("no version")

    desktop.add("torch", "2.9.0")
    monkeypatch.setattr(slicer.packaging, "pip_check", pip_check)
    assert not dependencies.isTorchInstalled()


def test_record_of_a_pytorch_without_its_files_is_told_before_anything_is_asked(
    desktop: Desktop, requirements: Path
) -> None:
    desktop.add("torch", "2.9.0", source=None)
    assert refusal(requirements).startswith("PyTorch was installed but does not work. Uninstall it")
    assert desktop.happened == []


def test_installation_that_does_not_work_is_told_with_the_cure(
    desktop: Desktop, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_extension(desktop)
    monkeypatch.setattr(desktop, "install_torch", lambda requirement, asks: "torch")
    message = refusal(requirements)
    assert "does not work" in message and "PyTorch Utils" in message and "pip_uninstall('torch')" in message


def test_pip_that_leaves_something_out_is_told(
    desktop: Desktop, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop.add("torch", "2.9.0")
    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda requirements, **_options: None)
    assert refusal(requirements).startswith("notional>=1.4: needed, and could not be installed")


@pytest.mark.parametrize("agrees", [True, False])
def test_slicers_own_function_is_called_as_it_wants_to_be(
    agrees: bool, desktop: Desktop, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its question and pip are replaced."""
    titles: list[str] = []

    def confirm(_text: str, title: str, **_options: Any) -> bool:
        titles.append(title)
        return agrees

    def install(packages: list[str], **_options: Any) -> None:
        for package in packages:
            desktop.add(*package.split(">="))

    monkeypatch.setattr(slicer.packaging, "pip_ensure", PIP_ENSURE)
    monkeypatch.setattr(slicer.packaging, "pip_install", install, raising=False)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    desktop.add("torch", "2.9.0")
    if agrees:
        dependencies.ensureDependencies("Segmentation", requirements)
    else:
        assert refusal(requirements).startswith("notional>=1.4: needed, and not installed.")
    assert len(titles) == 1 and titles[0].startswith("Segmentation - ")


def test_nothing_is_installed_while_slicer_is_tested(
    desktop: Desktop, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_extension(desktop)
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    assert "being tested" in refusal(requirements)
    assert desktop.happened == []


@pytest.fixture
def slicer_5_10(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Slicer that has slicer.util.pip_install and no slicer.packaging."""
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)


@pytest.mark.usefixtures("slicer_5_10")
def test_slicer_5_10_asks_and_installs_by_pip(desktop: Desktop, requirements: Path) -> None:
    desktop.add("torch", "2.9.0")
    desktop.add("notional", "1.3")
    dependencies.ensureDependencies("Segmentation", requirements)
    question, installed = desktop.happened
    assert question.startswith("Segmentation: ") and "notional>=1.4" in question
    assert installed == "pip install notional>=1.4"
    dependencies.ensureDependencies("Segmentation", requirements)
    assert len(desktop.happened) == 2, "nothing is asked or installed twice"


@pytest.mark.usefixtures("slicer_5_10")
def test_slicer_5_10_tells_of_packages_that_were_declined_or_could_not_be_had(
    desktop: Desktop, requirements: Path
) -> None:
    desktop.add("torch", "2.9.0")
    desktop.agrees = False
    assert refusal(requirements) == "notional>=1.4: needed, and not installed. Try again to be asked again."
    desktop.agrees, desktop.online = True, False
    assert refusal(requirements).startswith("notional>=1.4: needed, and could not be installed")


def test_scripts_install_all_that_is_missing_without_asking(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop.agrees = False
    for name in ("MissingModalitySeg", "MissingModalityTrain"):
        module = slicer_standin.load_module(name)
        logic = sys.modules[f"{name}Lib.logic"]
        path = Path(module.__file__).with_name("Resources")
        assert path / getattr(module, f"{name}Widget").requirements == logic.REQUIREMENTS
        getattr(module, f"{name}Logic")().ensureDependencies()
    segmentation = sys.modules["MissingModalitySegLib.logic"].MissingModalitySegLogic()
    segmentation.ensureDependencies(stripping=True)
    assert desktop.asked == 0
    assert "PyTorchUtils installs torch>=2.4" in desktop.happened
    assert f"pip install --no-deps {REQUIREMENT}" in desktop.happened


@pytest.mark.parametrize("name", ["MissingModalitySeg", "MissingModalityTrain"])
def test_slicer_5_8_is_told_what_the_module_needs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(slicer_standin.load_module(name).__file__).read_text(encoding="utf-8")
    program = compile(ast.parse(source, feature_version=(3, 9)), name, "exec")
    monkeypatch.setattr(sys, "version_info", (3, 9, 10, "final", 0))
    with pytest.raises(RuntimeError, match=r"needs Slicer 5\.10 or later"):
        exec(program, {"__name__": name, "__file__": name})  # noqa: S102 - as Slicer imports it


def test_real_pip_without_network_ends_in_the_message(
    desktop: Desktop, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip itself, in its own process, as Slicer calls it; an empty folder plays the missing network."""
    desktop.add("torch", "2.9.0")

    def pip_ensure(requirements: list[Any], **_options: Any) -> None:
        options = ["--no-index", "--disable-pip-version-check", "--target", str(desktop.site)]
        command = [sys.executable, "-m", "pip", "install", *options, *map(str, requirements)]
        subprocess.run(command, check=True, capture_output=True)

    monkeypatch.setattr(slicer.packaging, "pip_ensure", pip_ensure)
    assert refusal(requirements).startswith("notional>=1.4: needed, and could not be installed")
