"""Synthetic cases as files, in the layout of BraTS 2021, with a report and a contact sheet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from ..core import strict_json
from ..core.environment import versions
from ..core.errors import CaseError
from ..core.files import (
    explain_write_errors,
    leaving_no_empty_folder,
    put_in_place,
    read_text,
    removed_if_refused,
    write_report,
)
from ..core.kinds import checked
from ..core.labels import from_classes
from ..core.modalities import subset_name
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..core.seeding import check_seed
from ..datasets.case import Case
from ..datasets.discovery import find_cases
from ..imaging.cache import CachedCase, cache_case, fingerprint
from ..imaging.folder_labels import check_numbering, folder_warnings, read_numbers
from ..imaging.volumes import write_image
from .contact_sheet import draw_contact_sheet
from .options import REPORT_FILE, SynthesisOptions
from .pairing import check_choices, synthetic_cases
from .synthetic_case import SyntheticCase

SHEET_FILE = "contact_sheet.png"

# hidden, since it is gone when the synthesis is done
_WORK_FOLDER = ".prepared"
# enough to judge the options by; each makes the sheet 800 pixels higher
_SHEET_CASES = 2


@checked
def synthesize(
    data: Path | str,
    output: Path | str,
    factor: int = 4,
    method: str = "aem",
    seed: int = 0,
    options: SynthesisOptions | None = None,
    convention: str | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the synthetic cases that make a folder of N real ones ``factor`` times as large.

    Each of the (factor - 1) * N cases is a folder ``synthetic_0000/synthetic_0000_{flair,t1ce,t1,t2,seg}
    .nii.gz`` with the labels of BraTS 2021, on the brain box of its recipient: 1 mm, axes as LPS, origin 0.
    The volumes hold the very values that training with the same cases, seed and options makes on the fly:
    z-scores, 0 outside the brain. Preparing them for training z-scores them once more.

    A run that was stopped left whole cases only; the same call again makes those that are missing.

    Args:
        data: folder of real cases in any layout that :func:`~..datasets.discovery.find_cases` knows; cases
            without a label are left out.
        output: folder to fill, absent, empty or begun by the same call; not inside ``data``.
        factor, method, seed, options: as for :func:`synthetic_cases`.
        convention: label convention of ``data``, where the layout does not fix it.
        on_progress: called before each case of each step.

    Returns:
        What ``synthesis.json`` in ``output`` holds: ``plan`` (everything that decides the result, cases with
        a digest of what their files hold),
        ``synthetic`` (for each case its name, modalities, recipient, donors and what was drawn),
        ``warnings`` about the real cases (``case``, empty for all of them, and ``warning``), ``versions`` and
        ``seconds``. ``contact_sheet.png`` lies beside it.

    Raises:
        CaseError: too few usable cases, or ``output`` holds something else or cannot be written to.
        ImageError, LabelError: a real case cannot be read; the message names the file.
        OptionError: unknown method or convention, or a factor or seed out of its range.
    """
    start, notify = perf_counter(), reporter(on_progress)
    check_seed(seed)
    data, output = Path(os.path.realpath(data)), Path(os.path.realpath(output))
    options = options or SynthesisOptions()
    labeled, _ = find_cases(data, convention).labeled()
    check_choices(method, factor, len(labeled))
    if convention is None:
        check_numbering(labeled, dict(read_numbers(labeled, output / _WORK_FOLDER)), str(data))
    plan = {
        "data": str(data),
        "cases": {case.name: fingerprint(case) for case in labeled},
        "convention": convention,
        "factor": factor,
        "method": method,
        "seed": seed,
        "options": _as_json(options),
    }
    # options that are found impossible now shall not keep others from this folder
    with leaving_no_empty_folder(output), removed_if_refused(output / REPORT_FILE, output / _WORK_FOLDER):
        _claim(output, data, plan)
        prepared = _prepare(labeled, output / _WORK_FOLDER, notify)
        cases = synthetic_cases(prepared, factor, seed, method, options, on_progress=on_progress)
    for number, case in enumerate(cases):
        notify(Event(ProgressStage.WRITE, number, len(cases), case.name))
        _write_case(case, output)
    notify(Event(ProgressStage.WRITE, len(cases), len(cases), str(output)))
    report = {
        "plan": plan,
        "synthetic": [
            {"name": case.name, "modalities": subset_name(case.subset), **case.describe()} for case in cases
        ],
        "warnings": folder_warnings(prepared),
        "versions": versions(),
        "seconds": round(perf_counter() - start, 1),
    }
    _conclude(output, cases, options, report)
    return report


def _prepare(cases: Sequence[Case], folder: Path, notify: Progress) -> list[CachedCase]:
    """Prepared in the output folder, so that a stopped synthesis goes on without preparing anew."""
    prepared = []
    for number, case in enumerate(cases):
        notify(Event(ProgressStage.PREPARE, number, len(cases), case.name))
        prepared.append(cache_case(case, folder))
    return prepared


def _conclude(
    output: Path, cases: Sequence[SyntheticCase], options: SynthesisOptions, report: dict[str, Any]
) -> None:
    """Sheet and report; what only the work itself needed goes."""
    with explain_write_errors(output, "Free some space and start the same synthesis again."):
        draw_contact_sheet(output / SHEET_FILE, cases[:_SHEET_CASES], options)
        write_report(report, output / REPORT_FILE)
        shutil.rmtree(output / _WORK_FOLDER)


def _claim(output: Path, data: Path, plan: dict[str, Any]) -> None:
    """Put the plan into a new or empty folder, or see that the same plan is there already."""
    if output.is_relative_to(data):
        raise CaseError(
            f"'{output}' lies inside the real cases' folder '{data}', where the synthetic ones would pass "
            "for real. Choose a folder outside of it."
        )
    path = output / REPORT_FILE
    try:
        output.mkdir(parents=True, exist_ok=True)
        if not any(output.iterdir()):
            write_report({"plan": plan}, path)
        elif not path.is_file() or _plan_of(path) != plan:
            raise CaseError(
                f"'{output}' already holds other files, or a synthesis with other data or options. Choose an "
                "empty folder."
            )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CaseError(
            f"'{output}' cannot be used as the output folder ({error}). Choose an empty folder that you "
            "can write to."
        ) from error


def _plan_of(report: Path) -> dict[str, Any]:
    """The plan of a report; its options by the names of today, with what earlier versions did not have."""
    plan = strict_json.loads(read_text(report))["plan"]
    return {**plan, "options": _as_json(SynthesisOptions(**plan["options"]))}


def _as_json(options: SynthesisOptions) -> dict[str, Any]:
    return strict_json.loads(strict_json.dumps(asdict(options)))


def _write_case(case: SyntheticCase, output: Path) -> None:
    """A folder with all files of the case, or none."""
    # written under a hidden name, then renamed: a folder with a case's name holds all of its files
    folder, unfinished = output / case.name, output / f".{case.name}"
    if folder.exists():
        return
    whole = case.load()
    images = {modality.name.lower(): whole.grid.to_image(whole.image[modality]) for modality in case.subset}
    images["seg"] = whole.grid.to_image(from_classes(whole.label, "brats2021"))
    with explain_write_errors(folder, "Check that the folder is writable and the disk not full."):
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        # threads are enough: zlib works outside of Python's lock
        with ThreadPoolExecutor() as pool:
            paths = [unfinished / f"{case.name}_{name}.nii.gz" for name in images]
            list(pool.map(write_image, images.values(), paths))
        put_in_place(unfinished, folder)
