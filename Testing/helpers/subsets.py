"""Prepared cases that lack modalities."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from MissingModalityLib.core.modalities import Modality, availability
from MissingModalityLib.imaging.preparation import Prepared


def with_modalities(prepared: Prepared, subset: Iterable[Modality]) -> Prepared:
    """The same case as if only ``subset`` had been acquired; brain mask and crop stay."""
    available = prepared.available & np.array(availability(subset))
    assert available.any(), "the case has none of these modalities"
    return replace(prepared, image=prepared.image * available[:, None, None, None], available=available)
