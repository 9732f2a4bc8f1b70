"""Segmentation networks. Every one of them is made by :func:`build`.

A network is a module with ``forward(image, available, present=None, features=False) -> Output``: ``image``
(B, 4, D, H, W) z-scored float; ``available`` and ``present`` (B, 4) bool, what to look at and, for training,
what the case has; ``features`` True to get whatever can be distilled, or the kinds of it that are wanted.
What a missing channel holds, NaN included, never reaches the output. Attributes:

    name, options   what :func:`build` needs to make it again
    head            "classes" (softmax: background, NCR/NET, ED, ET), "regions" (sigmoids: WT, TC, ET) or
                    "sigmoids" (one for each class)
    divisor         every side of the image must be a multiple of it
    distilled       what joint distillation can read beside logits: "attention", "scale", "style" (with
                    ``adversarial`` and ``style_channels``), "presence"
    find_unused_parameters
                    whether parameters can stay without a part in a batch's output, for lack of samples whose
                    modalities need them; processes that average gradients must look for them then
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..core.errors import OptionError

if TYPE_CHECKING:
    from torch import nn

_NETWORKS = {
    "adamm": ("adamm", "AdaMM"),
    "mstkdnet": ("mstkdnet", "MSTKDNet"),
    "rfnet": ("rfnet", "RFNet"),
    "segresnet": ("segresnet", "EarlyFusionSegResNet"),
}
"""Name -> (module of this package, class): torch is imported only when a network is built."""

NETWORKS = tuple(_NETWORKS)


def network_class(name: str) -> type[nn.Module]:
    """The class of a network.

    Raises:
        OptionError: unknown name.
    """
    if name not in _NETWORKS:
        raise OptionError(f"Unknown network '{name}'. Choose one of: {', '.join(NETWORKS)}.")
    module, cls = _NETWORKS[name]
    return getattr(import_module(f".{module}", __name__), cls)


def build(name: str, **options: Any) -> nn.Module:
    """Make a network with fresh weights.

    Args:
        name: one of :data:`NETWORKS`.
        options: the keyword arguments of its class.

    Raises:
        OptionError: unknown name or option, or an option out of range.
    """
    try:
        return network_class(name)(**options)
    except (TypeError, ValueError) as error:
        raise OptionError(f"Network '{name}' cannot be built with {options}: {error}") from error


def __getattr__(name: str) -> Any:
    if name == "load_reference":
        from .reference import load_reference

        return load_reference
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
