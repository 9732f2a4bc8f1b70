"""Intensities of a volume: what of it is background, and the z-scores of the rest; needs NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import ImageError

BRAIN_SHARE = 0.4
"""A voxel of the common grid belongs to the brain when more than this share of it does, interpolated.

Not 0.5: points halfway between voxels are common, and float noise must not decide on them.
"""

_BACKGROUND_TOLERANCE = 1e-3
"""Fraction of the intensity range within which a voxel still counts as background."""

_RANGE_PERCENTILES = (0.05, 99.5)
"""Lowest and highest intensity, but for a few voxels.

The lowest twentieth of a percent lies deep in the brain of a z-scored volume, whose air is 0, and below the
air of one resampled with B-splines, which swing under a sharp edge.
"""

_TWO_SIDED = 0.2
"""Depth of a brain below its air, as a share of its height above, from which on the brain has both sides.

Of ten volumes of BraTS 2021, z-scored ones reach 0.67 to 2.5, B-splines' swings no more than 0.13.
"""

_FEW_SLICES = 64
"""Slices at least that intensities are looked up in: half the time, and no percentile moves visibly."""

_UNIFORM_SHARE = 0.5
"""Share of a box's faces with one value that speaks of stripped air; brains may touch some of the faces."""


@dataclass(frozen=True)
class Background:
    """What surrounds the brain in a volume.

    Attributes:
        value: the commonest one on the faces of the volume's box: 0, or a negative constant when someone
            z-scored a skull-stripped volume with its air.
        lowest: intensity of the volume, but for a few voxels.
        highest: likewise.
        tolerance: distance from ``value`` within which a voxel still counts as background.
        uniform: the faces hold little else, as around a stripped brain.
        two_sided: the brain has intensities above and below ``value``.
    """

    value: float
    lowest: float
    highest: float
    tolerance: float
    uniform: bool
    two_sided: bool

    def brain(self, array: np.ndarray) -> np.ndarray:
        """Voxels (D, H, W) bool that are not background; of a two-sided volume with holes in the tissue."""
        # Interpolation leaves small values below the background outside the brain; only a volume whose brain
        # really lies on both sides of the background (z-scored, air set to 0) needs both sides.
        if self.two_sided:
            return np.abs(array - self.value) > self.tolerance
        return array > self.value + self.tolerance


def find_background(array: np.ndarray) -> Background:
    """The background of a volume (D, H, W), whose first axis runs from bottom to top."""
    faces = np.concatenate(
        [array[end].ravel() for end in (0, -1)] + [array[:, end].ravel() for end in (0, -1)]
    )
    values, counts = np.unique(faces, return_counts=True)
    background = float(values[counts.argmax()])
    low, high = np.percentile(array[:: max(1, array.shape[0] // _FEW_SLICES)], _RANGE_PERCENTILES)
    tolerance = _BACKGROUND_TOLERANCE * max(high - background, background - low)
    return Background(
        value=background,
        lowest=float(low),
        highest=float(high),
        tolerance=tolerance,
        uniform=bool((np.abs(faces - background) <= tolerance).mean() > _UNIFORM_SHARE),
        two_sided=bool(background - low > _TWO_SIDED * (high - background)),
    )


def without_bright_air(
    array: np.ndarray, brain: np.ndarray, background: Background
) -> tuple[np.ndarray, float] | None:
    """A volume that was padded with a value brighter than its brain, with air as dark as the darkest tissue.

    Of 65535, as -1 without a sign reads, interpolation would leave a rim that outshines the brain.

    Args:
        array: (D, H, W).
        brain: (D, H, W) bool.
        background: of the array.

    Returns:
        The array and the value of its air; None where the air is no brighter than the brain.
    """
    if not background.uniform or background.value < background.highest:
        return None
    tissue = array[brain]
    if not tissue.size or background.value <= tissue.max():
        return None
    air = tissue.min()
    return np.where(brain, array, air), float(air)


def z_scores(volume: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
    """z-score a volume inside its brain, 0 outside.

    Args:
        volume: (D, H, W).
        mask: (D, H, W) bool, the brain.
        name: of the volume, for the message.

    Returns:
        (D, H, W) float32.

    Raises:
        ImageError: all voxels inside the brain have one value.
    """
    # float64, so that sums over a million voxels bring no rounding of their own
    inside = volume[mask].astype(np.float64)
    deviation = inside.std()
    if not deviation > 0:
        raise ImageError(
            f"{name}: all voxels inside the brain have one value. Choose a volume with an image in it."
        )
    result = np.zeros(volume.shape, np.float32)
    result[mask] = (inside - inside.mean()) / deviation
    return result
