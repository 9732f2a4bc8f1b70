"""A tumor in a healthy brain: where tissue is replaced by which class, and with which intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy import ndimage

from ..core.labels import REGIONS, TUMOR_CLASSES, TumorClass
from ..core.modalities import Modality, Subset
from ..imaging.boxes import tightest_box
from .appearance import ClassAppearance, Reference, class_depth, depth_scores
from .distances import depth_in, distance_near
from .looks import Looks
from .texture import SCALES, part_of, random_fields, smooth_noise

_FLUID_SCORE = 1.2
"""Distances between quartiles beyond the median, darker or in T2 brighter, from which on tissue is fluid."""

_FLUID_WIDTH = 0.7
"""Voxels of the Gaussian under which tissue is taken for fluid."""

FLUID_REACH = 3
"""Voxels around a place that decide whether it is taken for fluid."""

_TRACTS_MM = 3.5
"""By how much the border of edema follows white matter outwards and stays back in gray matter."""

_ROUGH_MM = 1.0
"""Standard deviation of the unevenness of the border of edema."""

_BORDER_MM = 6.0
"""Distance from the border of edema in the label map beyond which its border is not moved."""

_ANATOMY = {TumorClass.ED: 0.6, TumorClass.NCR: 0.0, TumorClass.ET: 0.15}
"""Share of texture that is the tissue's own, which shimmers through edema."""

_SOFT_MM = {TumorClass.ED: 1.2, TumorClass.NCR: 1.0, TumorClass.ET: 0.6}
"""Width of the Gaussian that blends borders: partial volume, and infiltration beyond the edema."""

_ADDED = 4
"""Voxels around a class within which its blended border lies."""

_REACH = 4.0
"""Widths of a Gaussian at which it is cut off."""

_GRAIN = 0.6
"""Share of the finest structure that is noise."""

_EDGES = 1 - _GRAIN
"""Share of the finest structure that is edges between parts of a class, drawn at the next coarser scale."""

_LEAST_BLUR = 0.3
"""Width in voxels of a Gaussian that changes nothing visible."""

_FILLED = 0.5
"""Share of a pocket of fluid in a core, from which on the core fills it."""

_LEAST_PIECE = 30
"""Voxels of the smallest piece of tumor that stays, as in hand-drawn labels."""


@dataclass(frozen=True)
class Tissue:
    """What tissue says of itself in the sequences that there are.

    Attributes:
        fluid: (d, h, w) bool, ventricles and sulci.
        ventricles: the wide part of it.
        white: (d, h, w) in -1..1, 1 in white matter, -1 in gray matter and fluid; 0 where nobody knows.
    """

    fluid: np.ndarray
    ventricles: np.ndarray
    white: np.ndarray

    @classmethod
    def of(cls, relative: np.ndarray, subset: Subset, brain: np.ndarray) -> Tissue:
        """Of relative intensities (n, d, h, w) of a healthy brain."""
        by = dict(zip(subset, relative, strict=True))
        fluid = fluid_of(relative, subset) & brain
        ventricles = ndimage.binary_opening(fluid, iterations=2)
        t1 = next((by[m] for m in (Modality.T1, Modality.T1CE) if m in by), None)
        if t1 is None and Modality.T2 in by:
            t1 = -by[Modality.T2]
        white = np.zeros(brain.shape, np.float32)
        if t1 is not None:
            white = ndimage.gaussian_filter((t1 / 0.6).clip(-1, 1), 1.0)
        return cls(fluid, ndimage.binary_dilation(ventricles) & fluid, white)


def fluid_of(relative: np.ndarray, subset: Subset) -> np.ndarray:
    """Voxels (d, h, w) bool that are dark in FLAIR and T1 and bright in T2, of relative intensities."""
    signs = np.array([1 if modality is Modality.T2 else -1 for modality in subset], np.float32)
    score = np.tensordot(signs / len(signs), relative, 1)
    return ndimage.gaussian_filter(score, _FLUID_WIDTH, truncate=_REACH) > _FLUID_SCORE


def fit_label(
    label: np.ndarray, tissue: Tissue, allowed: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """A label map (d, h, w) that the recipient's tissue allows.

    Edema follows white matter and leaves fluid out; nothing is in the ventricles or outside ``allowed``.
    """
    tumor, core = label > 0, np.isin(label, REGIONS["TC"])
    inside, away = depth_in(tumor), distance_near(tumor, ceil(_BORDER_MM) + 1)
    border = np.where(tumor, inside - 0.5, 0.5 - away)
    bends = _TRACTS_MM * tissue.white + _ROUGH_MM * smooth_noise(label.shape, 5.0, random)
    reached = (border + bends > 0) & (np.abs(border) < _BORDER_MM) | (border >= _BORDER_MM)
    if not (label == TumorClass.ED).any():
        reached = tumor
    reached &= ~tissue.fluid
    result = np.where(core, label, np.where(reached, np.uint8(TumorClass.ED), np.uint8(0)))
    result[~allowed | _spared(tissue.ventricles, core)] = TumorClass.BACKGROUND
    pieces, count = ndimage.label(result > 0)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        small = sizes < min(_LEAST_PIECE, sizes[1:].max())
        result[small[pieces]] = TumorClass.BACKGROUND
    return result


def _spared(ventricles: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Fluid (d, h, w) that a tumor leaves out; a pocket that its core mostly covers, it fills."""
    pockets, count = ndimage.label(ventricles)
    covered = ndimage.mean(core, pockets, np.arange(count + 1)) > _FILLED
    return ventricles & ~covered[pockets]


def paint(
    healthy: np.ndarray,
    label: np.ndarray,
    tissue: Tissue,
    looks: Looks,
    reference: Reference,
    rows: Sequence[int],
    random: np.random.Generator,
) -> np.ndarray:
    """Relative intensities (n, d, h, w) of tissue replaced by a tumor.

    Args:
        healthy: (n, d, h, w) relative intensities.
        label: (d, h, w) classes.
        tissue: of the same box.
        looks: of every class in the label, for the n sequences.
        reference: of the recipient, whose sharpness and noise the tumor gets.
        rows: indices of the n sequences in it.
        random: source of textures.
    """
    tumor = tightest_box(label > 0)
    if tumor is None:
        return healthy
    change = np.zeros_like(healthy)
    covered = np.zeros(label.shape, np.float32)
    grain = np.zeros(len(healthy))
    for cls in TUMOR_CLASSES:
        mask = label == cls
        box = tightest_box(mask)
        if box is None:
            continue
        box = part_of(box, _ADDED, label.shape)
        share = ndimage.gaussian_filter(mask[box].astype(np.float32), _SOFT_MM[cls])
        place = (slice(None), *box)
        look = looks.classes[cls]
        scores = _scores(healthy[place], label[box], cls, tissue.white[box], looks.subset, look, random)
        change[place] += share * (look.intensities(scores) - healthy[place])
        covered[box] += share
        grain = np.maximum(grain, _GRAIN * look.noise())
    blur = reference.blur[rows]
    part = part_of(tumor, _ADDED + ceil(_REACH * blur.max(initial=0)), label.shape)
    place = (slice(None), *part)
    # of noise, no tumor has more than the tissue around it
    grain = np.minimum(grain, (reference.grain / reference.spread)[rows])
    noise = random.standard_normal(change.shape, dtype=np.float32)
    painted = healthy.copy()
    painted[place] += _blurred(change[place], blur)
    painted[place] += covered[part] * noise[place] * _column(grain)
    return painted


def _blurred(change: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Volumes (n, d, h, w), each under a Gaussian of the widths (n, 3) along z, y, x; in place."""
    for volume, widths in zip(change, blur, strict=True):
        for axis, width in enumerate(widths):
            if width > _LEAST_BLUR:
                volume[:] = ndimage.gaussian_filter1d(volume, width, axis, truncate=_REACH)
    return change


def _scores(
    healthy: np.ndarray,
    label: np.ndarray,
    cls: TumorClass,
    white: np.ndarray,
    subset: Subset,
    look: ClassAppearance,
    random: np.random.Generator,
) -> np.ndarray:
    """Normal scores (n, d, h, w): what lies deep, what the tissue is, and noise."""
    mask = label == cls
    depth = class_depth(label, cls)
    known = depth_scores(depth[mask])
    # beyond the border the trend goes on as at the border
    deep = np.full(label.shape, known.min(), np.float32)
    deep[mask] = known
    smooth = look.scales + _EDGES * np.eye(len(SCALES))[1] * look.scales[:, :1]
    # Single voxels differ by noise, which is added to intensities: before the map to them, long tails of a
    # distribution would turn it into specks that no scan shows.
    smooth[:, 0] = 0
    smooth *= np.sqrt(SCALES)  # the map to intensities sharpens: it makes edges of slopes
    scores = random_fields(label.shape, smooth, look.correlation, random)
    share = _ANATOMY[cls]
    if share:
        for channel, modality in enumerate(subset):
            anatomy = _standard(_anatomy(healthy[channel], white, modality), mask)
            scores[channel] = np.sqrt(1 - share**2) * scores[channel] + share * anatomy
    for channel, trend in enumerate(look.depth.clip(-0.95, 0.95)):
        scores[channel] = trend * deep + np.sqrt(1 - trend**2) * _standard(scores[channel], mask)
    return scores


def _anatomy(healthy: np.ndarray, white: np.ndarray, modality: Modality) -> np.ndarray:
    """What of the tissue shows through edema: in FLAIR and T2 white matter takes up more water than gray."""
    if modality in (Modality.FLAIR, Modality.T2):
        return white
    return healthy - ndimage.gaussian_filter(healthy, 4.0)


def _column(values: np.ndarray) -> np.ndarray:
    return values[:, None, None, None]


def _standard(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 inside a mask; outliers cut off."""
    inside = values[mask]
    return ((values - inside.mean()) / (inside.std() + 1e-6)).clip(-3, 3)
