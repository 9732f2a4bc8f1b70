"""Volumes as dcm2niix names them by default: folder, protocol, time of the study, number of the series.

A study's series lie beside each other, wanted or not, as in a folder of DICOM: the protocol's name tells what
each one is, and of several candidates the best is taken. ``%f_%p_%t_%s``, see the program's help.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.files import image_suffix
from ..core.modalities import MODALITIES, Modality
from .case import Case, ImageFile, Skipped
from .detection import FIT_TO_FILL_IN, Guess, detect_modality
from .layout import FolderContents, Layout, stem, unusable
from .sequence_words import is_fat_suppressed, is_reformat, weightings, words_of

NAME = "dcm2niix"

_NAME = re.compile(
    r"^(?P<protocol>.+)_(?P<time>(?:19|20)\d{12})_(?P<series>\d+)"
    r"(?P<suffix>[a-z]?(?:_(?:e\d+|ph|real|imaginary|ADC|fieldmaphz|i\d+|c\d+|t\d{3,}|Eq|Tilt|ROI\d+|MoCo)(?:_\d+)?)*)$"
)

_CORRECTED = re.compile(r"_(?:Eq|Tilt)")
"""Resampled to even slices, or straightened where the scanner was tilted."""

_OTHER_IMAGE = re.compile(r"_(?:ph|real|imaginary|ADC|fieldmaphz|i\d|c\d|t\d|ROI|MoCo)")

_BOLUS = frozenset(("dsc", "dce", "perf", "perfusion", "pwi"))


@dataclass(frozen=True)
class _Volume:
    """One file.

    Attributes:
        protocol: its name up to the time.
        series: its number, by which a study's series were acquired.
        suffix: what the program writes behind the number.
        guess: what the protocol's name tells.
    """

    path: Path
    protocol: str
    series: int
    suffix: str
    guess: Guess

    @property
    def merits(self) -> tuple[Any, ...]:
        """What speaks for it among others of its sequence, in the order of :mod:`..dicom.choosing`."""
        words = words_of(self.protocol)
        return (
            self.guess.confidence,
            not is_reformat(words),
            not is_fat_suppressed(words),
            self.series,
            _CORRECTED.search(self.suffix) is not None,
            [*(-ord(letter) for letter in self.suffix), 0],  # the first echo, and the one that came first
        )


class Dcm2niix(Layout):
    """A folder of volumes under the default names of dcm2niix; each time of a study is a case."""

    def contents(self, folder: Path, entries: Collection[str]) -> FolderContents | None:
        """See :meth:`.Layout.contents`."""
        studies: dict[str, list[_Volume]] = defaultdict(list)
        for path in (folder / name for name in sorted(entries)):
            found = None if unusable(path) else _NAME.match(stem(path))
            if found:
                guess = detect_modality(found["protocol"])
                volume = _Volume(path, found["protocol"], int(found["series"]), found["suffix"], guess)
                studies[found["time"]].append(volume)
        if not studies:
            return None
        made = [item for time, volumes in studies.items() for item in _study(folder, time, volumes, studies)]
        return FolderContents(
            tuple(item for item in made if isinstance(item, Case)),
            tuple(item for item in made if isinstance(item, Skipped)),
            frozenset(volume.path.name for volumes in studies.values() for volume in volumes),
        )


def _study(
    folder: Path, time: str, volumes: Sequence[_Volume], studies: Collection[str]
) -> Iterator[Case | Skipped]:
    """The case of one study, and its other files with the reasons."""
    if twice := _twice(volumes):
        reason = f"{twice}, so these are of several studies; put each one into a folder of its own"
        yield from (Skipped(volume.path, reason) for volume in volumes)
        return
    images, reasons = _chosen(volumes)
    yield from (Skipped(path, reason) for path, reason in reasons.items())
    if images:
        name = folder.resolve().name if len(studies) == 1 else _name(volumes, time)
        yield Case(name, folder, NAME, images)


def _twice(volumes: Sequence[_Volume]) -> str:
    """Two files for one series and suffix, in words; empty where there are none."""
    known: dict[tuple[int, str], _Volume] = {}
    for volume in volumes:
        other = known.setdefault((volume.series, volume.suffix), volume)
        if other is not volume:
            return f"{other.path.name} and {volume.path.name} both are series {volume.series}"
    return ""


def _name(volumes: Sequence[_Volume], time: str) -> str:
    """The words that all names begin with, up to the sequence, and the time."""
    words = zip(*(volume.protocol.split("_") for volume in volumes), strict=False)
    common = (each[0] for each in itertools.takewhile(lambda each: len(set(each)) == 1, words))
    names = itertools.takewhile(lambda word: not weightings(words_of(word)), common)
    return "_".join([*names, time])


def _chosen(volumes: Sequence[_Volume]) -> tuple[dict[Modality, ImageFile], dict[Path, str]]:
    """The best file of each sequence, in channel order, and why each other one is not used."""
    reasons: dict[Path, str] = {}
    fit: dict[Modality, list[_Volume]] = defaultdict(list)
    for volume in volumes:
        modality, reason = _is(volume, volumes)
        if modality is None:
            reasons[volume.path] = reason
        else:
            fit[modality].append(volume)
    images = {}
    for modality in (modality for modality in MODALITIES if modality in fit):
        best, *others = sorted(fit[modality], key=lambda volume: volume.merits, reverse=True)
        images[modality] = ImageFile(best.path)
        reasons |= {
            volume.path: f"{best.path.name} is used for {modality.title}; move that one elsewhere to use this"
            for volume in others
        }
    return images, reasons


def _is(volume: _Volume, volumes: Sequence[_Volume]) -> tuple[Modality | None, str]:
    """Which sequence a file is to be used for, or None and the reason."""
    guess = volume.guess
    if guess.excluded:
        return None, guess.reason.rstrip(".")
    if guess.modality is None or guess.confidence < FIT_TO_FILL_IN:
        return None, f"{guess.reason.rstrip('.')}; {_renamed(volume, guess.modality or Modality.FLAIR)}"
    if found := _OTHER_IMAGE.search(volume.suffix):
        return None, f"'{found[0]}' in the name is that of a map, a phase or another image"
    if guess.modality is Modality.T1 and guess.contrast is None:
        return _by_order(volume, volumes)
    return guess.modality, ""


def _by_order(volume: _Volume, volumes: Sequence[_Volume]) -> tuple[Modality | None, str]:
    """Of a T1 without a word of contrast agent: T1ce where it was acquired after one with it."""
    with_agent = [
        other.series
        for other in volumes
        if other.guess.contrast or not _BOLUS.isdisjoint(words_of(other.protocol))
    ]
    if with_agent:
        return (Modality.T1CE if volume.series > min(with_agent) else Modality.T1), ""
    others = [other for other in volumes if other.series < volume.series]
    first = min((other.series for other in others if _same(other, volume)), default=None)
    if first is None or not any(other.series > first and not _same(other, volume) for other in others):
        return Modality.T1, ""
    return None, (
        f"the T1 of series {first} was run again, perhaps after contrast agent; "
        f"{_renamed(volume, Modality.T1CE)}"
    )


def _renamed(volume: _Volume, modality: Modality) -> str:
    """What to do so that a file is used; a name of another layout would make another case of it."""
    name = stem(volume.path)[len(volume.protocol) :]
    return f"if it is {modality.title}, call it {modality.name.lower()}{name}{image_suffix(volume.path)}"


def _same(one: _Volume, other: _Volume) -> bool:
    return one.protocol == other.protocol
