"""Volumes that are of use together only, such as those of a patient: all of them become files, or none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import SimpleITK as sitk

from .volumes import placing_image


def write_images(images: Mapping[Path, sitk.Image]) -> None:
    """:func:`.volumes.write_image` for several; none takes its place before the last one is complete.

    A patient of whom a disk has taken two volumes would look like one of whom no more were acquired.

    Raises:
        ImageError: as there, naming the first file that cannot be written; all are as they were.
    """
    with ExitStack() as complete:
        for path, image in images.items():
            complete.enter_context(placing_image(image, path))
