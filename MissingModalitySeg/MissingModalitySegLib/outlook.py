"""The line that says what to expect of the chosen model with the chosen sequences."""

from slicer.i18n import tr as _

from MissingModalityLib.expectation import Grade, expect
from MissingModalityLib.modalities import MODALITIES, subset_name

_COLORS = {Grade.GOOD: "#2e9e44", Grade.DOUBTFUL: "#c98500", Grade.UNRELIABLE: "#d64545"}
"""Legible on Slicer's light and dark styles."""

_WORTH_TELLING = 0.05
"""A smaller gain of a region's Dice is not mentioned beside the largest one."""


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
    asked = _("{title}: what to expect, by mean Dice of {cases} evaluated patients").format(
        title=title, cases=found.cases
    )
    lines = [asked, *(_regionLine(region, dice) for region, dice in found.dice.items())]
    return "<br>".join([*lines, *_advice(found)])


def _regionLine(region, dice):
    grade = Grade.of(dice)
    text = f"&#9679; {_regionName(region)}: <b>{_gradeName(grade)}</b> ({dice:.2f})"
    return f'<span style="color:{_COLORS[grade]}">{text}</span>'


def _advice(found):
    if found.helpful is None:
        return []
    gains = {region: found.improved[region] - dice for region, dice in found.dice.items()}
    told = [region for region, gain in gains.items() if gain >= _WORTH_TELLING] or [max(gains, key=gains.get)]
    changes = [
        _("{region} {before:.2f} to {after:.2f}").format(
            region=_regionName(region).lower(), before=found.dice[region], after=found.improved[region]
        )
        for region in told
    ]
    text = _("Adding <b>{sequence}</b> would help most: {changes}.")
    return [text.format(sequence=found.helpful.title, changes=", ".join(changes))]


def _regionName(region):
    return {"WT": _("Whole tumor"), "TC": _("Tumor core"), "ET": _("Enhancing tumor")}[region]


def _gradeName(grade):
    return {
        Grade.GOOD: _("good"),
        Grade.DOUBTFUL: _("doubtful"),
        Grade.UNRELIABLE: _("unreliable"),
    }[grade]
