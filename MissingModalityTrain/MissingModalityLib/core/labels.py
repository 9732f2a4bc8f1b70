"""Tumor classes, the nested regions scored on them, and the label conventions of every BraTS year.

Classes inside the library (arrays of uint8): 0 background, 1 necrotic or non-enhancing core (NCR/NET),
2 edema (ED), 3 enhancing tumor (ET). Regions: whole tumor WT = 1|2|3, tumor core TC = 1|3, ET = 3. Label maps
as they are read may also hold 4, the resection cavity (RC), until :func:`with_cavity` says what it counts as;
results hold it where a model tells it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from .errors import LabelError, OptionError
from .words import unknown_name

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

RESECTION_CAVITY = 4
"""Number of the resection cavity (RC) in label maps as they are read, and in results of models that tell it.

It is of none of :data:`REGIONS`.
"""

NON_ENHANCING = 5
"""Number of the non-enhancing core in training labels that tell it from necrosis, as those of BraTS 2015 can.

In all other label maps it is :attr:`TumorClass.NCR`.
"""

FIVE_CLASSES = "brats2015-five"
"""The convention whose labels tell it."""

IGNORED = 255
"""Number of voxels that neither loss nor score looks at."""

CAVITY_RULES: Mapping[str, str] = MappingProxyType(
    {
        "background": "no tumor, as in the regions of BraTS 2024",
        "ignore": "left out of loss and scores",
        "core": "counts as NCR, so as tumor core",
        "refuse": "cases with one are left out",
        "class": "a class of its own, RC, learned by networks with a head for it, and scored",
    }
)
"""What a resection cavity counts as, and what that means."""

_CAVITY_NUMBERS = {
    "background": TumorClass.BACKGROUND,
    "ignore": IGNORED,
    "core": TumorClass.NCR,
    "class": RESECTION_CAVITY,
}

WHOLE_NUMBER_TOLERANCE = 1e-3
"""Label values this near to a whole number are that number: resampling in float leaves 3.9999998."""

_ROUNDING = 1e-6
"""By which float32 misses 3.999."""

MAX_LABEL_VALUES = 10
"""What holds no more different whole numbers than this is a label map, what holds more is an image.

Label maps of tumors hold up to 5 values, MRI volumes hundreds.
"""

REGIONS: Mapping[str, tuple[TumorClass, ...]] = MappingProxyType(
    {
        "WT": TUMOR_CLASSES,
        "TC": (TumorClass.NCR, TumorClass.ET),
        "ET": (TumorClass.ET,),
    }
)
"""The regions scored in every BraTS challenge (Menze et al., TMI 2015), from the outermost one inwards."""

CAVITY_REGION = "RC"
"""Name of the resection cavity among regions, where it is learned and scored: after those of every case."""


@dataclass(frozen=True)
class Convention:
    """How one data set numbers its labels."""

    name: str
    to_class: Mapping[int, int]
    """File value -> class, or :data:`RESECTION_CAVITY`."""

    from_class: Mapping[int, int]
    """Class -> file value, for writing."""


def _convention(name: str, to_class: dict[int, int], from_class: dict[int, int] | None = None) -> Convention:
    backward = from_class or {cls: value for value, cls in to_class.items() if cls}
    return Convention(name, MappingProxyType({0: 0, **to_class}), MappingProxyType({0: 0, **backward}))


CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        convention.name: convention
        for convention in (
            # 4 is written for the resection cavity; brats2024 reads it
            _convention("classes", {1: 1, 2: 2, 3: 3}, {1: 1, 2: 2, 3: 3, RESECTION_CAVITY: 4}),
            # 1 necrosis, 2 edema, 3 non-enhancing, 4 enhancing (Menze et al., TMI 2015)
            _convention("brats2015", {1: 1, 2: 2, 3: 1, 4: 3}, {1: 1, 2: 2, 3: 4}),
            # the same numbers; the third is kept apart where a network learns it, see to_classes
            _convention(FIVE_CLASSES, {1: 1, 2: 2, 3: NON_ENHANCING, 4: 3}),
            # 2017-2021 and FeTS merge necrosis and non-enhancing (Bakas et al., 2018; Baid et al., 2021)
            _convention("brats2021", {1: 1, 2: 2, 4: 3}),
            _convention("brats2023", {1: 1, 2: 2, 3: 3}),
            # 2024 adds 4 = resection cavity, which belongs to no region (de Verdier et al., 2024)
            _convention("brats2024", {1: 1, 2: 2, 3: 3, 4: RESECTION_CAVITY}),
            # Medical Segmentation Decathlon Task01: 1 edema, 2 non-enhancing, 3 enhancing
            _convention("msd", {1: 2, 2: 1, 3: 3}),
        )
    }
)


CONVENTION_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("brats2017", "brats2018", "brats2019", "brats2020", "brats2022"), "brats2021"),
        "decathlon": "msd",
    }
)
"""Other names of conventions: BraTS 2017 to 2022 number alike."""


def convention(name: str) -> Convention:
    """The label convention called ``name``, or by one of :data:`CONVENTION_ALIASES`.

    Raises:
        OptionError: there is none of that name.
    """
    try:
        return CONVENTIONS[CONVENTION_ALIASES.get(name, name)]
    except KeyError:
        raise OptionError(unknown_name("label convention", name, CONVENTIONS)) from None


def to_classes(values: np.ndarray, convention_name: str, source: str, apart: bool = False) -> np.ndarray:
    """File label values -> classes.

    Args:
        values: any shape, integer or float holding whole numbers (BraTS 2023 stores floats).
        convention_name: a key of :data:`CONVENTIONS`.
        source: file or node name, for messages.
        apart: keep :data:`NON_ENHANCING` apart from necrosis, where the convention does.

    Returns:
        uint8, same shape, values 0..3, and :data:`RESECTION_CAVITY` where the convention has one.

    Raises:
        LabelError: the values are those of an image or a probability map, or unknown to the convention.
    """
    import numpy as np  # here, so that panels can read the tables without it

    table = convention(convention_name).to_class
    unknown = [value for value in label_values(values, source) if value not in table]
    if unknown:
        raise LabelError(
            f"{source}: label value {_listed(unknown)} is unknown to the convention '{convention_name}' "
            f"(it knows {', '.join(map(str, table))}). Choose the convention that the file follows: "
            f"{', '.join(CONVENTIONS)}."
        )
    if values.dtype.kind == "f":
        values = np.rint(values)
    # one pass per class beats a lookup table, which signed, float and large values would not fit
    classes = np.zeros(values.shape, np.uint8)
    for value, cls in table.items():
        if cls:
            classes[values == value] = cls if apart else _MERGED.get(cls, cls)
    return classes


_MERGED = {NON_ENHANCING: TumorClass.NCR}


def merged(classes: np.ndarray) -> np.ndarray:
    """Classes without :data:`NON_ENHANCING`, which is necrosis then; the same array where there is none."""
    apart = classes == NON_ENHANCING
    if not apart.any():
        return classes
    result = classes.copy()
    result[apart] = _MERGED[NON_ENHANCING]
    return result


def label_values(values: np.ndarray, source: str) -> list[int]:
    """The different values of a label map, in ascending order.

    Args:
        values: any shape, integer, or float within :data:`WHOLE_NUMBER_TOLERANCE` of whole numbers.
        source: file or node name, for messages.

    Raises:
        LabelError: they are the values of an image or a probability map.
    """
    import numpy as np  # here, so that panels can read the tables without it

    found = np.unique(values)
    with np.errstate(invalid="ignore"):  # of infinity, which is no whole number either
        whole = np.rint(found)
        broken = found[~(np.abs(found - whole) <= WHOLE_NUMBER_TOLERANCE + _ROUNDING)]
    if broken.size:
        kind = "a probability map" if found[0] >= 0 and found[-1] <= 1 else "an image or resampled smoothly"
        raise LabelError(
            f"{source}: label value {_listed(broken)} is no whole number: the file is {kind}, not a "
            "label map. Choose the label map, or save it again with nearest-neighbor interpolation."
        )
    different = np.unique(whole)
    if different.size > MAX_LABEL_VALUES:
        raise LabelError(
            f"{source} holds {different.size} different values ({_listed(different.astype(int))} ...): it is "
            "an image or a label map of other structures, not of a tumor. Choose the label map of the tumor."
        )
    return [int(value) for value in different]


def with_cavity(classes: np.ndarray, rule: str, source: str) -> np.ndarray:
    """A label map as it was read -> one in which the resection cavity counts as a rule says.

    Args:
        classes: uint8 0..3 and :data:`RESECTION_CAVITY`.
        rule: a key of :data:`CAVITY_RULES`.
        source: file or case, for messages.

    Returns:
        The same array where there is no cavity or it is a class, else a copy: 0..3, and :data:`IGNORED` under
        "ignore".

    Raises:
        LabelError: the rule refuses the case.
    """
    check_cavity_rule(rule)
    cavity = classes == RESECTION_CAVITY
    if rule == "class" or not cavity.any():
        return classes
    if rule == "refuse":
        raise LabelError(
            f"{source}: the label holds a resection cavity, and resection_cavity=refuse leaves such cases "
            f"out. To use it set resection_cavity to one of {', '.join(_CAVITY_NUMBERS)}."
        )
    result = classes.copy()
    result[cavity] = _CAVITY_NUMBERS[rule]
    return result


def check_cavity_rule(rule: str) -> None:
    """Raise OptionError where ``rule`` is no key of :data:`CAVITY_RULES`."""
    if rule not in CAVITY_RULES:
        raise OptionError(f"resection_cavity={rule} is unknown. Choose one of: {', '.join(CAVITY_RULES)}.")


def without_ignored(prediction: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both class maps with background where the reference is :data:`IGNORED`, so that no score counts it."""
    ignored = reference == IGNORED
    if not ignored.any():
        return prediction, reference
    background = prediction.dtype.type(TumorClass.BACKGROUND)
    prediction, reference = prediction.copy(), reference.copy()
    prediction[ignored] = reference[ignored] = background
    return prediction, reference


def from_classes(classes: np.ndarray, convention_name: str) -> np.ndarray:
    """Classes 0..3 and the resection cavity -> file label values of a convention, uint8.

    Raises:
        LabelError: other values, which would be written as background.
        OptionError: there is a resection cavity, for which the convention has no number.
    """
    import numpy as np  # here, so that panels can read the tables without it

    require_classes(classes)
    numbers = convention(convention_name).from_class
    if RESECTION_CAVITY not in numbers and holds_cavity(classes):
        having = [name for name, one in CONVENTIONS.items() if RESECTION_CAVITY in one.from_class]
        raise OptionError(
            f"The label convention '{convention_name}' has no number for the resection cavity that was "
            f"found. Choose one of: {', '.join(having)}."
        )
    table = np.zeros(256, np.uint8)
    for cls, value in numbers.items():
        table[cls] = value
    return table[classes]


def require_classes(classes: np.ndarray) -> None:
    """Raise LabelError where an array holds anything but classes 0..3 and the resection cavity."""
    if classes.dtype.kind not in "iu":
        raise LabelError(f"A segmentation has whole numbers, not {classes.dtype}. Give its classes as uint8.")
    if classes.size and not (classes.min() >= 0 and classes.max() <= RESECTION_CAVITY):
        raise LabelError(
            f"A segmentation has classes 0 to {RESECTION_CAVITY}, and this array holds {classes.min()} to "
            f"{classes.max()}. Give classes; they are renumbered as the label convention says."
        )


def region_mask(classes: np.ndarray, region: str) -> np.ndarray:
    """Boolean mask of WT, TC, ET or RC in an array of classes."""
    import numpy as np  # here, so that panels can read the tables without it

    return classes == RESECTION_CAVITY if region == CAVITY_REGION else np.isin(classes, REGIONS[region])


def holds_cavity(classes: np.ndarray) -> bool:
    """Whether an array of classes has a voxel of the resection cavity."""
    return bool((classes == RESECTION_CAVITY).any())


def class_volumes(classes: np.ndarray, voxel_mm3: float) -> dict[str, float]:
    """Volumes in cm³ of NCR, ED and ET and of the regions WT and TC (the region ET is the class).

    And of RC, where there is a resection cavity.

    Args:
        classes: any shape, integers 0..4.
        voxel_mm3: volume of one voxel in mm3.
    """
    import numpy as np  # here, so that panels can read the tables without it

    counts = np.bincount(np.ravel(classes), minlength=len(TumorClass))
    groups = {cls.name: (cls,) for cls in TUMOR_CLASSES} | dict(REGIONS)
    if len(counts) > RESECTION_CAVITY:
        groups[CAVITY_REGION] = (RESECTION_CAVITY,)
    return {name: float(counts[list(values)].sum() * voxel_mm3 / 1000) for name, values in groups.items()}


def _listed(values: Sequence[float] | np.ndarray) -> str:
    """The first few values, with as many digits as tell them apart in their own precision."""
    return ", ".join(map(str, values[:5]))
