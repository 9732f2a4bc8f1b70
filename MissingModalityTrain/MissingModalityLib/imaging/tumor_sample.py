"""A sample of a tumor's voxels, which crops are centered on."""

from __future__ import annotations

import numpy as np

from ..core.labels import TUMOR_CLASSES, merged

_SAMPLES_PER_CLASS = 4000
"""Centers for crops that a case keeps of each class: few are drawn twice, and they take less than 0.1 MB.

A whole tumor of 100 cm³ would be 0.8 MB to read for every crop, beside the 2 to 4 MB of the crop itself.
"""


def sample_tumor(label: np.ndarray) -> np.ndarray:
    """A few thousand evenly spaced voxels of each tumor class.

    Args:
        label: (D, H, W) classes.

    Returns:
        (m, 4) int16 rows (class, z, y, x); empty without tumor.
    """
    rows, label = [], merged(label)
    for cls in TUMOR_CLASSES:
        voxels = np.argwhere(label == cls)
        # every n-th voxel in scan order spreads the sample evenly over the tumor
        step = max(1, len(voxels) // _SAMPLES_PER_CLASS)
        rows.append(np.insert(voxels[::step], 0, cls, axis=1))
    return np.concatenate(rows).astype(np.int16)
