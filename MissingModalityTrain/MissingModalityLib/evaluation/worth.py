"""Which of several values is worth a change: one that brings more than chance does, over patients.

The best of many values is better than the present one by chance alone, above all where a few patients decide.
So the gain has to be twice its standard error, about what a test at the level of 5 % asks for; the fewer the
patients are that the error is estimated from, the more, as that test does (Student's t distribution).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

LEAST_GAIN = 0.001
"""Mean Dice that a change has to bring, however surely: a tenth of a point is nothing that anyone would see,
and the simpler result is the better one then."""

SURE = 2
"""Standard errors that a change has to bring at least."""

_LEVEL = 0.05
"""Of the two-sided test whose quantile is asked for where it is more than :data:`SURE`."""


@dataclass(frozen=True)
class Gain:
    """What a value brings over the present one, mean over predictions.

    Attributes:
        mean: of the differences of Dice, -1..1.
        error: its standard error over patients, each of whom has several predictions; infinite with one
            patient.
        patients: how many there are.
    """

    mean: float
    error: float
    patients: int

    @classmethod
    def of(cls, differences: np.ndarray, patients: Sequence[str]) -> Gain:
        """From the difference (n,) of each prediction and whose that is."""
        mean = float(np.mean(differences))
        _, patient = np.unique(np.asarray(patients), return_inverse=True)
        # predictions of one patient err alike: their sum is one observation, not as many as they are
        sums = np.bincount(patient, differences - mean)
        if len(sums) < 2:
            return cls(mean, float("inf"), len(sums))
        factor = len(sums) / (len(sums) - 1)
        error = float(np.sqrt(factor * np.square(sums).sum())) / len(differences)
        return cls(mean, error, len(sums))

    @property
    def worth(self) -> bool:
        """Whether it is a reason to change anything."""
        if self.patients < 2 or self.mean < LEAST_GAIN:
            return False
        return self.mean >= max(SURE, stats.t.ppf(1 - _LEVEL / 2, self.patients - 1)) * self.error


def gains_over(scores: Mapping[Any, np.ndarray], own: Any, patients: Sequence[str]) -> dict[Any, Gain]:
    """What each value but the present one brings over it.

    Args:
        scores: (n,) Dice of each prediction, by value.
        own: the present value.
        patients: (n,) whose each prediction is.
    """
    return {value: Gain.of(of - scores[own], patients) for value, of in scores.items() if value != own}


def best_value(gains: Mapping[Any, Gain], own: Any) -> Any:
    """Of the values that are worth a change the one that brings most; the present one where none is."""
    worth = [value for value, gain in gains.items() if gain.worth]
    return max(worth, key=lambda value: gains[value].mean, default=own)
