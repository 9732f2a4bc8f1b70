"""The base classes of scripted modules in small, ``slicer.ScriptedLoadableModule``."""

from __future__ import annotations

import logging
import sys
import unittest
from pathlib import Path
from typing import Any

import slicer
import slicer.util


class ScriptedLoadableModule:
    """Base of a module's description; ``parent`` carries title, help and so on, and the module's ``path``."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        vars(slicer).setdefault("selfTests", {})[self.moduleName] = self.runTest

    def runTest(self, msec: int = 100, **options: Any) -> None:
        """Run the module's self-test, as the module SelfTests does."""
        test = getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test")()
        test.messageDelay = msec
        test.runTest(**options)

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).with_name("Resources") / name)


class ScriptedLoadableModuleLogic:
    """Base of a module's logic, with the module's one parameter node in the scene."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleWidget:
    """Base of a module's panel."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).with_name("Resources") / name)

    def setup(self) -> None:
        """Nothing: the developer section exists on the desktop only."""


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of a module's self-test; by itself it tests nothing."""

    messageDelay = 0

    def runTest(self) -> None: ...

    def delayDisplay(self, message: str, msec: int | None = None) -> None:
        logging.info(message)
