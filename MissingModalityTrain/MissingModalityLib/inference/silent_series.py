"""Series of DICOM of which names and headers tell too little: their voxels are asked what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..clinical.content import TOLD, sequence_of
from ..core.errors import ImageError
from ..core.modalities import MODALITIES, Modality
from ..dicom.choosing import choose, undecided
from ..dicom.listing import DicomStudy
from ..dicom.reading import ChosenSeries, read_visit
from ..dicom.series import Series
from ..dicom.volume import read_series
from ..imaging.reading import Study


def read_visit_by_voxels(
    visit: DicomStudy, on_read: Callable[[int, int, str], None] = lambda number, total, name: None
) -> tuple[Study, ChosenSeries]:
    """As :func:`.reading.read_visit`; sequences that were not found are looked for by the voxels of others.

    Those are series that could be used if something told which sequence they are, and a second T1 of which
    nothing tells whether it is one after contrast agent.

    Raises:
        CaseError, ImageError: as there.
        StudentError: the network that is asked is absent or damaged.
    """
    missing = set(MODALITIES) - set(choose(visit).series)
    silent = set(map(id, undecided(visit)))
    asked = tuple(_asked(one, missing) if id(one) in silent else one for one in visit.series)
    volumes, chosen = read_visit(replace(visit, series=asked), on_read)
    known = {id(one) for one in visit.series}
    told = tuple(
        f"{one.title} was taken for {modality.title} by what its voxels look like alone. Check that it is."
        for modality, one in chosen.series.items()
        if id(one) not in known
    )
    return replace(volumes, warnings=(*told, *volumes.warnings)), chosen


def _asked(series: Series, missing: Iterable[Modality]) -> Series:
    """The series with what its voxels tell, where that is a sequence that is missing."""
    try:
        modality, share = sequence_of(read_series(series))
    except ImageError:  # told when it is chosen, or of no use
        return series
    if modality not in missing or share < TOLD:
        return replace(series, reason=f"{series.reason} The voxels do not settle it.")
    reason = f"Its voxels look like {modality.title}; names and header do not tell."
    return replace(series, modality=modality, confidence=share, reason=reason)
