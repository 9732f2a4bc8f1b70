"""Which of a run's cases a stage trains on, and the synthetic ones beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import CaseError
from ..core.progress import Progress
from ..imaging.cache import CachedCase
from ..runtime import distributed
from ..synthesis.options import SynthesisOptions
from ..synthesis.pairing import grow_cases, synthetic_cases
from ..synthesis.tumor_cache import cache_tumor, tumor_folder
from .lacking_cases import with_missing
from .record import RunRecord
from .samples import possible_subsets
from .settings import Settings


def stage_cases(
    settings: Settings, record: RunRecord, cases: Sequence[CachedCase], report: Progress
) -> list[CachedCase]:
    """The cases that a stage trains on: those not held out, and synthetic ones made of these.

    A case with a resection cavity takes no part in synthesis unless its cavity counts as background: of a
    cavity that is ignored, or of the core, synthetic label maps know nothing.

    Raises:
        CaseError: none has the modalities of any subset to train for, or there is no donor.
    """
    real = [case for case in cases if case.name not in record.validation]
    if record.plan.missing_rates:
        real = distributed.on_all_ranks(with_missing, real, record.plan.missing_rates, record.seed)
    made = []
    synthesis, plain = settings.synthesis, real
    if record.plan.resection_cavity != "background":
        plain = [case for case in real if not case.cavity_voxels]
    if synthesis.method != "none":
        folder, options = tumor_folder(real[0].path.parent), synthesis.options
        if synthesis.method == "aem" and distributed.world() > 1:
            distributed.on_all_ranks(_cut_share, plain, folder, options)
        if synthesis.method == "grown" and distributed.world() > 1:
            distributed.on_all_ranks(_grow_share, plain, synthesis.factor, record, folder, options)
        given = (plain, synthesis.factor, record.seed, synthesis.method, options, folder, report)
        made = distributed.on_all_ranks(synthetic_cases, *given, record.growing)
    usable = [case for case in (*real, *made) if possible_subsets(case, settings)]
    if not usable:
        subsets = ", ".join(settings.training_subsets)
        distributed.raise_on_all_ranks(
            CaseError(
                f"{record.data}: no case has the modalities of {subsets}. Change the setting "
                "training_subsets."
            )
        )
    return usable


def _cut_share(cases: Sequence[CachedCase], folder: Path, options: SynthesisOptions) -> None:
    """Cut the tumors that fall to this process; then all find them all."""
    for case in cases[distributed.rank() :: distributed.world()]:
        if len(case.tumor_voxels()):
            cache_tumor(case, folder, options)


def _grow_share(
    cases: Sequence[CachedCase], factor: int, record: RunRecord, folder: Path, options: SynthesisOptions
) -> None:
    """Grow the tumors that fall to this process; then all find them all."""
    numbers = range((factor - 1) * len(cases))[distributed.rank() :: distributed.world()]
    by_name = sorted(cases, key=lambda case: case.name)
    grow_cases(by_name, numbers, record.seed, options, folder, growing=record.growing)
