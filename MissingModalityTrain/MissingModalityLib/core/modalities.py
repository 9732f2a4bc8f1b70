"""The MRI sequences and their non-empty subsets: the one place that fixes their number and order."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from itertools import compress


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
