"""A student scored on a folder of cases, over every subset of modalities that each case allows.

Each case is read and prepared once with all its modalities, and each modality encoded once where the network
can; for every subset the other channels are masked. Under torchrun every process scores its share of the
cases and the first one writes the files: what a single process would have written, but for the time it took.

A subset's score can differ from segmenting its volumes alone in two details: the box that the sliding windows
cover is that of the brain in all volumes, and the result is compared on the grid of the case's first volume
(for co-registered cases every volume has that grid). The brain mask is the subset's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import Any

from ..core import strict_json
from ..core.environment import versions
from ..core.errors import CaseError
from ..core.files import (
    explain_write_errors,
    leaving_no_empty_folder,
    read_text,
    remove_stale_temporaries,
    write_report,
    write_text,
    written_together,
)
from ..core.kinds import checked
from ..core.labels import check_cavity_rule
from ..core.modalities import subset_name
from ..core.progress import Progress, reporter
from ..core.words import counted
from ..inference.card import CHOICES
from ..inference.student import Student
from ..inference.weights import weights_sha256
from ..runtime import distributed, lock
from ..runtime.devices import choose_device, describe_device
from .averages import summarize
from .case_scores import allowed_subsets
from .checks import check_evaluation
from .estimate_scores import score_estimates
from .hd95_rules import check_definition, check_rule, definition_of
from .kept_scores import KeptScores
from .measures import TABLE_METRICS, check_metrics
from .reference import Rules
from .row import Row
from .rows_file import SCORE_COLUMNS, read_rows, rows_to_csv, scores_sha256
from .scoring import cases_to_score, score_cases
from .student_scores import score_case
from .summary import EVALUATION_FOLDER, EvaluationSummary
from .tables import notes, score_tables
from .trained_alike import model_facts

CASES_FILE, SUMMARY_FILE = "cases.csv", "summary.json"
TABLE_FILE, HEATMAP_FILE = "table.md", "heatmap.png"

LOCK_FILE = "evaluation.lock"
"""There while an evaluation writes into its folder."""

_OTHER_FOLDER = "Choose another output folder."
_NO_ROOM = "Choose an output folder on a disk with free space."


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
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluate a student file on all labeled cases under a folder and write the results.

    Cases without a label, or that cannot be read, are skipped; the result says which and why. Stopped at any
    moment, or refused because the disk is full, it goes on with the next case when called again: until all
    are there, ``scored`` in the folder keeps the scores of each. Processes that
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
        calibration: by which the student's estimates of Dice are told; default that of its card.

    Returns:
        The content of ``summary.json`` (see :class:`.EvaluationSummary`) and ``rows``, one dict per score.

    Raises:
        StudentError: the student file cannot be used.
        CaseError: no case can be scored, or the output folder cannot be written to, or another evaluation
            writes there.
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
    with distributed.start(device) as device, leaving_no_empty_folder(output), ExitStack() as held:
        chosen = distributed.on_all_ranks(choose_device, device)
        network = distributed.on_all_ranks(Student.load, student)
        labeled, left_out = cases_to_score(data, convention, cases)
        distributed.on_rank_zero(lambda: take_folder(output, held))
        rules = Rules(hd95_rule, hd95_definition, resection_cavity)
        deciding = _deciding(network, describe_device(chosen), rules)
        # as it was typed: messages that are kept name files in it so, and a summary names them without it
        kept = KeptScores(output, {**deciding, "data": str(data)})
        scored = score_cases(
            lambda case, report: score_case(network, case, chosen, rules, report, kept),
            labeled,
            left_out,
            data,
            output,
            on_progress,
            lambda case: len(allowed_subsets(case)),
        )

        def conclude() -> dict[str, Any]:
            summary = EvaluationSummary(
                student=student.name,
                weights_sha256=weights_sha256(network.network),
                device=describe_device(chosen),
                prediction=prediction_facts(network),
                model=model_facts(network.card),
                estimates=score_estimates(scored.rows, calibration or network.card.calibration),
                metrics=metrics,
                **scored.facts(data, rules),
                seconds=round(perf_counter() - began, 1),
            ).to_json()
            write_evaluation(summary, scored.rows, output, draw_heatmap)
            kept.remove()
            return summary

        return {**distributed.on_rank_zero(conclude), "rows": [as_record(row) for row in scored.rows]}


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
    return {**summary, **known, **summarize(rows), "rows": [as_record(row) for row in rows]}


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


def _deciding(student: Student, device: str, rules: Rules) -> dict[str, Any]:
    """All but a case that decides its scores, and what a summary can tell of all cases together only."""
    return {
        "weights_sha256": weights_sha256(student.network),
        "prediction": prediction_facts(student),
        "device": device,
        "rules": asdict(rules),
        "versions": versions(),
        "scores": SCORE_COLUMNS,
    }


def as_record(row: Row) -> dict[str, Any]:
    """A row as results of evaluations hold it, see :func:`.rows_file.row_of`."""
    return {**asdict(row), "subset": subset_name(row.subset)}


def make_folder(folder: Path) -> None:
    """Make the folder of an evaluation.

    Raises:
        CaseError: it cannot be made.
    """
    with explain_write_errors(folder, _OTHER_FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(folder)
        TemporaryFile(dir=folder).close()  # of a disk that is read only this alone tells before the long part


def take_folder(folder: Path, held: ExitStack) -> None:
    """Make the folder of an evaluation and hold it: another one would remove or replace what this one writes.

    Of processes that share an evaluation the first holds it for all.

    Raises:
        CaseError: it cannot be made, or another evaluation writes there; both show before the long part.
    """
    make_folder(folder)
    held.enter_context(lock.held_by_a_passing_file(folder / LOCK_FILE, "writing scores into"))


def write_evaluation(
    evaluation: dict[str, Any],
    rows: Sequence[Row],
    output: Path,
    draw: Callable[[dict[str, Any], Path], None],
) -> None:
    """Write all files of an evaluation into its folder, which is made if absent, or none of them.

    Args:
        evaluation: the content of ``summary.json``.
        rows: every score.
        output: the folder.
        draw: :func:`.heatmap.draw_heatmap`, whose package the caller has found to be there.

    Raises:
        CaseError: the folder cannot be made or written to.
    """
    make_folder(output)
    title = (
        f"# {evaluation['student']} on {counted(len(evaluation['cases']), 'case')} of {evaluation['data']}\n"
    )
    table = "\n".join((title, *score_tables(evaluation), notes(evaluation)))
    paths = [output / name for name in (CASES_FILE, TABLE_FILE, HEATMAP_FILE, SUMMARY_FILE)]
    # an earlier evaluation in the folder would be lost by scores without their summary
    with explain_write_errors(output, _NO_ROOM), written_together(*paths) as temporaries:
        scores, table_file, picture, report = temporaries
        write_text(rows_to_csv(rows), scores)
        write_text(table, table_file)
        draw(evaluation, picture)
        write_report(evaluation, report)
