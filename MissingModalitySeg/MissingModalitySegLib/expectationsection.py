"""The line below the sequences: the expected accuracy of the chosen model on them."""

from slicer.i18n import tr as _

from MissingModalityLib.core.modalities import MODALITIES, subset_name
from MissingModalityLib.inference.expected_dice import Grade, expect
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.segmentnames import segmentName
from MissingModalityPanelLib.widgets import setStatus

COLORS = {Grade.RELIABLE: "#2d9659", Grade.CHECK: "#b87400", Grade.DOUBTFUL: "#e44f44"}
"""Green, amber and red of signs alone: no color has the contrast of 4.5 that WCAG asks of text on the
backgrounds of Slicer's light and its dark style at once; these have the 3 that it asks of signs."""

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
    """Expected Dice of each region, and what gains and loses by other sequences, as rich text.

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
    heading = _("{title}: what to expect, by mean Dice ± spread over {patients}").format(
        title=title, patients=patientCount(found.cases)
    )
    lines = [heading, *(_regionLine(region, found) for region in found.dice)]
    return "<br>".join([*lines, *map(_advice, found.changes)])


def _regionLine(region, found):
    dice, spread = found.dice[region], found.spread[region]
    numbers = f"{dice:.2f}" if spread is None else f"{dice:.2f} ± {spread:.2f}"
    return gradedLine(region, Grade.of(dice), numbers)


def gradedLine(region, grade, numbers):
    """One line of rich text: the sign of a grade in its color, the region, how far to trust it, its Dice."""
    text = f"{segmentName(region)}: <b>{_gradeName(grade)}</b> ({numbers})"
    return f'<span style="color:{COLORS[grade]}">{SIGNS[grade]}</span> {text}'


def _advice(change):
    """What gets better and what worse by adding or leaving out sequences."""
    heading = _("Adding {sequences}") if change.added else _("Without {sequences}")
    rest = [region for region in change.before if region not in (*change.gaining, *change.losing)]
    told = [
        f"{word}: {', '.join(_dicePair(region, change) for region in regions)}"
        for word, regions in (
            (_("better"), change.gaining),
            (_("worse"), change.losing),
            (_("about the same"), rest),
        )
        if regions
    ]
    return _("{heading}, in the same {patients}: {told}.").format(
        heading=f"<b>{heading.format(sequences=subset_name(change.modalities))}</b>",
        patients=patientCount(change.cases),
        told="; ".join(told),
    )


def _dicePair(region, change):
    before, after = f"{change.before[region]:.2f}", f"{change.after[region]:.2f}"
    arrow = "\N{NO-BREAK SPACE}\N{RIGHTWARDS ARROW}\N{NO-BREAK SPACE}"  # a pair stays on one line
    return f"{segmentName(region).lower()} {before}{arrow}{after}"


def patientCount(count):
    """``"1 patient"``, ``"47 patients"``."""
    return (_("{count} patient") if count == 1 else _("{count} patients")).format(count=count)


def _gradeName(grade):
    return {
        Grade.RELIABLE: _("reliable"),
        Grade.CHECK: _("check"),
        Grade.DOUBTFUL: _("doubtful"),
    }[grade]
