"""Python packages: ``slicer.packaging`` where there is one, and the little of it that is needed where not.

It came with Slicer 5.12. Slicer 5.10 has ``slicer.util.pip_install`` alone.
"""

import importlib.metadata
from pathlib import Path

import slicer
from slicer.i18n import tr as _


def loadRequirements(path):
    """The lines of a requirements.txt that name a package."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def isInstalled(requirement):
    """Whether pip believes that a package is there in a version that is asked for.

    Args:
        requirement: such as "torch>=2.4".
    """
    try:
        packaging = _slicerPackaging()
        if packaging is not None:
            return packaging.pip_check(requirement)
        asked = _parsed(requirement)
        return importlib.metadata.version(asked.name) in asked.specifier
    except importlib.metadata.PackageNotFoundError:
        return False
    except (TypeError, ValueError):  # an interrupted installation has left a record without version
        return False


def install(requirements, requester):
    """Install packages where they are missing, after asking.

    Args:
        requirements: such as ["torch>=2.4"].
        requester: who asks, as shown in Slicer's dialogs; None: nobody is asked.

    Raises:
        RuntimeError: the user does not want to.
        subprocess.CalledProcessError: pip has failed.
    """
    packaging, asks = _slicerPackaging(), requester is not None
    if packaging is not None:
        packaging.pip_ensure(requirements, requester=requester, prompt_install=asks, prompt_restart=asks)
        return
    missing = [requirement for requirement in requirements if not isInstalled(requirement)]
    if not missing or slicer.app.testingEnabled():
        return
    question = _("These Python packages are needed: {packages}. Shall they be downloaded and installed?")
    if not agrees(question.format(packages=", ".join(missing)), requester):
        raise RuntimeError(_("The packages were not installed."))
    slicer.util.pip_install(" ".join(missing))


def agrees(question, requester):
    """Whether the user says yes; where nobody is to be asked, nobody says no."""
    return requester is None or slicer.util.confirmOkCancelDisplay(question, windowTitle=requester)


def _slicerPackaging():
    """The module; None in Slicer 5.10."""
    try:
        import slicer.packaging
    except ImportError:
        return None
    return slicer.packaging


def _parsed(requirement):
    try:
        from packaging.requirements import Requirement
    except ImportError:  # pip brings its own, and Slicer brings pip
        from pip._vendor.packaging.requirements import Requirement
    return Requirement(requirement)
