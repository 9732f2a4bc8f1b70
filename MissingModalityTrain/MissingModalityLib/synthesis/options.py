"""Options of synthetic cases, with the paper's choices as defaults; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.aliases import OLD_SYNTHESIS_OPTIONS
from ..core.settings import check, choice, reads_old_names, setting, switch, within

SYNTHESIS_METHODS = ("aem", "mixup")
"""Tumors transplanted as asymmetry error maps, or whole images mixed (the paper's comparison, Table 6)."""

DIFFERENCES = ("absolute", "signed", "none")
PLACEMENTS = ("aligned", "random")


@reads_old_names(OLD_SYNTHESIS_OPTIONS)
@dataclass(frozen=True)
class SynthesisOptions:
    """How a synthetic case is made. Defaults: AEM+KD, Sec. 3.2, without anything added to it.

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    difference: str = choice(
        "absolute",
        "Tumor minus mirror side: absolute as in the paper, signed as in its public code; none keeps the "
        "tumor's whole intensities, which is what that code calls MixUp",
        *DIFFERENCES,
    )
    # beyond a few, tumors fill the brain and overlap, and little that is healthy stays
    tumors: int = within(
        1, 8, 1, "Tumors added to each recipient, of different donors as far as there are enough"
    )
    placement: str = choice(
        "aligned",
        "Where the tumor goes: to the donor's place with the brains centered on each other, or centered on "
        "a random voxel of the recipient's brain",
        *PLACEMENTS,
    )
    clip_to_brain: bool = switch(False, "Cut off what would lie outside of the recipient's brain")
    # half is a volume of an eighth to 3.4 times the tumor's own
    max_scale_change: float = within(
        0.0, 0.5, 0.0, "Largest relative change of the tumor's size, drawn anew for every case"
    )
    max_rotation_deg: float = within(
        0.0, 180.0, 0.0, "Largest rotation of the tumor about each axis in degrees, drawn anew for every case"
    )
    flip: bool = switch(False, "Mirror the tumor along each axis in half of the cases")
    # 10 mm is the radius of a ball of 4 cm3: with more, small tumors would nowhere reach full intensity
    feather_mm: float = within(
        0.0, 10.0, 0.0, "Width in mm over which the tumor's intensities fade in from its border"
    )
    # at 10 shares lie 0.1 (standard deviation) around a half: no more, or every case mixes both alike
    mixup_alpha: float = setting(
        0.4,
        "MixUp alone: both parameters of the beta distribution that shares are drawn from",
        "more than 0, at most 10",
        lambda value: 0 < value <= 10,
    )

    def __post_init__(self) -> None:
        check(self)
