"""Which sequence a volume is, from its voxels, and what that says of a study before it is segmented.

Each volume is asked alone (:mod:`.sequence_network`), T1 and T1ce of one patient are compared with each other
too (:mod:`.contrast`), and the assignment of all volumes to sequences that explains both best is held against
the one that was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ..core.modalities import MODALITIES, Modality, in_words
from ..imaging.reading import Study
from ..runtime.side_by_side import side_by_side
from .coarse import RANGE, coarse
from .contrast import contrast_gain, pair_probabilities
from .relations import check_relations
from .sequence_network import probabilities

if TYPE_CHECKING:
    import SimpleITK as sitk

Kind = Modality | None
"""A sequence, or none of them."""

_KINDS: tuple[Kind, ...] = (*MODALITIES, None)
_T1S = (Modality.T1, Modality.T1CE)

_AS_GIVEN = 10.0
"""How much likelier a study is as given than in any one other way."""

_TWICE = 0.2
"""How much rarer two volumes of a study are of one sequence."""

_UNKNOWN = 0.005
"""Share of volumes whose look the network has not learned: it is never surer than this leaves room for."""

_FEWEST_VOXELS = 1000
"""Of 4 mm, 64 cm³: of a volume that shows less of a head nothing is said."""

TOLD = 0.9
"""Least probability at which a volume is said to be something else; chosen on patients held out."""

Joint = Mapping[tuple[Kind, ...], float]
"""Probability of each explanation of a study: what the volumes are, in the order of the slots."""


def sequence_of(image: sitk.Image, brain: sitk.Image | None = None) -> tuple[Modality | None, float]:
    """Which sequence a volume is, by its voxels alone.

    Args:
        image: 3-D scalar, stripped or not.
        brain: mask in the same space, where there is one.

    Returns:
        The likeliest sequence and its probability; None where it is none of them or shows too little.

    Raises:
        StudentError: the network's file is absent or damaged.
    """
    kinds = _kinds([coarse(image, brain)])[0]
    best = max(_KINDS, key=lambda kind: kinds[kind])
    return (best, kinds[best]) if kinds[best] > 1 / len(_KINDS) else (None, kinds[None])


def sequences(study: Study) -> Mapping[Modality, Mapping[Modality, float]]:
    """By slot of a study: the probability of each sequence from the voxels; what is left is none of them.

    Raises:
        StudentError: the network's file is absent or damaged.
    """
    return {
        slot: {kind: share for kind, share in kinds.items() if kind is not None}
        for slot, kinds in _by_slot(study).items()
    }


def check_content(study: Study) -> tuple[str, ...]:
    """What in a study's volumes contradicts the sequences that they were given as.

    Args:
        study: volumes in one space; its brain mask is used where it has one.

    Returns:
        Sentences for the user; none where all is well.

    Raises:
        StudentError: the network's file is absent or damaged.
    """
    slots, joint = tuple(study.images), _joint(study)
    sentences = []
    left = list(slots)
    exchanged = _exchanged(slots, joint)
    if exchanged > TOLD:
        one, other = (study.names[slot] for slot in _T1S)
        sentences.append(
            f"T1 and T1ce are probably exchanged: {one}, given as T1, shows contrast agent and {other}, "
            f"given as T1ce, does not ({exchanged:.0%}). Give each as the sequence that it is."
        )
        left = [slot for slot in slots if slot not in _T1S]
    sentences += (_sentence(study.names[slot], slot, _marginal(joint, slots.index(slot))) for slot in left)
    return (*filter(None, sentences), *check_relations(study))


def _kinds(volumes: list[np.ndarray]) -> list[dict[Kind, float]]:
    """By coarse volume: the probability of each kind."""
    rows = probabilities(np.stack(volumes))
    for row, volume in zip(rows, volumes, strict=True):
        if np.count_nonzero(volume > RANGE[0]) < _FEWEST_VOXELS:
            row[:] = 1 / len(_KINDS)
    return [dict(zip(_KINDS, map(float, row), strict=True)) for row in rows]


def _by_slot(study: Study) -> dict[Modality, dict[Kind, float]]:
    volumes = list(side_by_side(lambda image: coarse(image, study.brain), study.images.values()))
    return dict(zip(study.images, _kinds(volumes), strict=True))


def _joint(study: Study) -> Joint:
    """All explanations of a study by Bayes' rule, from each volume alone and from a pair of T1s."""
    slots, alone = tuple(study.images), _by_slot(study)
    found = {}
    for kinds in product(_KINDS, repeat=len(slots)):
        share = _AS_GIVEN if kinds == slots else 1.0
        known = [kind for kind in kinds if kind is not None]
        share *= _TWICE ** (len(known) - len(set(known)))
        for slot, kind in zip(slots, kinds, strict=True):
            share *= (1 - _UNKNOWN) * alone[slot][kind] + _UNKNOWN / len(_KINDS)
        found[kinds] = share
    pair = [slot for slot in slots if sum(alone[slot][kind] for kind in _T1S) > 0.5]
    if len(pair) == len(_T1S):
        found = _compared(study, pair, found)
    total = sum(found.values())
    return {kinds: share / total for kinds, share in found.items()}


def _compared(study: Study, pair: list[Modality], joint: Joint) -> dict[tuple[Kind, ...], float]:
    """Explanations weighed by what two T1-weighted volumes say beside each other."""
    first, second = (study.images[slot] for slot in pair)
    gain = contrast_gain(first, second, study.brain)
    if gain is None:
        return dict(joint)
    likely = pair_probabilities(gain)
    places = [list(study.images).index(slot) for slot in pair]
    # where they are no pair of T1s, any gain from -1 to 1 is as likely
    return {
        kinds: share * likely.get((kinds[places[0]], kinds[places[1]]), 0.5) for kinds, share in joint.items()
    }


def _exchanged(slots: tuple[Modality, ...], joint: Joint) -> float:
    """Probability that what was given as T1 is T1ce, and the other way round."""
    if not set(_T1S) <= set(slots):
        return 0.0
    one, other = (slots.index(slot) for slot in _T1S)
    return sum(share for kinds, share in joint.items() if (kinds[other], kinds[one]) == _T1S)


def _marginal(joint: Joint, place: int) -> dict[Kind, float]:
    """Probability of each kind for the volume in one place."""
    return {kind: sum(share for kinds, share in joint.items() if kinds[place] is kind) for kind in _KINDS}


def _sentence(name: str, slot: Modality, shares: Mapping[Kind, float]) -> str:
    """What to tell of one volume; empty where nothing speaks against its slot."""
    kind = max(_KINDS, key=lambda one: shares[one])
    given = f"The volume given as {slot.title}, {name},"
    if 1 - shares[slot] <= TOLD:
        return ""
    if shares[kind] <= TOLD:
        return (
            f"{given} does not look like {slot.title} ({1 - shares[slot]:.0%}). Check which sequence it is."
        )
    if kind is None:
        return f"{given} looks like none of {in_words()} ({shares[kind]:.0%}). Choose another volume."
    if (kind, slot) == _T1S:
        return (
            f"{given} probably shows no contrast agent ({shares[kind]:.0%}): it looks like T1. Give it as "
            "T1; T1ce is better left out than taken from elsewhere."
        )
    return f"{given} looks like {kind.title} ({shares[kind]:.0%}). Give it as the sequence that it is."
