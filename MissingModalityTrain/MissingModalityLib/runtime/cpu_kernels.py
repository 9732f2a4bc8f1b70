"""Whole networks in the layout and with the kernels that CPUs are fastest with.

oneDNN computes a convolution of few channels, and even more so its gradients, several times as fast where the
channels of a voxel lie side by side. PyTorch leaves maps in the other layout, and in single precision gives
small convolutions, and on one thread those of one voxel, to a kernel that makes a column of each voxel's
inputs and runs at half the rate. Here every convolution is oneDNN's, and the channels of a voxel stay side
by side.

oneDNN's gradient of weights in bfloat16 is wrong, now and then by thirty powers of ten, where zeros are put
around maps that are smaller than the kernel (seen with PyTorch 2.13 on AMD EPYC with avx512_bf16, in either
layout). Here such maps, which cost next to nothing, are computed in single precision.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_MACHINES = ("x86_64", "AMD64")
"""As Linux and macOS, and Windows name the processors that it was measured on."""

_SPATIAL = 3


class CpuKernels(TorchFunctionMode):
    """While it lasts, 3-D convolutions and instance normalizations compute so, whichever network calls them.

    What they and their gradients give differs in the last bits from what they give otherwise. May be entered
    again and again.

    Args:
        channels_last: whether the layout is changed; small maps are taken care of anyway.
    """

    def __init__(self, channels_last: bool = True) -> None:
        super().__init__()
        self.channels_last = channels_last
        self._instead = _INSTEAD if channels_last else {F.conv3d: _same_layout}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, or what stands for it here."""
        return self._instead.get(func, func)(*args, **(kwargs or {}))


def cpu_kernels(
    network: nn.Module, device: torch.device, precision: torch.dtype
) -> AbstractContextManager[Any]:
    """:class:`CpuKernels` in the layout that is faster; nothing on other devices. To be entered repeatedly.

    Args:
        network: that computes while it lasts.
        device: that it computes on.
        precision: of its convolutions, by autocast unless it is float32.
    """
    if device.type != "cpu" or not has_kernels():
        return nullcontext()
    # group normalization of half precision loses in this layout what convolutions gain
    slow = precision != torch.float32 and any(isinstance(layer, nn.GroupNorm) for layer in network.modules())
    return CpuKernels(channels_last=not slow)


def has_kernels() -> bool:
    """Whether this processor and this build of PyTorch have what :class:`CpuKernels` needs."""
    return (
        platform.machine() in _MACHINES
        and torch.backends.mkldnn.is_available()
        and hasattr(torch, "mkldnn_convolution")
    )


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """:func:`torch.nn.functional.conv3d`."""
    if isinstance(padding, str) or x.ndim != 2 + _SPATIAL:
        return _same_layout(x, weight, bias, stride, padding, dilation, groups)
    if weight[0, 0].numel() > 1:  # to rearrange many maps costs more than to mix them voxel by voxel
        x = x.contiguous(memory_format=torch.channels_last_3d)
    if x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):  # oneDNN's by itself
        return _same_layout(x, weight, bias, stride, padding, dilation, groups)
    return torch.mkldnn_convolution(x, weight, bias, *map(_triple, (padding, stride, dilation)), groups)


def _same_layout(x: Tensor, weight: Tensor, bias: Tensor | None = None, *how: Any, **named: Any) -> Tensor:
    """:func:`torch.nn.functional.conv3d`, but of small maps always in single precision."""
    small = any(
        side < width for side, width in zip(x.shape[-_SPATIAL:], weight.shape[-_SPATIAL:], strict=True)
    )
    if not small or not torch.is_autocast_enabled("cpu"):
        return F.conv3d(x, weight, bias, *how, **named)
    with torch.autocast("cpu", enabled=False):
        single = [None if part is None else part.float() for part in (x, weight, bias)]
        return F.conv3d(*single, *how, **named).to(torch.get_autocast_dtype("cpu"))


def _triple(value: int | Sequence[int]) -> Sequence[int]:
    return (value,) * _SPATIAL if isinstance(value, int) else value


def _instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """:func:`torch.nn.functional.instance_norm`, which would copy these maps, at five times the time."""
    if len(x) > 1 or running_mean is not None:
        return F.instance_norm(x, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)  # of one sample the same


_INSTEAD: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.conv3d: _convolution,
    F.instance_norm: _instance_norm,
}
