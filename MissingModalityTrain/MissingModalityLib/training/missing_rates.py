"""How often training cases lack each sequence: the setting ``missing_rates``, read and checked."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import OptionError
from ..core.modalities import Modality, modality_named
from ..core.settings import SettingError


def missing_rates(entries: Sequence[str]) -> dict[Modality, float]:
    """The share of training cases that lack a sequence, for each sequence that any of them lacks.

    Args:
        entries: such as "T1ce=0.5", any name of a sequence, each once.

    Raises:
        SettingError: an entry that is none, a sequence that comes twice, or a rate out of 0 <= rate < 1.
    """
    rates: dict[Modality, float] = {}
    for entry in entries:
        name, _, text = entry.partition("=")
        modality, rate = _modality(name), _rate(text)
        if modality is None or rate is None or modality in rates:
            raise SettingError(
                "missing_rates",
                f": '{entry}' {'comes twice' if modality in rates else 'is no rate of a sequence'}. Give "
                "SEQUENCE=RATE joined by commas, each sequence once, rates of 0 to less than 1, such as "
                "T1ce=0.5,T2=0.2.",
            )
        rates[modality] = rate
    return rates


def _modality(name: str) -> Modality | None:
    try:
        return modality_named(name)
    except OptionError:
        return None


def _rate(text: str) -> float | None:
    try:
        rate = float(text)
    except ValueError:
        return None
    return rate if 0 <= rate < 1 else None
