"""What a result is worth, in sentences for people: wherever a result appears, these stand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
            f"Mean Dice of {report['modalities']} over {counted(expected['cases'], 'labeled patient')}: "
            f"{_listed(expected['dice'])}"
        )
        sentences += expected.get("advice", [])
    if estimated:
        graded = {region: f" ({report['grades'][region]})" for region in estimated}
        sentences.append(f"Estimated Dice of this result: {_listed(estimated, graded)}")
    silent = f"Nothing tells how good a result from {report['modalities']} is: the student was not evaluated."
    return sentences or [silent]


def _listed(dice: Mapping[str, float], notes: Mapping[str, str] | None = None) -> str:
    return ", ".join(f"{region} {value:.2f}{(notes or {}).get(region, '')}" for region, value in dice.items())
