"""Colors that can be seen and told apart by everyone, and the formulas that say so."""

from __future__ import annotations

import pytest

import color_vision
import picture_check
import slicer_standin
from picture_check import BLACK, WHITE, Contrast, Difference

slicer_standin.install()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # of Sharma, Wu and Dalal 2005, Table 1: chroma and hue of the blues, hues across 180 degrees, grays
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_differences_are_those_that_were_published(first, second, expected: float) -> None:
    assert color_vision.ciede2000(first, second) == pytest.approx(expected, abs=5e-5)
    assert color_vision.ciede2000(second, first) == pytest.approx(expected, abs=5e-5)


def test_contrast_runs_from_1_to_21() -> None:
    assert color_vision.contrast(WHITE, BLACK) == pytest.approx(21)
    assert color_vision.contrast(BLACK, BLACK) == 1
    # the lightest gray that has 4.5 on white
    assert color_vision.contrast(color_vision.from_hex("#767676"), WHITE) == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("vision", color_vision.VISIONS)
def test_every_vision_sees_grays_as_grays(vision: str) -> None:
    seen = color_vision.VISIONS[vision].sum(axis=1)
    assert seen == pytest.approx([1, 1, 1], abs=1e-5)


def test_red_and_green_are_hard_to_tell_apart_for_those_who_lack_one_kind_of_cones() -> None:
    red, green = color_vision.from_hex("#a05030"), color_vision.from_hex("#6f6a30")
    normal = color_vision.difference(red, green)
    assert color_vision.difference(red, green, "deutan") < 0.5 * normal


def test_all_colors_can_be_seen_and_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert picture_check.main() == 0
    shown = capsys.readouterr().out
    assert "NCR and ED, drawings" in shown and "dotted line, dashed line" in shown


def test_what_cannot_be_seen_is_told() -> None:
    faint = Contrast("gray on gray", (0.5,) * 3, (0.6,) * 3, picture_check.TEXT)
    alike = Difference("two reds", (1.0, 0.0, 0.0), (0.98, 0.0, 0.0), "")
    assert not faint.is_met and not alike.is_met
    assert Difference("two reds", alike.first, alike.second, "two markers").is_met
    assert picture_check.report([faint], [alike]).count("NOT MET") == 2
