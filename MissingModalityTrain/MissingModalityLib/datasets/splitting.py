"""Dividing cases: into training and validation, and into the folds of a cross-validation."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..core.errors import OptionError
from ..core.words import counted
from .case import Case


def split_cases(
    cases: Sequence[Case], fraction: float, seed: int, patients_of: Mapping[str, str] | None = None
) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Divide cases at random, all visits of one patient on the same side.

    The outcome depends on the names of cases and patients and on the seed only, not on their order. With two
    patients or more and a fraction above 0 neither side is empty.

    Args:
        cases: to divide.
        fraction: share of the cases for validation, 0 <= fraction < 1.
        seed: of the random order.
        patients_of: patient of each case by name, see :func:`.grouping.patients_of`; default what names say.

    Returns:
        (training, validation), each sorted by name.

    Raises:
        OptionError: the fraction is out of its range.
    """
    if not 0 <= fraction < 1:
        raise OptionError(f"The validation fraction is {fraction:g}. Choose 0 or more and less than 1.")
    patients = by_patient(cases, patients_of)
    order = sorted(patients)  # neither the file system's order nor that of the caller may decide
    random.Random(seed).shuffle(order)  # noqa: S311 - a split that a seed repeats, no secret
    # a fraction that rounds to no case still gets one: it was asked for
    wanted = round(fraction * len(cases)) or (1 if fraction and len(order) > 1 else 0)
    validation: list[Case] = []
    while len(validation) < wanted and len(order) > 1:
        validation += patients[order.pop()]
    training = [case for patient in order for case in patients[patient]]
    return tuple(_sorted(training)), tuple(_sorted(validation))


def split_folds(
    cases: Sequence[Case], folds: int, seed: int, patients_of: Mapping[str, str] | None = None
) -> tuple[tuple[Case, ...], ...]:
    """Divide cases into folds that each hold a like share of every source, all visits of a patient in one.

    Within a source (:func:`source_of`) patients are shuffled; then they are dealt out in turn, source after
    source. So numbers of patients differ by one at most, in all and of each source. The outcome depends on
    the cases' names and the seed only.

    Args:
        cases: to divide.
        folds: how many, at least 2.
        seed: of the random order.
        patients_of: patient of each case by name, see :func:`.grouping.patients_of`; default what names say.

    Returns:
        The cases of each fold, sorted by name.

    Raises:
        OptionError: fewer than two folds, or fewer patients than folds.
    """
    patients = by_patient(cases, patients_of)
    if not 2 <= folds <= len(patients):
        raise OptionError(
            f"folds={folds} cannot be made of {counted(len(patients), 'patient')}. Choose 2 or "
            "more, and no more than there are patients."
        )
    sources: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(patients):
        sources[source_of(patient)].append(patient)
    generator = random.Random(seed)  # noqa: S311 - folds that a seed repeats, no secret
    for members in sources.values():
        generator.shuffle(members)
    order = [patient for source in sorted(sources) for patient in sources[source]]
    return tuple(
        tuple(_sorted([case for patient in order[fold::folds] for case in patients[patient]]))
        for fold in range(folds)
    )


def source_of(name: str) -> str:
    """Where a case comes from, by its name: the first two of three or more parts, of two parts the first.

    Parts are joined by ``_`` or ``-``: ``BraTS2021_00003`` is of BraTS2021, ``Brats18_CBICA_ALU_1`` of
    Brats18_CBICA, ``BraTS-GLI-00005-100`` of BraTS_GLI.
    """
    parts = re.split(r"[_-]", name)
    return "_".join(parts[:2] if len(parts) > 2 else parts[:1])


def by_patient(cases: Sequence[Case], patients_of: Mapping[str, str] | None) -> dict[str, list[Case]]:
    """Cases of each patient, sorted by name."""
    patients: dict[str, list[Case]] = defaultdict(list)
    for case in _sorted(cases):
        patients[case.patient if patients_of is None else patients_of[case.name]].append(case)
    return patients


def _sorted(cases: Iterable[Case]) -> list[Case]:
    return sorted(cases, key=lambda case: case.name)
