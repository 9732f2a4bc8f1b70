"""Whole networks in the layout and with the kernels that CPUs are fastest with.

oneDNN computes a convolution of few channels, and even more so its gradients, several times as fast where the
channels of a voxel lie side by side. PyTorch leaves maps in the other layout, and in single precision gives
small convolutions, and on one thread those of one voxel, to a kernel that makes a column of each voxel's
inputs and runs at half the rate. Here every convolution is oneDNN's, and the channels of a voxel stay side
by side.

oneDNN's gradient of weights is wrong, now and then by thirty powers of ten, where zeros are put around maps
that are smaller than the kernel: in bfloat16 in either layout, in single precision where the channels of a
voxel lie side by side (seen with PyTorch 2.13 on AMD EPYC with avx512_bf16). Here such maps, which cost next
to nothing, and somewhat larger ones of wide kernels, are computed in double precision while weights learn:
oneDNN does not know that, so PyTorch's own kernels do it, backwards too.
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
        """Call ``func``, or what stands for it here, which names its arguments alike."""
        return self._instead.get(func, func)(*args, **(kwargs or {}))


def cpu_kernels(
    network: nn.Module, device: torch.device, precision: torch.dtype, layout: bool = True
) -> AbstractContextManager[Any]:
    """:class:`CpuKernels` in the layout that is faster; nothing on other devices. To be entered repeatedly.

    Args:
        network: that computes while it lasts.
        device: that it computes on.
        precision: of its convolutions, by autocast unless it is float32.
        layout: whether to choose it; else small maps alone are taken care of, also while torch.compile traces
            the network, which then compiles what stands for their convolutions here.
    """
    if device.type != "cpu" or not has_kernels():
        return nullcontext()
    # group normalization of half precision loses in this layout what convolutions gain
    slow = precision != torch.float32 and any(isinstance(layer, nn.GroupNorm) for layer in network.modules())
    return CpuKernels(channels_last=layout and not slow)


def has_kernels() -> bool:
    """Whether this processor and this build of PyTorch have what :class:`CpuKernels` needs."""
    return (
        platform.machine() in _MACHINES
        and torch.backends.mkldnn.is_available()
        and hasattr(torch, "mkldnn_convolution")
    )


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """:func:`torch.nn.functional.conv3d`."""
    how = stride, padding, dilation, groups
    if isinstance(padding, str) or input.ndim != 2 + _SPATIAL or _goes_wrong(input, weight, dilation):
        return _same_layout(input, weight, bias, *how)
    # to rearrange many maps costs more than to mix them voxel by voxel
    if any(width > 1 for width in weight.shape[2:]):
        input = input.contiguous(memory_format=torch.channels_last_3d)
    if not input.dtype == weight.dtype == torch.float32 or torch.is_autocast_enabled("cpu"):
        return F.conv3d(input, weight, bias, *how)  # oneDNN's by itself, or none of its
    return torch.mkldnn_convolution(input, weight, bias, *map(_triple, (padding, stride, dilation)), groups)


def _same_layout(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """:func:`torch.nn.functional.conv3d`, but where oneDNN goes wrong in double precision."""
    how = stride, padding, dilation, groups
    if not _goes_wrong(input, weight, dilation):
        return F.conv3d(input, weight, bias, *how)
    exact = F.conv3d(input.double(), weight.double(), None if bias is None else bias.double(), *how)
    return exact.to(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype)


def _goes_wrong(x: Tensor, weight: Tensor, dilation: int | Sequence[int]) -> bool:
    """Whether a gradient of weights is due that oneDNN gets wrong: of maps hardly larger than the kernel."""
    if not (torch.is_grad_enabled() and weight.requires_grad) or x.dtype == torch.float64:
        return False
    sizes = zip(x.shape[-_SPATIAL:], weight.shape[-_SPATIAL:], _triple(dilation), strict=False)
    # of wide kernels larger maps too: one of 7 with stride 2 went wrong on maps of 7 x 8 x 7
    return any(side < (apart * (width - 1) + 1) * (2 if width > 3 else 1) for side, width, apart in sizes)


def _triple(value: int | Sequence[int]) -> Sequence[int]:
    values = [value] if isinstance(value, int) else value
    return values * _SPATIAL if len(values) == 1 else values


def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """:func:`torch.nn.functional.instance_norm`, which would copy these maps, at five times the time."""
    running = running_mean is not None or running_var is not None or not use_input_stats
    if len(input) != 1 or running:
        return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
    return F.batch_norm(input, None, None, weight, bias, training=True, eps=eps)  # of one sample the same


_INSTEAD: Mapping[Callable[..., Any], Callable[..., Any]] = {
    F.conv3d: _convolution,
    F.instance_norm: _instance_norm,
}
