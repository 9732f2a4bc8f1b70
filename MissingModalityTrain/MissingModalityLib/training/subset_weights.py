"""How often each subset of the modalities is trained for: named tables, and weights given one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.modalities import MODALITIES, SUBSETS, Modality, Subset, subset_name, subset_named
from ..core.settings import SettingError

_FLUID = {Modality.FLAIR, Modality.T2}
"""Sequences that show edema."""


def _clinical_weight(subset: Subset) -> float:
    if subset == MODALITIES:
        return 4.0
    return 2.0 if Modality.T1CE in subset and _FLUID & set(subset) else 1.0


NAMED_WEIGHTS: Mapping[str, Mapping[Subset, float]] = {
    "uniform": dict.fromkeys(SUBSETS, 1.0),
    # Four parts for the whole minimum protocol for brain tumors (Ellingson et al., Neuro-Oncology 2015), two
    # for what keeps its two kinds of contrast: enhancement, and edema by FLAIR or T2.
    "clinical": {subset: _clinical_weight(subset) for subset in SUBSETS},
}
"""Relative frequency of each subset by the name that the setting ``subset_weights`` gives. Weights of
"clinical" are a choice, not counted in any hospital: all four 4, the other five with both contrasts 2, the
rest 1."""


_MOST_WEIGHT = 1_000_000
"""Beyond it the other subsets would never be drawn."""


def subset_weights(entries: Sequence[str]) -> dict[Subset, float]:
    """Relative frequency of every subset.

    Args:
        entries: a name of :data:`NAMED_WEIGHTS` alone, or entries such as "FLAIR+T1ce=2" (any case and
            order); subsets that none names weigh 1.

    Raises:
        SettingError: an entry that is neither, a subset that is given twice, or a weight that is not a
            number above 0.
    """
    if len(entries) == 1 and entries[0] in NAMED_WEIGHTS:
        return dict(NAMED_WEIGHTS[entries[0]])
    given: dict[Subset, float] = {}
    for entry in entries:
        name, _, text = entry.partition("=")
        subset, weight = subset_named(name), _positive(text)
        if subset is None or weight is None or subset in given:
            raise SettingError(
                "subset_weights",
                f": '{entry}' {'comes twice' if subset in given else 'is no weight of a subset'}. Give "
                f"{' or '.join(NAMED_WEIGHTS)} alone, or SUBSET=WEIGHT joined by commas, each subset once, "
                f"weights above 0, at most {_MOST_WEIGHT}. Subsets: {', '.join(map(subset_name, SUBSETS))}.",
            )
        given[subset] = weight
    return dict.fromkeys(SUBSETS, 1.0) | given


def _positive(text: str) -> float | None:
    try:
        weight = float(text)
    except ValueError:
        return None
    return weight if 0 < weight <= _MOST_WEIGHT else None
