"""Grows tumors: which recipient, shape and look a synthetic case gets, each drawn from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core import strict_json
from ..core.errors import CaseError
from ..core.labels import REGIONS
from ..core.modalities import MODALITIES, Subset
from ..imaging.boxes import Box, tightest_box
from ..imaging.cache import CachedCase
from .appearance import Appearance, Reference, cached_appearance
from .distances import depth_in
from .grown_case import GrownTumorCase, Patch
from .growth import FLUID_REACH, Tissue, fit_label, fluid_of, paint
from .healing import LARGEST_OVERLAP, heal, mirror_overlap, not_zero
from .label_maps import LabelMap, find_label_maps, of_cases, source_state
from .looks import choose_looks, make_kind
from .mass_effect import MARGIN, push
from .midsagittal_plane import Plane
from .options import GrownOptions
from .placement import PLAUSIBLE, Place, Pose, hemisphere
from .texture import part_of
from .tumor_cache import plane_of

VERSION = 2
"""Part of every file's name: raised whenever the content changes, so that files are made anew."""

_DEEP = 0.12
"""Depth from which on fluid is that of ventricles, as a share of the shortest side of the brain."""

_LEAST_CHANGE = 0.004
"""Of a z-score, that counts: what the files' half precision rounds by."""

_TRIES = 30
"""Draws of shape and place, of which the most plausible is taken where none is good enough."""


@dataclass(frozen=True)
class Host:
    """A recipient in memory, healed.

    Attributes:
        case: the recipient.
        image: (n, D, H, W) of the sequences that it has.
        plane: its mid-sagittal plane.
        reference: what is normal in it.
    """

    case: CachedCase
    image: np.ndarray
    plane: Plane
    reference: Reference

    @classmethod
    def of(cls, case: CachedCase, image: np.ndarray, healed: Patch) -> Host:
        """Of all channels of a case whose tumor is healed."""
        facts = healed.facts
        reference = Reference(*(np.array(facts[item.name]) for item in fields(Reference)))
        plane = Plane(tuple(facts["normal"]), facts["offset"])
        return cls(case, image[list(case.subset)], plane, reference)

    @cached_property
    def brain(self) -> np.ndarray:
        """(D, H, W) bool."""
        return (self.image != 0).any(axis=0)

    @cached_property
    def ventricles(self) -> np.ndarray:
        """(D, H, W) bool: fluid in the depth of the brain."""
        inner = depth_in(self.brain) > min(self.brain.shape) * _DEEP
        box = tightest_box(inner)
        if box is not None:
            part = part_of(box, FLUID_REACH, inner.shape)
            near = self.reference.relative(self.image[(slice(None), *part)])
            inner[part] &= fluid_of(near, self.case.subset)
        return inner


class Grower:
    """Grows the synthetic cases of a set of real ones, each once and kept in a file.

    Args:
        cases: real ones, sorted by name.
        options: of the method.
        folder: for the files.
    """

    def __init__(self, cases: Sequence[CachedCase], options: GrownOptions, folder: Path) -> None:
        self.cases, self.options, self.folder = cases, options, folder
        self._fingerprints = {case.name: _fingerprint(case) for case in cases}
        self._state = [
            VERSION,
            *self._fingerprints.values(),
            asdict(options),
            source_state(options.label_maps),
        ]

    @cached_property
    def label_maps(self) -> list[LabelMap]:
        """All that shapes are drawn from."""
        options = self.options
        if options.label_maps:
            return find_label_maps(Path(options.label_maps), options.exclude, options.label_convention)
        return of_cases([case for case in self.cases if len(case.tumor_voxels())])

    @cached_property
    def appearances(self) -> list[Appearance]:
        """Of the tumors of all cases that have one."""
        found = [
            cached_appearance(case, self._path("look", case.name, self._fingerprints[case.name]))
            for case in self.cases
            if len(case.tumor_voxels())
        ]
        if not any(appearance.classes for appearance in found):
            raise CaseError("No case has a tumor that is large enough to measure its looks. Add some.")
        return found

    def case(self, name: str, index: int, seed: Sequence[int]) -> GrownTumorCase:
        """The synthetic case ``name`` with the recipient ``index``, grown unless its file is there.

        Where the recipient cannot be healed, another one takes its place.
        """
        path = self._path("grown", name, [*self._state, list(seed)])
        grown = Patch.open(path)
        if grown is None:
            grown = self._grow(path, index, np.random.default_rng(seed))
        by_name = {case.name: case for case in self.cases}
        recipient, look = by_name[grown.facts["recipient"]], by_name[grown.facts["donors"][0]]
        return GrownTumorCase.opened(name, recipient, self._healed(recipient), grown, look)

    def _grow(self, path: Path, index: int, random: np.random.Generator) -> Patch:
        host = self._host(index, random)
        place = self._place(host, random)
        label, kind = make_kind(place.classes(self.options.bend_mm, random), self.options, random)
        looks = choose_looks(self.appearances, host.case.subset, label, kind, self.options, random)
        box = part_of(place.box, MARGIN, host.case.shape)
        label = np.pad(label, margins(place.box, box))
        image = host.image[(slice(None), *box)]
        brain = (image != 0).any(axis=0)
        push_mm = random.uniform(0, self.options.max_mass_effect_mm)
        image = push(image, brain, np.isin(label, REGIONS["TC"]), push_mm)
        relative = host.reference.relative(image)
        tissue = Tissue.of(relative, host.case.subset, brain)
        allowed = brain & hemisphere(host.plane, box, place.side)
        label = fit_label(label, tissue, allowed, random)
        rows = [host.case.subset.index(modality) for modality in looks.subset]
        painted = host.reference.absolute(
            paint(relative[rows], label, tissue, looks, host.reference, rows, random), rows
        )
        image = np.where(image[rows] != 0, not_zero(painted), 0)
        facts = {
            "recipient": host.case.name,
            "donors": looks.donors,
            "label_map": place.name,
            "kind": kind,
            "mirrored": place.pose.mirrored,
            "center": place.pose.center.round(1).tolist(),
            "push_mm": round(push_mm, 2),
            "subset": [modality.name for modality in looks.subset],
            **_standardized(host.image[rows], image, box, looks.subset),
        }
        tight = _changed(host.image[rows][(slice(None), *box)], image, label)
        box = tuple(slice(a.start + b.start, a.start + b.stop) for a, b in zip(box, tight, strict=True))
        image, label = image[(slice(None), *tight)], label[tight]
        whole = np.zeros((len(MODALITIES), *label.shape), np.float32)
        whole[list(looks.subset)] = image
        return Patch.write(path, whole, label, box, facts)

    def _host(self, index: int, random: np.random.Generator) -> Host:
        """The recipient ``index``, else another one that can be healed."""
        others = [int(other) for other in random.permutation(len(self.cases)) if other != index]
        for case in (self.cases[number] for number in (index, *others)):
            healed = self._healed(case)
            if healed.facts["overlap"] <= LARGEST_OVERLAP:
                image, label = case.crop((0, 0, 0), case.shape)
                healed.lay_over(image, label, (0, 0, 0))
                return Host.of(case, image, healed)
        raise CaseError(
            "No case can be a recipient: all have tumor on both sides, so that no side shows healthy tissue. "
            "Add cases with tumors on one side."
        )

    def _healed(self, case: CachedCase) -> Patch:
        """The part of a case where its tumor is, healed; empty where there is none or it cannot be done."""
        path = self._path("healed", case.name, [VERSION, self._fingerprints[case.name]])
        patch = Patch.open(path)
        if patch:
            return patch
        image, label = case.crop((0, 0, 0), case.shape)
        present = image[list(case.subset)]
        plane = plane_of(case, torch.from_numpy(present))
        overlap = mirror_overlap(label, plane)
        reference = Reference.of(present, label)
        facts = {
            "overlap": overlap,
            "normal": plane.normal,
            "offset": plane.offset,
            "median": reference.median.tolist(),
            "spread": reference.spread.tolist(),
            "blur": reference.blur.tolist(),
            "grain": reference.grain.tolist(),
        }
        box: Box = (slice(0, 0),) * label.ndim
        if label.any() and overlap <= LARGEST_OVERLAP:
            healthy, box = heal(present, label, plane)
            image[(list(case.subset), *box)] = healthy
        return Patch.write(path, image[(slice(None), *box)], np.zeros_like(label[box]), box, facts)

    def _place(self, host: Host, random: np.random.Generator) -> Place:
        """Draw shapes and places until one is plausible; of many the most plausible."""
        best: Place | None = None
        own = [label_map for label_map in self.label_maps if label_map.name != host.case.name]
        maps = own or self.label_maps
        for _ in range(_TRIES):
            label_map = maps[int(random.integers(len(maps)))]
            shape = label_map.read()
            if shape is None:
                continue
            pose = Pose.draw(shape, host.case.shape, self.options, random)
            place = Place.of(label_map.name, shape, pose, host.brain, host.ventricles, host.plane)
            if place and (best is None or place.plausibility > best.plausibility):
                best = place
            if best and best.plausibility >= PLAUSIBLE:
                break
        if best is None:
            raise CaseError(
                f"Case '{host.case.name}': none of {_TRIES} tumor shapes could be placed in its brain. Check "
                "the label maps, or leave the case out."
            )
        return best

    def _path(self, kind: str, name: str, state: Any) -> Path:
        digest = hashlib.sha256(strict_json.dumps(state).encode()).hexdigest()[:16]
        return self.folder / f"{kind}-{name}-{digest}.safetensors"


def margins(inner: Box, outer: Box) -> list[tuple[int, int]]:
    """Voxels by which a box lies inside another one, before and after along each axis."""
    return [(a.start - b.start, b.stop - a.stop) for a, b in zip(inner, outer, strict=True)]


def _fingerprint(case: CachedCase) -> str:
    with case.open() as file:
        return file.metadata()["fingerprint"]


def _changed(before: np.ndarray, after: np.ndarray, label: np.ndarray) -> Box:
    """The smallest box that holds a label (d, h, w) and what differs between images (n, d, h, w)."""
    differs = (np.abs(after - before) > _LEAST_CHANGE).any(axis=0)
    return tightest_box(differs | (label > 0)) or (slice(0, 1),) * label.ndim


def _standardized(whole: np.ndarray, image: np.ndarray, box: Box, subset: Subset) -> dict[str, list[float]]:
    """Scale and shift of every sequence that bring the brain to mean 0 and standard deviation 1.

    Args:
        whole: (n, D, H, W) of the recipient.
        image: (n, d, h, w) that replaces a box of it.
        box: of ``image``.
        subset: the n sequences.
    """
    scale, shift = [1.0] * len(MODALITIES), [0.0] * len(MODALITIES)
    for modality, volume, part in zip(subset, whole, image, strict=True):
        volume = volume.copy()
        volume[box] = part
        inside = volume[volume != 0].astype(np.float64)
        deviation = float(inside.std()) or 1.0
        scale[modality], shift[modality] = 1 / deviation, -float(inside.mean()) / deviation
    return {"scale": scale, "shift": shift}
