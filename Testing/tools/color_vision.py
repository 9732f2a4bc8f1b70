"""How well colors are told apart: contrast as WCAG counts it, and differences as color-blind people see them.

Sources: contrast, W3C, Web Content Accessibility Guidelines 2.2, "relative luminance" and "contrast ratio";
simulation of dichromats, Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of
Color Vision Deficiency", IEEE TVCG 15(6), 2009, matrices of severity 1 for linear RGB; difference, Sharma, Wu
and Dalal, "The CIEDE2000 Color-Difference Formula", Color Research and Application 30(1), 2005.
"""

from __future__ import annotations

from math import atan2, cos, degrees, exp, hypot, radians, sin, sqrt

import numpy as np

Color = tuple[float, float, float]
"""Red, green, blue of sRGB, 0..1."""

VISIONS: dict[str, np.ndarray] = {
    "normal": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
"""What each kind of vision makes of linear RGB."""

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(axis=1)
_LUMINANCE = (0.2126, 0.7152, 0.0722)


def from_hex(text: str) -> Color:
    """``"#2e9e44"`` -> its three numbers."""
    red, green, blue = (int(text[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def contrast(first: Color, second: Color) -> float:
    """Contrast ratio, 1..21: WCAG asks for 4.5 of text and 3 of signs and lines (1.4.3 and 1.4.11)."""
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def difference(first: Color, second: Color, vision: str = "normal") -> float:
    """CIEDE2000 between two colors as someone of a kind of :data:`VISIONS` sees them."""
    return ciede2000(_lab(first, VISIONS[vision]), _lab(second, VISIONS[vision]))


def _linear(color: Color) -> np.ndarray:
    values = np.asarray(color, float)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _luminance(color: Color) -> float:
    return float(_linear(color) @ _LUMINANCE)


def _lab(color: Color, vision: np.ndarray) -> Color:
    seen = np.clip(vision @ _linear(color), 0, 1)
    ratios = _TO_XYZ @ seen / _WHITE
    x, y, z = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(first: Color, second: Color) -> float:
    """Color difference of two colors L*, a*, b*; the names are those of Sharma et al., equations 2 to 22."""
    (light1, a1, b1), (light2, a2, b2) = first, second
    mean_c7 = ((hypot(a1, b1) + hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * sqrt(mean_c7 / (mean_c7 + 25.0**7))
    c1, c2 = hypot(stretch * a1, b1), hypot(stretch * a2, b2)
    hue1, hue2 = _hue(stretch * a1, b1), _hue(stretch * a2, b2)
    turn = _turn(hue1, hue2) if c1 * c2 else 0.0
    delta_h = 2 * sqrt(c1 * c2) * sin(radians(turn) / 2)
    light, chroma = (light1 + light2) / 2, (c1 + c2) / 2
    hue = (hue1 + turn / 2) % 360 if c1 * c2 else hue1 + hue2
    weight_l = 1 + 0.015 * (light - 50) ** 2 / sqrt(20 + (light - 50) ** 2)
    weight_c = 1 + 0.045 * chroma
    weight_h = 1 + 0.015 * chroma * _tones(hue)
    parts = (light2 - light1) / weight_l, (c2 - c1) / weight_c, delta_h / weight_h
    return sqrt(sum(part**2 for part in parts) + _rotation(hue, chroma) * parts[1] * parts[2])


def _hue(a: float, b: float) -> float:
    return degrees(atan2(b, a)) % 360


def _turn(first: float, second: float) -> float:
    """From one hue to another the shorter way, -180..180 degrees."""
    turn = second - first
    return turn - 360 if turn > 180 else turn + 360 if turn < -180 else turn


def _tones(hue: float) -> float:
    return (
        1
        - 0.17 * cos(radians(hue - 30))
        + 0.24 * cos(radians(2 * hue))
        + 0.32 * cos(radians(3 * hue + 6))
        - 0.20 * cos(radians(4 * hue - 63))
    )


def _rotation(hue: float, chroma: float) -> float:
    """Interaction of chroma and hue in the blues."""
    strength = 2 * sqrt(chroma**7 / (chroma**7 + 25.0**7))
    return -strength * sin(radians(60 * exp(-(((hue - 275) / 25) ** 2))))
