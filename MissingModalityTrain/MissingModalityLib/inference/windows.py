"""How many sliding windows a case needs, and how many a student may ask for; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..core.errors import OptionError

_HEAD = (240, 240, 240)
"""Voxels of 1 mm; no brain's box is larger."""

_MOST_WINDOWS = 250_000
"""In such a head. Windows of 8 voxels, the smallest crops of a training, that overlap by half are 205,379."""

_MOST_TIMES = 100
"""That a voxel of it is predicted, on average; an overlap of three quarters makes it 64."""


def count_windows(shape: Sequence[int], window: Sequence[int], overlap: float) -> int:
    """How many windows a case is seen in."""
    return math.prod(len(window_starts(*along, overlap)) for along in zip(shape, window, strict=True))


def window_starts(side: int, width: int, overlap: float) -> list[int]:
    """First voxels along an axis of windows that cover it, the last one moved back to end with it.

    Args:
        side: voxels of the image.
        width: of a window; where it is more, one window is all.
        overlap: fraction that neighbors share.
    """
    last = max(side - width, 0)
    step = max(1, int(width * (1 - overlap)))
    return [*range(0, last, step), last]


def check_windows(window: Sequence[int], overlap: float) -> None:
    """Refuse windows that would take days.

    Args:
        window: sides in voxels.
        overlap: fraction that neighbors share, 0 to below 1.

    Raises:
        OptionError: a head would need too many of them.
    """
    clipped = [min(width, side) for width, side in zip(window, _HEAD, strict=True)]
    count = count_windows(_HEAD, clipped, overlap)
    times = count * math.prod(clipped) / math.prod(_HEAD)
    if count > _MOST_WINDOWS or times > _MOST_TIMES:
        raise OptionError(
            f"overlap={overlap} with a window of {'x'.join(map(str, window))} voxels makes {count} windows "
            f"of a head, each voxel in {times:.0f} of them. Choose less overlap or a larger window."
        )
