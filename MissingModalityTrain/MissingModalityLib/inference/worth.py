"""What a result is worth, in sentences for people: wherever a result appears, these stand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.segments import in_full
from ..core.words import counted


def worth(report: Mapping[str, Any]) -> list[str]:
    """What to expect of these sequences, and what the student estimates of this very result.

    Args:
        report: of a segmentation, see :class:`.segmentation_report.SegmentationReport`.

    Returns:
        One sentence each; one that says so where the student tells nothing.
    """
    expected, estimated = report.get("expectation"), report.get("estimated_dice", {})
    sentences = []
    if expected:
        sentences.append(
            f"Expected from {report['modalities']}: agreement with an expert's outline (Dice, 1 is full) of "
            f"{_listed(expected['dice'])}, the mean of {counted(expected['cases'], 'patient')}"
        )
        sentences += expected.get("advice", [])
    if estimated:
        graded = {region: f" ({report['grades'][region]})" for region in estimated}
        sentences.append(
            f"Estimated for this result: agreement (Dice, 1 is full) of {_listed(estimated, graded)}"
        )
    silent = f"Nothing tells how good a result from {report['modalities']} is: the model was not evaluated."
    return sentences or [silent]


def _listed(dice: Mapping[str, float], notes: Mapping[str, str] | None = None) -> str:
    return ", ".join(
        f"{in_full(region)} {value:.2f}{(notes or {}).get(region, '')}" for region, value in dice.items()
    )
