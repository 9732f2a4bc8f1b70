"""The line that says what to expect of the chosen model with the chosen sequences."""

from slicer.i18n import tr as _

from MissingModalityLib.core.modalities import MODALITIES, subset_name
from MissingModalityLib.inference.expected_dice import Grade, expect

_COLORS = {Grade.GOOD: "#2e9e44", Grade.DOUBTFUL: "#c98500", Grade.UNRELIABLE: "#d64545"}
"""Legible on Slicer's light and dark styles."""


def outlook(card, subset):
    """What to expect, as rich text.

    Args:
        card: the model's card.
        subset: the chosen modalities, at least one, in channel order.
    """
    count = _("all 4 sequences") if len(subset) == len(MODALITIES) else _("{count} of 4 sequences")
    title = f"<b>{subset_name(subset)}</b> ({count.format(count=len(subset))})"
    found = expect(card, subset)
    if found is None:
        return "{title}: {text}".format(
            title=title, text=_("this model was never evaluated on these; nothing tells how good it is.")
        )
    asked = _("{title}: what to expect, by mean Dice ± spread over {cases} evaluated patients").format(
        title=title, cases=found.cases
    )
    lines = [asked, *(_regionLine(region, found) for region in found.dice)]
    return "<br>".join([*lines, *_advice(found)])


def _regionLine(region, found):
    dice, spread = found.dice[region], found.spread[region]
    grade = Grade.of(dice)
    numbers = f"{dice:.2f}" if spread is None else f"{dice:.2f} ± {spread:.2f}"
    text = f"&#9679; {_regionName(region)}: <b>{_gradeName(grade)}</b> ({numbers})"
    return f'<span style="color:{_COLORS[grade]}">{text}</span>'


def _advice(found):
    """Every region is told, also one that would get worse."""
    gain = found.gain
    if gain is None:
        return []
    changes = [
        _("{region} {before:.2f} to {after:.2f}").format(
            region=_regionName(region).lower(), before=gain.before[region], after=gain.after[region]
        )
        for region in gain.before
    ]
    text = _("Adding <b>{sequence}</b> would help most: {changes} (the {cases} patients who have it).")
    return [text.format(sequence=gain.modality.title, changes=", ".join(changes), cases=gain.cases)]


def _regionName(region):
    return {"WT": _("Whole tumor"), "TC": _("Tumor core"), "ET": _("Enhancing tumor")}[region]


def _gradeName(grade):
    return {
        Grade.GOOD: _("good"),
        Grade.DOUBTFUL: _("doubtful"),
        Grade.UNRELIABLE: _("unreliable"),
    }[grade]
