"""Which T1-weighted series of a study were acquired after contrast agent, where their names do not say it.

Scanners note the agent for one series, for all that follow, or for the whole examination, also for what was
acquired before; the order of acquisition tells then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..core.modalities import Modality
from ..datasets.detection import FIT_TO_FILL_IN
from ..datasets.sequence_header import contrast_agent
from ..datasets.sequence_words import WEIGHTINGS, unclear_contrast, weightings, words_of
from .series import Series, SeriesKind

_WEIGHTED = (Modality.T1, Modality.T1CE)

_BOLUS = frozenset(
    ("dsc", "dce", "dyn", "dynamic", "dynamique", "perf", "perfusion", "pwi", "ktrans", "twist", "tricks")
)
"""Words of series that begin before the agent arrives and end after."""

_BY_ORDER = 0.75
"""Confidence: an order can be that of reading or of sending instead."""

_BEFORE = 0.9


def settle_contrast(series: Sequence[Series]) -> list[Series]:
    """The series of one study, with T1 and T1ce told apart by all that is known of the study; order kept."""
    first = _first_with_agent(series)
    if first is not None:
        return [_by_order(one, first) if _open(one, series) else one for one in series]
    return [_run_again(one, series) if _open(one, series) else one for one in series]


def _before(one: Series, other: Series) -> bool:
    """Whether it was acquired earlier: by the clock, else by number; False where neither is stated."""
    if one.time and other.time and one.moment != other.moment:
        days_stated = one.moment[0] and other.moment[0]
        return one.moment < other.moment if days_stated else one.time < other.time
    return one.number is not None and other.number is not None and one.number < other.number


def _earliest(series: Sequence[Series]) -> Series | None:
    first = next(iter(series), None)
    for other in series:
        first = other if _before(other, first) else first
    return first


def _named(series: Series) -> set[str]:
    """What its own name says of contrast: CONTRAST, NATIVE."""
    return {"CONTRAST", "NATIVE"} & weightings(words_of(series.description))


def _images(series: Iterable[Series]) -> list[Series]:
    """Those of MR that a scanner acquired."""
    none = (SeriesKind.DOCUMENT, SeriesKind.NOT_MR, SeriesKind.SEGMENTATION, SeriesKind.CAPTURE)
    return [one for one in series if one.kind not in none]


def _agent_tells(series: Sequence[Series]) -> bool:
    """Whether the noted agent tells series apart: some have it, some have not, and none named native has."""
    noted = {bool(contrast_agent(one.header)) for one in _images(series)}
    contradicted = any(contrast_agent(one.header) for one in _images(series) if _named(one) == {"NATIVE"})
    return noted == {True, False} and not contradicted


def _open(one: Series, series: Sequence[Series]) -> bool:
    """Whether it is T1-weighted, and neither its name nor a noted agent says whether contrast was given."""
    if one.problem or one.modality not in _WEIGHTED or _named(one):
        return False
    if unclear_contrast(words_of(one.description)):
        return False
    return not (contrast_agent(one.header) and _agent_tells(series))


def _first_with_agent(series: Sequence[Series]) -> Series | None:
    """The earliest series that surely had contrast agent."""
    told = [
        one
        for one in _images(series)
        if _named(one) == {"CONTRAST"}
        or (contrast_agent(one.header) and _agent_tells(series))
        or (not _BOLUS.isdisjoint(words_of(one.description)) and one.kind is not SeriesKind.MAP)
    ]
    return _earliest(told)


def _by_order(one: Series, first: Series) -> Series:
    if _before(one, first):
        reason = f"T1, acquired before {first.title} with contrast agent."
        confidence = _no_surer(one, _BEFORE)
        return replace(one, modality=Modality.T1, confidence=confidence, reason=reason, contrast=False)
    if not _before(first, one):
        return one
    reason = f"T1, acquired after {first.title} with contrast agent."
    confidence = _no_surer(one, _BY_ORDER)
    return replace(one, modality=Modality.T1CE, confidence=confidence, reason=reason, contrast=True)


def _no_surer(one: Series, by_order: float) -> float:
    """Confidence after the order has told of contrast agent: it tells nothing of the weighting."""
    named = weightings(words_of(one.description)) & WEIGHTINGS
    return by_order if named else min(by_order, one.confidence)


def _run_again(one: Series, series: Sequence[Series]) -> Series:
    """Where nothing says when contrast was given: the same sequence once more, with others in between."""
    alike = [other for other in series if _open(other, series) and _same_sequence(one, other)]
    earlier = _earliest(alike)
    between = [
        other
        for other in _images(series)
        if _before(earlier, other) and _before(other, one) and other not in alike
    ]
    noted = bool(contrast_agent(one.header))
    if earlier is one or not between:
        if noted and len(alike) > 1:
            reason = "T1, the first of several; the contrast agent is noted for the whole examination."
            confidence = _no_surer(one, _BY_ORDER)
            return replace(one, modality=Modality.T1, confidence=confidence, reason=reason, contrast=False)
        return one
    reason = f"The same sequence as {earlier.title}, run again later, as after contrast agent; check it."
    confidence = _no_surer(one, _BY_ORDER) if noted else FIT_TO_FILL_IN - 0.1
    return replace(one, modality=Modality.T1CE, confidence=confidence, reason=reason, contrast=None)


def _same_sequence(one: Series, other: Series) -> bool:
    """By the name, where there is one, or by plane and times."""
    name = one.header.get("SeriesDescription")
    keys = ("ScanningSequence", "RepetitionTime", "EchoTime", "FlipAngle")
    return (name and name == other.header.get("SeriesDescription")) or (
        one.plane == other.plane and all(one.header.get(key) == other.header.get(key) for key in keys)
    )
