"""What HD95 is, and what it is where a region is empty: what papers mean by it, light enough for help."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..core.errors import OptionError
from ..core.words import unknown_name

HD95_RULES: Mapping[str, str] = MappingProxyType(
    {
        "penalty": "image diagonal when exactly one of prediction and reference is empty, 0 mm when both are",
        "false_positive": "image diagonal when only the reference is empty, 0 mm when the prediction is",
        "zero": "0 mm whenever prediction or reference is empty (rewards misses)",
    }
)
"""The three published ways to score a distance that does not exist, by name.

The diagonal is computed from the image at hand: sqrt(240^2 + 240^2 + 155^2) = 373.13 mm for the volumes of
BraTS, whose challenges use this value. The README of AdaMM's public code prints 393.13, a slip; its code has
373.13.
"""


HD95_DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {
        "directed": "the larger of the two directed 95th percentiles",
        "pooled": "the 95th percentile of the distances of both directions together",
    }
)
"""What is called HD95: the BraTS challenges (Menze et al., TMI 2015) and MONAI mean the first, the function
``hd95`` of the package medpy, which the public codes of MST-KDNet and AdaMM call, the second.

The pooled one lies between the two directed percentiles, so it is the smaller one.
"""


def definition_of(evaluation: Mapping[str, Any]) -> str:
    """The key of :data:`HD95_DEFINITIONS` that an evaluation was made by; earlier versions knew one only."""
    return evaluation.get("hd95_definition", "directed")


def check_definition(definition: str) -> None:
    """Refuse a name that :data:`HD95_DEFINITIONS` does not hold.

    Raises:
        OptionError: naming the definitions there are.
    """
    if definition not in HD95_DEFINITIONS:
        raise OptionError(unknown_name("definition of HD95", definition, HD95_DEFINITIONS))


def check_rule(rule: str) -> None:
    """Refuse a name that :data:`HD95_RULES` does not hold.

    Raises:
        OptionError: naming the rules there are.
    """
    if rule not in HD95_RULES:
        raise OptionError(f"Unknown HD95 rule '{rule}'. Choose one of: {', '.join(HD95_RULES)}.")


def empty_distance(predicted: bool, present: bool, diagonal: float, rule: str) -> float:
    """HD95 in mm where prediction or reference is empty.

    Args:
        predicted: whether the prediction holds the region.
        present: whether the reference does.
        diagonal: of the image, mm.
        rule: a key of :data:`HD95_RULES`.
    """
    punished = {
        "penalty": predicted != present,
        "false_positive": predicted and not present,
        "zero": False,
    }
    return diagonal if punished[rule] else 0.0
