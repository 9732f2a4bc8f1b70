"""Which series of a study to use for each sequence, where there are several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.modalities import MODALITIES, Modality, in_words
from ..core.words import counted
from ..datasets.detection import FIT_TO_FILL_IN
from ..datasets.sequence_words import is_fat_suppressed, words_of
from ..imaging.grid import SPACING_MM
from ..imaging.plausibility import DOUBTFUL_OVERLAP, SMALLEST_SHARE
from .listing import DicomStudy
from .series import Series, SeriesKind

_SURE = 0.7
"""Above it stand guesses by words, below it those by times alone."""

_BRAIN_MM = {"axial": 110.0, "coronal": 160.0, "sagittal": 130.0}
"""Extent of an adult's brain along the slice normal, rounded down; what a series covers beyond is no gain."""

_T1S = (Modality.T1, Modality.T1CE)
_COVERAGE_STEPS = 10
"""Of the brain, that one series must show more of than another: a tenth."""

_SPACING_STEP_MM = 0.5


@dataclass(frozen=True)
class Choice:
    """What is used of a study.

    Attributes:
        series: one for each sequence that was found, in channel order.
        sentences: what was chosen and why, sequence by sequence, and which series nothing is known of.
    """

    series: Mapping[Modality, Series]
    sentences: tuple[str, ...]


def choose(study: DicomStudy) -> Choice:
    """The best series of each sequence.

    A slab of the head is left out where another series shows the whole, unless the user has named it. Of the
    others, in this order: what the user has named, what words name before what only times tell, originals
    before reformats, complete before gaps, more of the brain, images as acquired before what was computed
    from them, thinner slices, no fat suppression, no contrast agent but in T1ce, and at last the one acquired
    later, for a sequence is run again when the first did not succeed.
    """
    chosen: dict[Modality, Series] = {}
    sentences = _one_session(study)
    whole = any(_shown(one) >= DOUBTFUL_OVERLAP for one in study.series if _is_fit(one))
    for modality in MODALITIES:
        alike = [one for one in study.series if one.modality is modality and one.problem is None]
        fit = [one for one in alike if _is_fit(one)]
        slabs = [one for one in fit if whole and not one.named and _shown(one) < SMALLEST_SHARE]
        if len(slabs) < len(fit):
            ranked = sorted(fit, key=lambda one: (one not in slabs, merits(one)), reverse=True)
            chosen[modality] = ranked[0]
            sentences.append(_chosen(modality, ranked))
        else:
            sentences += [_left_out(modality, one) for one in slabs]
        sentences += [
            f"{modality.title}: {one.title} is left out, being too uncertain. {one.reason}"
            for one in alike
            if one.confidence < FIT_TO_FILL_IN
        ]
        sentences += [
            f"{modality.title}: {one.title} is not used: it {one.problem}."
            for one in study.series
            if one.modality is modality and one.problem is not None
        ]
    if missing := [modality for modality in MODALITIES if modality not in chosen]:
        sentences.append(f"Not found: {in_words(missing)}.")
    unknown = [one.title for one in study.series if one.modality is None and one.problem is None]
    if unknown:
        sentences.append(f"Nothing tells which of {in_words()} these are: {', '.join(unknown)}.")
    return Choice(chosen, tuple(sentences))


def undecided(study: DicomStudy) -> tuple[Series, ...]:
    """Series that could be used for a sequence that was not found, if something told which one they are."""
    if not set(MODALITIES) - set(choose(study).series):
        return ()
    return tuple(one for one in study.series if one.problem is None and one.confidence < FIT_TO_FILL_IN)


def _one_session(study: DicomStudy) -> list[str]:
    if not study.further_uids:
        return []
    uids = (study.uid, *study.further_uids)
    if study.as_asked:
        return [
            f"All series of the folder are taken for one visit, as asked; by their headers they are of "
            f"{len(uids)} studies. Check that all show one patient."
        ]
    return [
        f"{len(uids)} studies ({', '.join(uids)}) are taken for one: patient, day and frame of reference are "
        "the same. --study UID takes one of them alone."
    ]


def _is_fit(series: Series) -> bool:
    return series.modality is not None and series.problem is None and series.confidence >= FIT_TO_FILL_IN


def _left_out(modality: Modality, slab: Series) -> str:
    return (
        f"{modality.title}: {slab.title} is left out: it shows {slab.coverage_mm:.0f} mm of the head, less "
        f"than {SMALLEST_SHARE:.0%} of the brain."
    )


def _shown(series: Series) -> float:
    """Share of the brain along the slice normal, 0 to 1."""
    # a share, for all of the brain is more millimeters from front to back than from bottom to top
    brain = _BRAIN_MM.get(series.plane, min(_BRAIN_MM.values()))
    return min(series.coverage_mm / brain, 1.0)


def _coverage(series: Series) -> float:
    return _shown(series) * _COVERAGE_STEPS // 1


def _fineness(series: Series) -> float:
    # finer than the grid that all volumes are brought onto is no gain
    coarsest = max(*(series.spacing or ()), series.thickness or 0.0, SPACING_MM)
    return -round(coarsest / _SPACING_STEP_MM)


def _echo(series: Series) -> float:
    """Its time in ms; late ones of a T1-weighted sequence are weighted by T2*."""
    try:
        return float(series.header.get("EchoTime", 0))
    except ValueError:
        return 0.0


def _is_derived(series: Series) -> bool:
    """By the first value of Image Type, "pixel data characteristics" (DICOM PS3.3 C.7.6.1.1.2)."""
    return series.header.get("ImageType", "").upper().startswith("DERIVED")


_MERITS: Sequence[tuple[str, Callable[[Series], Any]]] = (
    ("not named for it", lambda one: one.named),
    ("less certain", lambda one: one.confidence >= _SURE),
    ("a reformat", lambda one: one.kind is SeriesKind.VOLUME),
    ("incomplete", lambda one: one.gap is None),
    ("less of the brain", _coverage),
    ("computed from others", lambda one: not _is_derived(one)),
    ("coarser voxels", _fineness),
    ("fat-suppressed", lambda one: not is_fat_suppressed(words_of(one.description))),
    ("after contrast agent", lambda one: one.modality is Modality.T1CE or not one.contrast),
    ("acquired earlier", lambda one: (one.moment, one.number or 0)),
    ("a later echo", lambda one: one.modality not in _T1S or -(_echo(one))),
    ("another volume of its series", lambda one: one.part),
)
"""What is better, the weightiest first, and how the one that lacks it is called."""


def _chosen(modality: Modality, ranked: Sequence[Series]) -> str:
    best, *others = ranked
    text = f"{modality.title}: {best.title}, {_grid(best)}"
    if not others:
        return f"{text}. {best.reason}"
    lacks = [(other.title, shortcoming(best, other)) for other in others]
    rather = [f"{title} ({lack})" if lack else title for title, lack in lacks]
    return f"{text}, rather than {' or '.join(rather)}."


def _grid(series: Series) -> str:
    step = f"{series.spacing[2]:.3g} mm" if series.spacing else "unknown distance"
    return f"{series.plane}, {counted(series.size[2], 'slice')} of {step}"


def merits(series: Series) -> tuple[Any, ...]:
    """What speaks for a series among others of its sequence, the weightiest first; more is better."""
    return tuple(merit(series) for _, merit in _MERITS)


def shortcoming(best: Series, other: Series) -> str:
    """In words, what one series lacks that a better one has; empty where it lacks nothing."""
    return next((name for name, merit in _MERITS if merit(best) != merit(other)), "")
