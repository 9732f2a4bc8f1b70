"""The synthetic part of a training set: which donors meet which recipients, decided by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.errors import CaseError, OptionError
from ..core.modalities import Modality, subset_name
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..core.words import counted, unknown_name
from ..imaging.cache import CachedCase
from ..runtime.freed_memory import freed_memory_kept
from .grower import Grower
from .mixup import MixedCase
from .options import GROWING, MOST_FACTOR, SYNTHESIS_METHODS, SynthesisOptions
from .synthetic_case import SyntheticCase
from .transplanted_case import TransplantedCase
from .tumor_cache import CachedTumor, cache_tumor, tumor_folder


def synthetic_cases(
    cases: Sequence[CachedCase],
    factor: int = 4,
    seed: int = 0,
    method: str = "aem",
    options: SynthesisOptions | None = None,
    folder: Path | None = None,
    on_progress: Progress | None = None,
    growing: int = GROWING,
) -> list[SyntheticCase]:
    """Synthetic cases that make a set of N real ones ``factor`` times as large: (factor - 1) * N of them.

    Case i has the recipient i mod N; everything else about it is drawn from (seed, i), with the cases sorted
    by name. Donors are drawn among the other cases that share a modality with the recipient; the synthetic
    case has the modalities that all of its cases share. So "x 4" is a set of four times the real one's size,
    the real cases included; beyond that the paper finds little gain (Table 7).

    Args:
        cases: prepared real cases, at least two.
        factor: 2 or more.
        seed: of all draws.
        method: "aem" transplants tumors, "mixup" mixes images, "grown" grows tumors from label maps; where a
            recipient has tumor on both sides, "grown" takes another one.
        options: of the synthesis; the paper's by default.
        folder: where tumors are kept, each cut or grown once; by default ``tumors`` beside the first case's
            file.
        on_progress: called before each tumor is cut or grown, and at the end.
        growing: how tumors grow; for a run that began with an earlier version, as it did then.

    Returns:
        Cases that read from disk when asked for a crop, named synthetic_0000 and so on.

    Raises:
        CaseError: a recipient without a possible donor, for "grown" no label map or no recipient at all, or
            ``folder`` cannot be written to.
        OptionError: unknown method, or a factor below 2.
    """
    check_choices(method, factor, len(cases))
    options, cases = options or SynthesisOptions(), sorted(cases, key=lambda case: case.name)
    folder = folder or tumor_folder(cases[0].path.parent)
    if method == "grown":
        return grow_cases(
            cases, range((factor - 1) * len(cases)), seed, options, folder, on_progress, growing
        )
    if method == "aem":
        tumors = _cut(cases, folder, options, on_progress)
        donors = _Donors(cases, list(tumors))
    else:
        donors = _Donors(cases, list(range(len(cases))))
    made: list[SyntheticCase] = []
    for number in range((factor - 1) * len(cases)):
        # a generator per case: what one draws does not move the next, and larger sets begin with smaller ones
        random = np.random.default_rng([seed, number])
        name, recipient = f"synthetic_{number:04d}", number % len(cases)
        chosen = donors.draw(recipient, options.tumors if method == "aem" else 1, random)
        if method == "aem":
            grafted = [tumors[donor] for donor in chosen]
            made.append(TransplantedCase.draw(name, cases[recipient], grafted, options, random))
        else:
            made.append(MixedCase.draw(name, cases[recipient], cases[chosen[0]], options.mixup_alpha, random))
    return made


@freed_memory_kept()  # every case takes and frees the same large arrays
def grow_cases(
    cases: Sequence[CachedCase],
    numbers: Sequence[int],
    seed: int,
    options: SynthesisOptions,
    folder: Path,
    on_progress: Progress | None = None,
    growing: int = GROWING,
) -> list[SyntheticCase]:
    """Some of the cases that :func:`synthetic_cases` makes by the method "grown".

    Args:
        cases: all real ones, sorted by name.
        numbers: which, from 0.
        seed, options, folder, on_progress, growing: as there.
    """
    notify = reporter(on_progress)
    grower, made = Grower(cases, options.grown, folder, growing), []
    for step, number in enumerate(numbers):
        name = f"synthetic_{number:04d}"
        notify(Event(ProgressStage.GROW_TUMORS, step, len(numbers), name))
        made.append(grower.case(name, number % len(cases), [seed, number]))
    notify(
        Event(ProgressStage.GROW_TUMORS, len(numbers), len(numbers), f"{counted(len(made), 'tumor')} grown")
    )
    return made


def check_choices(method: str, factor: int, cases: int) -> None:
    """Refuse what :func:`synthetic_cases` would refuse, before any work.

    Args:
        method, factor: as there.
        cases: how many real ones there are.

    Raises:
        OptionError: unknown method, or a factor that is no whole number from 2 to ``MOST_FACTOR``.
        CaseError: fewer than two cases.
    """
    if method not in SYNTHESIS_METHODS:
        raise OptionError(unknown_name("synthesis", method, SYNTHESIS_METHODS))
    if type(factor) is not int or not 2 <= factor <= MOST_FACTOR:
        raise OptionError(
            f"A factor of {factor!r} is none: below 2 it leaves no synthetic case. Choose 2 or more, at most "
            f"{MOST_FACTOR}."
        )
    if cases < 2:
        raise CaseError("Synthesis needs at least two labeled cases, a recipient and a donor. Add cases.")


def _cut(
    cases: Sequence[CachedCase], folder: Path, options: SynthesisOptions, on_progress: Progress | None
) -> dict[int, CachedTumor]:
    """The tumors of all cases that have one, by the index of the case."""
    notify = reporter(on_progress)
    tumors = {}
    for index, case in enumerate(cases):
        notify(Event(ProgressStage.CUT_TUMORS, index, len(cases), case.name))
        if len(case.tumor_voxels()):
            tumors[index] = cache_tumor(case, folder, options)
    notify(
        Event(
            ProgressStage.CUT_TUMORS, len(cases), len(cases), f"{counted(len(tumors), 'tumor')} to transplant"
        )
    )
    return tumors


class _Donors:
    """Draws donors for recipients.

    Args:
        cases: all of them.
        eligible: indices of those that can be donors.
    """

    def __init__(self, cases: Sequence[CachedCase], eligible: list[int]) -> None:
        self.cases = cases
        self.eligible = eligible
        # subsets are few and cases many, so each subset's donors are searched for once
        self._sharing: dict[frozenset[Modality], np.ndarray] = {}

    def draw(self, recipient: int, count: int, random: np.random.Generator) -> list[int]:
        """``count`` indices, all sharing a modality with the recipient; twice the same only when too few."""
        subset, chosen = frozenset(self.cases[recipient].subset), []
        for _ in range(count):
            possible = self._with_any_of(subset)
            possible = possible[possible != recipient]
            if not len(possible):
                case = self.cases[recipient]
                raise CaseError(
                    f"Case '{case.name}' ({subset_name(case.subset)}) shares no modality with another case "
                    "that could be its donor. Leave it out, or add cases with tumors and its modalities."
                )
            # aligned tumors of one donor would lie on top of each other
            fresh = np.setdiff1d(possible, chosen)
            chosen.append(int(random.choice(fresh if len(fresh) else possible)))
            # the next donor has to share a modality with all, or the case would end up with none
            subset &= frozenset(self.cases[chosen[-1]].subset)
        return chosen

    def _with_any_of(self, subset: frozenset[Modality]) -> np.ndarray:
        """Indices of the eligible cases with a modality of ``subset``."""
        if subset not in self._sharing:
            found = [index for index in self.eligible if subset.intersection(self.cases[index].subset)]
            self._sharing[subset] = np.array(found, int)
        return self._sharing[subset]
