"""The pictures beside a study's table: means, scores by subset, and one case as each network sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from ..core.labels import CAVITY_REGION, REGIONS
from ..core.modalities import SUBSETS, subset_name
from ..evaluation.case_picture import picture_case
from ..evaluation.metrics import ET_FILTERED
from ..evaluation.table_picture import PicturedLine, draw_means, draw_subsets
from ..inference.student import Student
from ..networks.adamm import AdaMM
from .grids import ALL, Printed, Scored
from .network_figures import draw_course, draw_likeness, draw_sizes
from .study import Study


def draw_figures(
    study: Study, rows: Sequence[Scored], printed: Printed, of_metric: Mapping[str, str], output: Path
) -> None:
    """Write for each metric ``NAME.png``, means beside printed ones, and ``NAME-subsets.png``.

    Args:
        study: whose rows they are.
        rows: in the table's order; those that are absent or have a network for each subset are left out.
        printed: looks up printed numbers.
        of_metric: beginnings of the files' names by metric.
        output: folder.
    """
    for metric, name in of_metric.items():
        lines = [line for row in rows if (line := _line(row, printed, metric))]
        if lines:
            title, source = f"{study.name}: {study.title}", study.source
            if study.et_filtered and metric == "dice":
                source += f", whose ET is most likely {ET_FILTERED}"
            draw_means(lines, metric, f"{title}\nmean of all subsets", output / f"{name}.png", source)
            draw_subsets(lines, metric, f"{title}\nby the sequences given", output / f"{name}-subsets.png")


def draw_networks(
    study: Study,
    rows: Sequence[Scored],
    printed: Printed,
    students: Mapping[str, Path],
    epochs: Mapping[str, int],
    output: Path,
) -> None:
    """Write what there is to tell of the networks themselves, for the first metric of the study.

    ``NAME-sizes.png`` where they differ in their parameters, ``NAME-course.png`` where rows differ in the
    length of a stage (:attr:`.study.Study.course`), and ``NAME-adapters.png`` of the first network that has
    adapters for each subset.

    Args:
        study, rows, printed: as in :func:`draw_figures`.
        students: files by name of their row, of the first seed; those that are absent are left out.
        epochs: by name of the row those of the stage ``study.course``.
        output: folder.
    """
    metric, title = study.metrics[0], f"{study.name}: {study.title}"
    there = {name for name, path in students.items() if path.is_file()}
    lines = [line for row in rows if (line := _line(row, printed, metric)) and line.name in there]
    networks = {line.name: Student.load(students[line.name]).network for line in lines}
    kinds = {row.row.name: row.row.training.network for row in rows if row.row.training}
    sizes = {
        name: (kinds[name], sum(one.numel() for one in network.parameters()))
        for name, network in networks.items()
    }
    if len({parameters for _, parameters in sizes.values()}) > 1:
        draw_sizes(lines, sizes, metric, f"{title}\nsize and score", output / f"{study.name}-sizes.png")
    if study.course and lines:
        names = [row.row for row in rows if row.row.name in networks]
        places = {row.name: (row.base or row.name, epochs[row.name]) for row in names}
        path = output / f"{study.name}-course.png"
        draw_course(lines, places, study.course, metric, title, path)
    adapted = (name for name, network in networks.items() if isinstance(network, AdaMM))
    if name := next(adapted, None):
        likeness = networks[name].banks.likeness()
        path = output / f"{study.name}-adapters.png"
        draw_likeness(*likeness, f"{name}: likeness of the adapters of each subset", path)


def _line(scored: Scored, printed: Printed, metric: str) -> PicturedLine | None:
    """A row as it is pictured; None where there is nothing of all subsets."""
    if not scored.evaluations.get(ALL):
        return None
    regions = (*REGIONS, CAVITY_REGION)
    by_subset = {
        name: {region: fmean(found) for region in regions if (found := scored.numbers(name, region, metric))}
        for name in map(subset_name, SUBSETS)
    }
    return PicturedLine(
        scored.row.name,
        {name: values for name, values in by_subset.items() if values},
        {region: found for region in regions if (found := scored.numbers(ALL, region, metric))},
        _printed(scored, printed, metric),
    )


def _printed(scored: Scored, printed: Printed, metric: str) -> dict[str, float]:
    """What the paper prints of each region."""
    if not scored.row.printed:
        return {}
    found = {region: printed(scored.row.printed, ALL, region, metric) for region in REGIONS}
    return {region: number for region, number in found.items() if number is not None}


def draw_case(
    students: Mapping[str, Path], data: Path, case: str, output: Path, convention: str | None, device: str
) -> None:
    """One case as each row's first network sees it, unless the picture is as new as all of them.

    Args:
        students: files by name of their row; those that are absent are left out.
        data: folder that the case lies in.
        case: its name.
        output: folder for the picture.
        convention: label convention.
        device: where to predict.
    """
    there = {name: path for name, path in students.items() if path.is_file()}
    picture = output / f"{case}.png"
    drawn = picture.stat().st_mtime if picture.is_file() else 0.0
    if any(path.stat().st_mtime > drawn for path in there.values()):
        picture_case(there, data, case, None, output, convention, device)
