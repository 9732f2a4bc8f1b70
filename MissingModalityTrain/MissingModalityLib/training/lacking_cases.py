"""Training cases that lack sequences at given rates, as data with imbalanced missing rates do.

As in PASSION (Shi et al., ACM MM 2024): which sequences a case lacks is drawn once and holds for the whole
training, unlike the subsets that are drawn for each step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..core.modalities import Modality, Subset
from ..datasets.prepared import SUFFIX
from ..imaging.cache import CachedCase, stored, write_case
from .missing_rates import missing_rates

_MOST_DRAWS = 1000
"""Rates under which so many leave nothing are next to 1, and drawing on could take hours."""


def with_missing(cases: Sequence[CachedCase], rates: Sequence[str], seed: int) -> list[CachedCase]:
    """The cases, each without the sequences that it shall lack.

    A case that lacks any is written into a folder beside the whole one's file, named by what it lacks, unless
    it is there; several processes may do so at once.

    Args:
        cases: prepared ones.
        rates: the setting ``missing_rates``.
        seed: of the run; what a case lacks follows from it and the case's name alone.

    Raises:
        CaseError: a prepared case has gone or is damaged, or the folder cannot be written to.
    """
    by_modality = missing_rates(rates)
    drawn = [(case, drawn_subset(case.subset, case.name, by_modality, seed)) for case in cases]
    return [case if subset == case.subset else _reduced(case, subset) for case, subset in drawn]


def drawn_subset(subset: Subset, name: str, rates: Mapping[Modality, float], seed: int) -> Subset:
    """The sequences that are left of a case's; where none would be, all are drawn again, in the end one."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32).tolist()
    random = np.random.default_rng((seed, *words))
    for _ in range(_MOST_DRAWS):
        left = tuple(modality for modality in subset if random.random() >= rates.get(modality, 0))
        if left:
            return left
    # where one is left so seldom, two hardly ever are
    chances = np.array([1 - rates[modality] for modality in subset])
    return (subset[random.choice(len(subset), p=chances / chances.sum())],)


def _reduced(case: CachedCase, subset: Subset) -> CachedCase:
    """A case of these sequences alone, in a file of its own."""
    lacking = "_".join(modality.title for modality in case.subset if modality not in subset)
    path = _path(case.path.parent, lacking, case.name)
    with case.open() as file:
        own = hashlib.sha256(f"{file.metadata()['fingerprint']} without {lacking}".encode()).hexdigest()
        found = stored(path)
        if found is None or found[0].get("fingerprint") != own:
            rows = [case.subset.index(modality) for modality in subset]
            image, label = file.get_tensor("image")[rows], file.get_tensor("label")
            write_case(path, case.name, own, subset, image, label, case.warnings, case.content)
    return replace(case, path=path, subset=subset)


def _path(folder: Path, lacking: str, name: str) -> Path:
    return folder / f"without_{lacking}" / f"{name}{SUFFIX}"
