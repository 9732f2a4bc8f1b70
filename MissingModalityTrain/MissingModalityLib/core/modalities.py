"""The MRI sequences and their non-empty subsets: the one place that fixes their number and order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import IntEnum
from itertools import compress
from types import MappingProxyType
from typing import TypeVar

from .errors import OptionError

T = TypeVar("T")


class Modality(IntEnum):
    """An MRI sequence; its value is its channel index everywhere in the library."""

    FLAIR = 0
    T1CE = 1
    T1 = 2
    T2 = 3

    @property
    def title(self) -> str:
        """Name as printed for people, e.g. ``T1ce``."""
        return "T1ce" if self is Modality.T1CE else self.name


MODALITIES: tuple[Modality, ...] = tuple(Modality)

ALIASES: Mapping[Modality, tuple[str, ...]] = MappingProxyType(
    {
        # the words of BraTS 2023 and later first, then those of scanners and of other tools
        Modality.FLAIR: ("t2f", "t2flair", "fla"),
        Modality.T1CE: ("t1c", "t1gd", "t1post", "ct1", "t1km"),
        Modality.T1: ("t1n", "t1w", "t1pre"),
        Modality.T2: ("t2w",),
    }
)
"""Other names of the sequences, by which they may be called wherever a name of one is taken."""

_NAMED = {name: modality for modality in Modality for name in (modality.name.lower(), *ALIASES[modality])}

Subset = tuple[Modality, ...]
"""Available modalities of one case in channel order, e.g. ``(FLAIR, T1CE)``."""


# One digit per channel, in their order, as the tables of the papers print the dots.
def _subset(bits: str) -> Subset:
    return tuple(compress(MODALITIES, map(int, bits)))


# Row order of the result tables of RFNet (Ding et al., ICCV 2021) and its successors.
SUBSETS: tuple[Subset, ...] = tuple(
    map(
        _subset,
        (
            *("0001", "0100", "0010", "1000"),
            *("0101", "0110", "1010", "0011", "1001", "1100"),
            *("1110", "1011", "1101", "0111", "1111"),
        ),
    )
)


def subset_name(subset: Iterable[Modality]) -> str:
    """``(T1CE, FLAIR)`` -> ``"FLAIR+T1ce"``: titles in channel order."""
    return "+".join(modality.title for modality in sorted(subset))


def subset_named(name: str) -> Subset | None:
    """The inverse of :func:`subset_name`, in any case and order; None where the name is none of a subset."""
    return _BY_NAME.get(frozenset(name.upper().split("+")))


_BY_NAME = {frozenset(subset_name(subset).upper().split("+")): subset for subset in SUBSETS}


def modality_named(name: Modality | str) -> Modality:
    """``"t1ce"``, ``"T1c"``, ``"T1-Gd"`` -> ``Modality.T1CE``; upper or lower case, with or without signs.

    Raises:
        OptionError: no sequence has this name.
    """
    if isinstance(name, Modality):
        return name
    plain = "".join(filter(str.isalnum, name.lower())) if isinstance(name, str) else ""
    if plain in _NAMED:
        return _NAMED[plain]
    near = difflib.get_close_matches(plain, _NAMED, 1)
    hint = f" Did you mean {_NAMED[near[0]].title}?" if near else ""
    raise OptionError(f"{name!r} is no sequence of {in_words()}.{hint}")


def by_modality(values: Mapping[Modality | str, T]) -> dict[Modality, T]:
    """The same values by modality, in their order, where names may stand for modalities.

    Raises:
        OptionError: it is no mapping, has a name of no sequence, or two names of one.
    """
    if not isinstance(values, Mapping):
        raise OptionError(
            f"Sequences are given by name, such as {{'FLAIR': ..., 'T1ce': ...}}, and not as a "
            f"{type(values).__name__}."
        )
    found: dict[Modality, T] = {}
    for name, value in values.items():
        modality = modality_named(name)
        if modality in found:
            raise OptionError(f"{modality.title} was given twice, the second time as {name!r}.")
        found[modality] = value
    return found


def in_words(modalities: Iterable[Modality] = MODALITIES) -> str:
    """``(FLAIR, T1, T2)`` -> ``"FLAIR, T1 and T2"``, for sentences."""
    *most, last = [modality.title for modality in modalities]
    return f"{', '.join(most)} and {last}" if most else last


def availability(subset: Iterable[Modality]) -> tuple[bool, ...]:
    """``(FLAIR, T1)`` -> ``(True, False, True, False)``: one flag per channel."""
    present = set(subset)
    return tuple(modality in present for modality in MODALITIES)


def subset_of(available: Iterable[bool]) -> Subset:
    """The inverse of :func:`availability`."""
    return tuple(compress(MODALITIES, available))
