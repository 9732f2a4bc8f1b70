"""A folder of cases prepared before anyone trains on it, so that the jobs of a cluster share the work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from ..core.environment import versions
from ..core.errors import CaseError
from ..core.failures import note_failure
from ..core.files import explain_write_errors, write_report
from ..core.kinds import checked
from ..core.modalities import subset_name
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..datasets.discovery import find_cases
from ..datasets.prepared import LAYOUT, prepared_cases
from .cache import CachedCase, cache_case
from .folder_labels import check_numbering, folder_warnings, read_numbers

REPORT_FILE = "report.json"

_MOST_NAMES = 5


@checked
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
        ``skipped`` (``path`` inside ``data`` or name of a case, and ``reason``), ``unforeseen`` (names of
        those that a fault of the program kept out; ``failures.log`` in ``output`` has the tracebacks),
        ``warnings`` (``case``, empty for one about the folder, and ``warning``), ``bytes`` of the files,
        ``versions`` and ``seconds``.

    Raises:
        CaseError: no case can be prepared, all are prepared already, or ``output`` cannot be written to.
        LabelError: the folder mixes numberings and no convention is given.
        OptionError: there is no such convention.
    """
    start, notify = perf_counter(), reporter(on_progress)
    # a cached case knows the whole paths of its files, and training asks with whole paths
    data, output = Path(os.path.realpath(data)), Path(output)
    listing = find_cases(data, convention)
    labeled, skipped = listing.labeled()
    if any(case.layout == LAYOUT for case in labeled):
        raise CaseError(f"'{data}' holds prepared cases already. Give it to 'train' as it is.")
    if convention is None:
        check_numbering(labeled, dict(read_numbers(labeled, output)), str(data))
    done, unforeseen = [], []
    for number, case in enumerate(labeled):
        notify(Event(ProgressStage.PREPARE, number, len(labeled), case.name))
        try:
            done.append(cache_case(case, output))
        except CaseError:  # the output folder cannot be written to
            raise
        except Exception as error:
            failure = note_failure(error, case.name, output)
            skipped[case.name] = failure.reason
            if failure.unforeseen:
                unforeseen.append(case.name)
    if not done:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:5])
        raise CaseError(f"'{data}' holds no case to train on ({reasons}). Check the folder.")
    notify(
        Event(
            ProgressStage.PREPARE, len(labeled), len(labeled), f"{len(done)} prepared, {len(skipped)} skipped"
        )
    )
    report = {
        "data": str(data),
        "convention": convention,
        "output": str(output),
        "cases": {case.name: subset_name(case.subset) for case in done},
        "skipped": [{"path": name, "reason": reason} for name, reason in skipped.items()],
        "unforeseen": unforeseen,
        "warnings": [
            *({"case": "", "warning": text} for text in [*listing.warnings, *_others_told(output, done)]),
            *folder_warnings(done),
        ],
        "bytes": sum(case.path.stat().st_size for case in done),
        "versions": versions(),
        "seconds": round(perf_counter() - start, 1),
    }
    with explain_write_errors(output / REPORT_FILE, "Choose a folder you can write to."):
        write_report(report, output / REPORT_FILE)
    return report


def _others_told(folder: Path, done: Sequence[CachedCase]) -> list[str]:
    """A sentence where cases lie in the folder that were prepared earlier, of data that are not given now."""
    own = {case.path.name for case in done}
    others = [case.name for case in prepared_cases(folder)[0] if case.label and case.label.name not in own]
    if not others:
        return []
    names = ", ".join(f"'{name}'" for name in others[:_MOST_NAMES])
    more = f" and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
    return [
        f"'{folder}' holds cases that were prepared earlier and are none of these: {names}{more}. A training "
        "on this folder takes them too. Remove their files, or prepare into an empty folder."
    ]
