"""The weights of a student: whether they fit its network, and whether they are numbers at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from ..core.errors import StudentError
from ..networks.network import Network


def distinct_weights(network: Network) -> dict[str, Tensor]:
    """Weights by name; one that the network holds under two names under the first."""
    names = {name for name, _ in (*network.named_parameters(), *network.named_buffers())}
    return {name: value for name, value in network.state_dict().items() if name in names}


def weights_sha256(network: Network) -> str:
    """SHA-256 of the weights as float32, by name: the same whatever the file's header and precision."""
    digest = hashlib.sha256()
    # float32, because a file may hold the same weights in half precision
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def check_fit(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Hold weights against those that a network has.

    Args:
        network: also one on the device "meta", whose weights take no memory.
        tensors: by name; floating numbers of any precision in place of float32.

    Raises:
        StudentError: one is absent, too many, of another shape or of another kind of number.
    """
    expected = {name: _shape_and_kind(value) for name, value in distinct_weights(network).items()}
    found = {name: _shape_and_kind(value) for name, value in tensors.items()}
    for name in {**expected, **found}:
        if expected.get(name) != found.get(name):
            raise StudentError(
                f"{name} is {found.get(name, 'absent')} and should be {expected.get(name, 'absent')}"
            )


def as_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in the precision that networks compute in; whole numbers stay as they are."""
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Name of a tensor that holds NaN or infinity, or None; one wait for each device that they lie on."""
    by_device: dict[torch.device, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if value.is_floating_point():
            by_device.setdefault(value.device, {})[name] = value
    for floats in by_device.values():
        sound = torch.stack([value.isfinite().all() for value in floats.values()]).tolist()
        if not all(sound):
            return list(floats)[sound.index(False)]
    return None


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights with which a network answers nothing, which would look like "no tumor".

    Raises:
        StudentError: naming the first that holds NaN or infinity.
    """
    name = first_not_finite(tensors)
    if name is not None:
        raise StudentError(f"the weight {name} holds NaN or infinity")


def half_precision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as float16; those of which a value is too large for it (beyond 65504) stay as they are."""
    stored = {}
    for name, value in tensors.items():
        half = value.half() if value.is_floating_point() else value
        stored[name] = half if first_not_finite({name: half}) is None else value
    return stored


def _shape_and_kind(value: Tensor) -> str:
    kind = "floating" if value.is_floating_point() else str(value.dtype).removeprefix("torch.")
    return f"{tuple(value.shape)} of {kind} numbers"
