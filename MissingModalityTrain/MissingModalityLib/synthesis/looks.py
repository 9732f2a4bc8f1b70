"""Which looks a grown tumor gets: kinds of tumors, and training tumors that look like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from ..core.errors import CaseError
from ..core.labels import REGIONS, TUMOR_CLASSES, TumorClass
from ..core.modalities import Subset
from .appearance import Appearance, ClassAppearance
from .distances import depth_in
from .options import GrownOptions

_FEW_ENHANCING = 0.1
"""Share of the core that enhances up to which a training tumor's core is taken for non-enhancing."""

_MANY_VOXELS = 1000
"""Of a class, 1 cm³, from which on its looks are known well."""

_MOST_MIXED = 0.4
"""Largest share of a second training tumor's looks."""

_FAINT = 0.3
"""Share of what sets a necrotic core apart from edema that a low-grade core has, if none was measured."""

_SHARED = np.sqrt(0.5)
"""Half of the variance of contrasts is common to a tumor's classes, which vary together between patients."""


class Kind(StrEnum):
    """What a tumor was made."""

    AS_MAPPED = "as mapped"
    LOW_GRADE = "low-grade"
    NON_ENHANCING = "non-enhancing"
    THIN_RIM = "thin rim"


@dataclass(frozen=True)
class Looks:
    """The looks of one tumor.

    Attributes:
        subset: sequences, in the order of the arrays.
        classes: of every class that the tumor has.
        donors: names of the training cases that they were measured in, the first for most of it.
    """

    subset: Subset
    classes: Mapping[TumorClass, ClassAppearance]
    donors: tuple[str, ...]


def make_kind(
    label: np.ndarray, options: GrownOptions, random: np.random.Generator
) -> tuple[np.ndarray, Kind]:
    """Draw what kind of tumor a label map (d, h, w) becomes; returns its classes and the kind."""
    drawn = random.random(3) < (options.low_grade_share, options.non_enhancing_share, options.thin_rim_share)
    rim_mm = random.uniform(1, 2)
    enhancing = label == TumorClass.ET
    if drawn[0] or not enhancing.any():
        return np.where(enhancing, np.uint8(TumorClass.NCR), label), Kind.LOW_GRADE
    if drawn[1]:
        return np.where(enhancing, np.uint8(TumorClass.NCR), label), Kind.NON_ENHANCING
    if drawn[2]:
        depth = depth_in(np.isin(label, REGIONS["TC"]))
        return np.where(enhancing & (depth > rim_mm), np.uint8(TumorClass.NCR), label), Kind.THIN_RIM
    return label, Kind.AS_MAPPED


def choose_looks(
    appearances: Sequence[Appearance],
    subset: Subset,
    label: np.ndarray,
    kind: Kind,
    options: GrownOptions,
    random: np.random.Generator,
) -> Looks:
    """Draw looks for the classes of a label map.

    One training tumor gives all classes, mixed with some of a second one, so that they go together; contrasts
    are varied then.

    Args:
        appearances: of the training tumors.
        subset: sequences of the recipient; those that the training tumor lacks are left out.
        label: (d, h, w) classes.
        kind: of the tumor.
        options: that say how much contrasts vary.
        random: source of all draws.

    Raises:
        CaseError: no training tumor has a sequence of the recipient.
    """
    needed = {cls for cls in TUMOR_CLASSES if (label == cls).any()}
    first, second = _pair(appearances, subset, needed, kind, random)
    shared = tuple(modality for modality in subset if modality in first.subset)
    second = second if set(shared) <= set(second.subset) else first
    share = random.uniform(0, _MOST_MIXED)
    classes = {
        cls: _of(cls, first, shared, kind).mixed(_of(cls, second, shared, kind), share) for cls in needed
    }
    together = random.normal(size=(2, len(shared)))
    for cls in TUMOR_CLASSES:
        draw = _SHARED * together + _SHARED * random.normal(size=together.shape)
        if cls in classes:
            classes[cls] = _varied(classes[cls], 1 + options.contrast_jitter * draw.clip(-2, 2))
    return Looks(shared, classes, tuple(dict.fromkeys((first.case, second.case))))


def _pair(
    appearances: Sequence[Appearance],
    subset: Subset,
    needed: set[TumorClass],
    kind: Kind,
    random: np.random.Generator,
) -> tuple[Appearance, Appearance]:
    """Two training tumors, as fit as there are; the same one twice where there is no other."""

    def fitness(appearance: Appearance) -> tuple[int, int, bool, int]:
        sequences = len(set(subset) & set(appearance.subset))
        faint = appearance.enhancing_share < _FEW_ENHANCING
        measured = [cls for cls in needed if appearance.voxels.get(cls, 0) >= _MANY_VOXELS]
        known = len(needed & appearance.classes.keys())
        return sequences, known, faint == (kind is Kind.LOW_GRADE), len(measured)

    usable = [one for one in appearances if one.classes and set(subset) & set(one.subset)]
    if not usable:
        raise CaseError(
            "No training tumor shares a sequence with the recipient. Add cases with its "
            "sequences, or leave it out."
        )
    best = max(map(fitness, usable))
    fit = [one for one in usable if fitness(one) == best]
    chosen = random.permutation(len(fit))
    return fit[chosen[0]], fit[chosen[-1]]


def _of(cls: TumorClass, appearance: Appearance, subset: Subset, kind: Kind) -> ClassAppearance:
    """A class of a training tumor for some of its sequences, or of the class that looks most like it."""
    have = appearance.classes
    rows = [appearance.subset.index(modality) for modality in subset]
    look = have[min(have, key=lambda other: abs(other - cls))]
    if kind is Kind.LOW_GRADE and cls is TumorClass.NCR and appearance.enhancing_share >= _FEW_ENHANCING:
        look = have.get(TumorClass.ED, look).mixed(look, _FAINT)
    return look.of_channels(rows)


def _varied(look: ClassAppearance, factors: np.ndarray) -> ClassAppearance:
    """Contrasts (first row, n) and spreads (second row) of a class times some factors."""
    contrast, spread = factors[..., None]
    middle = np.median(look.quantiles, axis=1, keepdims=True)
    return replace(look, quantiles=middle * contrast + (look.quantiles - middle) * spread)
