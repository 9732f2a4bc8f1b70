"""Python packages that Slicer lacks: installed at the point of use, after asking. Both modules use this."""

import importlib
import importlib.util
import platform
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import slicer
from slicer.i18n import tr as _

from MissingModalityPanelLib.packages import agrees, install, isInstalled, loadRequirements

TORCH_REQUIREMENT = ">=2.4"  # as in pyproject.toml
TORCH_EXTENSION = "PyTorch"
TORCH_MODULE = "PyTorchUtils"

DICOM_SEG_REQUIREMENT = "highdicom>=0.28"  # as in pyproject.toml

STRIPPING_REQUIREMENT = "deepbet==1.0.2"  # as in MissingModalityLib/clinical/brain_networks.py
WHEELS = "slicer.util.pip_install(glob.glob('FOLDER/*.whl'))"
WHEELS_ALONE = "slicer.util.pip_install(['--no-deps', *glob.glob('FOLDER/deepbet*.whl')])"

_installing = Lock()


@contextmanager
def _oneAtATime():
    """What installs and asks turns the event loop, in which a button can be pressed once more."""
    if not _installing.acquire(blocking=False):
        raise RuntimeError(_("Packages are being installed. Try again when that has ended."))
    try:
        yield
    finally:
        _installing.release()


@_oneAtATime()
def ensureDependencies(requester, requirementsPath):
    """Make sure that PyTorch and the listed packages are there, each in a version that works.

    Where something is missing or too old, Slicer asks before it installs. PyTorch comes first and by Slicer's
    PyTorch extension, which knows the build that fits the graphics card: whatever else needs PyTorch would
    bring another one.

    Args:
        requester: who asks, as shown in Slicer's dialogs; None: all is installed without asking, for scripts.
        requirementsPath: a requirements.txt without PyTorch.

    Raises:
        RuntimeError: something is missing and was not installed, or is being installed already; the message
            says what to do.
    """
    if not isTorchInstalled():
        _installTorch(requester)
    _installPackages(loadRequirements(requirementsPath), requester)


@_oneAtATime()
def ensureDicomSeg(requester):
    """Make sure that segments can be written as DICOM objects; Slicer asks before it installs.

    Args:
        requester: who asks, as shown in Slicer's dialog.

    Raises:
        RuntimeError: the package is missing and was not installed; the message says what to do.
    """
    if not isInstalled(DICOM_SEG_REQUIREMENT):
        _installPackages([DICOM_SEG_REQUIREMENT], requester)


@_oneAtATime()
def ensureStripping(requester):
    """Make sure that the networks are there that find the brain in volumes with their skull on.

    Their package comes without what it asks for, such as a GUI toolkit: only its two networks are read.

    Args:
        requester: who asks, as shown in Slicer's dialog; None: nobody is asked.

    Raises:
        RuntimeError: they are missing and were not installed; the message says what to do.
    """
    if isStrippingInstalled():
        return
    if slicer.app.testingEnabled():
        raise RuntimeError(_("deepbet is needed, and nothing is installed while Slicer is being tested."))
    question = _(
        "The volumes show the skull. To find the brain in them, the package {package} is needed (10 MB, MIT "
        "license). Shall it be downloaded and installed?"
    )
    if not agrees(question.format(package=STRIPPING_REQUIREMENT), requester):
        raise RuntimeError(_declined([STRIPPING_REQUIREMENT]))
    try:
        slicer.util.pip_install(f"--no-deps {STRIPPING_REQUIREMENT}")
    except Exception as error:  # pip has failed, and Slicer has shown its log
        raise RuntimeError(_failure([STRIPPING_REQUIREMENT], error, WHEELS_ALONE)) from error
    if not isStrippingInstalled():
        raise RuntimeError(_failure([STRIPPING_REQUIREMENT], _("pip left them out"), WHEELS_ALONE))


def isStrippingInstalled():
    """Whether volumes with their skull on can be stripped without installing anything."""
    importlib.invalidate_caches()
    return isInstalled(STRIPPING_REQUIREMENT)


def isTorchInstalled():
    """Whether PyTorch is there as a whole and new enough; a failed installation may leave half of it."""
    # what pip has just written is not found where Python still remembers the folder's old content
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return False
    # a folder without __init__.py, all that is left of some failed installations, has a spec but no origin
    return spec is not None and spec.origin is not None and isInstalled("torch" + TORCH_REQUIREMENT)


def _isIntelMac():
    """Whether this is a program for Intel Macs; macOS translates such ones on Apple silicon."""
    return (sys.platform, platform.machine()) == ("darwin", "x86_64")


def _installTorch(requester):
    if slicer.app.testingEnabled():
        raise RuntimeError(_("PyTorch is needed, and nothing is installed while Slicer is being tested."))
    if _isIntelMac():
        message = _(
            "PyTorch {requirement} has no packages for programs for Intel Macs, and this Slicer is one. With "
            "Apple silicon, use the command line of MissingModality and drop the .seg.nrrd into Slicer."
        )
        raise RuntimeError(message.format(requirement=TORCH_REQUIREMENT))
    if "torch" in sys.modules:
        # Files in use cannot be replaced on Windows, and elsewhere old and new would get mixed.
        message = _(
            "PyTorch {requirement} is needed, and another module is using a PyTorch that is older or broken. "
            "Restart Slicer and come here first: the new one can be installed then."
        )
        raise RuntimeError(message.format(requirement=TORCH_REQUIREMENT))
    if isInstalled("torch" + TORCH_REQUIREMENT):
        raise RuntimeError(_brokenTorch())  # pip would find nothing to do
    utils = _torchUtils(requester)
    if utils is None:
        _installPackages(["torch" + TORCH_REQUIREMENT], requester)
    else:
        _installTorchBy(utils, requester)
    if not isTorchInstalled():
        raise RuntimeError(_brokenTorch())


def _torchUtils(requester):
    """The PyTorch extension's Python module, its extension installed if the user agrees.

    Returns None where this Slicer cannot have the extension: it was built without extensions manager, or the
    server does not answer or has no such extension for this version.
    """
    manager = getattr(slicer.app, "extensionsManagerModel", None)
    utils = _imported(TORCH_MODULE)
    if utils is not None or manager is None:
        return utils
    model = manager()
    if not model.isExtensionInstalled(TORCH_EXTENSION) and not _installExtension(model, requester):
        return None
    _loadExtension(model)
    utils = _imported(TORCH_MODULE)
    if utils is None:
        message = _(
            "The extension 'PyTorch' is installed but not loaded. See in the Extensions Manager that it is "
            "enabled, restart Slicer and try again."
        )
        raise RuntimeError(message)
    return utils


def _installExtension(model, requester):
    question = _(
        "PyTorch is needed. Shall Slicer's extension 'PyTorch' be installed? It finds the build that fits "
        "this computer and asks again before the download, which may have a few GB."
    )
    if not agrees(question, requester):
        raise RuntimeError(_declined(["torch" + TORCH_REQUIREMENT]))
    # The user has agreed already. A scripted module can be loaded at once, so there is no need to restart.
    interactive, model.interactive = model.interactive, False
    try:
        return model.installExtensionFromServer(TORCH_EXTENSION, False)
    finally:
        model.interactive = interactive


def _loadExtension(model):
    """Load the extension's module now, as the Extension Wizard does; usually that waits for a restart."""
    import qt

    factory = slicer.app.moduleManager().factoryManager()
    for folder in model.extensionModulePaths(TORCH_EXTENSION):
        path = Path(folder, TORCH_MODULE + ".py")
        if path.is_file():
            factory.registerModule(qt.QFileInfo(str(path)))
            factory.loadModules([TORCH_MODULE])


def _imported(name):
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _installTorchBy(utils, requester):
    try:
        installed = utils.PyTorchUtilsLogic().installTorch(
            askConfirmation=requester is not None, torchVersionRequirement=TORCH_REQUIREMENT
        )
    except Exception as error:  # whatever the other extension meets
        raise RuntimeError(_failure(["torch" + TORCH_REQUIREMENT], error)) from error
    if installed is None:
        raise RuntimeError(_declined(["torch" + TORCH_REQUIREMENT]))


def _installPackages(requirements, requester):
    missing = [requirement for requirement in requirements if not isInstalled(requirement)]
    if not missing:
        return
    try:
        install(requirements, requester)
    except RuntimeError as error:
        raise RuntimeError(_declined(missing)) from error
    except Exception as error:  # pip has failed, and Slicer has shown its log
        raise RuntimeError(_failure(missing, error)) from error
    importlib.invalidate_caches()
    if not all(isInstalled(requirement) for requirement in requirements):
        raise RuntimeError(_failure(missing, _("pip left them out")))


def _brokenTorch():
    return _(
        "PyTorch was installed but does not work. Uninstall it in the module PyTorch Utils or with "
        "slicer.util.pip_uninstall('torch') in the Python console, restart Slicer and try again."
    )


def _declined(requirements):
    message = _("{packages}: needed, and not installed. Try again to be asked again.")
    return message.format(packages=", ".join(requirements))


def _failure(requirements, reason, wheels=WHEELS):
    """What is missing and what to do, for people with and without network."""
    message = _(
        "{packages}: needed, and could not be installed ({reason}). Look whether this computer reaches "
        "the Python Package Index (behind a proxy, HTTPS_PROXY must name it) and has disk space left, then "
        "try again; the Python console has the log. Without network, bring the packages and all that they "
        "need in a folder and type in the Python console: "
        "import glob; {wheels}"
    )
    return message.format(packages=", ".join(requirements), reason=reason, wheels=wheels)
