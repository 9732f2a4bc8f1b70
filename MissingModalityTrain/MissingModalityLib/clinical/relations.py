"""What the volumes of a study say about each other: mirror images, other patients, copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from ..core.modalities import Modality
from ..imaging.reading import Study
from ..runtime.side_by_side import side_by_side
from .anatomy import View, likeness, views
from .copies import copies
from .mirrored import lie_mirrored, mirror_sentence

Pair = tuple[Modality, Modality]
Likenesses = Mapping[Pair, float]
"""Of each two volumes of a study that share enough, see :func:`.anatomy.likeness`."""

SAME_PATIENT, SAME_PATIENT_WITH_FLAIR = 2.3, 1.75
"""Least :func:`.anatomy.likeness` of volumes of one patient; FLAIR resembles the others least.

See Resources/Docs/content-check.md."""

_SURELY_NOT_MIRRORED = 5.0
"""Of likeness, from which on the mirror image need not be tried; mirrored volumes of training patients reach
4.5."""


def check_relations(study: Study) -> tuple[str, ...]:
    """What in volumes of one patient contradicts that they are.

    Args:
        study: volumes in one space; its brain mask is used where it has one.

    Returns:
        Sentences for the user; none where all is well.
    """
    seen = views(study)
    every = list(combinations(seen, 2))
    found = side_by_side(lambda pair: likeness(seen[pair[0]], seen[pair[1]]), every)
    pairs = {pair: value for pair, value in zip(every, found, strict=True) if value is not None}
    mirrored = _mirrored(seen, pairs)
    apart = [
        pair
        for pair, value in pairs.items()
        if value < _least(pair) and not any(name in pair for name in mirrored)
    ]
    return (
        *(_told(study, slot, others, mirror_sentence) for slot, others in mirrored.items()),
        *(_told(study, slot, others, _stranger) for slot, others in _strangers(study, apart).items()),
        *copies(seen, study.names),
    )


def _least(pair: Pair) -> float:
    return SAME_PATIENT_WITH_FLAIR if Modality.FLAIR in pair else SAME_PATIENT


def _stranger(name: str, others: str) -> str:
    return (
        f"{name} probably shows another patient than {others}, or is not registered with it: folds and "
        "ventricles do not lie in the same places. Check both."
    )


def _mirrored(seen: Mapping[Modality, View], pairs: Likenesses) -> dict[Modality, set[Modality]]:
    """By volume those that it lies mirrored to, decided between the pairs that resemble each other most.

    Where two parts of a study lie mirrored, it is told of the smaller one, or of that without the reference
    volume.
    """
    tree, told = _tree(pairs), {}
    for pair in tree:
        if pairs[pair] >= _SURELY_NOT_MIRRORED or not lie_mirrored(seen[pair[0]], seen[pair[1]]):
            continue
        rest = [other for other in tree if other != pair]
        smaller, larger = sorted(
            (_connected(slot, rest) for slot in pair), key=lambda part: (len(part), next(iter(seen)) in part)
        )
        told |= dict.fromkeys(smaller, larger)
    return told


def _tree(pairs: Likenesses) -> list[Pair]:
    """The pairs of most likeness that connect all volumes (Kruskal, 1956)."""
    tree: list[Pair] = []
    for pair in sorted(pairs, key=lambda one: -pairs[one]):
        if pair[1] not in _connected(pair[0], tree):
            tree.append(pair)
    return tree


def _connected(slot: Modality, pairs: Sequence[Pair]) -> set[Modality]:
    """What pairs lead to from a volume, itself among it."""
    reached = {slot}
    for _ in pairs:
        reached |= {other for pair in pairs if reached & set(pair) for other in pair}
    return reached


def _strangers(study: Study, apart: Sequence[Pair]) -> dict[Modality, set[Modality]]:
    """The fewest volumes without which all others resemble each other, later ones rather than earlier ones.

    Returns:
        By volume those that it does not resemble.
    """
    slots = list(reversed(study.images))
    every = (left_out for count in range(len(slots)) for left_out in combinations(slots, count))
    fewest = next(left_out for left_out in every if all(set(left_out) & set(pair) for pair in apart))
    return {slot: set().union(*(pair for pair in apart if slot in pair)) - {slot} for slot in fewest}


def _told(study: Study, slot: Modality, others: set[Modality], sentence: Callable[[str, str], str]) -> str:
    """A sentence about one volume beside the reference volume, or beside all others where it is that."""
    first = study.reference
    if slot == first and len(others) > 1:
        return sentence(study.names[slot], "the other volumes")
    beside = first if first in others else next(one for one in study.images if one in others)
    return sentence(study.names[slot], study.names[beside])
