"""Dividing cases into training and validation."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from ..core.errors import OptionError
from .case import Case


def split_cases(
    cases: Sequence[Case], fraction: float, seed: int
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Divide cases at random, all visits of one patient on the same side.

    The outcome depends on the cases' names and the seed only, not on their order. With two patients or more
    and a fraction above 0 neither side is empty.

    Args:
        cases: to divide.
        fraction: share of the cases for validation, 0 <= fraction < 1.
        seed: of the random order.

    Returns:
        (training, validation), each sorted by name.

    Raises:
        OptionError: the fraction is out of its range.
    """
    if not 0 <= fraction < 1:
        raise OptionError(f"The validation fraction is {fraction:g}. Choose 0 or more and less than 1.")
    patients: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: case.name):
        patients[case.patient].append(case)
    order = sorted(patients)  # neither the file system's order nor that of the caller may decide
    random.Random(seed).shuffle(order)  # noqa: S311 - a split that a seed repeats, no secret
    # a fraction that rounds to no case still gets one: it was asked for
    wanted = round(fraction * len(cases)) or (1 if fraction and len(order) > 1 else 0)
    validation: list[Case] = []
    while len(validation) < wanted and len(order) > 1:
        validation += patients[order.pop()]
    training = [case for patient in order for case in patients[patient]]
    return tuple(_sorted(training)), tuple(_sorted(validation))


def _sorted(cases: list[Case]) -> list[Case]:
    return sorted(cases, key=lambda case: case.name)
