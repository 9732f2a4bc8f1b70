"""A folder of cases prepared before anyone trains on it, so that the jobs of a cluster share the work."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

from ..core.environment import versions
from ..core.errors import CaseError, ImageError, LabelError
from ..core.files import explain_write_errors, write_report
from ..core.modalities import subset_name
from ..core.progress import Event, Progress, ProgressStage, silent
from ..datasets.discovery import find_cases
from ..datasets.patients import describe_same
from ..datasets.prepared import LAYOUT
from .cache import cache_case

REPORT_FILE = "report.json"

_ONE_SIDE = "; a training keeps them on one side of every split"


def prepare_cases(
    data: Path | str, output: Path | str, convention: str | None = None, on_progress: Progress | None = None
) -> dict[str, Any]:
    """Fill the prepared-case cache with the labeled cases of a folder.

    Cases that are there already, made from the same files, are kept; so a second call continues a first that
    was stopped. Cases that training could not use are left out, and the report says why. Nobody else should
    fill ``output`` at the same time; any number of trainings may read it.

    Args:
        data: folder of cases in any layout that :func:`~..datasets.discovery.find_cases` knows.
        output: folder of the cache, made if needed; ``report.json`` lies in it too.
        convention: label convention, where the layout does not fix it.
        on_progress: called before each case and at the end; steps are cases.

    Returns:
        The content of ``report.json``: ``data``, ``convention``, ``output``, ``cases`` (name to modalities),
        ``skipped`` (``path`` inside ``data`` or name of a case, and ``reason``), ``warnings`` (cases that
        hold the same volume, or whose names some file systems take for one), ``bytes`` of the files,
        ``versions`` and ``seconds``.

    Raises:
        CaseError: no case can be prepared, all are prepared already, or ``output`` cannot be written to.
        OptionError: there is no such convention.
    """
    start, notify = perf_counter(), on_progress or silent
    # a cached case knows the whole paths of its files, and training asks with whole paths
    data, output = Path(data).resolve(), Path(output)
    listing = find_cases(data, convention)
    labeled, skipped = listing.labeled()
    if any(case.layout == LAYOUT for case in labeled):
        raise CaseError(f"{data} holds prepared cases already. Give it to 'train' as it is.")
    done = []
    for number, case in enumerate(labeled):
        notify(Event(ProgressStage.PREPARE, number, len(labeled), case.name))
        try:
            done.append(cache_case(case, output))
        except (ImageError, LabelError) as error:
            skipped[case.name] = str(error)
    if not done:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:5])
        raise CaseError(f"{data} holds no case to train on ({reasons}). Check the folder.")
    notify(
        Event(
            ProgressStage.PREPARE, len(labeled), len(labeled), f"{len(done)} prepared, {len(skipped)} skipped"
        )
    )
    contents = {case.name: case.content for case in done}
    report = {
        "data": str(data),
        "convention": convention,
        "output": str(output),
        "cases": {case.name: subset_name(case.subset) for case in done},
        "skipped": [{"path": name, "reason": reason} for name, reason in skipped.items()],
        "warnings": [*listing.warnings, *describe_same(contents, _ONE_SIDE)],
        "bytes": sum(case.path.stat().st_size for case in done),
        "versions": versions(),
        "seconds": round(perf_counter() - start, 1),
    }
    with explain_write_errors(output / REPORT_FILE, "Choose a folder you can write to."):
        write_report(report, output / REPORT_FILE)
    return report
