"""The volume of a DICOM series, read by a child process with limits of memory and time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk

from ..core.errors import ImageError
from ..imaging.sent_image import from_answer
from ..runtime.limited_child import ChildEnded, ChildUnavailable, LimitedChild
from .pixels_child import read_here
from .series import Series

_SECONDS = 300.0
"""For one series: a thousand small files from a network disk take a minute or two."""

_child = LimitedChild("MissingModalityLib.dicom.pixels_child", _SECONDS)


def read_series(series: Series, tell: Callable[[str], None] = lambda sentence: None) -> sitk.Image:
    """The volume of a series; where it lies is what its slices themselves say.

    Args:
        series: of :func:`.listing.find_studies`.
        tell: called with a sentence for each thing that was left out or mended.

    Returns:
        The volume in the patient's space; its last axis runs along the normal of the slices.

    Raises:
        ImageError: a file is damaged or does not say where it lies; slices of different size or direction,
            several images at one place, fewer than 8 slices, many missing, or displaced without order.
    """
    try:
        image, told = _read_apart(series)
    except ChildUnavailable as error:
        warnings.warn(
            f"DICOM is read without limits of memory and time, for no process of their own can be started "
            f"({error}). A file made to do harm can end this program.",
            RuntimeWarning,
            stacklevel=2,
        )
        image, told = read_here(series.title, _places(series))
    for sentence in told:
        tell(sentence)
    return image


def _places(series: Series) -> list[tuple[Path, int | None]]:
    return [(image.path, image.frame) for image in series.slices]


def _read_apart(series: Series) -> tuple[sitk.Image, list[str]]:
    slices = [[os.path.abspath(path), index] for path, index in _places(series)]
    try:
        reply, content = _child.ask({"name": series.title, "slices": slices})
    except ChildEnded as error:
        raise ImageError(
            f"{series.title} cannot be read: the process that read it {error}. A file of it is damaged, or "
            "made to do harm; copy it again from its source, or choose another series."
        ) from error
    return from_answer(reply, content, series.title), reply["told"]
