"""Evaluations side by side: one table of means, spreads over seeds, and tests against the first line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ..core.errors import OptionError
from ..core.files import (
    explain_write_errors,
    leaving_no_empty_folder,
    write_report,
    write_text,
    written_together,
)
from ..core.kinds import checked
from ..core.labels import CAVITY_REGION, REGIONS
from ..core.words import counted
from .averages import tells_cavity
from .evaluate import read_evaluation
from .hd95_rules import definition_of
from .measures import METRICS, measure
from .metrics import scored_regions
from .printed import PrintedTable, printed_table
from .significance import Evaluation, check_comparable, compare_evaluations
from .tables import PRINTED_ORDER, dots, markdown_lines, score_notes, spread_text

Column = tuple[str, str, str]
"""Metric, group of subsets and region of a column of numbers."""

TABLE_FILE, REPORT_FILE, PICTURE_FILE = "comparison.md", "comparison.json", "comparison.png"


@checked
def compare_folders(
    folders: Sequence[Path | str] | Mapping[str, Sequence[Path | str]],
    output: Path | str | None = None,
    published: str | None = None,
) -> dict[str, Any]:
    """Put evaluations side by side in one table.

    Args:
        folders: folders that :func:`.evaluate.evaluate_folder` has written, one per line of the
            table, which is called like the folder; or the name of each line with its folders, one per seed.
            All of the same cases. The first line is what the others are tested against.
        output: folder for ``comparison.md``, ``comparison.json`` and ``comparison.png``, the Dice of every
            line by subset; made if absent.
        published: a key of :func:`.printed.printed_tables`; its averages stand below as they were printed,
            and are not tested.

    Returns:
        ``hd95_rule``, ``hd95_definition``, ``cases`` (how many); ``lines``: per line ``name``, ``seeds``,
        ``scores``, one per entry of :func:`columns` with ``metric``, ``subsets``, ``region``, ``mean`` and
        ``spread`` (sample standard deviation over seeds, None for one; both None where no subset belongs to
        the group, or the line has not scored the region), and ``subsets``: by subset, metric and region the
        mean over cases, averaged over seeds; ``tests``: ``name``, ``against`` (the first line) and what
        :func:`.significance.compare_evaluations` returns;
        ``uneven``: a sentence where lines are over different predictions, else empty;
        ``printed``: None, or ``source``, ``data``, ``protocol`` and ``lines`` like the others of a
        published table; ``markdown``: the tables.

    Raises:
        CaseError: a folder holds no evaluation, they are not comparable, or the output cannot be written.
        OptionError: no folder given, one twice in a line, two lines of one name, or no such published table.
    """
    table = None if published is None else printed_table(published)
    named = folders if isinstance(folders, Mapping) else _named(folders)
    groups = {
        name: [read_evaluation(folder) for folder in _each_once(name, members)]
        for name, members in named.items()
    }
    if not groups or not all(groups.values()):
        raise OptionError("Nothing to compare. Give at least one folder of an evaluation for every line.")
    (baseline, reference), *others = groups.items()
    # HD95 stands in every table, so what it means must agree whatever is tested
    for evaluations in groups.values():
        for evaluation in evaluations:
            check_comparable(reference[0], evaluation, "hd95")
    head = columns(any(tells_cavity(one) for evaluations in groups.values() for one in evaluations))
    comparison: dict[str, Any] = {
        "hd95_rule": reference[0]["hd95_rule"],
        "hd95_definition": definition_of(reference[0]),
        "cases": len(reference[0]["cases"]),
        "lines": [_line(name, evaluations, head) for name, evaluations in groups.items()],
        "tests": [
            {"name": name, "against": baseline, **compare_evaluations(evaluations, reference)}
            for name, evaluations in others
        ],
        "uneven": _uneven(groups),
        "printed": _printed(table, head) if table else None,
    }
    comparison["markdown"] = _markdown(comparison)
    if output is not None:
        _write(comparison, Path(output))
    return comparison


def columns(cavity: bool) -> tuple[Column, ...]:
    """Every column of numbers of a comparison, with those of the resection cavity or without."""
    return (
        *(("dice", "all", region) for region in scored_regions(cavity)),
        ("dice", "with FLAIR", "WT"),
        ("dice", "with T1ce", "TC"),
        ("dice", "with T1ce", "ET"),
        *(("hd95", "all", region) for region in (*REGIONS, *[CAVITY_REGION] * cavity)),
    )


def _named(folders: Sequence[Path | str]) -> dict[str, list[Path]]:
    """One line per folder, called like it, with its parent's name where that is needed to tell them apart."""
    paths = [Path(os.path.realpath(folder)) for folder in folders]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):  # such as RUN/evaluation of several runs
        names = [f"{path.parent.name}/{path.name}" for path in paths]
    if len(set(names)) < len(names):
        raise OptionError("Two folders of an evaluation have the same name. Give each line a name.")
    return {name: [path] for name, path in zip(names, paths, strict=True)}


def _each_once(name: str, folders: Sequence[Path | str]) -> list[Path]:
    """The folders of a line; one given twice would count as two seeds that agree."""
    paths = list(map(Path, folders))
    for folder in paths:
        if sum(os.path.realpath(folder) == os.path.realpath(other) for other in paths) > 1:
            raise OptionError(f"{name}: '{folder}' was given twice. Give the folder of each seed once.")
    return paths


def _line(name: str, evaluations: Sequence[Evaluation], head: Sequence[Column]) -> dict[str, Any]:
    scores = []
    for metric, group, region in head:
        found = [
            evaluation["averages"][group][metric][region]
            for evaluation in evaluations
            if region in evaluation["averages"].get(group, {}).get(metric, ())
        ]
        spread = stdev(found) if len(found) > 1 else None
        mean = fmean(found) if found else None
        scores.append({"metric": metric, "subsets": group, "region": region, "mean": mean, "spread": spread})
    return {
        "name": name,
        "seeds": len(evaluations),
        "scores": scores,
        "subsets": _subsets(evaluations),
    }


def _uneven(groups: Mapping[str, Sequence[Evaluation]]) -> str:
    """A sentence where some lines lack predictions that others have: their means are of other things."""
    predicted = {
        name: [{(row["case"], row["subset"]) for row in evaluation["rows"]} for evaluation in evaluations]
        for name, evaluations in groups.items()
    }
    everything = [pairs for seeds in predicted.values() for pairs in seeds]
    if all(pairs == everything[0] for pairs in everything):
        return ""
    sizes = []
    for name, seeds in predicted.items():
        pairs = set.union(*seeds)
        subsets = counted(len({subset for _, subset in pairs}), "subset")
        sizes.append(f"{name} of {counted(len(pairs), 'prediction')} from {subsets}")
    return (
        f"Lines are not of the same predictions: {', '.join(sizes)}. Their means cannot be held against each "
        "other; the tests are of those that both sides have."
    )


def _printed(table: PrintedTable, head: Sequence[Column]) -> dict[str, Any]:
    """A published table as comparisons hold it; what it does not print is None."""
    lines = []
    for name, values in table.lines.items():
        scores = [
            {
                **{"metric": metric, "subsets": group, "region": region},
                **{"mean": values.get((metric, region)) if group == "all" else None, "spread": None},
            }
            for metric, group, region in head
        ]
        lines.append({"name": name, "scores": scores})
    return {"source": table.source, "data": table.data, "protocol": table.protocol, "lines": lines}


def _subsets(evaluations: Sequence[Evaluation]) -> dict[str, dict[str, dict[str, float]]]:
    """By subset, metric and region the mean over seeds of the mean over cases."""
    seeds = [{entry["subset"]: entry for entry in evaluation["subsets"]} for evaluation in evaluations]
    regions = [*REGIONS, *[CAVITY_REGION] * all(map(tells_cavity, evaluations))]
    return {
        name: {
            metric: {region: fmean(seed[name][metric][region] for seed in seeds) for region in regions}
            for metric in METRICS
        }
        for name in seeds[0]
        if all(name in seed for seed in seeds)
    }


def _markdown(comparison: Mapping[str, Any]) -> str:
    head = ["", "seeds"]
    for score in comparison["lines"][0]["scores"]:
        title = f"{measure(score['metric']).title} {score['region']}"
        head.append(title if score["subsets"] == "all" else f"{title} {score['subsets']}")
    body = [[line["name"], str(line["seeds"]), *map(_cell, line["scores"])] for line in comparison["lines"]]
    printed = comparison["printed"]
    if printed:
        body += [[line["name"], "printed", *map(_cell, line["scores"])] for line in printed["lines"]]
    parts = [markdown_lines(head, body)]
    if comparison["tests"]:
        parts.append(_tests_table(comparison["tests"]))
    parts += [_subsets_table(comparison["lines"], metric) for metric in METRICS]
    lines = [
        f"{counted(comparison['cases'], 'case')}. A number is the plain mean over subsets of the means over "
        "cases, averaged over seeds, \N{PLUS-MINUS SIGN} sample standard deviation over seeds.",
        *filter(None, [comparison["uneven"]]),
        *score_notes(comparison),
    ]
    if printed:
        lines.append(
            f"printed: averages as the {printed['source']} has them, on {printed['data']}, by its own split "
            f"and protocol; they are not tested against. {printed['protocol']}".rstrip()
        )
    if comparison["tests"]:
        lines.append(
            "p: two-sided Wilcoxon signed-rank test over cases on each case's mean over subsets (and seeds), "
            "Holm-corrected for the regions; r: matched-pairs rank-biserial correlation, -1 to 1."
        )
        lines += sorted({test["note"] for test in comparison["tests"]} - {""})
    return "\n".join([*parts, "".join(f"- {line}\n" for line in lines)])


def _subsets_table(lines: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Every line's means of every subset, side by side for each region."""
    title = measure(metric).title
    head = [modality.title for modality in PRINTED_ORDER]
    # a column for each line that has scored the region
    shown = [
        (region, number)
        for region in (*REGIONS, CAVITY_REGION)
        for number, line in enumerate(lines)
        if all(region in means[metric] for means in line["subsets"].values())
    ]
    head += [f"{title} {region} {lines[number]['name']}" for region, number in shown]
    body = []
    for name in lines[0]["subsets"]:
        if all(name in line["subsets"] for line in lines):
            entries = [line["subsets"][name][metric] for line in lines]
            means = [spread_text(entries[number][region], None, metric) for region, number in shown]
            body.append([*dots(name), *means])
    return markdown_lines(head, body)


def _tests_table(tests: Sequence[Mapping[str, Any]]) -> str:
    head = ["Dice difference, % points", "n"]
    tested = list(dict.fromkeys(region for test in tests for region in test["regions"]))
    for region in tested:
        head += [region, f"p {region}", f"r {region}"]
    body = []
    for test in tests:
        cells = [f"{test['name']} less {test['against']}", str(test["cases"])]
        for region in tested:
            result = test["regions"].get(region)
            cells += (
                [
                    f"{100 * result['difference']:+.1f}",
                    f"{result['p_holm']:.3g}",
                    f"{result['effect']:+.2f}",
                ]
                if result
                else [""] * 3
            )
        body.append(cells)
    return markdown_lines(head, body)


def _cell(score: Mapping[str, Any]) -> str:
    return "" if score["mean"] is None else spread_text(score["mean"], score["spread"], score["metric"])


def _write(comparison: dict[str, Any], output: Path) -> None:
    report = {name: value for name, value in comparison.items() if name != "markdown"}
    with leaving_no_empty_folder(output), explain_write_errors(output, "Choose another output folder."):
        output.mkdir(parents=True, exist_ok=True)
        paths = (output / REPORT_FILE, output / TABLE_FILE, output / PICTURE_FILE)
        with written_together(*paths) as (whole, table, picture):
            write_report(report, whole)
            write_text(comparison["markdown"], table)
            _draw(comparison, picture)


def _draw(comparison: Mapping[str, Any], path: Path) -> None:
    from .table_picture import PicturedLine, draw_subsets  # matplotlib is not needed to compare

    lines = []
    for line in comparison["lines"]:
        by_subset = {
            name: {region: 100 * value for region, value in means["dice"].items()}
            for name, means in line["subsets"].items()
        }
        means = {
            score["region"]: [100 * score["mean"]]
            for score in line["scores"]
            if (score["metric"], score["subsets"]) == ("dice", "all") and score["mean"] is not None
        }
        lines.append(PicturedLine(line["name"], by_subset, means))
    draw_subsets(lines, "dice", f"{counted(comparison['cases'], 'case')}, by the sequences given", path)
