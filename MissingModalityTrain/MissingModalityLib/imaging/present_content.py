"""What the files of a case hold at present, as hashes; read anew only where no prepared file tells it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..datasets.case import Case
from ..datasets.prepared import LAYOUT
from .cache import cache_case, up_to_date


def present_content(case: Case, folder: Path) -> Mapping[str, str]:
    """Hashes of the voxels of a case with a label, see :func:`.content.identity`.

    Args:
        case: its files are read.
        folder: of prepared cases; nothing is written into it.

    Raises:
        CaseError: a case that is there in prepared form alone is damaged.
        ImageError, LabelError: a file of the case has gone or cannot be used.
    """
    if case.layout == LAYOUT:
        return cache_case(case, folder).content
    cached = up_to_date(case, folder)
    if cached is not None and cached.content:
        return cached.content
    # loaded here: they bring SimpleITK, which a study of prepared cases does without
    from .content import identity
    from .reading import read_label, read_study

    return identity(read_study(case).images, read_label(case, apart=True))
