"""Grows tumors: which recipient, shape and look a synthetic case gets, each drawn from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..core import strict_json
from ..core.errors import CaseError
from ..imaging.cache import CachedCase
from .appearance import Appearance, cached_appearance
from .grown_case import GrownTumorCase, Patch
from .host import Host, write_healed
from .implant import Implant
from .label_maps import LabelMap, find_label_maps, of_cases, source_state
from .looks import choose_looks, make_kind
from .options import GROWING, GrownOptions
from .placement import PLAUSIBLE, Place, Pose

_SHAPES_KEPT = 128
"""Shapes in memory, half a megabyte each: to read one again takes longer than to try it."""

_TRIES = 30
"""Draws of shape and place, of which the most plausible is taken where none is good enough."""


class Grower:
    """Grows the synthetic cases of a set of real ones, each once and kept in a file.

    Args:
        cases: real ones, sorted by name.
        options: of the method.
        folder: for the files.
        growing: how they are grown. Of earlier ways, what is not in the folder is refused.
    """

    def __init__(
        self, cases: Sequence[CachedCase], options: GrownOptions, folder: Path, growing: int = GROWING
    ) -> None:
        self.cases, self.options, self.folder, self.growing = cases, options, folder, growing
        self._patches: dict[str, Patch] = {}
        self._read = lru_cache(_SHAPES_KEPT)(lambda label_map: label_map.read())
        self._fingerprints = {case.name: _fingerprint(case) for case in cases}
        self._state = [
            growing,
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

        Raises:
            CaseError: it cannot be grown, or an earlier version grew it and its file has gone.
        """
        path = self._path("grown", name, [*self._state, list(seed)])
        grown = self._kept(path)
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
        push_mm = random.uniform(0, self.options.max_mass_effect_mm)
        implant = Implant.of(host, place, label, looks, push_mm, random)
        facts = {
            "recipient": host.case.name,
            "donors": looks.donors,
            "label_map": place.name,
            "kind": kind,
            "mirrored": place.pose.mirrored,
            "center": place.pose.center.round(1).tolist(),
            "push_mm": round(push_mm, 2),
            "subset": [modality.name for modality in looks.subset],
            "scale": implant.scale,
            "shift": implant.shift,
        }
        return Patch.write(path, implant.image, implant.label, implant.box, facts)

    def _host(self, index: int, random: np.random.Generator) -> Host:
        """The recipient ``index``, else another one that can be healed."""
        others = [int(other) for other in random.permutation(len(self.cases)) if other != index]
        for case in (self.cases[number] for number in (index, *others)):
            host = Host(case, self._healed(case))
            if host.can_receive:
                return host
        raise CaseError(
            "No case can be a recipient: all have tumor on both sides, so that no side shows healthy tissue. "
            "Add cases with tumors on one side."
        )

    def _healed(self, case: CachedCase) -> Patch:
        """The part of a case where its tumor is, healed; empty where there is none or it cannot be done."""
        if case.name not in self._patches:
            path = self._path("healed", case.name, [self.growing, self._fingerprints[case.name]])
            self._patches[case.name] = self._kept(path) or write_healed(path, case)
        return self._patches[case.name]

    def _kept(self, path: Path) -> Patch | None:
        """What was made before; None where it has to be made."""
        patch = Patch.open(path)
        if patch is None and self.growing != GROWING:
            raise CaseError(
                f"{path}: this run grew its tumors with an earlier version, and this file of them has gone "
                "or is damaged. Put it back, resume the run with the version that it began with, or start a "
                "new run."
            )
        return patch

    def _place(self, host: Host, random: np.random.Generator) -> Place:
        """Draw shapes and places until one is plausible; of many the most plausible."""
        best: Place | None = None
        own = [label_map for label_map in self.label_maps if label_map.name != host.case.name]
        maps, size, brain = own or self.label_maps, host.case.shape, host.depth > 0
        for _ in range(_TRIES):
            label_map = maps[int(random.integers(len(maps)))]
            shape = self._read(label_map)
            if shape is None:
                continue
            pose = Pose.draw(shape, size, self.options, random)
            place = Place.of(label_map.name, shape, pose, brain, host.ventricles, size, host.plane)
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


def _fingerprint(case: CachedCase) -> str:
    with case.open() as file:
        return file.metadata()["fingerprint"]
