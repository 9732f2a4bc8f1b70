"""Names of cases: from their own path, so that no case is renamed because another one comes or goes.

Names of cases become names of files, in the cache of prepared cases and in results, on any file system.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..core.file_names import name_key, portable_name
from .case import Case
from .patients import SEPARATOR, is_visit

# Names that a challenge has given, each to one visit of one patient: the folders above add nothing.
_IDENTIFIER = re.compile(r"^(?:brats|fets)[-_0-9]", re.IGNORECASE)

_STRUCTURE = frozenset(("anat", "imagesTr", "imagesTs"))
"""Folders that a standard asks for in every data set."""


def with_own_names(cases: Sequence[Case], root: Path) -> list[Case]:
    """Cases named by their place below ``root``: folders that their own name does not hold, then this name.

    Args:
        cases: each under the name that its files or its folder have.
        root: where the search began.
    """
    return [replace(case, name=_own_name(case, root), former=_former_names(case, root)) for case in cases]


def numbered_apart(cases: Sequence[Case], root: Path) -> tuple[list[Case], list[str]]:
    """Cases whose names some file system takes for one, told apart by all folders above them, then by number.

    Returns:
        The cases in their order, and a sentence for each that got a number.
    """
    by_key: dict[str, list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        by_key[name_key(case.name)].append(index)
    named, warnings, taken = list(cases), [], set(by_key)
    for members in by_key.values():
        whole = [portable_name(_whole_name(cases[index], root)) for index in members]
        if len(members) > 1 and len({name_key(name) for name in whole}) == len(members):
            for index, name in zip(members, whole, strict=True):
                named[index] = replace(cases[index], name=name)
        elif len(members) > 1:
            first, *others = sorted(members, key=lambda index: (cases[index].name, str(cases[index].folder)))
            for index in others:
                name = _numbered(cases[index].name, taken)
                named[index] = replace(cases[index], name=name)
                warnings.append(
                    f"{cases[index].folder}: the name of case '{cases[index].name}' is, but for capital "
                    f"letters, that of '{cases[first].name}' in {cases[first].folder}, and some file systems "
                    f"take them for one. It is called '{name}' here; rename one of them."
                )
    return named, warnings


def _own_name(case: Case, root: Path) -> str:
    own, folders = case.name, _folders(case, root)
    if _IDENTIFIER.match(own):
        return portable_name(own)
    if folders and folders[-1] == own:
        folders.pop()
    if own in _STRUCTURE and folders:
        own = folders.pop()
    folders = [name for name in folders if name not in _STRUCTURE and not _holds(own, name)]
    above = root.resolve().name
    if not folders and above and is_visit(own, above) and root.resolve() != case.folder.resolve():
        folders = [above]  # a search that began at the patient: two of these have visits of equal names
    return portable_name(SEPARATOR.join([*folders, own]))


def _former_names(case: Case, root: Path) -> tuple[str, ...]:
    """What earlier versions called it: as its files, or by its whole path where another one had that name."""
    return tuple(dict.fromkeys((case.name, _whole_name(case, root))))


def _whole_name(case: Case, root: Path) -> str:
    own = case.former[0] if case.former else case.name
    folders = _folders(case, root)
    return SEPARATOR.join(folders if folders and folders[-1] == own else [*folders, own])


def _folders(case: Case, root: Path) -> list[str]:
    return list(case.folder.relative_to(root).parts) if case.folder.is_relative_to(root) else []


def _holds(name: str, part: str) -> bool:
    """Whether a part stands within a name, between separators: ``sub-01`` in ``sub-01_ses-1``."""
    return re.search(rf"(?:^|[-_. ]){re.escape(part)}(?:$|[-_. ])", name, re.IGNORECASE) is not None


def _numbered(name: str, taken: set[str]) -> str:
    number = 2
    while name_key(f"{name}-{number}") in taken:
        number += 1
    taken.add(name_key(f"{name}-{number}"))
    return f"{name}-{number}"
