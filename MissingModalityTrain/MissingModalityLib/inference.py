"""Whole cases through a network: sliding windows with Gaussian blending, from logits to a class map.

Memory: beside the network's own activations for one window, a case of V voxels needs about
4 V (2 K + 12) bytes for K output channels (blended sum and result, input twice, weights): 0.3 GB for a brain
of 170 x 145 x 140 voxels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from .regions import TumorClass


def to_probabilities(logits: Tensor, head: str) -> Tensor:
    """Logits (B, K, ...) -> softmax for a "classes" head, sigmoid for a "regions" head; float32."""
    return logits.float().softmax(1) if head == "classes" else logits.float().sigmoid()


def to_classes(probabilities: np.ndarray, head: str) -> np.ndarray:
    """Probabilities (K, D, H, W) -> uint8 class map (D, H, W).

    Classes: the most probable one. Regions: WT, TC and ET at 0.5, the inner region overwriting the outer one.
    """
    if head == "classes":
        return probabilities.argmax(0).astype(np.uint8)
    classes = np.zeros(probabilities.shape[1:], np.uint8)
    for region, cls in zip(probabilities, (TumorClass.ED, TumorClass.NCR, TumorClass.ET), strict=True):
        classes[region > 0.5] = cls
    return classes


def fast_precision(device: torch.device) -> AbstractContextManager:
    """Autocast to the half precision that the device computes natively; float32 where there is none."""
    if device.type == "cuda":
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.autocast("cuda", dtype)
    native = device.type == "cpu" and cpu_has_bfloat16()
    return torch.autocast("cpu", torch.bfloat16, enabled=native)


@functools.cache
def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (elsewhere it is emulated and slower than float32)."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


@torch.inference_mode()
def infer(
    network: nn.Module,
    image: np.ndarray,
    available: np.ndarray,
    *,
    window: Sequence[int],
    overlap: float,
    device: torch.device,
    on_window: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Probabilities of a whole case.

    Args:
        network: in evaluation mode, on ``device``.
        image: (4, D, H, W) float32, 0 outside the brain.
        available: (4,) bool.
        window: (d, h, w), multiples of ``network.divisor``; clipped where the case is smaller.
        overlap: fraction shared by neighbouring windows, 0 to below 1.
        on_window: called with (windows done, windows in all).

    Returns:
        (K, D, H, W) float32.
    """
    least = 2 * network.divisor  # the coarsest level needs two voxels for reflect padding
    size = [
        min(w, max(least, _round_up(side, network.divisor)))
        for w, side in zip(window, image.shape[1:], strict=True)
    ]
    total = _count_windows(image.shape[1:], size, overlap)
    flags = torch.from_numpy(np.asarray(available, bool))[None].to(device)
    tensor = torch.from_numpy(image)[None]
    brain = torch.from_numpy((image[available] != 0).any(axis=0))[None, None]
    done = 0

    def predict(patch: Tensor) -> Tensor:
        nonlocal done
        inside, mask = patch[:, :-1], patch[:, -1:]
        if mask.any():
            with fast_precision(device):
                logits = network(inside.to(device), flags).logits
            result = to_probabilities(logits, network.head).cpu()
        else:
            result = _background(network.head, inside.shape)
        done += 1
        if on_window:
            on_window(done, total)
        return result

    blended = sliding_window_inference(
        torch.cat([tensor, brain.float()], dim=1), size, 1, predict, overlap=overlap, mode="gaussian"
    )
    return blended[0].numpy()


def _background(head: str, shape: Sequence[int]) -> Tensor:
    """What a window without brain gets without asking the network: background for certain."""
    if head == "regions":
        return torch.zeros(shape[0], 3, *shape[2:])
    result = torch.zeros(shape[0], len(TumorClass), *shape[2:])
    result[:, TumorClass.BACKGROUND] = 1
    return result


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _count_windows(shape: Sequence[int], window: Sequence[int], overlap: float) -> int:
    """How many windows MONAI's inferer visits."""
    count = 1
    for side, width in zip(shape, window, strict=True):
        step = max(1, int(width * (1 - overlap))) if width < side else width
        count *= max(1, -(-(max(side, width) - width) // step) + 1)
    return count
