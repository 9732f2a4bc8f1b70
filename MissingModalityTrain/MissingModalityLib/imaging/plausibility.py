"""Whether a volume can be one of a patient's head: its voxels, its extent, its brain and its intensities.

Numbers come from people: brains of adults have 1.0 to 1.7 liters, heads with neck are some 300 mm long, and
slices of MRI are up to 10 mm apart.
"""

from __future__ import annotations

import numpy as np

from ..core.errors import ImageError
from ..core.words import counted
from .grid import SPACING_MM, Grid, largest_cosine, straight_axes

LARGEST_SPACING_MM = 15.0
"""Of any direction; what is further apart is no volume to a 3-D network, or not in millimeters."""

EXTENT_MM = (10, 600)
"""Smallest and largest side of a volume that can hold a head; meters or micrometers fall outside."""

FARTHEST_MM = 1e5
"""Of a first voxel from the scanner's middle; beyond it, float32 of headers rounds by a hundredth of a mm."""

LARGEST_GRID = 400**3
"""Voxels of the common grid: a field of view of 512 x 512 x 240 mm; more takes gigabytes in a network."""

LARGEST_BRAIN_MM3 = 2.0e6
"""A head that is bright over more than this has its skull on; brains of adults have 1.0 to 1.7 liters."""

LARGEST_HEAD_MM3 = 1.0e7
"""No head with its neck has ten liters."""

SMALLEST_HEAD_MM3, SMALLEST_BRAIN_MM3 = 2.0e4, 2.0e5
"""Of a brain with air around: refused, and doubtful. Newborns have 350 cm³."""

SMALL_BRAIN_MM3, LARGE_BRAIN_MM3 = 8.3e5, 1.85e6
"""Beyond these a brain of an adult is doubtful.

Brains of women have 1143 cm³ on average, with a deviation of 105; with their fluid, men's have 1469, with a
deviation of 102 (Matsumae et al., J. Neurosurg. 84, 1996): three deviations below, and more than three above.
Those of 54 training patients have 1123 to 1734.
"""

SMALLEST_PART_MM3 = 2.0e3
"""Of any brain, also in a slab or a crop: an adult's at a tenth of its length has 1.2 to 1.7 cm³."""

DOUBTFUL_OVERLAP = 0.8
"""Share of a brain that another volume shows, below which they lie apart or the volume ends inside it.

No volume of 70 patients of BraTS has less than 0.9 of the brain in all of its patient's.
"""

SMALLEST_SHARE = 0.4
"""Of a brain that others show whole, below which a volume is left out.

Of eight training cases, by networks that had not learned from them, a sequence that shows half of the brain
is better used where it shows than left out, beside whichever others; one that shows 40 % is, but for a FLAIR
beside all others; of 30 % the whole tumor loses by two of four. The figures are in
Resources/Docs/raw-input.md, and Testing/tools/measure_places.py prints them.
"""

_FINE_VOXELS = 20**3
"""A whole brain of fewer voxels is a thumbnail or a phantom: at its true size they would be 5 mm wide."""

_CUT_SHARE = 0.25
"""Share of a face of the volume that the head fills where the volume ends inside it."""

_FLAT_SHARE, _FLAT_SHARE_PER_MM = 0.25, 0.025
"""Of its largest slice, what the first or last slice of a brain has along any axis where it was cut off: the
former, and the latter for each mm that slices are apart, for a thick slice reaches further in.

Brains of 52 training patients have at most 0.21 at 1 mm, and 0.27, 0.35 and 0.41 in slices of 3, 5 and 7 mm,
wherever these begin.
"""

LARGEST_VALUE = 1e18
"""Squares of more, and their sums, leave float32's range, and N4 comes to no end; no scanner's numbers come
near."""

SMALLEST_RANGE = 1e-30
"""Between the lowest and the highest value: below some 1e-38 float32 has fewer and fewer digits."""

_FLATTEST = 0.45
"""Shortest side of a head or brain as a share of its longest, below which it is told.

Brains of 18 patients of BraTS have 0.72 or more, a raw head 0.62.
"""

_THIN_SHARE, _LOOK_AT_SLICES = 0.02, 64
"""Slices with less than this share of the largest one do not count; and how many are looked at at least."""

_UNIT_NOISE = 1e-3

_HOT_SHARE, _FEWEST_HOT = 1e-3, 8
"""How many voxels are few: this share of the brain, but at least so many."""

_HOT_REACH = 3.0
"""Spans between the 0.05th and 99.5th percentile above or below which a hot voxel has to lie.

Where a thousandth of the voxels carries half of the variance, these lie 30 standard deviations off or more;
the span is less than 10 of them.
"""

_TISSUE_PERCENTILES = (1.0, 99.0)


def check_grid(grid: Grid, name: str) -> list[str]:
    """Refuse a geometry that no volume has.

    Args:
        grid: of a volume or a label map.
        name: for messages.

    Returns:
        Warnings, one sentence each.

    Raises:
        ImageError: a spacing that is not positive and finite or above 15 mm, an origin that is more than a
            hundred meters off, or axes that are sheared.
    """
    spacing, axes = np.array(grid.spacing), np.reshape(grid.direction, (3, 3))
    finite = np.isfinite([*spacing, *grid.origin, *grid.direction]).all()
    if not finite or spacing.min() <= 0 or np.abs(grid.origin).max() > FARTHEST_MM:
        raise ImageError(
            f"{name} has a voxel spacing of {_sides(spacing)} mm and its origin at "
            f"{', '.join(f'{value:g}' for value in grid.origin)}, which is no place. Correct its header."
        )
    if spacing.max() > LARGEST_SPACING_MM:
        raise ImageError(
            f"{name} has a voxel spacing of {_sides(spacing)} mm; above {LARGEST_SPACING_MM:g} mm there is "
            "too little of a head to see. Correct the spacing, which is in millimeters, or choose a volume "
            "with thinner slices."
        )
    if not (np.abs(np.linalg.norm(axes, axis=0) - 1) < _UNIT_NOISE).all() or straight_axes(axes) is None:
        raise ImageError(
            f"{name} has voxel axes that are not at right angles or not of length 1 (sheared volume). "
            "Resample it onto a regular grid first."
        )
    if largest_cosine(axes) > _UNIT_NOISE:
        angle = np.degrees(np.arcsin(largest_cosine(axes)))
        return [f"{name}: its axes are {angle:.2f} degrees off a right angle. Resample it for exact results."]
    return []


def check_extent(grid: Grid, name: str) -> None:
    """Refuse volumes of no head's size, such as those whose header is not in millimeters.

    Raises:
        ImageError: a side outside 10 to 600 mm, or more than 400**3 voxels of 1 mm.
    """
    # at 1 mm they would become a grid beyond any memory, or one of no voxel
    extent = np.array(grid.size) * grid.spacing
    low, high = EXTENT_MM
    if extent.min() < low or extent.max() > high or extent.prod() > LARGEST_GRID * SPACING_MM**3:
        raise ImageError(
            f"{name} measures {_sides(extent)} mm by its header; a head volume measures {low} to {high} mm "
            f"along each side and up to {LARGEST_GRID * SPACING_MM**3 / 1e6:.0f} liters. Correct the voxel "
            "spacing, which is in millimeters, or crop the volume to the head."
        )


def check_head(mask: np.ndarray, spacing: tuple[float, ...], name: str) -> list[str]:
    """Hold the size of a head or brain against those of people.

    Args:
        mask: (D, H, W) bool or 0 and 1, what is not background.
        spacing: mm, x y z.
        name: for messages.

    Returns:
        Warnings, one sentence each.

    Raises:
        ImageError: more than ten liters; under 20 cm³ where the whole of it is seen, under 2 cm³ otherwise.
    """
    count = int(np.count_nonzero(mask))
    size = count * float(np.prod(spacing))
    shown = f"{size / 1e6:.1f} liters" if size > 1e6 else f"{size / 1e3:.1f} cm³"
    what = f"{name}: what is not background in it has {shown}, with voxels of {_sides(spacing)} mm"
    if size > LARGEST_HEAD_MM3:
        raise ImageError(f"{what}. No head is so large: the voxel spacing is wrong. {_CORRECT}")
    whole = not is_cut(mask)
    if count and (size < SMALLEST_PART_MM3 or (whole and count >= _FINE_VOXELS and size < SMALLEST_HEAD_MM3)):
        raise ImageError(f"{what}. No brain is so small: the voxel spacing is wrong. {_CORRECT}")
    if whole and size < SMALLEST_BRAIN_MM3:
        return [f"{what}, less than a brain has. Check that the voxel spacing is right, in millimeters."]
    sides = _whole_sides(mask, spacing)
    if sides is not None and sides.min() < _FLATTEST * sides.max():
        return [
            f"{name}: what is not background in it measures {_rounded(sides)} mm, with voxels of "
            f"{_sides(spacing)} mm; no head or brain is so flat. Check the voxel spacing, above all the "
            "distance between slices."
        ]
    return []


def limit_hot_voxels(
    array: np.ndarray, mask: np.ndarray, span: tuple[float, float], name: str
) -> tuple[tuple[float, float] | None, list[str]]:
    """Bounds for a volume a few of whose voxels would take the whole range of the z-score.

    A spike of a receiver or a defect of storage leaves single voxels a thousandfold brighter than any tissue.
    Where a thousandth of the brain's voxels carries more than half of the variance, intensities are to be
    limited to the 1st and 99th percentile, widened by their distance on either side. Sound volumes, vessels
    and contrast agent included, are far from that and stay as they are.

    Args:
        array: (D, H, W).
        mask: (D, H, W), the brain.
        span: lowest and highest intensity of the volume but for a few voxels.
        name: for the warning.

    Returns:
        Lowest and highest intensity to allow, None where nothing is to be limited; and warnings.
    """
    reach = _HOT_REACH * (span[1] - span[0])
    if array.max() <= span[1] + reach and array.min() >= span[0] - reach:
        return None, []
    far = (array > span[1] + reach) | (array < span[0] - reach)
    # what lies below the air counts as air, and would be interpolated into the brain
    inside = array[mask.astype(bool) | far].astype(np.float64)
    few = min(inside.size, max(_FEWEST_HOT, int(_HOT_SHARE * inside.size)))
    off = (inside - np.median(inside)) ** 2
    largest = np.partition(off, inside.size - few)[-few:]
    if not largest.sum() > 0.5 * off.sum():
        return None, []
    low, high = np.percentile(inside, _TISSUE_PERCENTILES)
    low, high = float(2 * low - high), float(2 * high - low)
    hot = int(np.count_nonzero((inside < low) | (inside > high)))
    return (low, high), [
        f"{name}: intensities far outside those of the rest of the brain ({counted(hot, 'voxel')}, up to "
        f"{inside[off.argmax()]:.4g}) would distort all others, and were limited to {low:.4g} to {high:.4g}. "
        "Check the volume."
    ]


_CORRECT = "Correct it in the header, in millimeters, or export the volume again."


def is_cut(mask: np.ndarray) -> bool:
    """Whether the volume ends inside the head on any side."""
    faces = (np.take(mask, end, axis) for axis in range(mask.ndim) for end in (0, -1))
    return any(np.count_nonzero(face) > _CUT_SHARE * face.size for face in faces)


def ends_flat(mask: np.ndarray, spacing: tuple[float, ...], within: bool = True) -> bool:
    """Whether a brain ends on any side as no brain does, cut off by the volume or within it.

    Args:
        mask: (D, H, W) bool or 0 and 1.
        spacing: mm, x y z.
        within: look at the outermost slices that it has; else at those of the volume alone.
    """
    for axis, step in enumerate(reversed(spacing)):
        counts = mask.astype(bool).sum(axis=tuple({0, 1, 2} - {axis}))
        most = counts.max()
        seen = np.flatnonzero(counts > _THIN_SHARE * most) if within else np.arange(len(counts))
        if seen.size and counts[seen[[0, -1]]].max() > (_FLAT_SHARE + _FLAT_SHARE_PER_MM * step) * most:
            return True
    return False


def _whole_sides(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray | None:
    """Lengths along x, y, z in mm of what is seen as a whole; None where the volume ends inside it."""
    steps = [max(1, count // _LOOK_AT_SLICES) for count in mask.shape]
    few = mask[tuple(slice(None, None, step) for step in steps)].astype(bool)
    sides = []
    for axis, step in enumerate(steps):
        counts = few.sum(axis=tuple({0, 1, 2} - {axis}))
        if not counts.any() or max(counts[0], counts[-1]) > _CUT_SHARE * counts.max():
            return None
        sides.append(step * np.count_nonzero(counts > _THIN_SHARE * counts.max()))
    return np.array(sides[::-1]) * spacing


def _rounded(lengths: np.ndarray) -> str:
    return " x ".join(f"{length:.0f}" for length in lengths)


def _sides(lengths: np.ndarray | tuple[float, ...]) -> str:
    return " x ".join(f"{length:.4g}" for length in lengths)
