"""The card in the header of a student file, read without PyTorch or anything else that Slicer lacks.

A .safetensors file begins with the length of its header (8 bytes, little-endian) and the header, JSON that
names each tensor's place and, under ``__metadata__``, texts; see the format's description at
https://huggingface.co/docs/safetensors. The card is one of these texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..core import strict_json
from ..core.aliases import OLD_CARD_KEYS, renamed
from ..core.errors import OptionError, StudentError
from ..core.files import TEXTS, safetensors_header
from ..core.labels import REGIONS, TumorClass
from ..core.modalities import MODALITIES
from .descent import MODELS_BEFORE, are_models_before
from .dice_estimate import check_calibration
from .expected_dice import check_evaluation
from .windows import check_windows

FORMAT_VERSION = 1
HEADER_KEY = "missing_modality_student"
MODALITY_ORDER = [modality.name for modality in MODALITIES]

GATES = ("soft", "hard", "none")
"""How the presence of a class, where a network gives it, changes the class's probabilities."""

_DIMENSIONS = 3

_MOST_SMOOTHING_MM = 5
"""A Gaussian that is wider takes away whole lesions."""

_LONGEST_SIDE = 1024
"""Of a window, in voxels: twice the longest crop of a training."""

_MOST_VOXELS = 1_000_000
"""A liter: whatever asks for a larger piece of tumor removes all of it."""

FIXED = ("format_version", "modalities", "classes", "spacing_mm", "orientation", "normalization")
"""Facts that follow from this version alone: a file with another value would be used wrongly."""

BLENDINGS = ("gaussian", "mean")
"""How windows that overlap are put together: each weighted by a Gaussian around its middle, since a network
knows least about the edge of its window; or all alike, as in the public codes of RFNet and those after it."""

PRECISIONS = ("auto", "float32")
"""What a network computes in: half precision where the device has it natively, or never. Chosen for each
computation, so no fact of a card."""

COMPONENT_MINIMA: Mapping[str, str] = MappingProxyType(
    {
        "WT": "min_component_voxels",
        "TC": "min_core_component_voxels",
        "ET": "min_enhancing_component_voxels",
    }
)
"""By region, in the order in which they apply, the key that says how small a piece of it is removed."""

CHOICES = (
    *("thresholds", *COMPONENT_MINIMA.values(), "min_enhancing_voxels"),
    *("mirror", "mirror_windows", "overlap", "blending", "smoothing_mm"),
)
"""What can be chosen for a trained network: all but its weights and window that decides a prediction."""

SELECTED = tuple(name for name in CHOICES if name != "blending")
"""What a selection on a cross-validation decides."""

OF_SCORES = ("evaluation", "calibration")
"""What an evaluation leaves in a card."""


@dataclass(eq=False)  # of a mapping: a card equals the dictionary of its keys
class Card(MutableMapping[str, Any]):
    """What a student file says of itself: one JSON object with the keys below.

    A card is a mapping too, of the keys that are there: ``card["window"]``, ``card.get("license")``. Keys
    that are not listed are kept as they are.

    Attributes:
        network: name in the registry of networks.
        options: of the network, as :func:`~..networks.registry.build` takes them; absent ones have their
            defaults.
        network_package: distribution that brings the network; "" for one of this library, and in files older
            than this key.
        head: what the network's logits are, see :mod:`~..networks.heads`.
        window: sides (d, h, w) of the sliding window in voxels, multiples of the network's divisor.
        overlap: fraction that neighboring windows share, 0 to below 1.
        min_component_voxels: connected pieces of tumor of fewer voxels are removed, 0: none. Earlier files
            call it ``smallest_island``.
        gate: one of :data:`GATES`; where it is absent, "soft" if the network tells presence.
        thresholds: by region the probability, above 0 and below 1, from which on a voxel belongs to it; for
            networks whose head is "regions". This and all to ``smoothing_mm`` are absent where nothing was
            chosen.
        min_core_component_voxels: connected pieces of tumor core of fewer voxels are taken for edema.
        min_enhancing_component_voxels: connected pieces of enhancing tumor of fewer are taken for necrosis.
        min_enhancing_voxels: enhancing tumor of fewer voxels in all is taken for necrosis.
        mirror: axes (0: z, 1: y, 2: x) along which the case is mirrored too; probabilities are the mean over
            all combinations, two for each axis.
        mirror_windows: axes along which every other window is mirrored, which costs no further window.
        blending: one of :data:`BLENDINGS`; "gaussian" where it is absent.
        smoothing_mm: deviation of the Gaussian that probabilities are averaged with, 0 to 5 mm; by region
            for networks whose head is "regions", or one for all.
        format_version: of this format.
        modalities: names of the image's channels, in order.
        classes: names of the class numbers, in order.
        spacing_mm: side of a voxel of the grid that volumes are brought to.
        orientation: of its axes x, y, z.
        normalization: of intensities, in words.
        name: for people. This and all further ones may be absent.
        license: of the weights.
        data_note: what the network was trained on.
        limits: what users should know, one sentence each.
        training: record of the run: recipe, preset, settings, seed, stage, epochs_done, steps (of the
            optimizer, in all stages of the run until then), cases, validation, voxels_sha256 (hashes of each
            case's volumes), learned_before (those of cases that models had learned from with which the run
            began or that taught it, where there are any), models_before (these models, see :mod:`.descent`),
            versions.
        evaluation: scores per subset, see :func:`..evaluation.attach.summary_of`.
        calibration: of the estimate of Dice for each result, see :func:`.dice_estimate.check_calibration`.
        further: other keys.
    """

    network: str
    options: dict[str, Any]
    network_package: str = ""
    head: str = ""
    # as RFNet's public code predicts: windows of 80 voxels, 40 apart
    window: list[int] = field(default_factory=lambda: [80] * _DIMENSIONS)
    overlap: float = 0.5
    min_component_voxels: int = 0
    gate: str | None = None
    thresholds: dict[str, float] | None = None
    min_core_component_voxels: int | None = None
    min_enhancing_component_voxels: int | None = None
    min_enhancing_voxels: int | None = None
    mirror: list[int] | None = None
    mirror_windows: list[int] | None = None
    blending: str | None = None
    smoothing_mm: float | dict[str, float] | None = None
    format_version: int = FORMAT_VERSION
    modalities: list[str] = field(default_factory=lambda: list(MODALITY_ORDER))
    classes: list[str] = field(default_factory=lambda: [cls.name for cls in TumorClass])
    spacing_mm: float = 1.0
    orientation: str = "LPS"
    normalization: str = "z-score inside the brain, 0 outside"
    name: str | None = None
    license: str | None = None
    data_note: str | None = None
    limits: list[str] | None = None
    training: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    further: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Card:
        """A card from its keys and values, under today's names or earlier ones.

        Raises:
            OptionError: a key is missing, of another kind or out of its range.
        """
        values = renamed(values, OLD_CARD_KEYS)
        missing = [name for name in ("network", "options") if name not in values]
        if missing:
            raise OptionError(f"{missing[0]} is missing.")
        known = {name: values[name] for name in _FIELD_NAMES if name in values}
        card = cls(**known, further={key: value for key, value in values.items() if key not in _FIELD_NAMES})
        for name, is_valid in _VALID.items():
            if name in known and not is_valid(known[name]):
                raise OptionError(f"{name} is {known[name]!r:.60}.")
        check_windows(card.window, card.overlap)
        return card

    def __getitem__(self, key: str) -> Any:
        value = getattr(self, key) if key in _FIELD_NAMES else self.further[key]
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if key in _FIELD_NAMES:
            setattr(self, key, value)
        else:
            self.further[key] = value

    def __delitem__(self, key: str) -> None:
        if key in _FIELD_NAMES:
            setattr(self, key, None)
        else:
            del self.further[key]

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in _FIELD_NAMES if getattr(self, name) is not None)
        yield from self.further

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def to_json(self) -> str:
        """The text that stands in the file's header.

        Raises:
            OptionError: a fact holds something that JSON does not know, such as NaN.
        """
        try:
            return strict_json.dumps(dict(self))
        except (ValueError, TypeError) as error:
            raise OptionError(f"A model's card cannot be written as JSON ({error}).") from error


_FIELD_NAMES = tuple(item.name for item in fields(Card) if item.name != "further")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _are_texts(value: Any) -> bool:
    return _is_list(value) and all(map(_is_text, value))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))  # the latter from a program, never from a file


def _is_whole(value: Any, least: int = 0, most: int = _MOST_VOXELS) -> bool:
    return type(value) is int and least <= value <= most


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_training(value: Any) -> bool:
    """A mapping, and what tells the patients that were learned from is of the kinds that it is read as."""
    if not _is_mapping(value):
        return False
    hashes = [value.get(name) or {} for name in ("voxels_sha256", "learned_before")]
    return (
        _is_mapping(value.get("cases") or {})
        and _are_texts(value.get("validation") or [])
        and all(_is_mapping(part) and all(map(_are_texts, part.values())) for part in hashes)
        and are_models_before(value.get(MODELS_BEFORE, []))
        and type(value.get("steps", 0)) is int
    )


def _or_none(is_valid: Any) -> Any:
    return lambda value: value is None or is_valid(value)


def _are_of_regions(value: Any, kind: Callable[[Any], bool]) -> bool:
    return _is_mapping(value) and set(value) == set(REGIONS) and all(map(kind, value.values()))


def _is_threshold(value: Any) -> bool:
    return _is_number(value) and 0 < value < 1


def _is_deviation(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= _MOST_SMOOTHING_MM


def _are_axes(value: Any) -> bool:
    return (
        _is_list(value)
        and len(set(map(str, value))) == len(value)
        and all(_is_whole(axis) and axis < _DIMENSIONS for axis in value)
    )


_VALID = {
    **dict.fromkeys(("network", "network_package", "head", "orientation", "normalization"), _is_text),
    **dict.fromkeys(("name", "license", "data_note"), _or_none(_is_text)),
    "training": _or_none(_is_training),
    # these two say themselves what is wrong, since there is much in them
    "evaluation": lambda value: value is None or check_evaluation(value) is None,
    **dict.fromkeys(("modalities", "classes"), _are_texts),
    "options": _is_mapping,
    "limits": _or_none(_are_texts),
    "calibration": lambda value: value is None or check_calibration(value) is None,
    "window": lambda value: (
        _is_list(value)
        and len(value) == _DIMENSIONS
        and all(_is_whole(side, 1, _LONGEST_SIDE) for side in value)
    ),
    "overlap": lambda value: _is_number(value) and 0 <= value < 1,
    "min_component_voxels": _is_whole,
    "gate": lambda value: value is None or value in GATES,
    "thresholds": _or_none(lambda value: _are_of_regions(value, _is_threshold)),
    **dict.fromkeys(
        ("min_core_component_voxels", "min_enhancing_component_voxels", "min_enhancing_voxels"),
        _or_none(_is_whole),
    ),
    "blending": lambda value: value is None or value in BLENDINGS,
    **dict.fromkeys(("mirror", "mirror_windows"), _or_none(_are_axes)),
    "smoothing_mm": _or_none(lambda value: _are_of_regions(value, _is_deviation) or _is_deviation(value)),
    "format_version": _is_whole,
    "spacing_mm": lambda value: _is_number(value) and value > 0,
}
"""Whether a value, as it comes from JSON, is one that the key may have."""


def read_card(path: Path | str) -> Card:
    """The card of a student file, without its weights.

    Raises:
        StudentError: absent, truncated, not a student, or one whose :data:`FIXED` facts are others than this
            version's.
    """
    path = Path(path)
    if not path.is_file():
        raise StudentError(
            f"{path}: there is no such model file. Choose a .safetensors file made by 'export'."
        )
    card = _parsed(path, _read_texts(path))
    works_with = Card(card.network, card.options)
    for name in FIXED:
        if card[name] != works_with[name]:
            raise StudentError(
                f"{path}: the model is made for {name}={card[name]!r:.80}, and this version works with "
                f"{works_with[name]!r}. Update the extension, or export the model again."
            )
    return card


def _read_texts(path: Path) -> dict[str, Any]:
    """The texts of its header."""
    try:
        return dict(safetensors_header(path).get(TEXTS) or {})
    except (OSError, ValueError, TypeError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> StudentError:
    """What is said of a file that cannot be read as safetensors."""
    return StudentError(
        f"{path}: cannot be read as a model file, it is truncated or something else ({error}). "
        "Copy it again or choose another file."
    )


def _parsed(path: Path, texts: Mapping[str, Any]) -> Card:
    """The card as JSON of the right kinds; what the network makes of its options shows when it is built."""
    try:
        values = strict_json.loads(texts[HEADER_KEY])
        if not isinstance(values, dict):
            raise ValueError("it is no object")
        return Card.from_json(values)
    except (KeyError, TypeError, ValueError, OptionError) as error:
        raise StudentError(
            f"{path}: a .safetensors file, but not a model with a complete card "
            f"({str(error).rstrip('.')}). "
            "Choose one made by 'export'."
        ) from error
