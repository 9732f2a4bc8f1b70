"""An image on its way from a child process: a line of geometry, and plain bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from ..runtime.limited_child import Answer


def as_answer(image: sitk.Image) -> Answer:
    """What a child says of an image, and its voxels."""
    array = sitk.GetArrayFromImage(image)  # a view would not outlive the image
    geometry = {
        "size": image.GetSize(),
        "spacing": image.GetSpacing(),
        "origin": image.GetOrigin(),
        "direction": image.GetDirection(),
    }
    return {"kind": array.dtype.str, **geometry}, memoryview(array).cast("B")


def from_answer(reply: Mapping[str, Any], content: bytearray, name: str) -> sitk.Image:
    """The image that a child has sent.

    Args:
        reply, content: of :func:`as_answer`, or a message under ``error``.
        name: of what was to be read, for messages.

    Raises:
        ImageError: the child has answered with a message, or with something else.
    """
    if "error" in reply:
        raise ImageError(reply["error"])
    if len(content) != math.prod(reply["size"]) * np.dtype(reply["kind"]).itemsize:
        raise ImageError(f"{name} cannot be read: the process that read it answered with something else.")
    image = sitk.GetImageFromArray(np.frombuffer(content, reply["kind"]).reshape(reply["size"][::-1]))
    image.SetSpacing(reply["spacing"])
    image.SetOrigin(reply["origin"])
    image.SetDirection(reply["direction"])
    return image
