"""Whether the colors of all pictures and panels can be seen and told apart: ``make picture-check``.

Prints two Markdown tables, contrast and difference, and ends with 1 where one of them is not met: text has a
contrast of 4.5 with its background, lines and signs have 3 (WCAG 2.2, level AA); colors that mean different
things differ by 10 or more (CIEDE2000) with every kind of color vision, or something beside color tells them
apart, which helps in print too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import matplotlib

import slicer_standin
from color_vision import VISIONS, Color, contrast, difference, from_hex
from MissingModalityLib.core.segments import CURVE_COLORS, SEGMENTS
from MissingModalityLib.evaluation import heatmap
from MissingModalityLib.evaluation.tables import markdown_lines

TEXT, LINE = 4.5, 3.0
"""Least contrast."""

LEAST_DIFFERENCE = 10.0

BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

STYLES: Mapping[str, tuple[Color, Color]] = {
    "light": (from_hex("#ededed"), BLACK),
    "dark": (from_hex("#353535"), WHITE),
}
"""Background and text of windows in Slicer's two styles."""


@dataclass(frozen=True)
class Contrast:
    """A color on a background, and the contrast that it needs."""

    what: str
    color: Color
    background: Color
    least: float

    @property
    def ratio(self) -> float:
        return contrast(self.color, self.background)

    @property
    def is_met(self) -> bool:
        return self.ratio >= self.least


@dataclass(frozen=True)
class Difference:
    """Two colors that mean different things, and the sign beside color that tells them apart, or ""."""

    what: str
    first: Color
    second: Color
    sign: str

    @property
    def seen(self) -> list[float]:
        """By kind of vision."""
        return [difference(self.first, self.second, vision) for vision in VISIONS]

    @property
    def is_met(self) -> bool:
        return bool(self.sign) or min(self.seen) >= LEAST_DIFFERENCE


def contrasts() -> list[Contrast]:
    """Everything that is drawn or written on a background."""
    grades = _grade_colors()
    return [
        *(Contrast(f"outline of {one.id}, drawings", one.unit_color, BLACK, LINE) for one in SEGMENTS),
        *(Contrast(f"text of {level}, drawings", (level,) * 3, BLACK, TEXT) for level in (1.0, 0.8, 0.6)),
        *(
            Contrast(f"curve of {name}, plots", from_hex(color), WHITE, LINE)
            for name, color in CURVE_COLORS.items()
        ),
        min(_heatmap_numbers(), key=lambda number: number.ratio),
        *(
            Contrast(f"sign {sign}, panel, {style}", from_hex(color), background, LINE)
            for sign, color in grades.items()
            for style, (background, _) in STYLES.items()
        ),
        *(Contrast(f"text, panel, {style}", text, ground, TEXT) for style, (ground, text) in STYLES.items()),
    ]


def differences() -> list[Difference]:
    """Every two colors of one picture."""
    grades = _grade_colors()
    segments = {one.id: (one.unit_color, f"{one.line} line") for one in SEGMENTS}
    curves = {name: (from_hex(color), f"marker of {name}") for name, color in CURVE_COLORS.items()}
    signs = {sign: (from_hex(color), f"sign {sign}") for sign, color in grades.items()}
    return [*_pairs("drawings", segments), *_pairs("plots", curves), *_pairs("panel", signs)]


def _pairs(where: str, things: Mapping[str, tuple[Color, str]]) -> Iterable[Difference]:
    for (one, (first, mark)), (other, (second, their_mark)) in combinations(things.items(), 2):
        sign = f"{mark}, {their_mark}" if mark != their_mark else ""
        yield Difference(f"{one} and {other}, {where}", first, second, sign)


def _grade_colors() -> dict[str, str]:
    """Colors of grades by their sign."""
    panel: Any = slicer_standin.load_module("MissingModalitySegLib.expectationsection")
    return {panel.SIGNS[grade]: color for grade, color in panel.COLORS.items()}


def _heatmap_numbers() -> Iterable[Contrast]:
    colors = matplotlib.colormaps[heatmap.COLORS]
    for percent in range(101):
        text = BLACK if heatmap.is_bright(percent / 100) else WHITE
        yield Contrast("faintest number, heat map", text, colors(percent / 100)[:3], TEXT)


def report(of_contrast: Iterable[Contrast], of_difference: Iterable[Difference]) -> str:
    """Both tables as Markdown."""
    ratios = [
        (one.what, _hex(one.color), _hex(one.background), f"{one.ratio:.1f}", f"{one.least}", _met(one))
        for one in of_contrast
    ]
    distances = [
        (one.what, *(f"{seen:.0f}" for seen in one.seen), one.sign or "nothing", _met(one))
        for one in of_difference
    ]
    return "\n".join(
        (
            markdown_lines(("contrast", "color", "on", "ratio", "least", ""), ratios),
            markdown_lines(("difference (CIEDE2000)", *VISIONS, "beside color", ""), distances),
        )
    )


def _met(rule: Contrast | Difference) -> str:
    return "ok" if rule.is_met else "NOT MET"


def _hex(color: Color) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in color)


def main() -> int:
    """Print the tables; 1 where a rule is not met."""
    found = contrasts(), differences()
    print(report(*found))
    return 0 if all(rule.is_met for rules in found for rule in rules) else 1


if __name__ == "__main__":
    slicer_standin.install()
    sys.exit(main())
