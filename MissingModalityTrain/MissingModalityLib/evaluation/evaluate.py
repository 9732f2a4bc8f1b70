"""A student scored on a folder of cases, over every subset of modalities that each case allows.

Each case is read and prepared once with all its modalities, and each modality encoded once where the network
can; for every subset the other channels are masked. Under torchrun every process scores its share of the
cases and the first one writes the files: what a single process would have written, but for the time it took.

A subset's score can differ from segmenting its volumes alone in two details: the box that the sliding windows
cover is that of the brain in all volumes, and the result is compared on the grid of the case's first volume
(for co-registered cases every volume has that grid). The brain mask is the subset's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..core import strict_json
from ..core.environment import versions
from ..core.errors import CaseError
from ..core.failures import Failure, note_failure
from ..core.files import explain_write_errors, leaving_no_empty_folder, read_text, write_report, write_text
from ..core.kinds import checked
from ..core.labels import REGIONS, check_cavity_rule
from ..core.modalities import subset_name
from ..core.progress import Progress, reporter
from ..core.words import counted
from ..datasets.case import Case, CaseListing
from ..datasets.case_list import listed_cases
from ..datasets.discovery import find_cases
from ..imaging.folder_labels import check_numbering, read_numbers
from ..inference.card import CHOICES
from ..inference.student import Student
from ..inference.weights import weights_sha256
from ..runtime import distributed
from ..runtime.devices import choose_device, describe_device
from .averages import summarize
from .case_scores import CaseScores, counter, evaluation_warnings, score_case
from .checks import check_evaluation
from .hd95_rules import check_definition, check_rule, definition_of
from .measures import TABLE_METRICS, check_metrics
from .reference import Rules
from .row import Row
from .rows_file import read_rows, rows_to_csv, scores_sha256
from .summary import EVALUATION_FOLDER, EvaluationSummary
from .tables import notes, score_tables

if TYPE_CHECKING:
    import torch

CASES_FILE, SUMMARY_FILE = "cases.csv", "summary.json"
TABLE_FILE, HEATMAP_FILE = "table.md", "heatmap.png"

_MOST_REASONS = 5
"""Reasons that one message can hold; where nothing could be scored they are mostly alike."""

_OTHER_FOLDER = "Choose another output folder."


@checked
def evaluate_folder(
    student: Path | str,
    data: Path | str,
    output: Path | str,
    device: str = "auto",
    convention: str | None = None,
    hd95_rule: str = "penalty",
    on_progress: Progress | None = None,
    cases: Collection[str] | Path | None = None,
    resection_cavity: str = "background",
    hd95_definition: str = "directed",
    metrics: Sequence[str] = TABLE_METRICS,
) -> dict[str, Any]:
    """Evaluate a student file on all labeled cases under a folder and write the results.

    Cases without a label, or that cannot be read, are skipped; the result says which and why. Processes that
    torchrun started share the cases; each gets the whole result, the first one writes it and reports
    progress, of its own share.

    Args:
        student: a student file.
        data: folder of cases in any layout that :func:`~..datasets.discovery.find_cases` knows.
        output: folder for ``cases.csv`` (every score, and what the student's probabilities tell),
            ``summary.json`` (means, versions, settings), ``table.md`` (the papers' table) and ``heatmap.png``
            (Dice); made if absent, files of these names are replaced.
        device: as in :func:`~..runtime.devices.choose_device`; under torchrun each process takes its own GPU.
        convention: label convention, where the layout does not fix it.
        hd95_rule: a key of :data:`~.hd95_rules.HD95_RULES`.
        on_progress: called for each window and prediction; steps are predictions.
        cases: names of those to score, or a text file of them, see
            :func:`~..datasets.case_list.listed_cases`; default all.
        resection_cavity: what a labeled resection cavity counts as, a key of
            :data:`~..core.labels.CAVITY_RULES`.
        hd95_definition: a key of :data:`~.hd95_rules.HD95_DEFINITIONS`.
        metrics: what the tables print, of :data:`~.measures.MEASURES` and :data:`~.measures.AGREEMENTS`; all
            of them are measured and kept.

    Returns:
        The content of ``summary.json`` (see :class:`.EvaluationSummary`) and ``rows``, one dict per score.

    Raises:
        StudentError: the student file cannot be used.
        CaseError: no case can be scored, or the output folder cannot be written to.
        LabelError: the folder mixes numberings and no convention is given.
        OptionError: there is no such device, convention or rule, or the list names what is no labeled case.
    """
    # matplotlib is not needed to read evaluations, and a missing package shows before the long part
    from .heatmap import draw_heatmap

    began = perf_counter()
    student, data, output = Path(student), Path(data), Path(output)
    check_rule(hd95_rule)
    check_definition(hd95_definition)
    metrics = check_metrics(metrics)
    on_progress = reporter(on_progress)
    check_cavity_rule(resection_cavity)
    with distributed.start(device) as device, leaving_no_empty_folder(output):
        chosen = distributed.on_all_ranks(choose_device, device)
        network = distributed.on_all_ranks(Student.load, student)
        listing = distributed.on_all_ranks(find_cases, data, convention)
        labeled, left_out = listing.labeled()
        if cases is not None:  # what else lies in the folder was not asked for, and so is not left out
            labeled, left_out = distributed.on_all_ranks(_asked_for, listing, cases), {}
        if convention is None:
            share = labeled[distributed.rank() :: distributed.world()]
            numbers = dict(distributed.gather_from(lambda: read_numbers(share)))
            distributed.on_all_ranks(check_numbering, labeled, numbers, str(data))
        distributed.on_rank_zero(lambda: _make_folder(output))  # an unwritable one shows before the long part
        rules = Rules(hd95_rule, hd95_definition, resection_cavity)
        scored, skipped, unforeseen = _score_data(
            network, labeled, left_out, data, chosen, rules, output, on_progress
        )
        rows = [row for scores in scored.values() for row in scores.rows]

        def conclude() -> dict[str, Any]:
            summary = EvaluationSummary(
                student=student.name,
                weights_sha256=weights_sha256(network.network),
                data=data.resolve().name,
                date=datetime.now(UTC).date().isoformat(),
                device=describe_device(chosen),
                processes=distributed.world(),
                prediction=prediction_facts(network),
                versions=versions(),
                hd95_rule=hd95_rule,
                hd95_definition=hd95_definition,
                metrics=metrics,
                cases=_describe(labeled, scored),
                skipped=skipped,
                unforeseen=unforeseen,
                **summarize(rows),
                seconds=round(perf_counter() - began, 1),
                resection_cavity=resection_cavity,
                warnings=[
                    {**entry, "warning": _inside(data, entry["warning"])}
                    for entry in evaluation_warnings(scored, resection_cavity)
                ],
                scores_sha256=scores_sha256(rows_to_csv(rows)),
            ).to_json()
            write_evaluation(summary, rows, output, draw_heatmap)
            return summary

        return {**distributed.on_rank_zero(conclude), "rows": [_as_record(row) for row in rows]}


def read_evaluation(folder: Path | str) -> dict[str, Any]:
    """What :func:`evaluate_folder` returned, from the files it wrote; means are made anew from the scores.

    Args:
        folder: that it has written, or one with such a folder named ``evaluation`` in it, as that of a
            cross-validation.

    Raises:
        CaseError: the folder holds no complete evaluation.
    """
    folder = Path(folder)
    if not (folder / SUMMARY_FILE).exists() and (folder / EVALUATION_FOLDER / SUMMARY_FILE).exists():
        folder /= EVALUATION_FOLDER
    try:
        summary = strict_json.loads(read_text(folder / SUMMARY_FILE))
        rows = read_rows(folder / CASES_FILE)
        check_evaluation(summary, rows)
        _check_unchanged(summary, folder / CASES_FILE)
    except FileNotFoundError as error:
        raise CaseError(_no_evaluation(folder, f"no {Path(error.filename).name} is there")) from None
    except (OSError, ValueError) as error:
        raise CaseError(_no_evaluation(folder, error)) from error
    # means may be defined otherwise in the version that wrote them
    known = {"hd95_definition": definition_of(summary)}
    return {**summary, **known, **summarize(rows), "rows": [_as_record(row) for row in rows]}


def _no_evaluation(folder: Path, why: object) -> str:
    return f"'{folder}' holds no evaluation ({why}). Choose a folder that 'evaluate' has written."


def _check_unchanged(summary: dict[str, Any], scores: Path) -> None:
    """Raise ValueError where the scores are not those that the summary was written with."""
    known = summary.get("scores_sha256")
    if known and known != scores_sha256(scores.read_text(encoding="utf-8")):
        raise ValueError(f"{scores.name} was changed after it was written; put it back or evaluate again")


def prediction_facts(student: Student) -> dict[str, Any]:
    """What beside the weights decides a prediction, from the student's card."""
    names = dict.fromkeys(("window", "overlap", "min_component_voxels", "gate", *CHOICES))
    # those that nobody has chosen are absent, as in results of earlier versions
    facts = {name: student.card[name] for name in names if name in student.card}
    # summary.json has kept the earlier name, so that results of earlier versions can still be compared
    facts["smallest_island"] = facts.pop("min_component_voxels")
    return facts


def _inside(data: Path, reason: str) -> str:
    """A message without the folder of the data: results are passed on, paths of this machine are not."""
    return reason.replace(f"{data}{os.sep}", "")


def _asked_for(listing: CaseListing, names: Collection[str] | Path) -> list[Case]:
    """The labeled cases of these names, which earlier versions may have given, or of a list in a file."""
    if isinstance(names, str | Path):
        return listed_cases(names, listing)
    asked = {case.name: name for name in names if (case := listing.find(name))}
    return [replace(case, name=asked[case.name]) for case in listing.labeled()[0] if case.name in asked]


def _score_data(
    network: Student,
    labeled: Sequence[Case],
    left_out: Mapping[str, str],
    data: Path,
    device: torch.device,
    rules: Rules,
    output: Path,
    on_progress: Progress | None,
) -> tuple[dict[str, CaseScores], list[dict[str, str]], list[str]]:
    """Scores of labeled cases by name, what was skipped, and names of unforeseen failures."""
    scored, refused = _score_readable(network, labeled, device, rules, output, on_progress)
    reasons = {**left_out, **{name: failure.reason for name, failure in refused.items()}}
    skipped = [{"path": name, "reason": _inside(data, reason)} for name, reason in reasons.items()]
    if not scored:
        reasons = "; ".join(f"{entry['path']}: {entry['reason']}" for entry in skipped[:_MOST_REASONS])
        distributed.raise_on_all_ranks(
            CaseError(f"'{data}' holds no case that can be scored ({reasons or 'no case found'}).")
        )
    return scored, skipped, [name for name, failure in refused.items() if failure.unforeseen]


def _score_readable(
    student: Student,
    cases: Sequence[Case],
    device: torch.device,
    rules: Rules,
    output: Path,
    on_progress: Progress | None,
) -> tuple[dict[str, CaseScores], dict[str, Failure]]:
    """Scores of the cases that can be scored; why the others cannot; both by name."""

    def score_share() -> list[tuple[int, CaseScores | Failure]]:
        # every n-th case and no blocks: cases with alike names are often alike in size and modalities
        share = range(distributed.rank(), len(cases), distributed.world())
        report = counter(
            on_progress if distributed.is_rank_zero() else None, [cases[index] for index in share]
        )
        outcomes: list[tuple[int, CaseScores | Failure]] = []
        for index in share:
            try:
                outcomes.append((index, score_case(student, cases[index], device, rules, report)))
            except Exception as error:
                outcomes.append((index, note_failure(error, cases[index].name, output)))
        return outcomes

    outcomes = sorted(distributed.gather_from(score_share), key=itemgetter(0))
    by_name = {cases[index].name: outcome for index, outcome in outcomes}
    return (
        {name: outcome for name, outcome in by_name.items() if isinstance(outcome, CaseScores)},
        {name: outcome for name, outcome in by_name.items() if isinstance(outcome, Failure)},
    )


def _describe(cases: Sequence[Case], scored: Mapping[str, CaseScores]) -> list[dict[str, Any]]:
    """Name, modalities, reference volumes (voxels) and content of the cases that were scored."""
    volumes = {name: {row.region: row.reference for row in scores.rows} for name, scores in scored.items()}
    return [
        {
            "name": case.name,
            "modalities": subset_name(case.images),
            "reference_voxels": {region: volumes[case.name][region] for region in REGIONS},
            "voxels_sha256": dict(scored[case.name].content),
        }
        for case in cases
        if case.name in volumes
    ]


def _as_record(row: Row) -> dict[str, Any]:
    return {**asdict(row), "subset": subset_name(row.subset)}


def _make_folder(folder: Path) -> None:
    with explain_write_errors(folder, _OTHER_FOLDER):
        folder.mkdir(parents=True, exist_ok=True)


def write_evaluation(
    evaluation: dict[str, Any],
    rows: Sequence[Row],
    output: Path,
    draw: Callable[[dict[str, Any], Path], None],
) -> None:
    """Write all files of an evaluation into its folder, which is made if absent; the summary last.

    Args:
        evaluation: the content of ``summary.json``.
        rows: every score.
        output: the folder.
        draw: :func:`.heatmap.draw_heatmap`, whose package the caller has found to be there.

    Raises:
        CaseError: the folder cannot be made or written to.
    """
    _make_folder(output)
    title = (
        f"# {evaluation['student']} on {counted(len(evaluation['cases']), 'case')} of {evaluation['data']}\n"
    )
    table = "\n".join((title, *score_tables(evaluation), notes(evaluation)))
    with explain_write_errors(output, _OTHER_FOLDER):
        write_text(rows_to_csv(rows), output / CASES_FILE)
        write_text(table, output / TABLE_FILE)
        draw(evaluation, output / HEATMAP_FILE)
        write_report(evaluation, output / SUMMARY_FILE)
