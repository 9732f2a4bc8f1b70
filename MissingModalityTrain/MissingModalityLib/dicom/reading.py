"""The volumes of one visit: a series for each sequence, read; what cannot be read is replaced or left out."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.errors import CaseError, ImageError
from ..core.modalities import MODALITIES, Modality, in_words
from ..imaging.file_facts import file_facts
from ..imaging.reading import Study
from .choosing import choose
from .listing import DicomStudy
from .series import Series
from .volume import read_series

_WHOLE = 0.9
"""Share of the longest series that another one has to cover for the result to lie on its grid."""

_MOST_NAMED = 6
"""Series, and reasons, that a message names where none can be used."""


@dataclass(frozen=True)
class ChosenSeries:
    """One series for each sequence that a visit has.

    Attributes:
        visit: whose.
        series: by modality; on the grid of the first one the result lies.
        sentences: about the choice.
    """

    visit: DicomStudy
    series: Mapping[Modality, Series]
    sentences: tuple[str, ...]

    @property
    def files(self) -> dict[Modality, tuple[Path, ...]]:
        """Those of each series."""
        return {modality: one.files for modality, one in self.series.items()}

    def to_json(self) -> dict[str, Any]:
        """Plain values for a report: nothing that names the patient."""
        return {
            "study_uid": self.visit.uid,
            "date": self.visit.date,
            "series": {modality.name: one.to_json() for modality, one in self.series.items()},
            "choice": list(self.sentences),
        }


def choose_series(visit: DicomStudy) -> ChosenSeries:
    """The series of a visit to segment.

    The first one, on whose grid the result lies, is that with the smallest voxels among those that cover the
    head.

    Raises:
        CaseError: it has none of the four sequences.
    """
    choice = choose(visit)
    if not choice.series:
        raise CaseError(_nothing_to_use(visit))
    longest = max(one.coverage_mm for one in choice.series.values())

    def rank(modality: Modality) -> tuple[bool, float, int]:
        one = choice.series[modality]
        voxel = float(np.prod(one.spacing)) if one.spacing else np.inf
        return one.coverage_mm < _WHOLE * longest, voxel, MODALITIES.index(modality)

    order = sorted(choice.series, key=rank)
    return ChosenSeries(visit, {modality: choice.series[modality] for modality in order}, choice.sentences)


def read_visit(
    visit: DicomStudy, on_read: Callable[[int, int, str], None] = lambda number, total, name: None
) -> tuple[Study, ChosenSeries]:
    """The volumes of a visit in the patient's space, each on its own grid.

    A series that cannot be read is left out, with a warning, and the choice made again without it; one that
    the user has named is not replaced unasked.

    Args:
        on_read: called before a series is read, with its number from 0, how many there are, and its name.

    Returns:
        The volumes, and the series that they are from.

    Raises:
        CaseError: the visit has none of the four sequences.
        ImageError: it has some, but none can be read, or not the one that was named.
    """
    read: dict[int, tuple[sitk.Image, list[str]]] = {}
    left_out: list[str] = []
    chosen = _chosen(visit, left_out)
    while unread := [one for one in chosen.series.values() if id(one) not in read]:
        one, told = unread[0], []
        on_read(len(chosen.series) - len(unread), len(chosen.series), one.title)
        try:
            read[id(one)] = read_series(one, told.append), told
        except ImageError as error:
            if one.named:
                raise
            left_out.append(f"{one.title} was left out: {str(error).removeprefix(f'{one.title}: ')}")
            visit = replace(visit, series=tuple(other for other in visit.series if other is not one))
            chosen = _chosen(visit, left_out)
    images = {modality: read[id(one)][0] for modality, one in chosen.series.items()}
    names = {modality: one.title for modality, one in chosen.series.items()}
    warnings = [sentence for one in chosen.series.values() for sentence in read[id(one)][1]]
    return Study(images, names, (*visit.doubts, *left_out, *warnings)), chosen


def files_facts(visit: DicomStudy) -> dict[str, Any]:
    """How many ``bytes`` the files of a visit's usable series have, and one ``sha256`` over all of them.

    Names and order of the files do not count.

    Raises:
        ImageError: a file cannot be read.
    """
    usable = (one for one in visit.series if one.problem is None)
    files = dict.fromkeys(file for one in usable for file in one.files)
    try:
        facts = [file_facts(file) for file in files]
    except OSError as error:
        raise ImageError(
            f"{error.filename}: cannot be read ({error.strerror}). Check that the file is there and that you "
            "may read it."
        ) from error
    digests = "".join(sorted(each["sha256"] for each in facts))
    return {
        "bytes": sum(each["bytes"] for each in facts),
        "sha256": hashlib.sha256(digests.encode()).hexdigest(),
    }


def _chosen(visit: DicomStudy, left_out: list[str]) -> ChosenSeries:
    try:
        return choose_series(visit)
    except CaseError:
        if left_out:
            raise ImageError(
                " ".join([f"{visit.title}: no series can be read. {left_out[0]}", visit.cut_off]).strip()
            ) from None
        raise


def _nothing_to_use(visit: DicomStudy) -> str:
    alike: dict[str, list[str]] = defaultdict(list)
    for one in visit.series:
        alike[one.problem or one.reason.rstrip(".")].append(one.title)
    reasons = [f"{_listed(titles, ', ', ' and')}: {reason}" for reason, titles in alike.items()]
    mend = visit.cut_off or "Choose another study, or give the volumes as files."
    return (
        f"{visit.title}: none of its series can be used as {in_words(MODALITIES).replace(' and ', ' or ')} "
        f"({_listed(reasons, '; ', '; and')}). {mend}"
    )


def _listed(texts: Sequence[str], between: str, last: str) -> str:
    more = f"{last} {len(texts) - _MOST_NAMED} more" if len(texts) > _MOST_NAMED else ""
    return between.join(texts[:_MOST_NAMED]) + more
