"""What an evaluation measures: names, titles and units of every score, light enough to be listed by help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..core.errors import OptionError
from ..core.words import unknown_name


@dataclass(frozen=True)
class Measure:
    """How tables print a score.

    Attributes:
        title: of its columns.
        meaning: a sentence for the notes below a table; empty for those that have their own.
        factor: what the stored number is multiplied by: 100 for shares, printed in %.
        decimals: printed.
    """

    title: str
    meaning: str = ""
    factor: int = 1
    decimals: int = 1


def _share(title: str, meaning: str = "", decimals: int = 1) -> Measure:
    return Measure(title, meaning, 100, decimals)


_LESIONS = "of the lesions, counted as lesion-wise Dice does, those that"

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "dice": _share("Dice"),
        "hd95": Measure("HD95"),
        "lesion_dice": _share("lesion-wise Dice"),
        "lesion_hd95": Measure("lesion-wise HD95"),
        "sensitivity": _share("Sensitivity", "in %, of the reference; over cases that have the region."),
        "specificity": _share("Specificity", "in %, of the image outside the reference.", 2),
        "precision": _share("Precision", "in %, of the prediction; over cases where the region was found."),
        "iou": _share("IoU", "in %, intersection over union; empty regions as in Dice."),
        "surface_dice_1mm": _share(
            "Surface Dice 1 mm", "in %, of both surfaces' voxels, those within 1 mm of the other surface."
        ),
        "surface_dice_2mm": _share(
            "Surface Dice 2 mm", "in %, of both surfaces' voxels, those within 2 mm of the other surface."
        ),
        "lesions_found": Measure("Lesions found", f"a case, {_LESIONS} the prediction reaches.", 1, 2),
        "lesions_missed": Measure("Lesions missed", f"a case, {_LESIONS} it does not reach.", 1, 2),
        "lesions_invented": Measure(
            "Lesions invented", "a case, connected pieces of the prediction that reach no lesion.", 1, 2
        ),
        "ece": _share(
            "ECE",
            "in %, expected calibration error of the region's probability inside the brain, 15 bins.",
            2,
        ),
        "brier": _share("Brier", "in %, mean squared error of the region's probability inside the brain.", 2),
    }
)
"""Scores of single predictions by the name of their column in ``cases.csv``."""

AGREEMENTS: Mapping[str, Measure] = MappingProxyType(
    {
        "volume": Measure(
            "Volume",
            "in ml: mean difference of prediction and reference, in parentheses the limits of agreement "
            "(1.96 standard deviations; Bland and Altman, The Lancet 327, 1986), and Pearson's correlation.",
        ),
        "presence_auc": _share(
            "Presence AUC",
            "in %, how well the model's statement whether a case holds the region tells cases with it from "
            "those without.",
        ),
    }
)
"""Measures of all predictions from one subset together."""

METRICS = ("dice", "hd95")
LESION_METRICS = ("lesion_dice", "lesion_hd95")
"""Of evaluations that have them; those of the first versions do not."""

TABLE_METRICS = (*METRICS, *LESION_METRICS)
"""What is printed where nothing else is asked for."""


def measure(name: str) -> Measure:
    """The measure of a name that :data:`MEASURES` or :data:`AGREEMENTS` holds."""
    return MEASURES[name] if name in MEASURES else AGREEMENTS[name]


def check_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """The names as given, each once.

    Raises:
        OptionError: one is of no measure, or there is none.
    """
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if name not in MEASURES and name not in AGREEMENTS:
            raise OptionError(unknown_name("metric", name, (*MEASURES, *AGREEMENTS)))
    if not chosen:
        raise OptionError(f"No metric was given. Choose from: {', '.join((*MEASURES, *AGREEMENTS))}.")
    return chosen
