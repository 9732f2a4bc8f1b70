"""What beside its weights decides a student's results, chosen on patients that its weights have not seen.

Every case is predicted by a student that was not trained on it, from each of its subsets. What the
probabilities become is tried on all of them and judged by mean Dice over cases, subsets and WT, TC and ET:
one choice after the other, each with those before it. The smallest piece of a region to keep is judged by the
region's lesion-wise Dice, since its Dice hardly sees the small pieces that a person has to delete. A change
has to bring :data:`LEAST_GAIN`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch

from ..core.errors import OptionError
from ..core.labels import IGNORED, REGIONS, region_mask
from ..core.modalities import SUBSETS
from ..core.progress import Event, Progress, ProgressStage
from ..imaging.boxes import tightest_box
from ..imaging.cache import CachedCase
from ..inference.card import COMPONENT_MINIMA
from ..inference.student import Student
from ..networks.heads import HEADS
from .counts import DICE_EPSILON
from .pieces import Pieces, kept_pieces, pieces_of

THRESHOLDS = tuple(step / 20 for step in range(6, 15))
"""0.30 to 0.70 by 0.05; the default is among them."""
COMPONENT_SIZES = (0, 50, 100, 200, 500)
"""Voxels of 1 mm^3, up to a lesion of 10 mm across, which RANO calls measurable (Wen et al., Journal of
Clinical Oncology 28, 2010): what is found of that size is never removed."""

ENHANCING_SIZES = (0, 50, 100, 200, 300, 500, 1000)
"""Voxels of 1 mm^3; 500 is what the public codes of the RFNet family remove before they score."""

_RANGES = {
    "smoothing_mm": "0 to 5 mm",
    "overlap": "a share from 0 to below 1",
    **dict.fromkeys(("mirror", "mirror_windows"), "axes from 0, 1 and 2, each once"),
}
"""What :class:`~..inference.card.Card` takes."""

LEAST_GAIN = 0.001
"""Mean Dice that a change has to bring: a tenth of a point is below what any comparison of a few dozen cases
can tell from nothing, and the simpler result is the better one then."""

Pair = tuple[Student, Sequence[CachedCase]]
Tried = dict[str, list[dict[str, Any]]]


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


@dataclass(frozen=True)
class Sparse:
    """One prediction with its label, at those voxels of the box around both that can matter.

    Attributes:
        shape: (d, h, w) of the box.
        where: (n,) places in the flattened box, of what may be claimed.
        probabilities: (3, n) float16 of WT, TC and ET.
        classes: (n,) uint8, the class map of a student that takes no thresholds.
        label: (d, h, w) uint8 classes.
    """

    shape: tuple[int, ...]
    where: np.ndarray
    probabilities: np.ndarray
    classes: np.ndarray
    label: np.ndarray

    def pieces(self, decision: Decision) -> dict[str, Pieces]:
        """The pieces of each region that the decision's thresholds make."""
        found = self.classes
        if decision.thresholds is not None:
            found = HEADS["regions"].class_map(
                self.probabilities, [decision.thresholds[region] for region in REGIONS]
            )
        classes = np.zeros(self.shape, np.uint8)
        classes.ravel()[self.where] = found
        return pieces_of(classes, self.label)

    def claims(self, region: str, thresholds: Sequence[float]) -> list[float]:
        """Dice of a region for each threshold, whatever the other regions claim."""
        label = region_mask(self.label, region)
        here, count = label.ravel()[self.where], np.count_nonzero(label)
        probabilities = self.probabilities[list(REGIONS).index(region)]
        masks = [probabilities > threshold for threshold in thresholds]
        return [
            (2 * np.count_nonzero(mask & here) + DICE_EPSILON)
            / (np.count_nonzero(mask) + count + DICE_EPSILON)
            for mask in masks
        ]


def choose(
    pairs: Sequence[Pair],
    variants: Mapping[str, Sequence[Any]],
    device: torch.device,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Choose thresholds, sizes and, among variants, how a case is predicted.

    Args:
        pairs: students of one network, each with the cases that it has not seen. What their cards say is
            what is compared with.
        variants: values to try of ``smoothing_mm``, ``overlap``, ``mirror`` and ``mirror_windows``, each of
            which costs a prediction of all cases.
        device: where to predict.
        on_progress: called for each case and variant.

    Returns:
        ``chosen``: facts for a student's card, those that differ from a card's without choices or from the
        students' own, so that any file of this network decides alike with them; ``cases``, how many;
        ``before`` and ``after``: mean Dice, 0..1, of WT, TC and ET; ``tried``: by name of the choice, a list
        of ``value`` and ``dice``, mean over the three regions (of thresholds, of their ``region`` alone), and
        of sizes of pieces ``lesion_dice``, of their region lesion by lesion.

    Raises:
        CaseError: a prepared case has gone or is damaged.
        OptionError: a value out of its range.
    """
    student, cases = pairs[0][0], sum(len(cases) for _, cases in pairs)
    _check(student, variants)  # before hours of predictions
    counted = _counted((1 + sum(map(len, variants.values()))) * cases, on_progress)
    how: dict[str, Any] = {name: student.card.get(name) for name in variants}
    found = list(_predictions(pairs, how, device, counted))
    own = Decision.of(student)
    before = _mean_dice([one.pieces(own) for one in found], own)
    best, tried = _decided(found, student), {}
    for name, values in variants.items():
        outcomes = {0: (how[name], best)}
        for number, value in enumerate(values, 1):
            found.clear()  # gigabytes of dozens of cases; those of two ways to predict are twice as many
            found += _predictions(pairs, {**how, name: value}, device, counted)
            outcomes[number] = (value, _decided(found, student))
        means = {number: _mean(outcome.dice) for number, (_, outcome) in outcomes.items()}
        tried[name] = [{"value": outcomes[number][0], "dice": mean} for number, mean in means.items()]
        how[name], best = outcomes[_best(means, 0)]
    return {
        "chosen": _chosen(student, {**how, **asdict(best.decision)}),
        "cases": cases,
        "before": before,
        "after": best.dice,
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
    """The best decision for one way to predict, its mean Dice of each region, and what was tried."""

    decision: Decision
    dice: dict[str, float]
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


def _predictions(
    pairs: Sequence[Pair], how: Mapping[str, Any], device: torch.device, counted: Callable[[str], None]
) -> Iterator[Sparse]:
    """Every case of every student from each of its subsets."""
    for student, cases in pairs:
        changed = Student(student.network, {**student.card, **how})
        for case in cases:
            counted(case.name)
            whole = case.load()
            subsets = [subset for subset in SUBSETS if set(subset) <= set(case.subset)]
            for probabilities, brain in changed.probabilities_of(whole, subsets, device):
                yield _sparse(changed, probabilities, brain, whole.label)


def _sparse(student: Student, probabilities: np.ndarray, brain: np.ndarray, label: np.ndarray) -> Sparse:
    head = student.network.head
    regions, classes = head.region_probabilities(probabilities), head.class_map(probabilities)
    # no candidate claims what lies below the lowest of them; the margin is for rounding to float16
    possible = 0.9 * min(*THRESHOLDS, *student.thresholds.values())
    claimable = ((classes > 0) | (regions > possible).any(0)) & brain
    box = tightest_box(claimable | (label > 0)) or (slice(0, 1),) * claimable.ndim
    where = np.flatnonzero((claimable & (label != IGNORED))[box])
    return Sparse(
        shape=claimable[box].shape,
        where=where,
        probabilities=np.stack([part[box].ravel()[where] for part in regions]).astype(np.float16),
        classes=classes[box].ravel()[where],
        label=label[box].copy(),  # a view would keep the whole case in memory
    )


def _decided(found: Sequence[Sparse], student: Student) -> _Outcome:
    """The best thresholds, then the best size of each region's pieces, then the least volume of ET."""
    decision, tried = Decision.of(student), {}
    if decision.thresholds is not None:
        tried["thresholds"], thresholds = _thresholds(found, decision.thresholds)
        decision = replace(decision, thresholds=thresholds)
    pieces = [one.pieces(decision) for one in found]
    for region, name in COMPONENT_MINIMA.items():
        tried[name], decision = _size(pieces, decision, name, COMPONENT_SIZES, region)
    name = "min_enhancing_voxels"
    tried[name], decision = _size(pieces, decision, name, ENHANCING_SIZES)
    return _Outcome(decision, _mean_dice(pieces, decision), tried)


def _size(
    pieces: Sequence[Mapping[str, Pieces]],
    decision: Decision,
    name: str,
    sizes: Sequence[int],
    region: str | None = None,
) -> tuple[list[dict[str, Any]], Decision]:
    """What was tried, and the decision with the best size, judged lesion by lesion of a region if named."""
    tried, means, own = [], {}, getattr(decision, name)
    candidates = {size: replace(decision, **{name: size}) for size in sorted({own, *sizes})}
    for size, candidate in candidates.items():
        told = {"value": size, "dice": _mean(_mean_dice(pieces, candidate))}
        if region:
            told["lesion_dice"] = _lesion_dice(region, pieces, candidate)
        means[size] = told.get("lesion_dice", told["dice"])
        tried.append(told)
    return tried, candidates[_best(means, own)]


def _thresholds(
    found: Sequence[Sparse], own: Mapping[str, float]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """What was tried, and the best threshold of each region."""
    tried, chosen = [], {}
    for region in REGIONS:
        candidates = sorted({own[region], *THRESHOLDS})
        scores = np.mean([one.claims(region, candidates) for one in found], axis=0)
        means = dict(zip(candidates, scores.tolist(), strict=True))
        tried += [{"region": region, "value": value, "dice": mean} for value, mean in means.items()]
        chosen[region] = _best(means, own[region])
    return tried, chosen


def _best(means: Mapping[Any, float], own: Any) -> Any:
    """The value of the highest mean; the own one where none is worth a change."""
    best = max(means, key=means.__getitem__)
    return best if means[best] >= means[own] + LEAST_GAIN else own


def _mean_dice(found: Sequence[Mapping[str, Pieces]], decision: Decision) -> dict[str, float]:
    """Mean Dice of each region over all predictions, of pieces that the decision's thresholds have made."""
    kept = [decision.kept(one) for one in found]
    return {
        region: fmean(one[region].dice(stays[region]) for one, stays in zip(found, kept, strict=True))
        for region in REGIONS
    }


def _lesion_dice(region: str, found: Sequence[Mapping[str, Pieces]], decision: Decision) -> float:
    """Mean lesion-wise Dice of a region over all predictions."""
    return fmean(one[region].lesion_dice(decision.kept(one)[region]) for one in found)


def _mean(of_regions: Mapping[str, float]) -> float:
    return fmean(of_regions.values())
