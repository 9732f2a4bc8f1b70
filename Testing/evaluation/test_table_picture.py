"""Tables as pictures: what stands where, and in which units."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from matplotlib.figure import Figure

from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.modalities import SUBSETS, subset_name
from MissingModalityLib.evaluation import table_picture
from MissingModalityLib.evaluation.table_picture import PicturedLine, draw_means, draw_subsets

PNG = b"\x89PNG"


def line(name: str, first: float, printed: float | None = None) -> PicturedLine:
    """A line whose subsets differ, with two trainings."""
    numbers = {subset_name(subset): first + place for place, subset in enumerate(SUBSETS)}
    mean = fmean(numbers.values())
    return PicturedLine(
        name,
        {subset: dict.fromkeys(REGIONS, number) for subset, number in numbers.items()},
        {region: [mean - 1, mean + 1] for region in REGIONS},
        {} if printed is None else dict.fromkeys(REGIONS, printed),
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were written."""
    figures: list[Figure] = []
    save = table_picture._save
    monkeypatch.setattr(table_picture, "_save", lambda *what: (figures.append(what[0]), save(*what)))
    return figures


@pytest.mark.parametrize("metric", ["dice", "hd95"])
def test_each_subset_has_a_column_under_its_dots_and_the_mean_is_last(
    metric: str, drawn: list[Figure], tmp_path: Path
) -> None:
    draw_subsets([line("host", 10), line("+AEM", 20)], metric, "title", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    dots, *panels = drawn[0].axes[: 1 + len(REGIONS)]
    full, empty = (dot.get_offsets().astype(int).tolist() for dot in dots.collections)
    assert full[0] == [0, 3] and full[-4:] == [[14, row] for row in range(4)], "T2 first, all last"
    assert empty[:3] == [[0, row] for row in range(3)] and len(full) + len(empty) == 4 * 15
    for panel in panels:
        texts = [text.get_text() for text in panel.texts]
        assert texts[:15] == [f"{10 + number:.1f}" for number in range(15)] and texts[15] == "17.0"
        assert texts[-1] == "27.0" and [one.get_text() for one in panel.get_yticklabels()] == ["host", "+AEM"]
        assert panel.images[0].get_clim() == ((0, 100) if metric == "dice" else (0, 34))
        low, high = (sum(panel.images[0].to_rgba(np.float64(value))[:3]) for value in (10, 27))
        assert (high > low) == (metric == "dice"), "bright is good"


def test_a_cavity_has_a_panel_in_which_lines_that_have_not_scored_it_stay_empty(
    drawn: list[Figure], tmp_path: Path
) -> None:
    without, scored = line("host", 10), line("ours", 20)
    for numbers in scored.subsets.values():
        numbers["RC"] = numbers["WT"] + 30
    scored.means["RC"] = [57.0]
    draw_subsets([without, scored], "dice", "title", tmp_path / "a.png")
    draw_means([without, scored], "dice", "title", tmp_path / "b.png")
    panel = drawn[0].axes[4]
    assert panel.get_title("left") == "Resection cavity (RC)"
    numbers = [text.get_text() for text in panel.texts]
    assert numbers == [*(f"{50 + number}.0" for number in range(15)), "57.0"]
    assert {round(text.get_position()[1]) for text in panel.texts} == {1}
    assert [text.get_text() for text in drawn[1].axes[3].texts] == ["57.0"]


def test_means_stand_beside_printed_ones_with_their_spread(drawn: list[Figure], tmp_path: Path) -> None:
    draw_means([line("host", 10), line("+AEM", 20, 66.5)], "dice", "title", tmp_path / "a.png", "a paper")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    panel = drawn[0].axes[0]
    assert [text.get_text() for text in panel.texts] == ["17.0", "27.0"]
    diamonds = [one.get_xdata() for one in panel.lines if one.get_marker() == "D" and len(one.get_xdata())]
    assert [list(data) for data in diamonds] == [[66.5]]
    words = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert words == ["printed: a paper", "standard deviation over 2 trainings"]
