"""The steps of a run as a short list: what is done, what runs, what is still to come."""

from enum import Enum

from slicer.i18n import tr as _

from MissingModalityLib.core.progress import ProgressStage

PART_OF = {ProgressStage.PREPARE: ProgressStage.SEGMENT, ProgressStage.WRITE: ProgressStage.SEGMENT}
"""Stages that take no time worth a line of their own."""


class Sign(Enum):
    """In front of each step, so that color is not needed to read the list."""

    DONE = "✓"
    RUNNING = "▶"
    TO_COME = "○"
    NOT_DONE = "–"  # noqa: RUF001 a dash is meant


class StepsList:
    """Follows the progress of one segmentation."""

    def __init__(self, leftOut):
        """Start with all steps to come.

        Args:
            leftOut: why a step will not be done, by stage.
        """
        self._leftOut = leftOut
        self._seen = []

    def follow(self, event):
        """A progress event has come."""
        stage = PART_OF.get(event.stage, event.stage)
        if stage not in self._seen:
            self._seen.append(stage)

    def text(self):
        """One line for each step, as rich text."""
        return "<br>".join(self._line(stage, name) for stage, name in stepNames().items())

    def _line(self, stage, name):
        sign = self._sign(stage)
        reason = self._leftOut.get(stage) or _("not needed")
        text = f"{name} ({reason})" if sign is Sign.NOT_DONE else name
        return f"{sign.value} <b>{text}</b>" if sign is Sign.RUNNING else f"{sign.value} {text}"

    def _sign(self, stage):
        if self._seen and stage == self._seen[-1]:
            return Sign.RUNNING
        if stage in self._seen:
            return Sign.DONE
        order = list(stepNames())
        isPassed = any(order.index(stage) < order.index(seen) for seen in self._seen)
        return Sign.NOT_DONE if isPassed or stage in self._leftOut else Sign.TO_COME


def stepNames():
    """Names of the steps by stage, in their order."""
    return {
        ProgressStage.READ: _("Read the volumes"),
        ProgressStage.REGISTER: _("Register: move them onto the first one"),
        ProgressStage.STRIP: _("Strip: find the brain in the head"),
        ProgressStage.CHECK: _("Check which sequence each one is"),
        ProgressStage.EVEN_OUT: _("Even out: take the coil's uneven brightness away"),
        ProgressStage.SEGMENT: _("Segment the tumor"),
    }
