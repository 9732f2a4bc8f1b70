"""Whether a volume is CT: its numbers are Hounsfield units, which have air at -1000 and water at 0."""

from __future__ import annotations

import numpy as np

_AIR = (-1100, -900)
_LEAST_AIR = 0.05
"""Share of the voxels; a head fills half of its volume, or less."""

_SOFT = -300
"""Above it lie fat (-100), fluid, brain (20 to 45) and bone; lungs lie below, and a head has none."""

_TISSUE = (0, 100)
"""Median of a head."""

_BETWEEN = 0.15
"""Largest share of what is not air that lies between air and fat: sinuses, and voxels half in air.

MR whose numbers are 1000 too low has its dark tissue there.
"""

_EVERY_VOXEL = 11


def is_hounsfield(array: np.ndarray) -> bool:
    """Whether the voxels (D, H, W) of a volume are those of a CT of a head, air included."""
    values = array.ravel()[::_EVERY_VOXEL]
    air = (values >= _AIR[0]) & (values <= _AIR[1])
    tissue = values[values > _AIR[1]]
    if np.count_nonzero(air) < _LEAST_AIR * values.size or not tissue.size:
        return False
    soft = tissue[tissue > _SOFT]
    if soft.size < (1 - _BETWEEN) * tissue.size:
        return False
    return bool(_TISSUE[0] <= np.median(soft) <= _TISSUE[1])
