"""What beside its weights decides a student's results, chosen on patients that its weights have not seen.

Every case is predicted by a student that was not trained on it, from each of its subsets. What the
probabilities become is tried on all of them and judged by mean Dice over cases, subsets and WT, TC and ET:
one choice after the other, each with those before it. The smallest piece of a region to keep is judged by the
region's lesion-wise Dice, since its Dice hardly sees the small pieces that a person has to delete. A change
has to be surely better, see :mod:`.worth`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from ..core.errors import OptionError
from ..core.labels import REGIONS
from ..core.modalities import SUBSETS, Subset
from ..core.progress import Event, Progress, ProgressStage
from ..imaging.cache import CachedCase
from ..inference.card import COMPONENT_MINIMA
from ..inference.student import Student
from .pieces import Pieces, kept_pieces
from .sparse import Sparse, sparse
from .worth import Gain, best_value, gains_over

THRESHOLDS = tuple(step / 20 for step in range(6, 15))
"""0.30 to 0.70 by 0.05; the default is among them."""
COMPONENT_SIZES = (0, 50, 100, 200, 500)
"""Voxels of 1 mm^3, up to a lesion of 10 mm across, which RANO calls measurable (Wen et al., Journal of
Clinical Oncology 28, 2010): what is found of that size is never removed."""

ENHANCING_SIZES = (0, 50, 100, 200, 300, 500)
"""Voxels of 1 mm^3, no more than :data:`COMPONENT_SIZES` for the same reason; 500 is what the public codes of
the RFNet family remove before they score."""

_RANGES = {
    "smoothing_mm": "0 to 5 mm, by region only for a network whose head is regions",
    "overlap": "a share from 0 to below 1",
    **dict.fromkeys(("mirror", "mirror_windows"), "axes from 0, 1 and 2, each once"),
}
"""What :class:`~..inference.card.Card` takes."""

Pair = tuple[Student, Sequence[CachedCase]]
Tried = dict[str, list[dict[str, Any]]]
Found = Sequence[Mapping[str, Pieces]]
"""Of each prediction the pieces of each region."""


@dataclass(frozen=True)
class Decision:
    """How probabilities become a class map, by the names of a student's card.

    Attributes:
        thresholds: None for a student that takes none.
        min_component_voxels, min_core_component_voxels, min_enhancing_component_voxels,
            min_enhancing_voxels: 0 for none.
    """

    thresholds: Mapping[str, float] | None
    min_component_voxels: int
    min_core_component_voxels: int
    min_enhancing_component_voxels: int
    min_enhancing_voxels: int

    @classmethod
    def of(cls, student: Student) -> Decision:
        """What a student does already."""
        thresholds = student.thresholds if student.network.head.takes_thresholds else None
        sizes = (*COMPONENT_MINIMA.values(), "min_enhancing_voxels")
        return cls(thresholds, **{name: student.card.get(name) or 0 for name in sizes})

    def kept(self, pieces: Mapping[str, Pieces]) -> dict[str, np.ndarray]:
        """Of each region which pieces stay."""
        sizes = {region: getattr(self, name) for region, name in COMPONENT_MINIMA.items()}
        return kept_pieces(pieces, sizes, self.min_enhancing_voxels)


def choose(
    pairs: Sequence[Pair],
    patients: Mapping[str, str],
    variants: Mapping[str, Sequence[Any]],
    device: torch.device,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Choose thresholds, sizes and, among variants, how a case is predicted.

    Args:
        pairs: students of one network, each with the cases that it has not seen. What their cards say is
            what is compared with.
        patients: whose each case is, by its name.
        variants: values to try of ``smoothing_mm``, ``overlap``, ``mirror`` and ``mirror_windows``, each of
            which costs a prediction of all cases.
        device: where to predict.
        on_progress: called for each case and variant.

    Returns:
        ``chosen``: facts for a student's card, those that differ from a card's without choices or from the
        students' own, so that any file of this network decides alike with them; ``cases``, how many;
        ``before`` and ``after``: mean Dice, 0..1, of WT, TC and ET; ``tried``: by name of the choice, a list
        of ``value`` and ``dice``, mean over the three regions (of thresholds, of their ``region`` alone), of
        sizes of pieces ``lesion_dice``, of their region lesion by lesion, ``taken``, whether it was chosen,
        and of what differs from the value before ``gain``, in the Dice that it is judged by, and
        ``gain_error``, its standard error over patients, which is None for a single patient.

    Raises:
        CaseError: a prepared case has gone or is damaged.
        OptionError: a value out of its range.
    """
    student, cases = pairs[0][0], [case for _, cases in pairs for case in cases]
    _check(student, variants)  # before hours of predictions
    counted = _counted((1 + sum(map(len, variants.values()))) * len(cases), on_progress)
    how: dict[str, Any] = {name: student.card.get(name) for name in variants}
    whose = [patients[case.name] for case in cases for _ in _subsets(case)]
    found = list(_predictions(pairs, how, device, counted))
    own = Decision.of(student)
    before = _dice([one.pieces(own.thresholds) for one in found], own)
    best, tried = _decided(found, student, whose), {}
    for name, values in variants.items():
        outcomes = {0: (how[name], best)}
        for number, value in enumerate(values, 1):
            found.clear()  # gigabytes of dozens of cases; those of two ways to predict are twice as many
            found += _predictions(pairs, {**how, name: value}, device, counted)
            outcomes[number] = (value, _decided(found, student, whose))
        scores = {number: outcome.dice.mean(axis=1) for number, (_, outcome) in outcomes.items()}
        gains = gains_over(scores, 0, whose)
        taken = best_value(gains, 0)
        tried[name] = [
            {"value": outcomes[number][0], "dice": float(of.mean()), **_told(number, gains, taken)}
            for number, of in scores.items()
        ]
        how[name], best = outcomes[taken]
    return {
        "chosen": _chosen(student, {**how, **asdict(best.decision)}),
        "cases": len(cases),
        "before": _means(before),
        "after": _means(best.dice),
        "tried": {**tried, **best.tried},
    }


def _check(student: Student, variants: Mapping[str, Sequence[Any]]) -> None:
    for name, values in variants.items():
        for value in values:
            try:
                Student(student.network, {**student.card, name: value})
            except OptionError as error:
                raise OptionError(f"{name}={value}: give {_RANGES[name]}.") from error


@dataclass(frozen=True)
class _Outcome:
    """The best decision for one way to predict, Dice (n, 3) of each prediction with it, what was tried."""

    decision: Decision
    dice: np.ndarray
    tried: Tried


def _chosen(student: Student, decided: Mapping[str, Any]) -> dict[str, Any]:
    """Of all that was decided what a card has to say."""
    cards = [{**one.card, **asdict(Decision.of(one))} for one in (student, Student(student.network))]
    return {name: value for name, value in decided.items() if any(value != card.get(name) for card in cards)}


def _counted(total: int, on_progress: Progress | None) -> Callable[[str], None]:
    """Counts predicted cases; to be called with the name of the next one."""
    done = itertools.count()

    def report(name: str) -> None:
        if on_progress:
            on_progress(Event(ProgressStage.EVALUATE, next(done), total, name))

    return report


def _subsets(case: CachedCase) -> list[Subset]:
    """All that a case can be predicted from."""
    return [subset for subset in SUBSETS if set(subset) <= set(case.subset)]


def _predictions(
    pairs: Sequence[Pair], how: Mapping[str, Any], device: torch.device, counted: Callable[[str], None]
) -> Iterator[Sparse]:
    """Every case of every student from each of its subsets."""
    for student, cases in pairs:
        changed = Student(student.network, {**student.card, **how})
        for case in cases:
            counted(case.name)
            whole = case.load()
            for probabilities, brain in changed.probabilities_of(whole, _subsets(case), device):
                yield sparse(changed, probabilities, brain, whole.label, min(THRESHOLDS))


def _decided(found: Sequence[Sparse], student: Student, whose: Sequence[str]) -> _Outcome:
    """The best thresholds, then the best size of each region's pieces, then the least volume of ET."""
    decision, tried = Decision.of(student), {}
    if decision.thresholds is not None:
        tried["thresholds"], thresholds = _thresholds(found, decision.thresholds, whose)
        decision = replace(decision, thresholds=thresholds)
    pieces = [one.pieces(decision.thresholds) for one in found]
    for region, name in COMPONENT_MINIMA.items():
        tried[name], decision = _size(pieces, decision, whose, name, COMPONENT_SIZES, region)
    name = "min_enhancing_voxels"
    tried[name], decision = _size(pieces, decision, whose, name, ENHANCING_SIZES)
    return _Outcome(decision, _dice(pieces, decision), tried)


def _size(
    pieces: Found,
    decision: Decision,
    whose: Sequence[str],
    name: str,
    sizes: Sequence[int],
    region: str | None = None,
) -> tuple[list[dict[str, Any]], Decision]:
    """What was tried, and the decision with the best size, judged lesion by lesion of a region if named."""
    own = getattr(decision, name)
    candidates = {size: replace(decision, **{name: size}) for size in sorted({own, *sizes})}
    dice = {size: _dice(pieces, candidate).mean(axis=1) for size, candidate in candidates.items()}
    judged = dice
    if region:
        judged = {size: _lesion_dice(region, pieces, candidate) for size, candidate in candidates.items()}
    gains = gains_over(judged, own, whose)
    taken = best_value(gains, own)
    tried = [
        {
            "value": size,
            "dice": float(dice[size].mean()),
            **({"lesion_dice": float(judged[size].mean())} if region else {}),
            **_told(size, gains, taken),
        }
        for size in candidates
    ]
    return tried, candidates[taken]


def _thresholds(
    found: Sequence[Sparse], own: Mapping[str, float], whose: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """What was tried, and the best threshold of each region."""
    tried, chosen = [], {}
    for region in REGIONS:
        candidates = sorted({own[region], *THRESHOLDS})
        claims = np.array([one.claims(region, candidates) for one in found])
        scores = dict(zip(candidates, claims.T, strict=True))
        gains = gains_over(scores, own[region], whose)
        chosen[region] = best_value(gains, own[region])
        tried += [
            {
                "region": region,
                "value": value,
                "dice": float(of.mean()),
                **_told(value, gains, chosen[region]),
            }
            for value, of in scores.items()
        ]
    return tried, chosen


def _told(value: Any, gains: Mapping[Any, Gain], taken: Any) -> dict[str, Any]:
    """What ``selection.json`` has of a value: no gain of the one before, which all are compared with."""
    gain = gains.get(value)
    if gain is None:
        return {"taken": value == taken}
    error = gain.error if np.isfinite(gain.error) else None
    return {"taken": value == taken, "gain": gain.mean, "gain_error": error}


def _dice(found: Found, decision: Decision) -> np.ndarray:
    """Dice (n, 3) of each prediction and region, of pieces that the decision's thresholds have made."""
    kept = [decision.kept(one) for one in found]
    return np.array(
        [
            [one[region].dice(stays[region]) for region in REGIONS]
            for one, stays in zip(found, kept, strict=True)
        ]
    )


def _lesion_dice(region: str, found: Found, decision: Decision) -> np.ndarray:
    """Lesion-wise Dice (n,) of a region of each prediction."""
    return np.array([one[region].lesion_dice(decision.kept(one)[region]) for one in found])


def _means(dice: np.ndarray) -> dict[str, float]:
    """Mean Dice of each region over all predictions."""
    return dict(zip(REGIONS, dice.mean(axis=0).tolist(), strict=True))
