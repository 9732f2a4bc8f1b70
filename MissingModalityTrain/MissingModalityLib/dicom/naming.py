"""Series that the user has named for a sequence, in place of what names and headers tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..core.errors import CaseError, OptionError
from ..core.modalities import Modality
from .listing import DicomStudy
from .series import Series, SeriesKind

_NO_VOLUME = {
    SeriesKind.TIME_SERIES,
    SeriesKind.SEGMENTATION,
    SeriesKind.DOCUMENT,
    SeriesKind.NOT_MR,
    SeriesKind.INCOMPLETE,
}
"""What the user's word does not make a volume; what else a series is taken for may be wrong."""

_MOST_LISTED = 12
"""Series that a message lists, a screenful."""


def with_named(visit: DicomStudy, named: Mapping[Modality, str]) -> DicomStudy:
    """The visit in which these series are what the user says.

    Args:
        visit: of a listing.
        named: by sequence the Series Number, the Series Instance UID or the description of a series.

    Raises:
        CaseError: there is no such series, several, or one that is no volume.
        OptionError: one series is named for two sequences.
    """
    chosen: dict[int, Modality] = {}
    for modality, text in named.items():
        one = _only(visit, modality, text)
        if id(one) in chosen:
            raise OptionError(
                f"{one.title} is named for {chosen[id(one)].title} and for {modality.title}. Name it once."
            )
        chosen[id(one)] = modality
    return replace(
        visit,
        series=tuple(_as_named(one, chosen[id(one)]) if id(one) in chosen else one for one in visit.series),
    )


def _only(visit: DicomStudy, modality: Modality, text: str) -> Series:
    """The one series of that UID, number or description; a number may be a description, too."""
    found: list[Series] = []
    for name in (_uid, _number, _description):
        found = found or [one for one in visit.series if name(one) == text.strip().casefold()]
    asked = f"{modality.title}={text}"
    if not found:
        raise CaseError(f"{visit.title}: no series is called so ({asked}). It has {_listed(visit.series)}.")
    if len(found) > 1:
        raise CaseError(
            f"{visit.title}: {asked} names {_listed(found)}. Name one by its whole description, or by its "
            "Series Instance UID."
        )
    if found[0].kind in _NO_VOLUME:
        raise CaseError(f"{found[0].title}, named for {modality.title}, {found[0].problem}. Name another.")
    return found[0]


def _uid(series: Series) -> str:
    return series.uid.casefold()


def _number(series: Series) -> str:
    return "" if series.number is None else str(series.number)


def _description(series: Series) -> str:
    return series.description.casefold()


def _as_named(series: Series, modality: Modality) -> Series:
    reason = f"It was named for {modality.title}."
    return replace(series, modality=modality, confidence=1.0, reason=reason, problem=None, named=True)


def _listed(series: Sequence[Series]) -> str:
    more = f" and {len(series) - _MOST_LISTED} more" if len(series) > _MOST_LISTED else ""
    return ", ".join(one.title for one in series[:_MOST_LISTED]) + more
