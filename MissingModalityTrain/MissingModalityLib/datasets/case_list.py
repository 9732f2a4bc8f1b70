"""Lists of cases in text files, one name a line, as published divisions of data sets are passed on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..core.errors import OptionError
from ..core.files import read_text
from ..core.words import nearest
from .case import Case, CaseListing

# BraTS 2015 and 2018 sort patients into these folders; published lists write them before the names.
_GRADE = re.compile(r"^(?:HGG?|LGG?)_", re.IGNORECASE)

_LONGEST_LIST = 1 << 24
"""Bytes; a hundred thousand names have half of it."""

_MOST_NAMED = 5


def read_case_list(path: Path | str) -> tuple[str, ...]:
    """The names in a list, each once, in its order; empty lines and those after ``#`` are left out.

    Raises:
        OptionError: the file cannot be read, is no text, or names nothing.
    """
    try:
        lines = read_text(Path(path), _LONGEST_LIST).splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"{path}: no list of cases can be read ({reason}). Give a text file.") from error
    names = (line.strip().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}") for line in lines)
    found = tuple(dict.fromkeys(name for name in names if name and not name.startswith("#")))
    if not found:
        raise OptionError(f"{path}: names no case. Write one name a line.")
    return found


def listed_cases(path: Path | str, listing: CaseListing) -> list[Case]:
    """The labeled cases that a list names, sorted by name.

    A name may be one that earlier versions gave, and may have ``HG_``, ``HGG_``, ``LG_`` or ``LGG_`` in front
    where no case is called so.

    Args:
        path: of the list.
        listing: of the folder that the cases lie in.

    Raises:
        OptionError: the list cannot be read, or names what is no case of the folder or has no label.
    """
    found = labeled_cases_named(read_case_list(path), listing, str(path))
    return sorted({case.name: case for case in found.values()}.values(), key=lambda case: case.name)


def labeled_cases_named(names: Iterable[str], listing: CaseListing, source: str) -> dict[str, Case]:
    """The labeled cases of a folder by the names that were asked for, see :func:`listed_cases`.

    Args:
        names: asked for.
        listing: of the folder.
        source: what names them, for messages.

    Raises:
        OptionError: a name is that of no case of the folder, or of one without label.
    """
    found = {name: find_named(name, listing) for name in names}
    unknown = [name for name, case in found.items() if case is None]
    if unknown:
        near = nearest(unknown[0], (case.name for case in listing.cases))
        meant = f" Did you mean {near}?" if near else ""
        raise OptionError(
            f"{source} names {_some(unknown)}, which is no case of '{listing.folder}'.{meant} "
            "'missing-modality cases' lists those there are."
        )
    unlabeled = [name for name, case in found.items() if case and case.label is None]
    if unlabeled:
        raise OptionError(
            f"{source} names {_some(unlabeled)}, which has no label in '{listing.folder}'. "
            "Add the label, or take the name out of the list."
        )
    return {name: case for name, case in found.items() if case}


def find_named(name: str, listing: CaseListing) -> Case | None:
    """The case of a name, with or without the grade of the tumor in front; None where there is none."""
    return listing.find(name) or listing.find(_GRADE.sub("", name))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_MOST_NAMED]) + more
