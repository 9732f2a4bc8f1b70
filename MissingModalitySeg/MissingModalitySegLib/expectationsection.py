"""The line below the sequences: the expected accuracy of the chosen model on them."""

from slicer.i18n import tr as _

from MissingModalityLib.core.modalities import MODALITIES, subset_name
from MissingModalityLib.inference.expected_dice import Grade, expect
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.segmentnames import segmentName
from MissingModalityPanelLib.widgets import setStatus

COLORS = {Grade.RELIABLE: "#2e9e44", Grade.CHECK: "#c98500", Grade.DOUBTFUL: "#d64545"}
"""Green, amber and red that stand out from the background in Slicer's light and in its dark style."""

SIGNS = {Grade.RELIABLE: "✓", Grade.CHECK: "⚠", Grade.DOUBTFUL: "✗"}
"""Told apart without color."""


class ExpectationSection(Section):
    """A line without frame, so that it reads as part of the sequences above it."""

    name = "expectation"

    def update(self):
        inputs = self.state.inputs()
        text = self.panel.inputs.problem or self.panel.model.problem
        if inputs and not text:
            text = expectationText(self.panel.model.card, tuple(inputs))
        setStatus(self.ui.expectationLabel, text if inputs else "")


def expectationText(card, subset):
    """Expected Dice of each region, and which sequence would add most, as rich text.

    Args:
        card: the model's card.
        subset: the chosen modalities, at least one, in channel order.
    """
    total = len(MODALITIES)
    count = _("all {total} sequences") if len(subset) == total else _("{count} of {total} sequences")
    title = f"<b>{subset_name(subset)}</b> ({count.format(count=len(subset), total=total)})"
    found = expect(card, subset)
    if found is None:
        return "{title}: {text}".format(
            title=title, text=_("this model was never evaluated on these; nothing tells how good it is.")
        )
    heading = _("{title}: what to expect, by mean Dice ± spread over {cases} evaluated patients").format(
        title=title, cases=found.cases
    )
    lines = [heading, *(_regionLine(region, found) for region in found.dice)]
    return "<br>".join([*lines, *_advice(found)])


def _regionLine(region, found):
    dice, spread = found.dice[region], found.spread[region]
    numbers = f"{dice:.2f}" if spread is None else f"{dice:.2f} ± {spread:.2f}"
    return gradedLine(region, Grade.of(dice), numbers)


def gradedLine(region, grade, numbers):
    """One line of rich text with sign and color of a grade: the region, how far to trust it, and its Dice."""
    text = f"{SIGNS[grade]} {_regionName(region)}: <b>{_gradeName(grade)}</b> ({numbers})"
    return f'<span style="color:{COLORS[grade]}">{text}</span>'


def _advice(found):
    """The sequence that would add most; every region is listed, also one that would get worse."""
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
    return segmentName(region)


def _gradeName(grade):
    return {
        Grade.RELIABLE: _("reliable"),
        Grade.CHECK: _("check"),
        Grade.DOUBTFUL: _("doubtful"),
    }[grade]
