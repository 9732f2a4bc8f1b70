"""How long a training will take at least, from the time that its network takes here and now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from time import perf_counter

import torch

from .. import networks
from ..core.modalities import MODALITIES
from ..core.words import counted
from ..networks.network import Network
from ..runtime.cpu_kernels import cpu_kernels
from .loop import autocast_and_scaler, number_format
from .plan import Plan
from .presets import PRESET_NAMES

_SIDE = 64
"""Of the crop that is timed: a larger one takes longer by its voxels, and on a CPU a minute."""

LONG_S = 24 * 3600.0
"""From a day on it is worth saying that there is a smaller preset."""


def least_seconds(plan: Plan, device: torch.device) -> float | None:
    """Seconds of all steps of a plan, of the network alone, forward and backward.

    Teachers and other networks of a method, validation, preparation and reading come on top. Takes two steps
    on a crop of at most 64 voxels a side, and leaves the random numbers as they were.

    Returns:
        None where the network cannot be timed so, because it takes one size of crops alone or the device's
        memory does not do.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count()) if device.type == "cuda" else []):
        try:
            network = networks.build(plan.network, **plan.network_options).to(device).train()
            samples: Counter[tuple[tuple[int, ...], str]] = Counter()
            for stage in plan.stages.values():
                count = stage.epochs * stage.iterations_per_epoch * stage.batch_size
                samples[tuple(stage.patch_size), stage.precision] += count
            return sum(count * _seconds(network, *kind, device) for kind, count in samples.items())
        except (RuntimeError, ValueError):
            return None


def in_words(seconds: float) -> str:
    """``93000`` -> ``"26 hours"``: in the largest unit of which there are two."""
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return counted(max(1, round(seconds)), "second")


def told_before(plan: Plan, preset: str | None, device: torch.device, runs: int = 1) -> str | None:
    """One sentence for people about the time of so many runs of a plan; None where nobody can tell."""
    least = least_seconds(plan, device)
    if least is None:
        return None
    made = f"preset {preset}" if preset else "this plan"
    text = (
        f"About {in_words(runs * least)} or more on {device} with {made}, as fast as a step is here and now."
    )
    smaller = PRESET_NAMES[PRESET_NAMES.index(preset) + 1 :] if preset in PRESET_NAMES else ()
    if runs * least > LONG_S and device.type == "cpu" and smaller:
        text += f" Without a GPU choose --preset {' or '.join(smaller)}."
    return text


def _seconds(network: Network, patch: Sequence[int], precision: str, device: torch.device) -> float:
    """Of one sample, from a crop whose sides are multiples of what the network divides by."""
    side = max(network.divisor, _SIDE // network.divisor * network.divisor)
    crop = [min(side, length) for length in patch]
    image = torch.randn(1, len(MODALITIES), *crop, device=device)
    available = torch.ones(1, len(MODALITIES), dtype=torch.bool, device=device)
    autocast, _ = autocast_and_scaler(precision, device)
    kernels = cpu_kernels(network, device, number_format(precision, device))
    for _ in range(2):  # the first one pays for what is done once per process
        began = perf_counter()
        with kernels:
            with autocast:
                loss = network(image, available).logits.square().mean()
            loss.backward()
        loss.item()  # waits for the device
        seconds = perf_counter() - began
    network.zero_grad()
    return seconds * prod(patch) / prod(crop)
