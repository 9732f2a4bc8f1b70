"""What to expect from a student where only some sequences are there: its own evaluation, looked up.

Grades compare with people: experts who outlined the same gliomas agreed with each other with Dice of about
0.74 to 0.85 (Menze et al., "The Multimodal Brain Tumor Image Segmentation Benchmark", TMI 2015).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..core.errors import OptionError
from ..core.labels import REGIONS
from ..core.modalities import MODALITIES, SUBSETS, Subset, subset_name
from .sequence_advice import Change, changes


class Grade(Enum):
    """How far to trust a region; the value is the least Dice."""

    # the lower end of what experts reach among each other; under a half, most of what is found is not there
    # or most of what is there is not found
    RELIABLE = 0.75
    CHECK = 0.5
    DOUBTFUL = 0.0

    @classmethod
    def of(cls, dice: float) -> Grade:
        """The grade of a Dice score, 0..1."""
        return next(grade for grade in cls if dice >= grade.value)

    @property
    def word(self) -> str:
        """As reports have it: ``reliable``, ``check`` or ``doubtful``."""
        return self.name.lower()


@dataclass(frozen=True)
class Expectation:
    """Scores of a student on the labeled cases that it was evaluated on, for one subset.

    Attributes:
        dice: mean Dice, 0..1, of WT, TC and ET.
        spread: standard deviation over cases; None for a single one.
        cases: how many there were.
        changes: what other sequences would help a region most, added or left out.
    """

    dice: Mapping[str, float]
    spread: Mapping[str, float | None]
    cases: int
    changes: tuple[Change, ...]


def expect(card: Mapping[str, Any], subset: Subset) -> Expectation | None:
    """Look up what a student's card says about a subset.

    Args:
        card: see :func:`.card.read_card`; ``evaluation`` is read, see
            :func:`~..evaluation.attach.summary_of`.
        subset: modalities in channel order.

    Returns:
        None where the student was never evaluated on this subset.
    """
    evaluation, name = card.get("evaluation", {}), subset_name(subset)
    found = next((entry for entry in evaluation.get("subsets", []) if entry["subset"] == name), None)
    if found is None:
        return None
    dice = {region: found["dice"][region] for region in REGIONS}
    spread = {region: found.get("dice_std", {}).get(region) for region in REGIONS}
    return Expectation(dice, spread, found["cases"], changes(evaluation, subset))


def check_evaluation(evaluation: Any) -> None:
    """Refuse an entry ``evaluation`` of a card whose scores cannot be scores, as it may come from a file.

    Raises:
        OptionError: naming the list that holds what cannot be true.
    """
    if not isinstance(evaluation, dict):
        raise OptionError("evaluation is no object.")
    for name, holds in (("subsets", _is_score), ("gains", _is_gain)):
        entries = evaluation.get(name, [])
        if not isinstance(entries, list) or not all(isinstance(one, dict) and holds(one) for one in entries):
            raise OptionError(f"evaluation holds {name} that cannot be scores of an evaluation.")


def _is_score(entry: Mapping[str, Any]) -> bool:
    return _is_counted(entry) and all(
        _are_numbers(values, 1 if name.startswith(_SHARES) else None, regions=name == "dice")
        for name, values in {"dice": None, **entry}.items()
        if name.startswith(_MEASURES)
    )


def _is_gain(entry: Mapping[str, Any]) -> bool:
    added = entry.get("added") in [modality.title for modality in MODALITIES]
    both = (_are_numbers(entry.get(name), 1, regions=True) for name in ("before", "after"))
    return _is_counted(entry) and added and all(both)


def _is_counted(entry: Mapping[str, Any]) -> bool:
    return entry.get("subset") in _SUBSET_NAMES and type(entry.get("cases")) is int and entry["cases"] > 0


def _are_numbers(values: Any, most: float | None, regions: bool) -> bool:
    """Numbers of 0 or more by region; None stands for a deviation of a single case."""
    if not isinstance(values, dict) or (regions and not set(REGIONS) <= set(values)):
        return False
    found = [value for value in values.values() if value is not None or regions]
    return all(
        type(value) in (int, float) and 0 <= value < math.inf and (most is None or value <= most)
        for value in found
    )


_SUBSET_NAMES = tuple(map(subset_name, SUBSETS))
_SHARES = ("dice", "lesion_dice")
_MEASURES = (*_SHARES, "hd95", "lesion_hd95")
"""How the names of measures of an entry begin; a deviation's ends in ``_std``."""
