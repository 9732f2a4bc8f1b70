"""The steps before segmentation: registration, skull stripping, check of the contents, bias field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import SimpleITK as sitk

from ..core.modalities import Modality, in_words
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..imaging.plausibility import ends_flat, is_cut
from ..imaging.preparation import check_volumes
from ..imaging.reading import Study
from ..runtime.freed_memory import give_back
from .bias_field import even_out
from .brain_checks import check_brain
from .content import check_content
from .copies import refuse_copies
from .given_mask import read_brain_mask
from .mask_checks import MM3_PER_CM3, volume_mm3
from .mask_doubts import doubt_mask
from .mixed import alike
from .outlines import share_outline
from .registration import Movement, follow, register_study
from .steps import Steps
from .stripping import Brain, needs_stripping, strip

THICK_SLICE_MM = 4.0
"""Protocols for tumors ask for slices of at most 4 mm (Ellingson et al., Neuro-Oncology 17, 2015)."""


@dataclass(frozen=True)
class Ready:
    """A study that a student can be asked about.

    Attributes:
        study: volumes in one space, with the mask of the brain where stripping was needed, and with the
            warnings of all steps.
        facts: what was done, for the report's ``input_steps``: ``asked`` (see :class:`.Steps`),
            ``registration`` by name of the moved volumes, ``stripping``, and ``bias_field`` by name of the
            volumes that were evened out, how bright its brightest place was beside its darkest.
    """

    study: Study
    facts: Mapping[str, Any]


def make_ready(study: Study, steps: Steps, on_progress: Progress | None = None) -> Ready:
    """Bring raw volumes of one patient into one space, find the brain, and look at the contents.

    Volumes that are in one space and stripped already stay as they are, to the bit. Raw ones are evened out
    last, for the checks know them as they come.

    Args:
        study: one to four volumes; the first one stays where it is.
        steps: what to do and what to leave out.
        on_progress: called with the stages ``register``, ``strip``, ``check`` and ``even out``.

    Raises:
        ImageError: a volume is none or was given twice, volumes cannot be brought together, or the brain
            mask does not fit.
        MissingModalityError: what stripping needs is not there.
    """
    notify = reporter(on_progress)
    facts: dict[str, Any] = {"asked": steps.to_json()}
    study = check_volumes(study)  # as they were given; what the steps make of them has checks of its own
    thick = _thick_slices(study)
    study, facts["registration"] = _registered(study, steps, notify)
    study, facts["stripping"] = _stripped(study, steps, notify)
    study = _warned(study, thick + _checked(study, steps, notify))
    refuse_copies(study)  # while their intensities are as given
    if study.brain is not None and steps.bias_field != "never":
        study, facts["bias_field"] = even_out(study, notify)
    give_back()  # what all this has freed would lie beside the volumes on their common grid
    return Ready(study, facts)


def _registered(study: Study, steps: Steps, notify: Progress) -> tuple[Study, dict[str, Any]]:
    """Volumes moved onto the first one, and by name of each other one what was done."""
    first = study.images[study.reference]
    others = [modality for modality in study.images if modality != study.reference]
    if steps.registration == "never" or not others:
        return study, {}
    unsure = [m for m in others if not share_outline(first, study.images[m])]
    movements: dict[Modality, Movement] = {}
    images = dict(study.images)
    told: tuple[str, ...] = ()
    if unsure:
        part = replace(study, images={m: images[m] for m in (study.reference, *unsure)})
        _, movements, told = register_study(alike(part), notify)
        images |= {m: follow(images[m], found) for m, found in movements.items() if found.moved}
    facts = {modality.name: _movement_facts(movements.get(modality)) for modality in others}
    return _warned(replace(study, images=images), told), facts


def _movement_facts(movement: Movement | None) -> dict[str, Any]:
    """For the report; None where there was no need to look for one."""
    if movement is None:
        return {"moved": False}
    return {
        "moved": movement.moved,
        "shift_mm": round(movement.shift_mm, 2),
        "angle_degrees": round(movement.angle_degrees, 2),
        "similarity": [round(value, 4) for value in movement.similarity],
    }


def _stripped(study: Study, steps: Steps, notify: Progress) -> tuple[Study, dict[str, Any]]:
    """The study with its brain where that has to be told from the head, and how it was found."""
    if steps.brain_mask is not None:
        reference = study.images[study.reference]
        brain = read_brain_mask(steps.brain_mask, reference)
        doubts = doubt_mask(brain, steps.brain_mask, reference, study.names[study.reference])
        facts = {"method": "given mask", "brain_cm3": round(volume_mm3(brain) / MM3_PER_CM3, 1)}
        return _warned(replace(study, brain=brain), doubts + _partial_head(brain)), facts
    wanted = steps.stripping == "always" or (
        steps.stripping == "auto" and any(map(needs_stripping, study.images.values()))
    )
    if not wanted:
        return study, {"method": "none"}
    total = len(study.images)
    found = strip(
        study,
        steps.stripping == "always",
        lambda number, name: notify(Event(ProgressStage.STRIP, number, total, name)),
    )
    notify(Event(ProgressStage.STRIP, total, total))
    warnings = [_how_stripped(found), *found.warnings, *_partial_head(found.mask)]
    facts = {"method": found.method, "brain_cm3": round(found.volume_cm3, 1)}
    return _warned(replace(study, brain=found.mask), warnings), facts


def _how_stripped(brain: Brain) -> str:
    return (
        f"The skull was taken away by {brain.method}: {brain.volume_cm3:.0f} cm³ of brain are left. Check "
        "that no tumor at the surface was cut off."
    )


def _partial_head(mask: sitk.Image) -> list[str]:
    inside = sitk.GetArrayViewFromImage(mask)
    # of a wide field of view the brain fills little of a face that it ends at
    if not is_cut(inside) and not ends_flat(inside, mask.GetSpacing(), within=False):
        return []
    return ["The volumes end inside the brain: what lies beyond their first or last slice is not segmented."]


def _thick_slices(study: Study) -> list[str]:
    """A sentence where slices are so thick that outlines between them are guesses."""
    thick: dict[str, list[Modality]] = defaultdict(list)
    for modality, image in study.images.items():
        if max(image.GetSpacing()) > THICK_SLICE_MM:
            thick[f"{max(image.GetSpacing()):.1f} mm"].append(modality)
    if not thick:
        return []
    listed = ", ".join(f"{size} in {in_words(modalities)}" for size, modalities in thick.items())
    return [
        f"Thick slices ({listed}): small parts of the tumor may be missed, and volumes are less exact than "
        "from slices of 1 mm."
    ]


def _checked(study: Study, steps: Steps, notify: Progress) -> list[str]:
    if not steps.content_check:
        return []
    notify(Event(ProgressStage.CHECK, 0, 1))
    found = (*check_brain(study, steps.brain_mask), *check_content(study))
    notify(Event(ProgressStage.CHECK, 1, 1))
    return list(found)


def _warned(study: Study, warnings: Iterable[str]) -> Study:
    return replace(study, warnings=(*study.warnings, *warnings))
