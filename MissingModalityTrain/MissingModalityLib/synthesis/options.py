"""What can be set about synthetic cases, with the paper's choices as defaults; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from ..core.errors import OptionError

METHODS = ("aem", "mixup")
"""Tumors transplanted as asymmetry error maps, or whole images mixed (the paper's comparison)."""

DIFFERENCES = ("absolute", "signed", "none")


def _option(default: Any, meaning: str, allowed: str, fine: Callable[[Any], bool]) -> Any:
    return field(default=default, metadata={"meaning": meaning, "allowed": allowed, "fine": fine})


def _switch(meaning: str) -> Any:
    return _option(False, meaning, "true or false", lambda value: isinstance(value, bool))


def _within(low: float, high: float, default: float, meaning: str) -> Any:
    return _option(
        default, meaning, f"{low:g} to {high:g}", lambda value: _is_number(value) and low <= value <= high
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True)
class SynthesisOptions:
    """How a synthetic case comes about. Defaults: AEM+KD, Sec. 3.2, without anything added to it.

    Raises:
        OptionError: a value out of its range.
    """

    difference: str = _option(
        "absolute",
        "Tumor minus mirror side: absolute as in the paper, signed as in its public code; none keeps the "
        "tumor's whole intensities, which is what that code calls MixUp",
        f"one of {', '.join(DIFFERENCES)}",
        lambda value: value in DIFFERENCES,
    )
    tumors: int = _option(
        1,
        "Tumors added to each recipient, of different donors as far as there are enough",
        "1 to 8",
        lambda value: type(value) is int and 1 <= value <= 8,
    )
    placement: str = _option(
        "aligned",
        "Where the tumor goes: to the donor's place with the brains centered on each other, or centered on "
        "a random voxel of the recipient's brain",
        "one of aligned, random",
        lambda value: value in ("aligned", "random"),
    )
    clip: bool = _switch("Cut off what would lie outside of the recipient's brain")
    scale: float = _within(
        0.0, 0.5, 0.0, "Largest relative change of the tumor's size, drawn anew for every case"
    )
    rotation: float = _within(
        0.0, 180.0, 0.0, "Largest rotation of the tumor about each axis in degrees, drawn anew for every case"
    )
    flip: bool = _switch("Mirror the tumor along each axis in half of the cases")
    blend: float = _within(
        0.0, 10.0, 0.0, "Width in mm over which the tumor's intensities fade in from its border"
    )
    alpha: float = _option(
        0.4,
        "MixUp alone: both parameters of the beta distribution that shares are drawn from",
        "more than 0, at most 10",
        lambda value: _is_number(value) and 0 < value <= 10,
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            value, allowed = getattr(self, item.name), item.metadata["allowed"]
            if not item.metadata["fine"](value):
                raise OptionError(f"Option {item.name}={value} is out of range. Allowed: {allowed}.")
