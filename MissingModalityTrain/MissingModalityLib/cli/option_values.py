"""Kinds of values that options take; what is none of the kind is an error of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..core.errors import OptionError
from ..core.labels import REGIONS, convention
from ..core.modalities import Modality, modality_named


def at_least(minimum: int, most: int | None = None) -> Callable[[str], int]:
    """A kind of option value: whole numbers from ``minimum``, as far as ``most`` where it is given."""
    limit = "" if most is None else f" and at most {most}"

    def whole_number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1  # one message for words and for numbers that are too small
        if value < minimum or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least {minimum}{limit}")
        return value

    return whole_number


def number(text: str) -> float:
    """A kind of option value: any number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None


def for_regions(text: str) -> float | dict[str, float]:
    """A kind of option value: a number, or one each for WT, TC and ET, joined by commas."""
    parts = [number(part) for part in text.split(",")]
    if len(parts) not in (1, len(REGIONS)):
        raise argparse.ArgumentTypeError(
            f"'{text}' is neither a number nor one for each of {', '.join(REGIONS)}, joined by commas"
        )
    return parts[0] if len(parts) == 1 else dict(zip(REGIONS, parts, strict=True))


def label_numbers(text: str) -> str:
    """A kind of option value: the name of a label convention, or a year of BraTS that numbers alike."""
    try:
        return convention(text.lower()).name
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def modality(text: str) -> Modality:
    """A kind of option value: any name of a sequence."""
    try:
        return modality_named(text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def pair(text: str) -> tuple[str, str]:
    """A kind of option value: KEY=VALUE; the value may hold further equals signs."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form KEY=VALUE")
    return key, value
