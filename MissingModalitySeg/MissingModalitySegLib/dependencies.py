"""Python packages that Slicer lacks: installed at the point of use, after asking. Both modules use this."""

import importlib.metadata
import importlib.util

from slicer.i18n import tr as _

TORCH_REQUIREMENT = ">=2.4"


def ensureDependencies(requester, requirementsPath):
    """Make sure that PyTorch and the listed packages are there.

    Args:
        requester: who asks, as shown in Slicer's dialog.
        requirementsPath: a requirements.txt without PyTorch.

    Raises:
        RuntimeError: something is missing and was not installed; the message says what to do.
    """
    if not isTorchInstalled():
        _installTorch()
    import slicer.packaging

    slicer.packaging.pip_ensure(slicer.packaging.load_requirements(requirementsPath), requester=requester)


def isTorchInstalled():
    """Whether PyTorch is there as a whole; a broken installation leaves an empty package or bare metadata."""
    try:
        importlib.metadata.version("torch")
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def _installTorch():
    """Leave it to Slicer's PyTorch extension, which knows the build that fits the graphics card."""
    try:
        import PyTorchUtils
    except ImportError:
        message = _(
            "PyTorch is needed. Install the extension 'PyTorch' with the Extensions Manager, restart Slicer "
            "and try again."
        )
        raise RuntimeError(message) from None
    installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
        askConfirmation=True, torchVersionRequirement=TORCH_REQUIREMENT
    )
    if installed is None:
        raise RuntimeError(_("PyTorch was not installed. The module PyTorch Utils shows its state."))
