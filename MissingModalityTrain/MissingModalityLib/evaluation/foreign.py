"""Label maps of any program scored as a student is: the same tables, tests and comparisons."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.environment import versions
from ..core.errors import ImageError
from ..core.files import file_sha256, leaving_no_empty_folder
from ..core.kinds import checked
from ..core.labels import (
    TumorClass,
    check_cavity_rule,
    to_classes,
)
from ..core.modalities import Subset, subset_name
from ..core.progress import Progress, reporter
from ..datasets.case import Case
from ..imaging.content import identity
from ..imaging.grid import Grid, corners
from ..imaging.reading import read_label, read_study
from ..imaging.volumes import read_image
from ..runtime import distributed
from .case_scores import CaseScores, Report, report_scored
from .evaluate import as_record, take_folder, write_evaluation
from .foreign_numbers import never_predicted, numbering_of
from .hd95_rules import check_definition, check_rule
from .kept_scores import KeptScores, fingerprint
from .label_maps import find_label_maps
from .measures import TABLE_METRICS, check_metrics
from .reference import Reference, Rules
from .row import Row
from .rows_file import SCORE_COLUMNS
from .scoring import cases_to_score, score_cases
from .summary import EvaluationSummary

_SAMPLES = 9
"""Places along each axis at which it is asked whether a label map covers the volume."""

_LEAST_COVERED = 0.5
"""Share of the volume that a label map on another grid has to cover; less is of another space."""

_SAME_PLACE = 0.1
"""Of a voxel: by so much rounded headers may part a volume from a label map of as many voxels."""


@checked
def evaluate_predictions(
    predictions: Path | str,
    data: Path | str,
    output: Path | str,
    labels: str | None = None,
    convention: str | None = None,
    hd95_rule: str = "penalty",
    on_progress: Progress | None = None,
    cases: Collection[str] | Path | None = None,
    resection_cavity: str = "background",
    hd95_definition: str = "directed",
    metrics: Sequence[str] = TABLE_METRICS,
) -> dict[str, Any]:
    """Score label maps that any program has written, and write what :func:`.evaluate.evaluate_folder` writes.

    Stopped at any moment, it goes on with the next case when called again, as that does.

    Args:
        predictions: folder of label maps, see :func:`.label_maps.find_label_maps`.
        data: folder of labeled cases.
        output: folder for the results.
        labels: how the label maps are numbered, a label convention; by default as the labels of the cases if
            these know all their values, else as their values tell.
        convention: of the cases' labels, where the layout does not fix it.
        hd95_rule: as the further arguments, see :func:`.evaluate.evaluate_folder`.
        on_progress: called for each label map.
        cases: names of those to score, or a text file of them.
        resection_cavity: what a labeled resection cavity counts as; one that was predicted counts
            where this is a class, and is no tumor elsewhere.
        hd95_definition: what HD95 is.
        metrics: what the tables print.

    Returns:
        As of :func:`.evaluate.evaluate_folder`; ``skipped`` names missing predictions too.

    Raises:
        CaseError: no label map can be scored, or the output folder cannot be written to, or another
            evaluation writes there.
        LabelError: the values do not tell how the label maps are numbered.
        OptionError: there is no such convention or rule, or the list names what is no labeled case.
    """
    from .heatmap import draw_heatmap  # as in evaluate: it shows before the long part if it is missing

    began = perf_counter()
    predictions, data, output = Path(predictions), Path(data), Path(output)
    check_rule(hd95_rule)
    check_definition(hd95_definition)
    metrics = check_metrics(metrics)
    check_cavity_rule(resection_cavity)
    with distributed.start("cpu"), leaving_no_empty_folder(output), ExitStack() as held:
        labeled, left_out = cases_to_score(data, convention, cases)
        maps = distributed.on_all_ranks(find_label_maps, predictions, labeled)
        known = [case for case in labeled if maps.files[case.name]]
        every = [path for files in maps.files.values() for path in files.values()]
        numbering = distributed.on_all_ranks(numbering_of, labels, every, known, predictions)
        distributed.on_rank_zero(lambda: take_folder(output, held))
        rules = Rules(hd95_rule, hd95_definition, resection_cavity)
        # all but a case that decides its scores; the folder names files in messages that are kept
        maker = {"numbering": numbering, "rules": asdict(rules), "versions": versions(), "data": str(data)}
        kept = KeptScores(output, {**maker, "scores": SCORE_COLUMNS})
        scored = score_cases(
            lambda case, report: _score_maps(case, maps.files[case.name], numbering, rules, report, kept),
            known,
            {**left_out, **maps.left_out},
            data,
            output,
            reporter(on_progress),
            lambda case: len(maps.files[case.name]),
        )

        def conclude() -> dict[str, Any]:
            facts = scored.facts(data, rules)
            doubts = [{"case": "", "warning": text} for text in never_predicted(scored.rows, numbering)]
            summary = EvaluationSummary(
                student=predictions.resolve().name,
                weights_sha256=_content(maps.files),
                device="label maps",
                prediction={"labels": numbering},
                metrics=metrics,
                **{**facts, "warnings": [*facts["warnings"], *doubts]},
                seconds=round(perf_counter() - began, 1),
            ).to_json()
            write_evaluation(summary, scored.rows, output, draw_heatmap)
            kept.remove()
            return summary

        return {**distributed.on_rank_zero(conclude), "rows": [as_record(row) for row in scored.rows]}


def _score_maps(
    case: Case,
    files: Mapping[Subset, Path],
    numbering: str,
    rules: Rules,
    report: Report,
    kept: KeptScores,
) -> CaseScores:
    """Score all label maps of a case on the grid of its first volume, as a student's results are, unless that
    has been done; keep their scores."""
    label, study = read_label(case), read_study(case)
    content = identity(study.images)
    # with their names, which messages that are kept hold
    maps = {f"{subset_name(subset)} {path.name}": file_sha256(path) for subset, path in files.items()}
    print_of_files = fingerprint(study, label, content, maps)
    if found := kept.find(case.name, print_of_files):
        report(f"{case.name}, scored before", len(files))
        return found
    grid = Grid.from_image(study.images[study.reference])
    reference = Reference(label, grid, rules, str(case.label))
    rows: list[Row] = []
    warnings = list(study.warnings)
    for subset, path in files.items():
        classes, notes = classes_on(grid, path, numbering)
        warnings += notes
        rows += reference.rows(case.name, subset, classes, {})
        report_scored(report, rows)
    scores = CaseScores(rows, reference.held, reference.has_cavity, tuple(warnings), content)
    kept.keep(case.name, print_of_files, scores)
    return scores


def classes_on(grid: Grid, path: Path, numbering: str) -> tuple[np.ndarray, list[str]]:
    """Classes of a label map on a grid, and a sentence where it was made on another one.

    Raises:
        ImageError: it cannot be read, or lies elsewhere.
        LabelError: a value is unknown to its convention.
    """
    image = read_image(path)
    own = Grid.from_image(image)
    classes = to_classes(sitk.GetArrayViewFromImage(image), numbering, str(path))
    if grid.matches(own):
        return classes, []
    covered, sides = _covered(grid, own), "x".join(map(str, grid.size))
    alike = sorted(own.size) == sorted(grid.size)
    apart = _apart(grid, own)
    if alike and apart > _SAME_PLACE * min(grid.spacing):
        raise _elsewhere(path, f"it has as many voxels, {sides}, but its header puts it {apart:.1f} mm away")
    if covered < _LEAST_COVERED:
        raise _elsewhere(path, f"{100 * covered:.0f} % of it are covered")
    resampled = grid.resample(own.to_image(classes), sitk.sitkNearestNeighbor, TumorClass.BACKGROUND)
    found = sitk.GetArrayFromImage(resampled)
    if alike:  # the same voxels, stored in another order of the axes
        return found, []
    note = f"{path.name} has a grid of its own and was resampled to the volume's (nearest label)"
    if covered < 1:
        note += f"; it covers {100 * covered:.0f} % of the volume, and is background elsewhere"
    return found, [f"{note}."]


def _elsewhere(path: Path, why: str) -> ImageError:
    return ImageError(
        f"{path} does not lie where the case's volume lies ({why}). Save it with the header of the volume "
        "that it was made of."
    )


def _apart(grid: Grid, own: Grid) -> float:
    """The largest distance in mm from a corner of one grid to the nearest one of the other."""
    between = np.linalg.norm(corners(own)[:, None] - corners(grid)[None], axis=2)
    return float(between.min(1).max())


def _covered(grid: Grid, own: Grid) -> float:
    """Share of a grid's volume that lies in another grid."""
    steps = np.array(list(np.ndindex((_SAMPLES,) * len(grid.size)))) / (_SAMPLES - 1)
    return float(own.covers(grid.points(steps * (np.array(grid.size) - 1))).mean())


def _content(files: Mapping[str, Mapping[Subset, Path]]) -> str:
    """SHA-256 of all label maps, hexadecimal, which stands where that of a student's weights does."""
    digest = hashlib.sha256()
    for case, maps in files.items():
        for subset, path in maps.items():
            digest.update(f"{case} {subset_name(subset)} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
