"""Which device the heavy work runs on, and what it is called."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import torch

from ..core.errors import OptionError
from ..core.words import counted


def choose_device(name: str | torch.device) -> torch.device:
    """The device called ``name``.

    Args:
        name: ``"auto"`` (the first CUDA device, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:i"``;
            ``"gpu"`` means CUDA too.

    Raises:
        OptionError: the name is unknown, or this machine has no such device.
    """
    name = as_torch_says(name)
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if not re.fullmatch(r"cuda(:\d+)?", name):
        raise OptionError(f"Unknown device '{name}'. Choose auto, cpu, cuda or cuda:0, cuda:1, ...")
    index = int(name.partition(":")[2] or 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        here = f"cuda:0 to cuda:{count - 1} alone" if count else "no CUDA device that PyTorch can use"
        raise OptionError(f"Device '{name}' was asked for, but this computer has {here}. Choose auto or cpu.")
    return torch.device("cuda", index)


def as_torch_says(name: str | torch.device) -> str:
    """A device's name with ``gpu`` as ``cuda``."""
    return re.sub(r"^gpu\b", "cuda", str(name))


def available_devices() -> list[torch.device]:
    """All CUDA devices that PyTorch can use, then the CPU."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [*(torch.device("cuda", index) for index in range(count)), torch.device("cpu")]


def describe_device(device: torch.device) -> str:
    """Name and memory for people, e.g. ``NVIDIA H200, 139.8 GiB`` or ``AMD EPYC, 2 cores, 7.8 GiB``."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"
    parts = [_processor_name(), counted(os.cpu_count() or 1, "core")]
    memory = memory_of(device)
    return ", ".join(parts + ([f"{memory / 2**30:.1f} GiB"] if memory else []))


def memory_of(device: torch.device) -> int:
    """Bytes of a GPU's memory, or of main memory; 0 where the system does not tell (Windows)."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return _main_memory()


def _processor_name() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:  # only Linux has this file
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def _main_memory() -> int:
    """Bytes of main memory, 0 where the system does not tell (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
