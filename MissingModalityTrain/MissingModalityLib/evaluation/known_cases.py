"""Which cases of an evaluation a model has learned from: scores on these flatter it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.errors import MissingModalityError
from ..datasets.case import Case
from ..imaging.content import identity
from ..imaging.reading import read_study
from ..inference.card import read_card
from ..inference.learned import Learned
from .scoring import labeled_cases


def trained_on(student: Path | str, evaluation: Mapping[str, Any]) -> list[str]:
    """Names of the evaluated cases that the student learned from, as far as its card tells.

    A case is known by the voxels of its volumes, under whatever name; by its name where the card or the
    evaluation is of an earlier version, which kept no hashes.
    """
    learned = Learned(read_card(student).get("training"))
    cases = evaluation["cases"]
    return [case["name"] for case in cases if learned.has(case["name"], case.get("voxels_sha256"))]


def first_learned(
    student: Path, data: Path, convention: str | None, cases: Collection[str] | Path | None
) -> str | None:
    """Name of a case that is going to be scored and that the student learned from, before any is scored.

    Only cases that were trained on under the name that they have now are read for it; :func:`trained_on`
    finds the others too, when all have been read.

    Args:
        student: a student file.
        data, convention, cases: as of :func:`.evaluate.evaluate_folder`, which tells what is wrong with them.
    """
    with suppress(MissingModalityError):
        learned = Learned(read_card(student).get("training"))
        for case in labeled_cases(data, convention, cases)[0]:
            if case.name in learned.cases and _is_known(case, learned):
                return case.name
    return None


def _is_known(case: Case, learned: Learned) -> bool:
    try:
        content = identity(read_study(case).images)
    except Exception:  # such a case is skipped, and told, when its turn comes
        return False
    return learned.has(case.name, content)
