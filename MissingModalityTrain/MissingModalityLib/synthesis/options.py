"""Options of synthetic cases, with the paper's choices as defaults; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.aliases import OLD_SYNTHESIS_OPTIONS
from ..core.labels import CONVENTIONS
from ..core.settings import check, choice, facts, reads_old_names, setting, switch, within

SYNTHESIS_METHODS = ("aem", "mixup", "grown")
"""Tumors transplanted as asymmetry error maps, whole images mixed (the paper's comparison, Table 6), or
tumors grown from label maps."""

EARLIER_GROWING, GROWING = 2, 3
"""How tumors were grown for runs whose ``run.json`` does not say, and how they are grown now.

Part of the names of files. The earlier ones are no longer made, but read where a run has kept them.
"""

REPORT_FILE = "synthesis.json"
"""In a folder of synthetic cases: who gave and who received, and by what options."""

MOST_FACTOR = 1000
"""Real and synthetic cases together, times the real ones: for a mistyped number, which would fill a disk."""

DIFFERENCES = ("absolute", "signed", "none")
PLACEMENTS = ("aligned", "random")


@dataclass(frozen=True)
class GrownOptions:
    """How tumors grow from label maps; of the method grown alone.

    Raises:
        OptionError: a value of the wrong kind or out of its range.
    """

    label_maps: str = setting(
        "",
        "Where shapes of tumors come from: a folder of label files, or a .npz with seg (N, X, Y, Z), patient "
        "and spacing; without one, the label maps of the training cases",
        "a folder or a .npz file",
    )
    label_convention: str = setting(
        "brats2021",
        "How label_maps are numbered",
        f"one of {', '.join(CONVENTIONS)}",
        lambda value: value in CONVENTIONS,
    )
    exclude: tuple[str, ...] = setting(
        (),
        "Label maps not to use, such as those of patients to test on: names, or .txt files with a name in "
        "each line",
        "names or files joined by commas",
    )
    # beyond a half, sizes would leave the range of those in the label maps
    max_scale_change: float = within(0.0, 0.5, 0.2, "Largest relative change of a tumor's size along an axis")
    # places are those of the label map, and tumors lie along tracts: a few times a head's own tilt
    max_rotation_deg: float = within(
        0.0, 45.0, 10.0, "Largest rotation of a tumor about each axis in degrees"
    )
    bend_mm: float = within(0.0, 6.0, 2.0, "Standard deviation in mm of the bends of a tumor's outline")
    max_mass_effect_mm: float = within(
        0.0, 10.0, 5.0, "Largest distance in mm by which a tumor's core pushes the tissue around it"
    )
    contrast_jitter: float = within(
        0.0, 0.5, 0.1, "Standard deviation of contrasts relative to those of the training tumors"
    )
    low_grade_share: float = within(
        0.0, 1.0, 0.15, "Share of tumors made low-grade: no enhancement, no necrosis, a faint core"
    )
    non_enhancing_share: float = within(
        0.0, 1.0, 0.1, "Share of tumors that are not low-grade whose enhancing part is taken for the core"
    )
    thin_rim_share: float = within(
        0.0, 1.0, 0.1, "Share of the other tumors whose enhancing part is thinned to a rim of 1 to 2 mm"
    )

    def __post_init__(self) -> None:
        check(self)


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
    # 10 mm is the radius of a ball of 4 cm³: with more, small tumors would nowhere reach full intensity
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
    grown: GrownOptions = field(default_factory=GrownOptions, metadata=facts("Of the method grown"))

    def __post_init__(self) -> None:
        check(self)
