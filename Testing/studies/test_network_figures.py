"""Pictures of a study's networks: what stands where, and that nothing but color tells rows apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.evaluation.table_picture import PicturedLine
from MissingModalityLib.studies import network_figures
from MissingModalityLib.studies.network_figures import draw_course, draw_likeness, draw_sizes
from small_networks import small_network


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would be written."""
    figures: list[Figure] = []
    monkeypatch.setattr(network_figures, "_save", lambda figure, *_: figures.append(figure))
    return figures


def line(name: str, mean: float, printed: float | None = None) -> PicturedLine:
    """A line of two trainings, whose regions lie 10 apart."""
    means = {region: [mean - 10 * place - 1, mean - 10 * place + 1] for place, region in enumerate(REGIONS)}
    return PicturedLine(name, {}, means, {} if printed is None else dict.fromkeys(REGIONS, printed))


def test_a_point_for_each_row_stands_at_its_parameters_and_mean_score(drawn: list[Figure]) -> None:
    lines = [line("small", 40), line("small+KD", 50), line("large", 60)]
    networks = {"small": ("a", 500_000), "small+KD": ("a", 500_000), "large": ("b", 20_000_000)}
    draw_sizes(lines, networks, "dice", "title", Path())
    (axes,) = drawn[0].axes
    points = [container.lines[0] for container in axes.containers]
    assert [(one.get_xdata()[0], one.get_ydata()[0]) for one in points] == [(0.5, 30), (0.5, 40), (20, 50)]
    assert axes.get_xscale() == "log" and axes.get_xlim() == (0.25, 40)
    signs = [(one.get_color(), one.get_marker()) for one in points]
    assert len(set(signs)) == 3 and signs[0][0] == signs[1][0] != signs[2][0]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["small", "small+KD", "large"]
    assert axes.get_ylabel() == "Dice, %, mean of WT, TC, ET"


def test_curves_run_over_the_epochs_of_each_host_beside_printed_ones(drawn: list[Figure]) -> None:
    lines = [line("a+KD900", 60, 61), line("a", 40, 41), line("a+KD300", 50, 51), line("b", 30)]
    places = {"a": ("a", 0), "a+KD300": ("a", 300), "a+KD900": ("a", 900), "b": ("b", 0)}
    draw_course(lines, places, "posttrain", "dice", "title", Path())
    panel = drawn[0].axes[1]
    first = panel.containers[0].lines[0]
    assert list(first.get_xdata()) == [0, 300, 900] and list(first.get_ydata()) == [30, 40, 50]
    (printed,) = (one for one in panel.lines if one.get_label() == "a, printed")
    assert list(printed.get_ydata()) == [41, 51, 61] and printed.get_fillstyle() == "none"
    assert panel.get_xlabel() == "epochs of posttrain"
    names = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert names == ["a", "a, printed", "b"]


def test_likeness_is_one_for_equal_adapters_and_drawn_as_numbers(drawn: list[Figure]) -> None:
    banks = small_network("adamm").banks
    own = dict(banks.items())
    own["1000"].load_state_dict(own["0001"].state_dict())
    names, likeness = banks.likeness()
    torch.testing.assert_close(likeness, likeness.T)
    assert names[:4] == ["T2", "T1ce", "T1", "FLAIR"] and likeness[0, 3].item() == pytest.approx(1)
    unlike = likeness - torch.eye(len(names))
    unlike[0, 3] = unlike[3, 0] = 0
    assert unlike.abs().max() < 0.5
    assert torch.equal(banks.likeness()[1], likeness), "a fixed seed draws the features"
    draw_likeness(names, likeness.numpy(), "title", Path())
    axes = drawn[0].axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == 14 * 14 and texts[3] == "1.00"
    assert [text.get_text() for text in axes.get_yticklabels()] == names
