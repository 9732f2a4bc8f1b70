"""Whole cases through a network: sliding windows, blended, from logits to a class map.

Memory: beside the network's own activations for one window, a case of V voxels needs about
4 V (S K + 6) bytes for K output channels of S subsets (blended sum, input, weights): for 4 classes and a
brain of 170 x 145 x 140 voxels 0.1 GB for one subset and 0.9 GB for all 15.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import OptionError
from ..core.labels import TUMOR_CLASSES
from ..core.words import unknown_name
from ..networks.head import Head
from ..networks.network import Network, placed
from ..networks.output import Output
from ..runtime.cpu_kernels import cpu_kernels
from ..runtime.freed_memory import give_back
from .blending import blend_windows
from .card import GATES
from .windows import count_windows


@dataclass(frozen=True)
class RawPrediction:
    """What a network tells of a whole case, before :func:`apply_presence_gate`.

    Attributes:
        probabilities: (K, D, H, W) float32, or (S, K, D, H, W) for S subsets; NaN where the network's logits
            are not finite.
        presence: (3,) or (S, 3) float32, probability that NCR, ED and ET are anywhere in the case: the
            largest that any window tells. None where the network does not tell.
    """

    probabilities: np.ndarray
    presence: np.ndarray | None


def apply_presence_gate(
    probabilities: np.ndarray, presence: np.ndarray | None, head: Head, gate: str
) -> np.ndarray:
    """Probabilities less what the network takes for false: classes that the case does not seem to hold.

    "soft" multiplies what a class gets with twice its presence, at most 1: what is more likely there than not
    stays as it is, below that voxels must be the surer, the less likely the class is. "hard" (as AdaMM is
    published) removes classes of a presence up to 0.5, "none" changes nothing. What that means depends on
    the head, see :meth:`~..networks.head.Head.apply_presence`.

    Args:
        probabilities: (K, D, H, W), changed in place.
        presence: (3,) of NCR, ED, ET, or None: nothing to go by.
        head: the network's.
        gate: one of :data:`.card.GATES`.

    Raises:
        OptionError: unknown gate.
    """
    if gate not in GATES:
        raise OptionError(unknown_name("gate", gate, GATES))
    if presence is not None and gate != "none":
        factors = np.minimum(1, 2 * presence) if gate == "soft" else (presence > 0.5).astype(np.float32)
        head.apply_presence(probabilities, factors)
    return probabilities


@contextmanager
def fast_precision(network: nn.Module, device: torch.device, precision: str = "auto") -> Iterator[None]:
    """Autocast to :func:`computed_precision`, on a CPU in the layout that is fastest for the network."""
    half = computed_precision(device, precision)
    with (
        cpu_kernels(network, device, half),
        torch.autocast(device.type, half, enabled=half != torch.float32),
    ):
        yield


def computed_precision(device: torch.device, precision: str = "auto") -> torch.dtype:
    """What convolutions compute in: half precision where that is native, unless float32 was asked for.

    Args:
        device: that computes.
        precision: one of :data:`.card.PRECISIONS`.
    """
    if precision == "float32":
        return torch.float32
    if device.type == "cuda":
        return cuda_half(device)
    return torch.bfloat16 if device.type == "cpu" and cpu_has_bfloat16() else torch.float32


def cuda_half(device: torch.device) -> torch.dtype:
    """The half precision that a CUDA device computes natively: bfloat16, on those before Ampere float16."""
    if torch.version.hip:
        native = torch.cuda.is_bf16_supported()
    else:  # elsewhere that function counts emulation too
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if native else torch.float16


@functools.cache
def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (elsewhere it is emulated and slower than float32)."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def infer(
    network: Network,
    image: np.ndarray,
    available: np.ndarray,
    *,
    window: Sequence[int],
    overlap: float,
    device: torch.device,
    mirror: Sequence[int] = (),
    mirror_windows: Sequence[int] = (),
    blending: str = "gaussian",
    precision: str = "auto",
    on_window: Callable[[int, int], None] | None = None,
) -> RawPrediction:
    """Probabilities of a whole case, from one subset of its modalities or from several.

    Several cost less than one call for each, and give the same numbers: a network that can encode the
    modalities apart from fusing them (``network.encode`` and ``network.fuse``) encodes each modality once per
    window.

    Args:
        network: in evaluation mode; it is moved to ``device``.
        image: (4, D, H, W) float32, 0 outside the brain; channels in none of the subsets are never read.
        available: (4,) bool, or (S, 4) for S subsets.
        window: (d, h, w), multiples of ``network.divisor``; clipped where the case is smaller.
        overlap: fraction shared by neighboring windows, 0 to below 1.
        blending: one of :data:`.card.BLENDINGS`.
        precision: see :func:`computed_precision`.
        mirror: axes, 0 to 2, along which the case is mirrored too; the mean over all combinations counts.
        mirror_windows: axes along which every other window is mirrored, see :func:`.blending.blend_windows`.
        on_window: called with (windows done, windows in all).
    """
    give_back()  # what earlier steps have freed would lie beside the windows
    combinations = [
        flipped for count in range(len(mirror) + 1) for flipped in itertools.combinations(mirror, count)
    ]
    parts = []
    for number, flipped in enumerate(combinations):

        def counted(done: int, total: int, before: int = number) -> None:
            on_window(before * total + done, len(combinations) * total)

        part = _infer_once(
            network,
            _mirrored(image, flipped),
            available,
            window=window,
            overlap=overlap,
            mirror_windows=mirror_windows,
            blending=blending,
            precision=precision,
            device=device,
            on_window=on_window and counted,
        )
        parts.append(RawPrediction(_mirrored(part.probabilities, flipped), part.presence))
    return parts[0] if len(parts) == 1 else _mean(parts)


def _mirrored(array: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """(..., D, H, W) flipped along some of its last three axes."""
    # copied, because PyTorch takes no array that is read backward
    return np.ascontiguousarray(np.flip(array, [axis - 3 for axis in axes])) if axes else array


def _mean(parts: Sequence[RawPrediction]) -> RawPrediction:
    presence = None if parts[0].presence is None else np.mean([part.presence for part in parts], 0)
    probabilities = parts[0].probabilities
    for part in parts[1:]:  # added in place: all together would take the memory of each
        probabilities += part.probabilities
    probabilities /= len(parts)
    return RawPrediction(probabilities, presence)


@torch.inference_mode()
def _infer_once(
    network: Network,
    image: np.ndarray,
    available: np.ndarray,
    *,
    window: Sequence[int],
    overlap: float,
    mirror_windows: Sequence[int],
    blending: str,
    precision: str,
    device: torch.device,
    on_window: Callable[[int, int], None] | None,
) -> RawPrediction:
    """:func:`infer` of the case as it lies."""
    network.to(device)
    least = 2 * network.divisor  # the coarsest level needs two voxels for reflect padding
    size = [
        min(w, max(least, _round_up(side, network.divisor)))
        for w, side in zip(window, image.shape[1:], strict=True)
    ]
    total = count_windows(image.shape[1:], size, overlap)
    subsets = torch.from_numpy(np.atleast_2d(available).astype(bool))
    done = 0
    presence: dict[int, Tensor] = {}

    def predict(patch: Tensor, first: tuple[int, ...]) -> Iterator[Tensor]:
        """(1, 4, d, h, w) -> (1, K, d, h, w) of each subset"""
        nonlocal done
        start = [voxel - side // 2 for voxel, side in zip(first, image.shape[1:], strict=True)]
        brain = (patch[0] != 0).flatten(1).any(1)
        seen = (subsets & brain).any(1).tolist()
        with fast_precision(network, device, precision):
            outputs = _outputs(network, patch.to(device), subsets[seen].to(device), torch.tensor([start]))
            for number, visible in enumerate(seen):
                if not visible:
                    yield network.head.background(patch.shape)
                    continue
                output = next(outputs)
                # windows are blended in main memory: a GPU holds one window, whatever the case's size
                yield _probabilities(network.head, output.logits.float())
                if output.presence is not None:
                    here = output.presence[0].float().cpu()
                    presence[number] = torch.maximum(here, presence.get(number, here))
        done += 1
        if on_window:
            on_window(done, total)

    blended = blend_windows(
        torch.from_numpy(image)[None], size, overlap, blending, predict, len(subsets), mirror_windows
    )
    several = np.shape(available)[:-1]
    probabilities = blended.numpy().reshape(*several, -1, *image.shape[1:])
    if not presence:
        return RawPrediction(probabilities, None)
    nothing = torch.zeros(len(TUMOR_CLASSES))  # of a subset that no window with brain was seen from
    of_subsets = torch.stack([presence.get(number, nothing) for number in range(len(subsets))])
    return RawPrediction(probabilities, of_subsets.numpy().reshape(*several, -1))


def _probabilities(head: Head, logits: Tensor) -> Tensor:
    """(1, K, d, h, w) float32 of logits, in main memory; NaN where one of them is not finite."""
    least, largest = logits.aminmax()  # tells of NaN too, in a single pass
    answer = head.probabilities(logits).cpu()
    # a sigmoid would make sound probabilities of infinite logits
    return answer if least.isfinite() and largest.isfinite() else answer.fill_(torch.nan)


def infer_within_memory(
    network: Network,
    image: np.ndarray,
    available: np.ndarray,
    *,
    window: Sequence[int],
    device: torch.device,
    on_note: Callable[[str], None],
    **options: Any,
) -> tuple[RawPrediction, torch.device]:
    """:func:`infer`; where a GPU's memory does not suffice, with smaller windows there, else on the CPU.

    Args:
        on_note: called with a sentence for people about each step back.

    Returns:
        What :func:`infer` gives, and the device that it was computed on.
    """
    for where, size, note in _attempts(window, network.divisor, device):
        if note:  # PyTorch keeps freed memory in pieces of the old window's sizes
            torch.cuda.empty_cache()
            on_note(note)
        try:
            return infer(network, image, available, window=size, device=where, **options), where
        except torch.cuda.OutOfMemoryError:  # not kept: it would hold on to the tensors of the attempt
            if where.type == "cpu":
                raise
    raise AssertionError("the CPU is the last attempt")


def _attempts(
    window: Sequence[int], divisor: int, device: torch.device
) -> Iterator[tuple[torch.device, list[int], str]]:
    """Device, window and message for the user, in the order to try."""
    window = list(window)
    yield device, window, ""
    if device.type == "cpu":
        return
    # half the sides: an eighth of the memory that activations take
    half = [max(2 * divisor, side // 2 // divisor * divisor) for side in window]
    short = f"The memory of {device} did not suffice"
    if half != window:
        yield device, half, f"{short}; smaller windows were tried, which can change the result a little."
    yield torch.device("cpu"), window, f"{short}; the CPU was used, which takes longer."


def _outputs(network: Network, patch: Tensor, subsets: Tensor, place: Tensor) -> Iterator[Output]:
    """Output of one window (1, 4, d, h, w), which lies at a place (1, 3), for each subset (n, 4) bool."""
    # both: a network from outside may call a layer of its own "encode"
    if len(subsets) > 1 and hasattr(network, "encode") and hasattr(network, "fuse"):
        encoded = network.encode(patch, subsets.any(0, keepdim=True))
        yield from (network.fuse(encoded, subset[None]) for subset in subsets)
    else:
        yield from (network(patch, subset[None], **placed(network, place)) for subset in subsets)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
