"""Cases that are there in prepared form alone: a folder that ``prepare`` has filled, without the originals.

What such a file is says :mod:`~..imaging.cache`; of it only the header is looked at here, no voxel.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..core import strict_json
from ..core.files import TEXTS, safetensors_header
from ..core.modalities import Modality
from .case import Case, ImageFile, Skipped

LAYOUT = "prepared"
"""Of the cases found here, as :attr:`.case.Case.layout`."""

SUFFIX = ".safetensors"
_CONVENTION = "classes"
"""Prepared labels hold the library's own classes."""


def are_prepared(cases: Iterable[Case]) -> bool:
    """Whether cases are there in prepared form alone: they train, but have no volumes to score."""
    return any(case.layout == LAYOUT for case in cases)


def prepared_cases(folder: Path) -> tuple[list[Case], list[Skipped]]:
    """The prepared cases that lie directly in a folder.

    Returns:
        Cases whose volumes are channels of the very file that is their label; and files that cannot be read.
        Student files and anything else in the folder are neither.
    """
    cases: list[Case] = []
    damaged: list[Skipped] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if path.name.startswith("."):  # what a killed process has half written
            continue
        try:
            texts = safetensors_header(path).get(TEXTS) or {}
            if {"case", "fingerprint", "subset"} <= set(texts):
                cases.append(_case(path, texts["case"], strict_json.loads(texts["subset"])))
        except (OSError, ValueError, TypeError, KeyError) as error:
            damaged.append(Skipped(path, f"damaged ({error})"))
    return cases, damaged


def _case(path: Path, name: str, subset: list[str]) -> Case:
    images = {Modality[key]: ImageFile(path, channel) for channel, key in enumerate(subset)}
    return Case(name, path.parent, LAYOUT, images, path, _CONVENTION)
