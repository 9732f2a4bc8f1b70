"""What installs packages on the desktop, for tests: the user, the Extensions Manager, PyTorch Utils and pip.

Nothing is downloaded: to install is to write a package with its metadata into a folder, where Python itself
then finds it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer
import slicer.util

EXTENSION = """
from desktop_standin import Desktop
class PyTorchUtilsLogic:
    def installTorch(self, askConfirmation=False, torchVersionRequirement=None):
        return Desktop.current.install_torch(torchVersionRequirement, askConfirmation)
"""


class Desktop:
    """The user agrees, everything is online and works, until a test says otherwise.

    Attributes:
        current: the last one made; the extension's module asks it.
        happened: who was asked and what was installed, in order.
        asked: how often the user was asked.
    """

    current: Desktop

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.site.mkdir()
        self.extension = folder / "extension"
        self.extension.mkdir()
        self.agrees = True
        self.online = True
        self.offered = True
        self.interactive = True
        self.asked = 0
        self.installed: list[str] = []
        self.happened: list[Any] = []
        Desktop.current = self

    # what the extension PyTorch does
    def install_torch(self, requirement: str, asks: bool) -> Any:
        self.happened.append(f"PyTorchUtils installs torch{requirement}")
        self.asked += asks
        if not self.online:
            raise subprocess.CalledProcessError(1, "light-the-torch")
        if asks and not self.agrees:
            return None
        self.add("torch", "2.12.0")
        return "torch"

    def add(self, name: str, version: str, source: str | None = "") -> None:
        """Put a package there; without source only its metadata, as a broken installation leaves it."""
        for old in self.site.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)  # the folder too: which of two is found is the file system's choice
        metadata = self.site / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(exist_ok=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (self.site / name).mkdir(exist_ok=True)
        if source is not None:
            (self.site / name / "__init__.py").write_text(source)

    # slicer.packaging, which asks, installs or raises
    def pip_ensure(
        self, requirements: list[Any], requester: str | None, prompt_install: bool, prompt_restart: bool
    ) -> None:
        missing = [str(each) for each in requirements if not slicer.packaging.pip_check(each)]
        if not missing:
            return
        self.happened.append(f"pip: {' '.join(missing)} for {requester}")
        self.asked += prompt_install
        if prompt_install and not self.agrees:
            raise RuntimeError("User declined package installation")
        if not self.online:
            raise subprocess.CalledProcessError(1, "pip install")
        for requirement in missing:
            self.add(*requirement.split(">="))

    # slicer.util.pip_install
    def pip_install(self, arguments: str) -> None:
        self.happened.append(f"pip install {arguments}")
        if not self.online:
            raise subprocess.CalledProcessError(1, "pip install")
        for name in arguments.split():
            if not name.startswith("-"):
                self.add(*re.split("[=>]=", name))

    # slicer.util, slicer.app.extensionsManagerModel() and the module factory
    def confirm(self, text: str, windowTitle: str) -> bool:
        self.happened.append(f"{windowTitle}: {text}")
        self.asked += 1
        return self.agrees

    def isExtensionInstalled(self, name: str) -> bool:
        return name in self.installed

    def installExtensionFromServer(self, name: str, restart: bool) -> bool:
        assert not restart and not self.interactive
        self.happened.append(f"extension {name}")
        if self.online and self.offered:
            (self.extension / "PyTorchUtils.py").write_text(EXTENSION)
            self.installed.append(name)
        return name in self.installed

    def extensionModulePaths(self, name: str) -> list[str]:
        return [str(self.extension)]

    def registerModule(self, file: Any) -> None:
        assert file.fileName() == "PyTorchUtils.py"

    def loadModules(self, names: list[str]) -> None:
        assert names == ["PyTorchUtils"]
        sys.path.append(str(self.extension))


@contextmanager
def desktop_without_pytorch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    """A desktop with an extensions manager, without PyTorch and without the extension."""
    desktop = Desktop(folder)
    others = [folder for folder in sys.path if not Path(folder, "torch").exists()]
    monkeypatch.setattr(sys, "path", [str(desktop.site), *others])
    for name in ("torch", "PyTorchUtils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
    monkeypatch.setattr(slicer.app, "extensionsManagerModel", lambda: desktop, raising=False)
    manager = SimpleNamespace(factoryManager=lambda: desktop)
    monkeypatch.setattr(slicer.app, "moduleManager", lambda: manager, raising=False)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", desktop.confirm)
    monkeypatch.setattr(slicer.packaging, "pip_ensure", desktop.pip_ensure)
    monkeypatch.setattr(slicer.util, "pip_install", desktop.pip_install)
    yield desktop
    for name in ("torch", "PyTorchUtils"):
        sys.modules.pop(name, None)
