"""Images told apart by examination: one patient at one time, also where it was filed under several UIDs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable

from .headers import Frame


def grouped(frames: Iterable[Frame], key: Callable[[Frame], Hashable]) -> list[list[Frame]]:
    """Images of one key together, in the order of their first ones."""
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return list(groups.values())


def sessions(frames: Iterable[Frame]) -> list[list[Frame]]:
    """The images of each examination.

    A second order, or a console that was logged in again, gives one session two Study Instance UIDs; who
    removes names may give each series a date of its own. Images of one patient that state one Frame of
    Reference, and one day or one Study Instance UID, were taken without him leaving the table (DICOM PS3.3
    C.7.4.1), so these are one. Without a patient nothing is joined.
    """
    found: list[tuple[set[Hashable], list[Frame]]] = []
    for images in grouped(frames, _study_key):
        places = _places(images)
        same = [session for session in found if session[0] & places]
        found = [session for session in found if not session[0] & places]
        for others, joined in reversed(same):
            places, images = others | places, joined + images
        found.append((places, images))
    return [images for _, images in found]


def study_uids(frames: Iterable[Frame]) -> tuple[str, ...]:
    """Study Instance UIDs of images, each once, in their own order."""
    return tuple(sorted({frame.text("StudyInstanceUID") for frame in frames}))


def _study_key(frame: Frame) -> Hashable:
    return *_patient(frame), frame.text("StudyInstanceUID"), frame.text("StudyDate")


def _patient(frame: Frame) -> tuple[str, str]:
    # one ID may have been given to two patients by two hospitals, or by whoever removed the names
    return frame.text("PatientID"), "".join(frame.text("PatientName").casefold().replace("^", " ").split())


def _places(images: Iterable[Frame]) -> set[Hashable]:
    """Patient, space, and day or study of each image that states all three."""
    return {
        (*_patient(frame), frame.text("FrameOfReferenceUID"), keyword, frame.text(keyword))
        for frame in images
        for keyword in ("StudyDate", "StudyInstanceUID")
        if any(_patient(frame)) and frame.text("FrameOfReferenceUID") and frame.text(keyword)
    }
