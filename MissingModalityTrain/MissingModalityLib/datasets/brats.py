"""How the data sets of the BraTS challenges name their files, and what names say about the numbers of labels.

Sources: the naming rules of BraTS 2015 (SMIR), 2017-2021 (CBICA), 2023 and later (Synapse), and FeTS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from ..core.modalities import MODALITIES, Modality
from .layout import LABEL, FileMatch, Layout, Role, SuffixLayout, shows_another, stem

_SMIR_NAME = re.compile(
    r"^VSD\.Brain[^.]*\.(?:[^.]+\.)*?(?:MR_(?P<token>Flair|T1c|T1|T2)|OT)\.\d+$", re.IGNORECASE
)
_SMIR_START = "vsd.brain"
_SMIR_ROLES = {"flair": Modality.FLAIR, "t1c": Modality.T1CE, "t1": Modality.T1, "t2": Modality.T2}

_DERIVED = re.compile(r"mask|n4|bias|corrected|stripped|pred|prob|warp|voided|healthy", re.IGNORECASE)

# Names that tell the numbering. Pediatric cases were renumbered between years
# and radiotherapy targets are no tumor classes, so those names fix nothing.
_FETS = re.compile(r"^fets", re.IGNORECASE)
_GLIOMA_2023 = re.compile(r"^brats-gli-\d+-(\d{3})", re.IGNORECASE)
_OTHER_2023 = re.compile(r"^brats-(met|mets|ssa|men)-\d", re.IGNORECASE)
_UNCLEAR_2023 = re.compile(r"^brats-", re.IGNORECASE)
_UP_TO_2021 = re.compile(r"^brats_?(20)?(17|18|19|20|21)_", re.IGNORECASE)
_FIRST_VISIT_AFTER_TREATMENT = 100
"""BraTS 2024 numbers visits after treatment from 100 on; they came with the resection cavity as a label."""


class Brats2015(Layout):
    """``VSD.Brain.XX.O.MR_Flair.54512/VSD.Brain.XX.O.MR_Flair.54512.mha``: a folder around every file."""

    def match(self, path: Path) -> FileMatch | None:
        """See :meth:`.Layout.match`."""
        found = _SMIR_NAME.match(stem(path))
        if not found:
            return None
        folder = path.parent
        if folder.name.lower().startswith(_SMIR_START):
            folder = folder.parent
        token = found["token"]
        return FileMatch(folder, "", _SMIR_ROLES[token.lower()] if token else LABEL)

    def convention(self, case_name: str) -> str | None:
        """Always the one of 2015."""
        return "brats2015"


class Brats2021(SuffixLayout):
    """``BraTS2021_00000_flair.nii.gz``, ``..._t1ce``, ``..._seg``: 2017 to 2021."""

    # these years call sequences as this library does, so a further one needs no line here
    endings: ClassVar[Mapping[str, Role]] = {
        **{modality.name.lower(): modality for modality in MODALITIES},
        "seg": LABEL,
    }

    def convention(self, case_name: str) -> str | None:
        """That of 2021; None where the case's name speaks of another year."""
        if _UNCLEAR_2023.match(case_name):
            return None
        return "brats2021"


class Brats2023(SuffixLayout):
    """``BraTS-GLI-00000-000-t2f.nii.gz``, ``...-t1c``, ``...-seg``: 2023 and later."""

    endings: ClassVar[Mapping[str, Role]] = {
        "t2f": Modality.FLAIR,
        "t1c": Modality.T1CE,
        "t1n": Modality.T1,
        "t2w": Modality.T2,
        "seg": LABEL,
    }

    def convention(self, case_name: str) -> str | None:
        """What the case's name tells, else that of 2023, unless the name speaks of an earlier year.

        Cases of 2023 never hold the value 4, whose meaning changed (enhancing tumor up to 2021, resection
        cavity since 2024): reading a label under ``brats2023`` fails on it instead of guessing.
        """
        if _UNCLEAR_2023.match(case_name):
            return _numbering(case_name)
        return None if _UP_TO_2021.match(case_name) else "brats2023"


class Mixed(SuffixLayout):
    """Names of several years, or of later users, within one case."""

    endings: ClassVar[Mapping[str, Role]] = {
        **Brats2021.endings,
        **Brats2023.endings,
        "t1gd": Modality.T1CE,
    }

    def match(self, path: Path) -> FileMatch | None:
        """As any of the BraTS layouts."""
        return Brats2015().match(path) or super().match(path)

    def convention(self, case_name: str) -> str | None:
        """What the case's name tells."""
        return _numbering(case_name)

    def hint(self, path: Path) -> str | None:
        """Masks and results of other programs that lie beside volumes."""
        if shows_another(path):
            return "it was laid over another sequence, or is a T1 FLAIR, by its name; rename it to use it"
        return "mask or derived volume, not needed" if _DERIVED.search(stem(path)) else None


class Bids(Mixed):
    """``sub-01_ses-1_T1w.nii.gz``, ``..._ce-gad_T1w``, ``..._FLAIR``, ``..._T2w``: the standard BIDS.

    It says nothing of tumors, so labels are named as in any year of BraTS and numbered as the user says.
    """

    endings: ClassVar[Mapping[str, Role]] = {**Mixed.endings, "t1w": Modality.T1}

    def match(self, path: Path) -> FileMatch | None:
        """See :meth:`.Layout.match`."""
        return super().match(path) if path.name.lower().startswith("sub-") else None


class Fets(Mixed):
    """Cases whose name begins with ``FeTS``, files named as in any year; numbered as up to 2021."""

    def match(self, path: Path) -> FileMatch | None:
        """See :meth:`.Layout.match`."""
        found = super().match(path)
        return found if found and _FETS.match(found.case_name) else None

    def convention(self, case_name: str) -> str | None:
        """That of 2021, which FeTS took its cases from."""
        return "brats2021"


def _numbering(case_name: str) -> str | None:
    """The label convention that a case's name alone tells, or None."""
    if glioma := _GLIOMA_2023.match(case_name):
        return "brats2024" if int(glioma[1]) >= _FIRST_VISIT_AFTER_TREATMENT else "brats2023"
    if _OTHER_2023.match(case_name):
        return "brats2023"
    return "brats2021" if _UP_TO_2021.match(case_name) else None
