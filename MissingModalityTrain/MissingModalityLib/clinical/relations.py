"""What the volumes of a study say about each other: mirror images, other patients, copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core.modalities import Modality
from ..imaging.reading import Study
from .anatomy import likeness, views
from .copies import copies
from .mirrored import lie_mirrored, mirror_sentence

SAME_PATIENT, SAME_PATIENT_WITH_FLAIR = 2.3, 1.75
"""Least :func:`.anatomy.likeness` of volumes of one patient; FLAIR resembles the others least.

See Resources/Docs/content-check.md."""

_SURELY_NOT_MIRRORED = 5.0
"""Of likeness, from which on the mirror image need not be tried; mirrored volumes of training patients reach
4.5."""


def check_relations(study: Study) -> tuple[str, ...]:
    """What in volumes of one patient contradicts that they are.

    Args:
        study: volumes in one space; its brain mask is used where it has one.

    Returns:
        Sentences for the user; none where all is well.
    """
    first, *others = study.images
    seen = views(study)
    mirrored, apart = [], []
    for slot in others:
        found = likeness(seen[first], seen[slot])
        if found is None:
            continue
        least = SAME_PATIENT_WITH_FLAIR if Modality.FLAIR in (first, slot) else SAME_PATIENT
        if found < _SURELY_NOT_MIRRORED and lie_mirrored(seen[first], seen[slot]):
            mirrored.append(slot)
        elif found < least:
            apart.append(slot)
    return (
        *_told(study, mirrored, mirror_sentence),
        *_told(study, apart, _stranger),
        *copies(seen, study.names),
    )


def _stranger(name: str, others: str) -> str:
    return (
        f"{name} probably shows another patient than {others}, or is not registered with it: folds and "
        "ventricles do not lie in the same places. Check both."
    )


def _told(study: Study, slots: Sequence[Modality], sentence: Callable[[str, str], str]) -> tuple[str, ...]:
    """A sentence for each, or one about the reference volume where it differs from all the others."""
    first = study.names[study.reference]
    if len(slots) > 1 and len(slots) == len(study.images) - 1:
        return (sentence(first, "the other volumes"),)
    return tuple(sentence(study.names[slot], first) for slot in slots)
