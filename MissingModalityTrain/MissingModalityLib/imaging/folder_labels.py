"""Labels of a whole folder held against each other: one numbering, and some tumor in them.

A single label map cannot tell whether its 4 is enhancing tumor (BraTS up to 2021) or a resection cavity
(2024). Maps that hold a 3 beside it can: up to 2021 there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

from ..core.errors import LabelError
from ..core.labels import CAVITY_RULES, CONVENTIONS, TUMOR_CLASSES, TumorClass, convention
from ..datasets.case import Case
from ..datasets.patients import describe_same
from ..datasets.prepared import LAYOUT
from .cache import CachedCase, up_to_date

_NUMBERS = frozenset(value for known in CONVENTIONS.values() for value in known.to_class)
"""All that stand for something in some data set; others are mistakes of one file."""

_ONE_SIDE = ", on one side of every split"

_CLASS_NAMES = {TumorClass.NCR: "necrotic core", TumorClass.ED: "edema", TumorClass.ET: "enhancing tumor"}


def read_numbers(cases: Iterable[Case], folder: Path | None = None) -> list[tuple[str, set[int]]]:
    """The values in the label maps of cases, by name; of those that can be read.

    Args:
        cases: with a label. Of those whose convention knows every number, nothing is read.
        folder: of prepared cases, whose labels have been read already.
    """
    found = []
    for case in cases:
        if case.convention is None or case.layout == LAYOUT:
            continue
        if set(convention(case.convention).to_class) == _NUMBERS:
            continue
        with suppress(Exception):  # of whatever kind, it is told where the case is used
            found.append((case.name, _numbers(case, folder)))
    return found


def check_numbering(cases: Sequence[Case], numbers: Mapping[str, Set[int]], data: str) -> None:
    """Refuse a folder whose names promise one numbering where the label maps follow two.

    Args:
        cases: of the folder, read under the conventions that their names tell.
        numbers: from :func:`read_numbers`.
        data: the folder, for messages.

    Raises:
        LabelError: one case has enhancing tumor by the convention, another a number that it does not know.
    """
    for name in sorted({case.convention for case in cases if case.convention}):
        of_name = [case for case in cases if case.convention == name and case.name in numbers]
        known, enhancing = convention(name).to_class, convention(name).from_class[TumorClass.ET]
        fitting = [
            case for case in of_name if enhancing in numbers[case.name] and numbers[case.name] <= known.keys()
        ]
        for case in of_name:
            strange = sorted((numbers[case.name] & _NUMBERS) - known.keys())
            if strange and fitting:
                raise LabelError(
                    f"{data}: labels are numbered in two ways. {case.label} (case {case.name}) holds the "
                    f"value {strange[0]}, {fitting[0].label} (case {fitting[0].name}) the value {enhancing}, "
                    f"and {name}, which their names stand for, knows no {strange[0]}. Give --convention (in "
                    f"Python convention), one of {', '.join(CONVENTIONS)}; or put the cases of each "
                    "numbering into a folder of their own."
                )


def folder_warnings(cases: Sequence[CachedCase]) -> list[dict[str, str]]:
    """What the user should know about prepared cases.

    Returns:
        ``case``, empty for one about all of them, and ``warning``.
    """
    own = [{"case": case.name, "warning": warning} for case in cases for warning in case.warnings]
    together = missing_classes([case.tumor_classes() for case in cases])
    together += cavity_warning(
        sum(case.cavity_voxels > 0 for case in cases), len(cases), cases[0].cavity_rule
    )
    together += describe_same({case.name: case.content for case in cases}, _ONE_SIDE)
    return own + [{"case": "", "warning": warning} for warning in together]


def cavity_warning(count: int, every: int, rule: str) -> list[str]:
    """One sentence about the resection cavities in ``count`` of ``every`` case, if there are any."""
    if not count:
        return []
    return [
        f"A resection cavity is labeled in {count} of {every} cases; resection_cavity={rule}: "
        f"{CAVITY_RULES[rule]}."
    ]


def missing_classes(every: Sequence[Set[TumorClass]]) -> list[str]:
    """Warnings where no case of a folder has any tumor, or none has one of its classes.

    Args:
        every: of each case the classes that it has at least one voxel of.
    """
    found = set().union(*every)
    cases = f"{len(every)} cases" if len(every) > 1 else "the only case"
    if every and not found:
        return [f"No tumor in any label: {cases} hold background alone. Check the labels and --convention."]
    return [
        f"No {_CLASS_NAMES[cls]} ({cls.name}) in any label of {cases}. Check --convention if there should be."
        for cls in TUMOR_CLASSES
        if every and cls not in found
    ]


def _numbers(case: Case, folder: Path | None) -> set[int]:
    prepared = up_to_date(case, folder) if folder else None
    if prepared:
        back = convention(case.convention).from_class
        return {0, *(back[cls] for cls in prepared.tumor_classes())}
    # loaded here: it brings SimpleITK, which a training from prepared cases does without
    from .reading import read_label_numbers

    return set(read_label_numbers(case))
