"""What only 3D Slicer's desktop has, in small, so that the modules run in tests on the real MRML libraries.

``slicer-core`` brings real nodes, scenes, file formats and ``slicer.util``, but no application.
:func:`install` adds stand-ins for ``slicer.app``, ``slicer.modules``, ``slicer.i18n``,
``slicer.ScriptedLoadableModule`` (module_standin.py), ``slicer.packaging``, ``slicer.parameterNodeWrapper``
(parameters_standin.py), ``SampleData`` (sampledata_standin.py), ``qt`` and ``ctk`` (qt_standin.py), and a
layout manager (layout_standin.py): only what this project's modules use, written from Slicer's documented
interface. Where MISSINGMODALITY_SLICER names a Slicer, its own Python files take their place
(genuine_slicer.py). Not covered: the launcher PythonSlicer, DICOM and everything that is drawn.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import slicer
import slicer.util
from packaging.requirements import Requirement

import genuine_slicer
import module_standin
import parameters_standin
import qt_standin
import sampledata_standin
import slicer_folder
from layout_standin import LayoutManager

_ROOT = Path(__file__).resolve().parents[2]

# Scenes and panels observe each other. On the desktop they live as long as the application; here, Python
# would destroy them in an order that Qt and VTK do not survive.
_kept_alive: list[Any] = []

_loaded: dict[str, SimpleNamespace] = {}
"""The extension's modules by name in small letters, as ``slicer.modules`` has them."""


class Application:
    """``slicer.app``: what ``slicer.util`` asks for; the rest is the application object of Qt, as there."""

    applicationName = "Slicer stand-in"
    temporaryPath = tempfile.gettempdir()
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"

    def __init__(self) -> None:
        self.atStartup: list[Any] = []
        self._modules = SimpleNamespace(connect=lambda *_: None, disconnect=lambda *_: None)

    def __getattr__(self, name: str) -> Any:
        return getattr(qt_standin.application(), name)

    def testingEnabled(self) -> bool:
        return True

    def connect(self, signal: str, slot: Any) -> None:
        assert signal == "startupCompleted()", signal
        self.atStartup.append(slot)

    def translate(self, context: str, text: str) -> str:
        """As in a Slicer that speaks English."""
        return text

    def moduleManager(self) -> Any:
        """No module is ever unloaded."""
        return self._modules

    def topLevelWidgets(self) -> list[Any]:
        """None: there is no main window."""
        return []

    def coreIOManager(self) -> Any:
        """Reads files into the scene."""
        return SimpleNamespace(loadNodes=_load_volume)

    def layoutManager(self) -> None:
        """None, as without a main window."""

    def setOverrideCursor(self, cursor: Any) -> None: ...

    def restoreOverrideCursor(self) -> None: ...

    def processEvents(self, *flags: Any) -> None:
        qt_standin.application().processEvents(*flags)


def _load_volume(kind: str, properties: dict[str, Any], nodes: Any) -> bool:
    """One volume from a file, put into a collection."""
    assert kind == "VolumeFile", kind
    logic = slicer.modules.volumes.logic()
    node = logic.AddArchetypeVolume(properties["fileName"], properties["name"], 0)
    nodes.AddItem(node)
    return node is not None


def _requirements(path: str) -> list[Requirement]:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def _pip_check(requirements: str | Requirement | list[str | Requirement]) -> bool:
    """Whether every package that is asked for is installed in a version asked for."""
    if isinstance(requirements, list):
        return all(map(_pip_check, requirements))
    requirement = Requirement(str(requirements))
    try:
        return version(requirement.name) in requirement.specifier
    except PackageNotFoundError:
        return False


def _pip_ensure(
    requirements: list[str | Requirement],
    requester: str | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
) -> None:
    """Installs what is missing after asking; nothing while Slicer is tested."""
    missing = [str(requirement) for requirement in requirements if not _pip_check(requirement)]
    if not missing or slicer.app.testingEnabled():
        return
    question = slicer.util.confirmOkCancelDisplay
    if prompt_install and not question(
        "Continue?", f"{requester} - Install", detailedText="\n".join(missing)
    ):
        raise RuntimeError("User declined package installation")
    slicer.packaging.pip_install(missing, requester=requester)


def install() -> None:
    """Put the stand-ins in place; once is enough, again does nothing."""
    if "slicer.ScriptedLoadableModule" in sys.modules:
        return
    qt_standin.application()
    qt_standin.keep_settings_in(tempfile.mkdtemp(prefix="slicer-standin-"))
    sys.modules.update(qt_standin.modules())
    for name in ("qMRMLWidget", "qMRMLNodeComboBox"):
        setattr(slicer, name, qt_standin.CUSTOM[name])
    slicer.app = Application()
    root = slicer_folder.folder()
    if root is None:
        _stand_in()
    else:
        _take(root)
    sys.path[:0] = [str(_ROOT / name) for name in ("MissingModalityTrain", "MissingModalitySeg")]
    new_scene()


def _stand_in() -> None:
    """Put what this project has written in the place of Slicer's Python files."""
    _module("i18n", tr=lambda text: text, translate=lambda context, text: text)
    bases = {name: member for name, member in vars(module_standin).items() if name.startswith("Scripted")}
    _module("ScriptedLoadableModule", **bases, __all__=list(bases))
    _stand_in_packaging()
    names = ("parameterNodeWrapper", "WithinRange", "Choice")
    _module("parameterNodeWrapper", **{name: getattr(parameters_standin, name) for name in names})
    sys.modules["SampleData"] = sampledata_standin


def _stand_in_packaging() -> None:
    _module("packaging", load_requirements=_requirements, pip_check=_pip_check, pip_ensure=_pip_ensure)


def _take(root: Path) -> None:
    """Import Slicer's own files."""
    genuine_slicer.use(root)
    for name in ("i18n", "ScriptedLoadableModule", "parameterNodeWrapper"):
        importlib.import_module(f"slicer.{name}")
    if importlib.util.find_spec("slicer.packaging") is None:
        _stand_in_packaging()  # Slicer 5.10 has none
    else:
        importlib.import_module("slicer.packaging")
    path = slicer_folder.sample_data(root)
    if path is None:
        sys.modules["SampleData"] = sampledata_standin
        return
    spec = importlib.util.spec_from_file_location("SampleData", path)
    sys.modules["SampleData"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["SampleData"])


def load_module(name: str) -> ModuleType:
    """A module of the extension, imported as Slicer would: with everything in place first."""
    install()
    module = importlib.import_module(name)
    if hasattr(module, f"{name}Widget"):
        _loaded[name.lower()] = SimpleNamespace(path=module.__file__)
        setattr(slicer.modules, name.lower(), _loaded[name.lower()])
    return module


def module_parent(name: str) -> SimpleNamespace:
    """What Slicer hands to a module's description."""
    return SimpleNamespace(path=_loaded[name.lower()].path)


def module_area() -> Any:
    """The empty widget that a panel is put into."""
    area = qt_standin.QWidget()
    area.setLayout(qt_standin.QtWidgets.QVBoxLayout())
    _kept_alive.append(area)
    return area


def _module(name: str, **members: Any) -> None:
    module = ModuleType(f"slicer.{name}")
    vars(module).update(members)
    sys.modules[module.__name__] = module
    setattr(slicer, name, module)


def new_scene() -> Any:
    """An empty scene with the logics that the desktop has loaded, made ``slicer.mrmlScene``."""
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    modules = {"colors": SimpleNamespace(logic=application.GetColorLogic)}
    for name in ("Segmentations", "SubjectHierarchy"):
        _add_logic(application, scene, name, getattr(slicer, f"vtkSlicer{name}ModuleLogic")(), modules)
    _add_logic(application, scene, "Volumes", slicer.vtkSlicerVolumesLogic(), modules)
    _kept_alive.extend((scene, application))
    slicer.mrmlScene = scene
    slicer.modules = SimpleNamespace(**modules, **_loaded)
    slicer.app.applicationLogic = lambda: application
    layout_manager = LayoutManager(scene, application)
    slicer.app.layoutManager = lambda: layout_manager
    return scene


def _add_logic(application: Any, scene: Any, name: str, logic: Any, modules: dict[str, Any]) -> None:
    logic.SetMRMLApplicationLogic(application)
    application.SetModuleLogic(name, logic)
    logic.SetMRMLScene(scene)
    modules[name.lower()] = SimpleNamespace(logic=lambda: logic)
