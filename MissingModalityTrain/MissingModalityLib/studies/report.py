"""The files of a study: its table as Markdown and CSV, with printed numbers, tests and notes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import CaseError
from ..core.files import explain_write_errors, write_report, write_text
from ..core.words import counted
from ..evaluation.measures import measure
from ..evaluation.metrics import ET_FILTERED
from ..evaluation.printed import slip
from ..evaluation.significance import compare_evaluations
from ..evaluation.tables import markdown_lines, score_notes
from .grids import ALL, Grid, Printed, Scored, grid_of
from .study import DataSet, Study


def write_tables(
    study: Study,
    data: DataSet,
    rows: Sequence[Scored],
    notes: Sequence[str],
    printed: Printed,
    output: Path,
    one_division: bool,
) -> dict[str, Any]:
    """Write ``NAME.md``, ``NAME.json`` and for each metric a CSV file and its pictures into ``output``.

    Args:
        study: whose table it is.
        data: the data set that printed numbers are of.
        rows: in the table's order.
        notes: sentences about who trained and how long.
        printed: looks up printed numbers.
        output: of the study.
        one_division: whether all evaluations are of the same cases, so that rows can be tested.

    Returns:
        ``study``, ``tables`` (by metric the lines of cells), ``tests`` and ``markdown``.

    Raises:
        CaseError: the folder cannot be written to.
    """
    from .figures import draw_figures  # matplotlib, which lists of runs do without

    tables = {metric: grid_of(study, rows, printed, metric) for metric in study.metrics}
    tests = [test for metric in study.metrics for test in _tests(rows, metric)] if one_division else []
    of = f", {study.source}" if study.source else ""
    parts = [f"# {study.name}: {study.title}{of}\n"]
    for metric, grid in tables.items():
        parts.append(markdown_lines(grid[0], grid[1:]))
        own = [test for test in tests if test["metric"] == metric]
        parts += [markdown_lines(*_tests_grid(own))] if own else []
    lines = [*notes, *_notes(study, data, rows, tests, one_division)]
    markdown = "\n".join([*parts, "".join(f"- {line}\n" for line in lines)])
    result = {"study": study.name, "data_set": data.name, "tables": tables, "tests": tests}
    names = {metric: study.name if len(tables) == 1 else f"{study.name}-{metric}" for metric in tables}
    with explain_write_errors(output, "Choose another folder."):
        write_report(result, output / f"{study.name}.json")
        for metric, grid in tables.items():
            write_text(_as_csv(grid), output / f"{names[metric]}.csv")
        write_text(markdown, output / f"{study.name}.md")
        draw_figures(study, rows, printed, names, output)
    return {**result, "markdown": markdown}


def _tests(rows: Sequence[Scored], metric: str) -> list[dict[str, Any]]:
    """Each row against its base, where both have scores of all subsets."""
    by_name = {scored.row.name: scored for scored in rows}
    found = []
    for scored in rows:
        base = by_name.get(scored.row.base)
        ours = scored.evaluations.get(ALL, ())
        theirs = base.evaluations.get(ALL, ()) if base else ()
        if ours and theirs:
            result = compare_evaluations(ours, theirs, metric)
            found.append({"name": scored.row.name, "against": scored.row.base, **result})
    return found


def _tests_grid(tests: Sequence[Mapping[str, Any]]) -> tuple[list[str], Grid]:
    metric = tests[0]["metric"]
    factor, unit = (100, "% points") if metric == "dice" else (1, "mm")
    head = [f"{measure(metric).title} difference, {unit}", "cases"]
    tested = dict.fromkeys(name for test in tests for name in test["regions"])
    regions = [name for name in tested if name != ET_FILTERED]
    head += [title for region in regions for title in (region, f"p {region}", f"r {region}")]
    body = []
    for test in tests:
        line = [f"{test['name']} less {test['against']}", str(test["cases"])]
        for region in regions:
            one = test["regions"].get(region)
            line += (
                [f"{factor * one['difference']:+.2f}", f"{one['p_holm']:.3g}", f"{one['effect']:+.2f}"]
                if one
                else [""] * 3
            )
        body.append(line)
    return head, body


def _notes(
    study: Study,
    data: DataSet,
    rows: Sequence[Scored],
    tests: Sequence[Mapping[str, Any]],
    one_division: bool,
) -> list[str]:
    """What readers must know to compare the numbers."""
    evaluations = [one for scored in rows for members in scored.evaluations.values() for one in members]
    most = max((len(members) for scored in rows for members in scored.evaluations.values()), default=0)
    lines = [
        "A number is the mean over test cases, of an average over subsets the plain mean of these; over "
        f"{counted(most, 'training')} for each row, \N{PLUS-MINUS SIGN} sample standard deviation.",
    ]
    lines += score_notes(evaluations[0]) if evaluations else []
    if study.source:
        lines.append(
            f"Printed: {study.source}, {data.name}, as the paper has them. They are of other cases, seeds "
            "and code, so nothing is tested against them."
        )
    lines += [sentence for sentence in (slip(study.source, data.name),) if sentence]
    if study.source and study.et_filtered:
        lines.append(
            f"Printed ET stands beside {ET_FILTERED}, since ET columns of this family of papers are most "
            "likely those after this rule."
        )
    if tests:
        lines.append(
            "p: two-sided Wilcoxon signed-rank test over cases on each case's mean over subsets and seeds, "
            "Holm-corrected for the regions; r: matched-pairs rank-biserial correlation, -1 to 1."
        )
        lines += sorted({test["note"] for test in tests} - {""})
    if not one_division:
        lines.append("Rows are not tested, since the test cases of the splits overlap.")
    return lines


def _as_csv(grid: Grid) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(grid)
    return buffer.getvalue()


def check_output(output: Path) -> None:
    """Refuse a file in place of the folder.

    Raises:
        CaseError: it is one.
    """
    if output.exists() and not output.is_dir():
        raise CaseError(f"{output} is a file, not a folder. Choose another --output.")
