"""Files beside the cases that a run reads whenever it starts: what they held when it began is what it needs.

A model that teaches, or label maps that tumors are grown from, may be exchanged under the same path; a run
that went on with others would end as no run does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..core.errors import CaseError
from ..core.words import counted
from ..datasets.patients import SEPARATOR
from ..inference.student import Student
from ..inference.weights import weights_sha256
from ..methods.options import EnsembleOptions
from ..synthesis.label_maps import files_sha256, used_names
from .record import RunRecord
from .settings import Settings


def teachers_of(stages: Mapping[str, Settings]) -> list[str]:
    """Paths of the models that teach in stages, once each."""
    options = [settings.method_options() for settings in stages.values()]
    ensembles = [of_stage for of_stage in options if isinstance(of_stage, EnsembleOptions)]
    return list(dict.fromkeys(path for of_stage in ensembles for path in of_stage.teachers))


def models_of(record: RunRecord, stages: Mapping[str, Settings], from_start: bool) -> list[str]:
    """Paths of the models that stages of a run read: of ``initial`` only where they begin with it."""
    return [*([record.initial] if from_start and record.initial else []), *teachers_of(stages)]


def held_out_shapes(record: RunRecord) -> list[dict[str, str]]:
    """A warning, ``case`` and ``warning``, where tumors are grown from label maps of cases that are held out.

    Label maps are known by their names alone, as cases are called, or as files of a case in its folders are.
    """
    options = [
        settings.synthesis.options.grown
        for settings in record.plan.stages.values()
        if settings.synthesis.method == "grown"
    ]
    names: set[str] = set()
    for grown in options:
        if grown.label_maps:
            with suppress(Exception):  # what is wrong there is told where it is used
                names |= used_names(Path(grown.label_maps), grown.exclude)
    shown = [name for name in record.validation if names & {name, name.rpartition(SEPARATOR)[2]}]
    if not shown:
        return []
    warning = (
        f"Tumors are grown from label maps of {counted(len(shown), 'case')} held out, such as '{shown[0]}', "
        "so scores on these flatter the network. Name them in synthesis.grown.exclude."
    )
    return [{"case": "", "warning": warning}]


def with_given_files(
    record: RunRecord, left: Sequence[str], from_start: bool, accept_changes: bool
) -> RunRecord:
    """The record with what the files hold that its run is going to read.

    Args:
        record: of the run; what it tells of these files already is what they have to hold. Those of earlier
            versions tell nothing, and such runs go on with what is there.
        left: stages that are still to be trained.
        from_start: the first of them begins with the weights that were given to the run.
        accept_changes: files may hold something else than when the run began.

    Raises:
        CaseError: one does, and may not; or label maps are not there.
        StudentError: a model cannot be read.
    """
    stages = {name: record.plan.stages[name] for name in left}
    models = models_of(record, stages, from_start)
    now = {path: weights_sha256(Student.load(path).network) for path in models}
    for synthesis in (settings.synthesis for settings in stages.values()):
        grown = synthesis.options.grown
        if synthesis.method == "grown" and grown.label_maps:
            now |= files_sha256(grown.label_maps, grown.exclude)
    changed = [path for path, digest in now.items() if record.given_files.get(path, digest) != digest]
    if changed and not accept_changes:
        raise CaseError(
            f"{changed[0]}: holds something else than when the run began, which reads it. Put back what was "
            "there; or, if the change is wanted, resume the run with --accept-changes (accept_changes=True)."
        )
    return replace(record, given_files={**record.given_files, **now})
