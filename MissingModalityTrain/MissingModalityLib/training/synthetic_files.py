"""Cases of the data that ``synthesize`` has written, of whose patients nothing in a split knows."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.words import counted
from ..datasets.case import Case
from ..synthesis.options import REPORT_FILE


def synthetic_files_told(cases: Sequence[Case], held_out: Sequence[str]) -> list[dict[str, str]]:
    """A warning, ``case`` and ``warning``, where such cases are among those that are trained on.

    Args:
        cases: of a run.
        held_out: names of those that it holds out.
    """
    made = [case.name for case in cases if (case.folder.parent / REPORT_FILE).is_file()]
    if not made or not held_out:
        return []
    warning = (
        f"'synthesize' has made {counted(len(made), 'case')}, such as '{made[0]}', of patients on both sides "
        "of the split, so scores on those that are held out flatter the network. Train on the real cases: "
        "the setting synthesis.method makes synthetic ones of those that are trained on alone."
    )
    return [{"case": "", "warning": warning}]
