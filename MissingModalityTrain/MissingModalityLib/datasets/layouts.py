"""How data sets name their files, and what a name says about the numbering of labels.

Sources: the naming rules of BraTS 2015 (SMIR), 2017-2021 (CBICA), 2023 and later (Synapse), and FeTS.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from ..core.files import IMAGE_SUFFIXES, image_suffix
from ..core.modalities import Modality

LABEL = "label"
Slot = Modality | str
"""What a file is for its case: a modality or LABEL."""

_STYLES: dict[str, dict[str, Modality]] = {
    "brats2021": {"flair": Modality.FLAIR, "t1ce": Modality.T1CE, "t1": Modality.T1, "t2": Modality.T2},
    "brats2023": {"t2f": Modality.FLAIR, "t1c": Modality.T1CE, "t1n": Modality.T1, "t2w": Modality.T2},
    "other": {"t1gd": Modality.T1CE},
}
_TOKENS: dict[str, tuple[Slot, str]] = {
    token: (modality, style) for style, names in _STYLES.items() for token, modality in names.items()
} | {"seg": (LABEL, "")}

_SUFFIX_NAME = re.compile(rf"^(?:(?P<prefix>.*?)[-_. ])?(?P<token>{'|'.join(_TOKENS)})$", re.IGNORECASE)
_SMIR_NAME = re.compile(
    r"^VSD\.Brain[^.]*\.(?:[^.]+\.)*?(?:MR_(?P<token>Flair|T1c|T1|T2)|OT)\.\d+$", re.IGNORECASE
)
_SMIR_START = "vsd.brain"
_SMIR_TOKENS = {"flair": Modality.FLAIR, "t1c": Modality.T1CE, "t1": Modality.T1, "t2": Modality.T2}

_DERIVED = re.compile(r"mask|n4|bias|corrected|stripped|pred|prob|warp|voided|healthy", re.IGNORECASE)
_DERIVED_PREFIX = re.compile(
    r"(?:^|[-_. ])(?:mask|n4\w*|bias|corrected|pred\w*|warped)(?:[-_. ]|$)", re.IGNORECASE
)

# Names that tell the numbering. Pediatric cases were renumbered between years
# and radiotherapy targets are no tumor classes, so those names fix nothing.
_FETS = re.compile(r"^fets", re.IGNORECASE)
_GLIOMA_2023 = re.compile(r"^brats-gli-\d+-(\d{3})", re.IGNORECASE)
_OTHER_2023 = re.compile(r"^brats-(met|mets|ssa|men)-\d", re.IGNORECASE)
_UNCLEAR_2023 = re.compile(r"^brats-", re.IGNORECASE)
_UP_TO_2021 = re.compile(r"^brats_?(20)?(17|18|19|20|21)_", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where a file belongs.

    Attributes:
        folder: of its case.
        prefix: what the names of its case begin with; empty when the folder is the case.
        slot: a modality or LABEL.
        style: a naming style, empty for files whose name is the same in several.
    """

    folder: Path
    prefix: str
    slot: Slot
    style: str


def unusable(path: Path) -> str | None:
    """Why a file is not even looked at by name, or None."""
    if path.name.startswith("._") or "__MACOSX" in path.parts:
        return "resource file of macOS"
    if path.name.startswith("."):
        return "hidden file"
    if path.name.lower().endswith(".seg.nrrd"):
        return "segmentation of Slicer; to use it as a label export it as a label map named like x_seg.nii.gz"
    return None if image_suffix(path) else f"not a volume ({', '.join(IMAGE_SUFFIXES)})"


def place(path: Path) -> Place | str:
    """Which case and slot a volume belongs to by its name, or why it belongs to none."""
    stem = path.name[: len(path.name) - len(image_suffix(path))]
    if smir := _SMIR_NAME.match(stem):
        folder = path.parent
        if folder.name.lower().startswith(_SMIR_START):
            folder = folder.parent
        token = smir["token"]
        return Place(folder, "", _SMIR_TOKENS[token.lower()] if token else LABEL, "brats2015")
    match = _SUFFIX_NAME.match(stem)
    if match and not _DERIVED_PREFIX.search(match["prefix"] or ""):
        # unzipping some mirrors leaves a folder `x_flair.nii` around the file `x_flair.nii`
        folder = path.parent.parent if image_suffix(path.parent) else path.parent
        prefix = match["prefix"] or ""
        slot, style = _TOKENS[match["token"].lower()]
        return Place(folder, "" if prefix == folder.resolve().name else prefix, slot, style)
    if path.parent.name in ("imagesTr", "imagesTs", "labelsTr", "labelsTs"):
        return "file of the Decathlon; give the folder above imagesTr, where its dataset.json is"
    if _DERIVED.search(stem):
        return "mask or derived volume, not needed"
    return "the name fits no known layout (expected an ending like _flair, _t1ce, _t2w or _seg)"


def layout_of(styles: Set[str], case_name: str) -> str:
    """The layout of a case from the naming styles of its files (empty styles left out) and its name."""
    if _FETS.match(case_name):
        return "fets"
    return next(iter(styles)) if len(styles) == 1 and "other" not in styles else "mixed"


def convention_of(layout: str, case_name: str) -> str | None:
    """The label convention that a layout fixes, or None where file names and case name leave it open.

    Cases of 2023 never hold the value 4, whose meaning changed (enhancing tumor up to 2021, resection cavity
    since 2024): reading a label under ``brats2023`` fails on it instead of guessing.
    """
    if layout in ("brats2015", "msd"):
        return layout
    if layout == "fets":
        return "brats2021"
    if glioma := _GLIOMA_2023.match(case_name):
        # visits after treatment are numbered from 100 and came with the resection cavity
        by_name = "brats2024" if int(glioma[1]) >= 100 else "brats2023"
    elif _OTHER_2023.match(case_name):
        by_name = "brats2023"
    elif _UNCLEAR_2023.match(case_name):
        return None
    else:
        by_name = "brats2021" if _UP_TO_2021.match(case_name) else None
    by_style = None if layout == "mixed" else layout
    if by_name and by_style and (by_name == "brats2021") != (by_style == "brats2021"):
        return None
    return by_name or by_style
