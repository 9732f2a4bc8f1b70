"""Places and axes that headers of tests state, and what is said where two of them differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.volumes import read_image

LPS = np.diag([-1.0, -1.0, 1.0])


SPACE = "space: left-posterior-superior"


AXES = "space directions: (6,0,0) (0,6,0) (0,0,6)"


ORIGIN = "space origin: (1,2,3)"


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def geometry_of(image: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Axes with their spacing, and origin; LPS."""
    return np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing(), np.array(image.GetOrigin())
