"""The contract of a data set layout: what names of files and folders say about the cases in them.

A layout of another package derives from :class:`Layout` or, where the ends of file names tell what a file is,
from :class:`SuffixLayout`, and is registered in :data:`.registry.LAYOUTS`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ..core.files import IMAGE_SUFFIXES, image_suffix, is_archive
from ..core.modalities import Modality
from .case import Case, Skipped
from .detection import detect_modality

LABEL = "label"
Role = Modality | str
"""What a file is for its case: a modality or :data:`LABEL`."""

# a mask or a corrected copy of x_flair may be called mask_flair: no FLAIR volume of a case called "mask"
_DERIVED_PREFIX = re.compile(
    r"(?:^|[-_. ])(?:mask|n4\w*|bias|corrected|pred\w*|warped)(?:[-_. ]|$)", re.IGNORECASE
)

# T1_to_FLAIR shows a T1, and so does T1_FLAIR, as an inversion-prepared T1 is sold
_OF_ANOTHER = re.compile(
    r"(?:^|[-_. ])(?:(?:to|onto|into|in|(?:flair|t[12]\w*)[-_. ]2)[-_. ][a-z0-9]+|t1w?[-_. ]flair)$",
    re.IGNORECASE,
)
_T2_FLAIR = re.compile(r"(^|[-_. ])t2w?[-_. ](?=flair$)", re.IGNORECASE)

# sub-01_ses-1_acq-mprage_ce-gad: subject and session make the case, the others differ within it
_BIDS = re.compile(
    r"^(?P<case>sub-[a-z0-9]+(?:_ses-[a-z0-9]+)?)(?P<entities>(?:_[a-z]+-[a-z0-9+.]+)*)$", re.IGNORECASE
)


@dataclass(frozen=True)
class FileMatch:
    """Where a file belongs.

    Attributes:
        folder: of its case.
        prefix: what the names of its case begin with; empty when the folder is the case.
        role: a modality or LABEL.
    """

    folder: Path
    prefix: str
    role: Role

    @property
    def case_name(self) -> str:
        """The prefix, else the name of the folder."""
        return self.prefix or self.folder.resolve().name


@dataclass(frozen=True)
class FolderContents:
    """What a layout makes of a folder that holds a whole data set.

    Attributes:
        cases: its cases, with the layout's name.
        skipped: its files that belong to no case.
        entries: names of files and folders in the folder that are dealt with; nobody else looks at them.
    """

    cases: tuple[Case, ...]
    skipped: tuple[Skipped, ...]
    entries: frozenset[str]


class Layout:
    """How a data set names its files. One object serves a whole search; it is made without arguments.

    Every method has an answer that fits most layouts: a layout with one file per volume overrides
    :meth:`match`, one that only a folder as a whole explains :meth:`contents`.
    """

    def match(self, path: Path) -> FileMatch | None:
        """Which case a volume belongs to and as what, by its path alone; None for names of other layouts.

        All files of a case must match, with one folder and prefix, for the case to be of this layout.
        """
        return None

    def contents(self, folder: Path, entries: Collection[str]) -> FolderContents | None:
        """All cases of a folder that is a data set of this layout; None for any other folder.

        Args:
            folder: any folder of the search, the outermost ones first.
            entries: names of the files and folders in it.
        """
        return None

    def convention(self, case_name: str) -> str | None:
        """How a case's labels are numbered, a key of :data:`.labels.CONVENTIONS`; None where nobody knows."""
        return None

    def hint(self, path: Path) -> str | None:
        """Why a volume that no layout matches is not used, where this layout knows it."""
        return None


class SuffixLayout(Layout):
    """A layout that tells a file's role by the end of its name: ``x_flair.nii.gz``, ``x-seg.nii``.

    The end follows one of ``- _ .`` or a space, or is the whole name in a folder that is the case; capital
    letters count as small ones.
    """

    endings: ClassVar[Mapping[str, Role]]
    """Ends of names, in small letters, and the roles that they stand for."""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        endings = "|".join(map(re.escape, self.endings))
        return re.compile(rf"^(?:(?P<prefix>.*?)[-_. ])?(?P<ending>{endings})$", re.IGNORECASE)

    def match(self, path: Path) -> FileMatch | None:
        """See :meth:`Layout.match`."""
        found = self._pattern.match(_T2_FLAIR.sub(r"\1", stem(path)))
        if not found or _DERIVED_PREFIX.search(found["prefix"] or "") or shows_another(path):
            return None
        # unzipping some mirrors leaves a folder `x_flair.nii` around the file `x_flair.nii`
        folder = path.parent.parent if image_suffix(path.parent) else path.parent
        prefix = found["prefix"] or ""
        prefix = "" if prefix == folder.resolve().name else prefix
        role: Role | None = self.endings[found["ending"].lower()]
        if bids := _BIDS.match(prefix):
            prefix, role = bids["case"], _role_in_bids(role, bids["entities"])
        return None if role is None else FileMatch(folder, prefix, role)


def shows_another(path: Path) -> bool:
    """Whether a name ends in a sequence that its volume was laid over, or in the FLAIR of a T1 FLAIR."""
    return _OF_ANOTHER.search(stem(path)) is not None


def _role_in_bids(role: Role, entities: str) -> Role | None:
    """What entities such as ``ce-gad`` make of a T1; None where they tell of another kind of image."""
    return detect_modality(f"{entities}_t1w").modality if role is Modality.T1 and entities else role


def stem(path: Path) -> str:
    """A volume's name without its suffix: ``x_flair.nii.gz`` -> ``x_flair``."""
    return path.name[: len(path.name) - len(image_suffix(path))]


def unusable(path: Path) -> str | None:
    """Why a file is a volume of no layout, whatever its name, or None."""
    if path.name.startswith("._") or "__MACOSX" in path.parts:
        return "resource file of macOS"
    if path.name.startswith("."):
        return "hidden file"
    if path.name.lower().endswith(".seg.nrrd"):
        return "segmentation of Slicer; to use it as a label export it as a label map named like x_seg.nii.gz"
    if is_archive(path):
        return "an archive; unpack it first"
    return None if image_suffix(path) else f"not a volume ({', '.join(IMAGE_SUFFIXES)})"
