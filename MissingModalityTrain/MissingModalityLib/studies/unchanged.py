"""Whether what a study finds there was made of what its cases hold now.

Runs and scores are found by the names of cases. Where the files behind a name have been exchanged since, the
rows of one table would come from different patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import CaseError
from ..core.progress import Event, Progress, ProgressStage
from ..datasets.case import Case
from ..datasets.discovery import find_cases
from ..datasets.patients import changed, describe_changed
from ..imaging.present_content import present_content
from ..training.record import RunRecord
from ..training.run_cases import found_cases
from .runs import StudyRun


@dataclass(frozen=True)
class Origin:
    """What something that is there was made of.

    Attributes:
        data: folder of the cases.
        cases: as they lie there now.
        before: hashes of the voxels that they had then, by name.
        whose: what was made of them.
        when: what was done then.
        remedy: what else can be done than to put the files back.
    """

    data: Path
    cases: Sequence[Case]
    before: Mapping[str, Mapping[str, str]]
    whose: str
    when: str
    remedy: str


def of_training(run: StudyRun, data: Path) -> Origin:
    """What a run is or was trained on.

    Raises:
        CaseError: its record cannot be read, or a case has gone or has other sequences now.
    """
    record = replace(RunRecord.read(run.folder), data=str(data))
    whose, remedy = f"the run '{run.folder.path}'", "give the study another folder (--output, output)"
    return Origin(data, found_cases(record), record.contents, whose, "the run began", remedy)


def of_scores(run: StudyRun, evaluation: Mapping[str, Any], folder: Path, convention: str | None) -> Origin:
    """What a run was scored on; ``folder`` holds the scores.

    Raises:
        CaseError: the folder of the test cases cannot be read.
    """
    before = {case["name"]: case.get("voxels_sha256") or {} for case in evaluation["cases"]}
    data = run.division.test_data
    listing = find_cases(data, convention)
    cases = [replace(case, name=name) for name in before if (case := listing.find(name))]
    remedy = "remove that folder, and they are scored anew"
    return Origin(data, cases, before, f"the scores in '{folder}'", "they were scored", remedy)


def check_unchanged(origins: Sequence[Origin], prepared: Path, report: Progress) -> None:
    """Refuse to use again what was made of other voxels than lie there now.

    Args:
        origins: of all that is to be used again; each case is read once.
        prepared: folder of prepared cases, which tell what the originals hold while these stay as they are.
        report: called before each case and at the end.

    Raises:
        CaseError: a case has changed.
        ImageError, LabelError: a file of one can no longer be used.
    """
    cases = {_place(case): case for origin in origins for case in origin.cases}
    present = {}
    for number, (place, case) in enumerate(cases.items()):
        report(Event(ProgressStage.CHECK, number, len(cases), case.name))
        present[place] = present_content(case, prepared)
    if cases:
        report(Event(ProgressStage.CHECK, len(cases), len(cases)))
    for origin in origins:
        now = {case.name: present[_place(case)] for case in origin.cases}
        if changes := changed(origin.before, now):
            told = describe_changed(changes, origin.whose, origin.when)
            raise CaseError(
                f"{origin.data}: {told}. Put the files back as they were; or, if the change is wanted, "
                f"{origin.remedy}."
            )


def _place(case: Case) -> tuple[Path, str, str | None]:
    return case.folder, case.name, case.convention
