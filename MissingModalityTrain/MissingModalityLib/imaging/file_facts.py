"""What a file of a volume holds, as it lies: to find out whether it is the one of an earlier day, unread."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.files import file_sha256, image_suffix
from ..core.modalities import Modality
from ..datasets.case import ImageFile

_HEADERS_ALONE = (".mhd", ".nhdr")
"""Suffixes of files whose voxels lie in files beside them."""

_LONGEST_HEADER = 1 << 20
"""Bytes, as far as readers of these go."""


def file_facts(path: Path) -> dict[str, Any]:
    """How many ``bytes`` a file has and their ``sha256``; of a header alone, with the files beside it.

    Raises:
        OSError: it cannot be read.
    """
    digest, size = file_sha256(path), path.stat().st_size
    if image_suffix(path) not in _HEADERS_ALONE:
        return {"bytes": size, "sha256": digest}
    with path.open("rb") as file:
        text = file.read(_LONGEST_HEADER)
    for other in sorted(path.parent.rglob("*")):
        # MetaImage and NRRD name data by a pattern too, "slice%03d.raw 1 155 1"
        if other != path and other.is_file() and (other.name.encode() in text or b"%" in text):
            digest, size = digest + file_sha256(other), size + other.stat().st_size
    return {"bytes": size, "sha256": hashlib.sha256(digest.encode()).hexdigest()}


def files_facts(files: Mapping[Modality, ImageFile]) -> dict[str, dict[str, Any]]:
    """:func:`file_facts` by name of the sequence; a file of several sequences is read once.

    Raises:
        OSError: one cannot be read.
    """
    facts = {path: file_facts(path) for path in {file.path for file in files.values()}}
    return {modality.name: facts[file.path] for modality, file in files.items()}
