"""Cases of one patient: those whose names, or a setting, say so, and those that share a volume."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..core.errors import OptionError
from .case import Case
from .patients import volumes_of


def patients_of(
    cases: Sequence[Case],
    contents: Mapping[str, Mapping[str, str]] | None = None,
    pattern: str | None = None,
    root: Path | None = None,
) -> dict[str, str]:
    """The patient of each case: cases are of one if their names say so or they share a volume.

    Args:
        cases: to tell apart.
        contents: hashes of their voxels by name of the case and sequence, as far as they are known.
        pattern: regular expression that finds the patient in the case's path inside ``root``, of which the
            first group counts where it has one; in place of what names say.
        root: the folder of the cases.

    Returns:
        Names of patients by name of the case.

    Raises:
        OptionError: the pattern does not match a case.
    """
    patients = {case.name: _found(pattern, case, root) if pattern else case.patient for case in cases}
    groups = _joined(
        [patient, *(key for name in names for key in volumes_of((contents or {}).get(name, {})))]
        for patient, names in _by_value(patients).items()
    )
    return {name: groups[patient] for name, patient in patients.items()}


def _found(pattern: str, case: Case, root: Path | None) -> str:
    folder = case.folder
    inside = folder.relative_to(root).as_posix() if root and folder.is_relative_to(root) else folder.name
    path = case.name if inside in (".", case.name) else f"{inside}/{case.name}"
    match = re.search(pattern, path)
    if not match or not match[min(1, match.re.groups)]:
        raise OptionError(
            f"Setting patient={pattern} finds no patient in '{path}'. Correct the expression, or leave the "
            "case out."
        )
    return match[min(1, match.re.groups)]


def _by_value(values: Mapping[str, str]) -> dict[str, list[str]]:
    names = defaultdict(list)
    for name, value in values.items():
        names[value].append(name)
    return names


def _joined(groups: Iterable[list[str]]) -> dict[str, str]:
    """The least patient of all groups that share a key, for each group's first member, which is its patient.

    Hashes of 64 digits are no names of patients, so that one mapping holds both.
    """
    leader: dict[str, str] = {}

    def lead(key: str) -> str:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    patients = []
    for patient, *keys in groups:
        patients.append(patient)
        for key in keys:
            one, other = sorted((lead(patient), lead(f"volume {key}")), key=_volumes_last)
            leader[other] = one
    return {patient: lead(patient) for patient in patients}


def _volumes_last(key: str) -> tuple[bool, str]:
    return key.startswith("volume "), key
