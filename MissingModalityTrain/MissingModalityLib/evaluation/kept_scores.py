"""Scores of the cases that an evaluation is done with, kept in its folder until all are there.

So an evaluation that was stopped, or whose disk was full at its end, goes on where it was when it is asked
for again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from ..core import strict_json
from ..core.files import read_text, remove_stale_temporaries, write_report
from ..core.labels import TumorClass
from ..imaging.content import voxels_sha256
from ..imaging.reading import Study
from .case_scores import CaseScores
from .rows_file import rows_from_csv, rows_to_csv

_FOLDER = "scored"
"""Inside that of the evaluation."""

_DIGITS = 16
"""Hexadecimal ones in the name of a file: names of cases may be no names of files."""


def fingerprint(
    study: Study, label: sitk.Image, content: Mapping[str, str], maps: Mapping[str, str] | None = None
) -> str:
    """Of what lies in a case's files, and where.

    Args:
        study, label: as they were read.
        content: of the volumes, see :func:`~..imaging.content.identity`.
        maps: of the label maps that are scored, SHA-256 of their files by name; None for a student.
    """
    places = [
        (image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        for image in (*study.images.values(), label)
    ]
    told = [dict(content), voxels_sha256(label, placed=True), places, *([dict(maps)] if maps else [])]
    return hashlib.sha256(strict_json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True)
class KeptScores:
    """Files of scores, one a case.

    Attributes:
        output: folder of the evaluation.
        maker: all but the case that decides a score; kept scores of another maker count for nothing.
    """

    output: Path
    maker: Mapping[str, Any]

    def find(self, name: str, files: str) -> CaseScores | None:
        """Scores of the case ``name`` that were kept, if its files have the same hash ``files`` as then."""
        try:
            kept = strict_json.loads(read_text(self._path(name)))
            if (kept["made_by"], kept["files"]) != (self._made_by, files):
                return None
            return CaseScores(
                rows_from_csv(kept["rows"]),
                frozenset(map(TumorClass, kept["classes"])),
                kept["has_cavity"],
                tuple(kept["warnings"]),
                kept["content"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # not there, or of no use: the case is scored again

    def keep(self, name: str, files: str, scores: CaseScores) -> None:
        """Write the scores of a case. Where that is impossible they are not kept: nothing is lost yet."""
        kept = {
            "made_by": self._made_by,
            "files": files,
            "rows": rows_to_csv(scores.rows),
            "classes": sorted(map(int, scores.classes)),
            "has_cavity": scores.has_cavity,
            "warnings": list(scores.warnings),
            "content": dict(scores.content),
        }
        path = self._path(name)
        try:
            path.parent.mkdir(exist_ok=True)
            write_report(kept, path)
        except OSError:
            with suppress(OSError):
                path.parent.rmdir()  # if empty: it would be all that is left of an evaluation that fails

    def remove(self) -> None:
        """Remove what was kept, by whatever maker; another file in that folder stays, and the folder then."""
        folder = self.output / _FOLDER
        with suppress(OSError):
            for path in folder.glob(f"{'[0-9a-f]' * _DIGITS}.json"):
                path.unlink()
            remove_stale_temporaries(folder)
            folder.rmdir()

    def _path(self, name: str) -> Path:
        digits = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:_DIGITS]
        return self.output / _FOLDER / f"{digits}.json"

    @property
    def _made_by(self) -> str:
        return hashlib.sha256(strict_json.dumps(dict(self.maker)).encode()).hexdigest()
