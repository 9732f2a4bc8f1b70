"""What settings mean that a run of an earlier version does not name, so that it goes on as it began.

A setting that is added later has, as a rule, a default that changes nothing. Where the default of today is
another, because the earlier way was a fault, runs that began in that way are read with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.settings import flat

_MEANT: Mapping[str, Any] = {
    "case_order": "per-epoch",
    "joint.ramp_epochs": 0,
    "joint.dropout": "both",
    "joint.equal_subsets": True,
    "joint.clip_together": True,
}
"""Value by setting of a stage."""


def as_begun(stage: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a stage in ``run.json``, with what those it lacks meant when it was written."""
    given = flat(stage)
    return given | {name: value for name, value in _MEANT.items() if name not in given}
