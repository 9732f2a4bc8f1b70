"""The network as training calls it, compiled by ``torch.compile``; validation and export use it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..core.errors import OptionError

COMPILERS = ("torch._dynamo", "torch._inductor")
"""Packages whose errors say that a network could not be compiled."""


def compiled(network: nn.Module, mode: str) -> nn.Module:
    """What computes as ``network`` does, with the same parameters; itself with "none".

    Compiled when it is first called, for the sizes of that call: those of a stage do not change.

    Args:
        network: stays as it is, its state's keys too.
        mode: the setting ``compile``.

    Raises:
        OptionError: this PyTorch cannot compile on this system.
    """
    if mode == "none":
        return network
    try:
        return torch.compile(network, mode=mode, dynamic=False)
    except RuntimeError as error:
        raise _refusal(mode, error) from error


@contextmanager
def compiled_step(mode: str) -> Iterator[None]:
    """A step of training with what :func:`compiled` returned.

    Raises:
        OptionError: the network cannot be compiled, say because the system has no compiler.
    """
    if mode == "reduce-overhead":  # tensors that CUDA graphs have written in earlier steps may be overwritten
        torch.compiler.cudagraph_mark_step_begin()
    try:
        yield
    except RuntimeError as error:
        if mode == "none" or not type(error).__module__.startswith(COMPILERS):
            raise
        raise _refusal(mode, error) from error


def _refusal(mode: str, error: Exception) -> OptionError:
    what = " ".join(
        str(error).strip().partition("\n\n")[0].split()
    )  # below come hints for PyTorch's developers
    return OptionError(
        f"Setting compile={mode}: the network cannot be compiled here ({what}). Install what is missing, say "
        "a C++ compiler, on a GPU Triton, or set compile=none and resume."
    )
