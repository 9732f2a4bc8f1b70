"""Which visit of a folder is meant, where it holds those of several patients or dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.errors import CaseError
from .choosing import choose
from .listing import DicomListing, DicomStudy

_MOST_NAMED = 6
"""Visits that a message names."""


def only_visit(listing: DicomListing, patient: str | None = None, study: str | None = None) -> DicomStudy:
    """The one visit that is meant; of several, the only one with a sequence to segment, or that may have one.

    Args:
        listing: of the folder.
        patient: Patient ID, or None for any.
        study: date, YYYY-MM-DD or YYYYMMDD, or Study Instance UID; None for any. Of a session that was filed
            under several UIDs, one of them takes what was filed under it alone.

    Raises:
        CaseError: there is no such visit, or there are several.
    """
    found = [
        _filed_as(visit, study)
        for visit in listing.studies
        if patient in (None, visit.patient)
        and study in (None, visit.uid, *visit.further_uids, visit.date, visit.date.replace("-", ""))
    ]
    if not found:
        asked = " and ".join(
            f"{what} '{value}'"
            for what, value in (("patient", patient), ("study", study))
            if value is not None
        )
        raise CaseError(f"{listing.folder}: there is no {asked}. It holds {_named(listing.studies)}.")
    usable = [visit for visit in found if choose(visit).series] or [
        visit for visit in found if any(one.problem is None for one in visit.series)
    ]
    if len(usable) > 1:
        raise CaseError(
            f"{listing.folder} holds {_named(usable)}. Choose one by --patient ID or --study DATE (or "
            f"the Study Instance UID), or segment all of them by segment-folder.{_one_after_all(usable)}"
        )
    chosen = (usable or found)[0]
    others = {visit.patient for visit in found} - {chosen.patient}
    return replace(chosen, other_patients=len(others)) if others else chosen


def _one_after_all(visits: Sequence[DicomStudy]) -> str:
    """What to do where no two of them have a sequence in common, as of one patient under several IDs."""
    found = [modality for visit in visits for modality in choose(visit).series]
    if len(found) > len(set(found)):
        return ""
    return (
        " If they are one visit of one patient, whose series got other IDs or dates as names were removed, "
        "join them by --one-visit."
    )


def _filed_as(visit: DicomStudy, study: str | None) -> DicomStudy:
    """The visit, or where one of its several UIDs is asked for, what of it has that one."""
    if study is None or not visit.further_uids or study not in (visit.uid, *visit.further_uids):
        return visit
    series = tuple(one for one in visit.series if one.study_uid == study)
    return replace(visit, uid=study, series=series, further_uids=())


def _named(visits: Sequence[DicomStudy]) -> str:
    # two visits on one day differ in what was examined, and in their UID
    titles = [visit.title for visit in visits]
    titles = [
        f"{title} ({', '.join(filter(None, [visit.description, visit.uid]))})"
        if titles.count(title) > 1
        else title
        for title, visit in zip(titles, visits, strict=True)
    ]
    more = f" and {len(titles) - _MOST_NAMED} more" if len(titles) > _MOST_NAMED else ""
    return f"{'; '.join(titles[:_MOST_NAMED])}{more}"
