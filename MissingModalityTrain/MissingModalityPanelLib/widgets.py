"""What both panels do with widgets of any kind."""

from contextlib import contextmanager

import qt
from slicer.i18n import tr as _


@contextmanager
def signalsBlocked(*widgets):
    """Block the signals of widgets for the time of a ``with`` statement."""
    for widget in widgets:
        widget.blockSignals(True)
    try:
        yield
    finally:
        for widget in widgets:
            widget.blockSignals(False)


def setStatus(label, text):
    """Set the text of a label that is hidden while it has none."""
    label.setText(text)
    label.setVisible(bool(text))


def setEnabledWithReason(button, toolTip, conditions):
    """Enable a button unless a condition is unmet; its tooltip says which, or what the button does.

    Args:
        button: to change.
        toolTip: what the button does.
        conditions: for each text that says what to do, whether it still has to be done.
    """
    unmet = [text for text, isUnmet in conditions.items() if isUnmet]
    button.setEnabled(not unmet)
    button.setToolTip("\n".join(unmet) or toolTip)


def fillTable(table, rows, numbers=()):
    """Show rows of texts in a table widget; a text that is cut off can be read in its tooltip.

    Args:
        table: to fill.
        rows: of texts.
        numbers: columns whose texts stand on the right, so that numbers line up.
    """
    table.setRowCount(len(rows))
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            if column in numbers:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            table.setItem(row, column, item)


def makeTimer(milliseconds, onTimeout):
    """A timer that calls a function again and again once it is started."""
    timer = qt.QTimer()  # without a parent: it is deleted when the caller no longer holds it
    timer.setInterval(milliseconds)
    timer.timeout.connect(onTimeout)
    return timer


def describeGrid(node):
    """Size and spacing (mm) of a volume node as text; empty for one without voxels."""
    image = node.GetImageData()
    if image is None:
        return ""
    size = " x ".join(str(count) for count in image.GetDimensions())
    spacing = " x ".join(f"{side:.4g}" for side in node.GetSpacing())
    return _("{size} voxels of {spacing} mm").format(size=size, spacing=spacing)
