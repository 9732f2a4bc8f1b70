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
from .distances import border_depth
from .looks import Looks
from .separable import smoothed
from .texture import SCALES, mixed_fields, part_of, smooth_noise, unit_fields

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

_LEAST_SHARE = 0.003
"""Of a class in a voxel, that no intensity shows."""

_REACH = 3.0
"""Widths of a Gaussian beyond which a blended border changes nothing visible."""

_SMOOTH_MM = 4.0
"""Width of the Gaussian that anatomy is what differs from."""

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
            white = smoothed((t1 / 0.6).clip(-1, 1), 1.0)
        return cls(fluid, ndimage.binary_dilation(ventricles) & fluid, white)


def fluid_of(relative: np.ndarray, subset: Subset) -> np.ndarray:
    """Voxels (d, h, w) bool that are dark in FLAIR and T1 and bright in T2, of relative intensities."""
    signs = np.array([1 if modality is Modality.T2 else -1 for modality in subset], np.float32)
    score = np.tensordot(signs / len(signs), relative, 1)
    return smoothed(score, _FLUID_WIDTH) > _FLUID_SCORE


def reach(blur: np.ndarray) -> np.ndarray:
    """Voxels (3,) along z, y, x around the tumor of a label map that growing it looks at and changes.

    Args:
        blur: of the recipient, see :class:`Reference`.
    """
    return ceil(_BORDER_MM) + _ADDED + np.ceil(_REACH * blur.max(axis=0, initial=0)).astype(int)


def fit_label(
    label: np.ndarray, tissue: Tissue, allowed: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """A label map (d, h, w) that the recipient's tissue allows.

    Edema follows white matter and leaves fluid out; nothing is in the ventricles or outside ``allowed``.
    """
    tumor = tightest_box(label > 0)
    result = np.zeros_like(label)
    if tumor is None:
        return result
    box = part_of(tumor, ceil(_BORDER_MM), label.shape)
    label, core = label[box], np.isin(label[box], REGIONS["TC"])
    border = border_depth(label > 0)
    bends = _TRACTS_MM * tissue.white[box] + _ROUGH_MM * smooth_noise(label.shape, 5.0, random)
    reached = (border + bends > 0) & (np.abs(border) < _BORDER_MM) | (border >= _BORDER_MM)
    if not (label == TumorClass.ED).any():
        reached = label > 0
    reached &= ~tissue.fluid[box]
    fitted = np.where(core, label, np.where(reached, np.uint8(TumorClass.ED), np.uint8(0)))
    fitted[~allowed[box] | _spared(tissue.ventricles[box], core)] = TumorClass.BACKGROUND
    pieces, count = ndimage.label(fitted > 0)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        small = sizes < min(_LEAST_PIECE, sizes[1:].max())
        fitted[small[pieces]] = TumorClass.BACKGROUND
    result[box] = fitted
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
    grain = np.zeros((len(healthy), 1))
    box = part_of(tumor, _ADDED, label.shape)
    place = (slice(None), *box)
    canvas = _Canvas.of(healthy[place], label[box], tissue.white[box], looks.subset, random)
    covered = np.zeros(canvas.label.shape, np.float32)
    flat = np.zeros_like(canvas.healthy)
    for cls in TUMOR_CLASSES:
        if not (canvas.label == cls).any():
            continue
        look = looks.classes[cls]
        share = smoothed((canvas.label == cls).astype(np.float32), _SOFT_MM[cls])
        where = np.flatnonzero(share > _LEAST_SHARE)
        values = look.intensities(canvas.scores(cls, look, where))
        flat[:, where] += share.ravel()[where] * (values - canvas.healthy.take(where, axis=-1))
        covered += share
        grain = np.maximum(grain, _GRAIN * look.noise()[:, None])
    # of noise, no tumor has more than the tissue around it
    grain = np.minimum(grain, (reference.grain / reference.spread)[rows, None]).astype(np.float32)
    noise = covered > _LEAST_SHARE
    flat_noise = covered[noise] * random.standard_normal((len(healthy), noise.sum()), np.float32) * grain
    change[place] = flat.reshape(change[place].shape)
    painted = healthy + _blurred(change, reference.blur[rows])
    painted[place][:, noise] += flat_noise
    return painted


def _blurred(change: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Volumes (n, d, h, w), each under a Gaussian of the widths (n, 3) along z, y, x."""
    return np.stack(
        [
            smoothed(volume, np.where(widths > _LEAST_BLUR, widths, 0))
            for volume, widths in zip(change, blur, strict=True)
        ]
    )


@dataclass(frozen=True)
class _Canvas:
    """The box of a tumor: what its classes are painted with.

    Attributes:
        healthy: (n, d * h * w) relative intensities.
        label: (d, h, w) classes.
        anatomy: (n, d * h * w) what of the tissue shows through edema.
        fields: (k, n, d * h * w) of :func:`unit_fields`. All classes share them, so that none begins at a
            border.
    """

    healthy: np.ndarray
    label: np.ndarray
    anatomy: np.ndarray
    fields: np.ndarray

    @classmethod
    def of(
        cls,
        healthy: np.ndarray,
        label: np.ndarray,
        white: np.ndarray,
        subset: Subset,
        random: np.random.Generator,
    ) -> _Canvas:
        """Of relative intensities (n, d, h, w) of some sequences, classes, and white matter (d, h, w)."""
        # in FLAIR and T2 white matter takes up more water than gray
        anatomy = [
            white if modality in (Modality.FLAIR, Modality.T2) else volume - smoothed(volume, _SMOOTH_MM)
            for modality, volume in zip(subset, healthy, strict=True)
        ]
        fields = unit_fields(SCALES[1:], len(healthy), label.shape, random)
        count = len(healthy)
        return cls(
            healthy.reshape(count, -1),
            label,
            np.stack(anatomy).reshape(count, -1),
            fields.reshape(*fields.shape[:2], -1),
        )

    def scores(self, cls: TumorClass, look: ClassAppearance, where: np.ndarray) -> np.ndarray:
        """Normal scores (n, m) at the voxels (m,): what lies deep, what the tissue is, and noise."""
        inside = self.label.ravel()[where] == cls
        known = depth_scores(class_depth(self.label, cls).ravel()[where][inside])
        # beyond the border the trend goes on as at the border
        deep = np.full(len(inside), known.min(), np.float32)
        deep[inside] = known
        # Single voxels differ by noise, which is added to intensities: before the map to them, long tails of
        # a distribution would turn it into specks that no scan shows.
        smooth = look.scales[:, 1:].copy()
        smooth[:, 0] += _EDGES * look.scales[:, 0]
        smooth *= np.sqrt(SCALES[1:])  # the map to intensities sharpens: it makes edges of slopes
        scores = mixed_fields(self.fields.take(where, axis=-1), smooth, look.correlation)
        share = _ANATOMY[cls]
        if share:
            anatomy = _standard(self.anatomy.take(where, axis=-1), inside)
            scores *= np.float32(np.sqrt(1 - share**2))
            scores += np.float32(share) * anatomy
        trend = look.depth.clip(-0.95, 0.95).astype(np.float32)[:, None]
        return trend * deep + np.sqrt(1 - trend**2) * _standard(scores, inside)


def _standard(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Rows (n, m) of mean 0 and standard deviation 1 in some of their voxels (m,), in place; outliers cut."""
    known = values.compress(inside, axis=1)
    mean = known.mean(axis=1, keepdims=True)
    known -= mean
    spread = np.sqrt(np.einsum("ij,ij->i", known, known) / known.shape[1]) + np.float32(1e-6)
    values -= mean
    values /= spread[:, None]
    return np.clip(values, -3, 3, out=values)
