"""Cases of a folder that are copies of each other, told before anything is prepared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..core.files import file_sha256
from ..datasets.case import Case
from ..datasets.patients import describe_same


def copied_cases(cases: Sequence[Case]) -> list[str]:
    """A sentence for each pair of cases that share the file of a volume, byte by byte, under two names.

    Only files of one size are read, so that a folder of thousands of different ones takes no time. Copies in
    another compression or format are found by their voxels when the cases are prepared, see :mod:`.content`.
    """
    by_size: dict[int, list[tuple[str, str, Path]]] = defaultdict(list)
    for case in cases:
        for modality, file in case.images.items():
            # a file that has gone or may not be read is told where the case is used
            with suppress(OSError):
                if file.channel is None:
                    by_size[file.path.stat().st_size].append((case.name, modality.name, file.path))
    contents: dict[str, dict[str, str]] = defaultdict(dict)
    for members in by_size.values():
        for name, modality, path in members if len({name for name, *_ in members}) > 1 else ():
            with suppress(OSError):
                contents[name][modality] = file_sha256(path)
    return describe_same(contents, "; training keeps them on one side of every split")
