"""Tumor classes, the nested regions scored on them, and the label conventions of every BraTS year.

Classes inside the library (arrays of uint8): 0 background, 1 necrotic or non-enhancing core (NCR/NET),
2 edema (ED), 3 enhancing tumor (ET). Regions: whole tumor WT = 1|2|3, tumor core TC = 1|3, ET = 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from .errors import LabelError, OptionError

if TYPE_CHECKING:
    import numpy as np


class TumorClass(IntEnum):
    """Class numbers in every label map of the library."""

    BACKGROUND = 0
    NCR = 1
    ED = 2
    ET = 3


TUMOR_CLASSES: tuple[TumorClass, ...] = tuple(cls for cls in TumorClass if cls is not TumorClass.BACKGROUND)
"""All but the background, in the order of their numbers."""

REGIONS: Mapping[str, tuple[TumorClass, ...]] = MappingProxyType(
    {
        "WT": TUMOR_CLASSES,
        "TC": (TumorClass.NCR, TumorClass.ET),
        "ET": (TumorClass.ET,),
    }
)
"""The regions scored in every BraTS challenge (Menze et al., TMI 2015), from the outermost one inwards."""


@dataclass(frozen=True)
class Convention:
    """How one data set numbers its labels."""

    name: str
    to_class: Mapping[int, int]
    """File value -> class; values of tissue that is no tumor class (resection cavity) go to 0."""

    from_class: Mapping[int, int]
    """Class -> file value, for writing."""


def _convention(name: str, to_class: dict[int, int], from_class: dict[int, int] | None = None) -> Convention:
    backward = from_class or {cls: value for value, cls in to_class.items() if cls}
    return Convention(name, MappingProxyType({0: 0, **to_class}), MappingProxyType({0: 0, **backward}))


CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        convention.name: convention
        for convention in (
            _convention("classes", {1: 1, 2: 2, 3: 3}),
            # 1 necrosis, 2 edema, 3 non-enhancing, 4 enhancing (Menze et al., TMI 2015)
            _convention("brats2015", {1: 1, 2: 2, 3: 1, 4: 3}, {1: 1, 2: 2, 3: 4}),
            # 2017-2021 and FeTS merge necrosis and non-enhancing (Bakas et al., 2018; Baid et al., 2021)
            _convention("brats2021", {1: 1, 2: 2, 4: 3}),
            _convention("brats2023", {1: 1, 2: 2, 3: 3}),
            # 2024 adds 4 = resection cavity, which belongs to no region
            _convention("brats2024", {1: 1, 2: 2, 3: 3, 4: 0}),
            # Medical Segmentation Decathlon Task01: 1 edema, 2 non-enhancing, 3 enhancing
            _convention("msd", {1: 2, 2: 1, 3: 3}),
        )
    }
)


def convention(name: str) -> Convention:
    """The label convention called ``name``.

    Raises:
        OptionError: there is none of that name.
    """
    try:
        return CONVENTIONS[name]
    except KeyError:
        raise OptionError(
            f"Unknown label convention '{name}'. Choose one of: {', '.join(CONVENTIONS)}."
        ) from None


def to_classes(values: np.ndarray, convention_name: str, source: str) -> np.ndarray:
    """File label values -> classes.

    Args:
        values: any shape, integer or float holding whole numbers (BraTS 2023 stores floats).
        convention_name: a key of :data:`CONVENTIONS`.
        source: file or node name, for messages.

    Returns:
        uint8, same shape, values 0..3.

    Raises:
        LabelError: a value is no whole number or unknown to the convention.
    """
    import numpy as np  # here, so that panels can read the tables without it

    table = convention(convention_name).to_class
    found = np.unique(values)
    unknown = [value for value in found.tolist() if value not in table]
    if unknown:
        listed = ", ".join(f"{value:g}" for value in unknown[:5])
        raise LabelError(
            f"{source}: label value {listed} is unknown to the convention '{convention_name}' "
            f"(it knows {', '.join(map(str, table))}). Choose the convention that the file follows: "
            f"{', '.join(CONVENTIONS)}."
        )
    # one pass per class beats a lookup table, which signed, float and large values would not fit
    classes = np.zeros(values.shape, np.uint8)
    for value, cls in table.items():
        if cls:
            classes[values == value] = cls
    return classes


def from_classes(classes: np.ndarray, convention_name: str) -> np.ndarray:
    """Classes 0..3 -> file label values of a convention, uint8."""
    import numpy as np  # here, so that panels can read the tables without it

    table = np.zeros(256, np.uint8)
    for cls, value in convention(convention_name).from_class.items():
        table[cls] = value
    return table[classes]


def region_mask(classes: np.ndarray, region: str) -> np.ndarray:
    """Boolean mask of WT, TC or ET in an array of classes."""
    import numpy as np  # here, so that panels can read the tables without it

    return np.isin(classes, REGIONS[region])


def class_volumes(classes: np.ndarray, voxel_mm3: float) -> dict[str, float]:
    """Volumes in cm3 of NCR, ED and ET and of the regions WT and TC (the region ET is the class).

    Args:
        classes: any shape, integers 0..3.
        voxel_mm3: volume of one voxel in mm3.
    """
    import numpy as np  # here, so that panels can read the tables without it

    counts = np.bincount(np.ravel(classes), minlength=len(TumorClass))
    groups = {cls.name: (cls,) for cls in TUMOR_CLASSES} | dict(REGIONS)
    return {name: float(counts[list(values)].sum() * voxel_mm3 / 1000) for name, values in groups.items()}
