"""Whose volumes a case holds: by its name, by a rule of the user's, and by what the volumes hold.

Visits of one patient are cases of their own, and one visit can lie in a folder under two names. Both count as
one patient wherever cases are divided.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SEPARATOR = "__"
"""Between the folders that a case's name is made of."""

LABEL_KEY = "label"
"""Of a case's label among the hashes of its voxels; labels of two patients may be equal, such as empty."""

INTENSITIES = " intensities"
"""After the name of a sequence: keys of hashes that do not change with the scale of the intensities."""

# the standard BIDS: sub-01_ses-1, also as names of folders
_BIDS = re.compile(r"(?:^|[-_. ])(sub-[a-z0-9]+)(?=$|[-_. ])", re.IGNORECASE)

# Visits of one patient differ in the last number: BraTS-GLI-00005-100, brats_tcia_pat103_0002,
# UPENN-GBM-00002_21.
_NUMBERED_VISIT = re.compile(
    r"^(BraTS-[A-Za-z-]+-\d+)-\d{3}$|^(brats_\w+_pat\d+)_\d+$|^(UPENN-GBM-\d+)_\d+$", re.IGNORECASE
)

_NUMBERS = r"(?:[-_ .]?\d+)"
_DATE = r"(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:[0-2]\d|3[01])"
_WORDS = (
    rf"(?:ses|sess|session|visit|week|wk|day|month|mon|year|yr|time|time[-_ ]?point|tp){_NUMBERS}+"
    rf"|v\d+|ses-[a-z0-9]+"
    rf"|(?:baseline|base|follow[-_ ]?up|fu|recurrence){_NUMBERS}*|fu\d+[a-z]"
    rf"|(?:pre|post)[-_ ]?(?:op|surgery|treatment|rt){_NUMBERS}*"
)
_VISIT = re.compile(rf"^(?:{_WORDS})$", re.IGNORECASE)
_VISIT_AT_END = re.compile(rf"^(.+?)[-_. ]+(?:{_WORDS}|{_DATE})$", re.IGNORECASE)

# Names that mean a visit below a patient's folder and a patient elsewhere.
_PERHAPS = rf"(?:scan|exam|examination|study|mri|mr|t|no){_NUMBERS}|pre|post"
_PERHAPS_VISIT = re.compile(rf"^(?:{_DATE}|\d+|{_PERHAPS})$", re.IGNORECASE)
_PERHAPS_AT_END = re.compile(rf"^(.+?)[-_. ]+({_PERHAPS})$", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
# folders that hold patients, though they have a number
_NO_PATIENT = re.compile(
    r"brats|fets|train|valid|test|fold|batch|site|cent(?:er|re)|data|cohort|split|set|hospital|part|year"
    r"|release|version|^\d{4}$",
    re.IGNORECASE,
)


def patient_of(name: str) -> str:
    """The name of a case without its visit, where a naming rule tells the visit from the patient.

    Rules: BIDS (``sub-01_ses-1``, also as folders); BraTS and UPENN-GBM (the last number); words such as
    ``week-000``, ``visit2``, ``time1`` or ``baseline``, or a date, at the end or as a folder below the
    patient's; and ``scan1``, ``exam2``, ``t0``, ``pre`` and the like after what can be a patient's number.

    Args:
        name: of a case, folders joined by :data:`SEPARATOR`.
    """
    if bids := _BIDS.search(name):
        return bids[1]
    *folders, own = name.split(SEPARATOR)
    if numbered := _NUMBERED_VISIT.match(own):
        # the pattern has a group for each naming rule, of which one has matched
        return next(filter(None, numbered.groups()))
    if not _VISIT.match(own) and (dated := _VISIT_AT_END.match(own)):
        own = dated[1]
    elif (perhaps := _PERHAPS_AT_END.match(own)) and is_visit(perhaps[2], perhaps[1]):
        own = perhaps[1]
    while folders and is_visit(own, folders[-1]):
        own = folders.pop()
    return SEPARATOR.join([*folders, own])


def is_visit(name: str, folder: str) -> bool:
    """Whether the name of a case is that of a visit, given the folder above it."""
    if _VISIT.match(name):
        return True
    patient = _DIGIT.search(folder) and not _NO_PATIENT.search(folder)
    return bool(patient and _PERHAPS_VISIT.match(name))


def same_volumes(contents: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str]]:
    """Pairs of cases that share a volume, each with the first one that has it, sorted.

    Args:
        contents: hashes of voxels by name of the case and sequence.
    """
    first: dict[str, str] = {}
    pairs = {}
    for name in sorted(contents):
        for volume in volumes_of(contents[name]):
            other = first.setdefault(volume, name)
            if other != name:
                pairs.setdefault(name, other)
    return sorted((other, name) for name, other in pairs.items())


def volumes_of(content: Mapping[str, str]) -> list[str]:
    """Hashes of a case's volumes, without that of its label."""
    return [digest for key, digest in content.items() if key != LABEL_KEY]


def of_voxels(content: Mapping[str, str]) -> dict[str, str]:
    """Hashes of what a case holds as it is stored, without those that do not change with the scale."""
    return {key: digest for key, digest in content.items() if INTENSITIES not in key}


def changed(
    before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]
) -> dict[str, list[str]]:
    """Which volumes hold something else than before, by name of the case; of those alone that have any.

    Args:
        before, now: hashes of voxels by name of the case and sequence, and label. A case of which either
            tells nothing has not changed, nor has a label that either does not tell.
    """
    changes = {}
    for name in now:
        first, second = (of_voxels(contents.get(name, {})) for contents in (before, now))
        keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
        told = [key for key in keys if key != LABEL_KEY or (key in first and key in second)]
        if first and second and told:
            changes[name] = told
    return changes


def describe_changed(changes: Mapping[str, Sequence[str]], whose: str, when: str) -> str:
    """A clause on what :func:`changed` has found: ``whose`` cases they are, and ``when`` they had others."""
    name, keys = next(iter(changes.items()))
    more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
    return f"case '{name}'{more} of {whose} has other voxels than when {when} ({', '.join(keys)})"


def describe_same(contents: Mapping[str, Mapping[str, str]], outcome: str) -> list[str]:
    """A sentence for each pair of cases that share a volume; ``outcome`` says what follows from it."""
    return [
        f"Cases '{first}' and '{second}' hold the same volume, so they are of one patient{outcome}."
        for first, second in same_volumes(contents)
    ]


def check_pattern(pattern: str | None) -> bool:
    """Whether a text is a regular expression, or None."""
    try:
        return pattern is None or bool(re.compile(pattern))
    except re.error:
        return False
