"""The choice of a model: one that came with the extension, or a file."""

from pathlib import Path

from slicer.i18n import tr as _

from MissingModalityLib.errors import MissingModalityError
from MissingModalityLib.models import bundled_student


def bundledStudents():
    """Paths of the models that came with the extension; the default first."""
    try:
        return sorted(bundled_student().parent.glob("*.safetensors"))
    except MissingModalityError:
        return []


class StudentChooser:
    """A combo box of bundled models whose last entry opens a line for a file.

    Attributes:
        path: the chosen file as text; empty while "From file..." has none.
    """

    def __init__(self, selector, pathLabel, pathEdit, onChanged):
        """Fill the widgets; ``onChanged`` is called without arguments whenever the user chooses."""
        self._selector, self._pathLabel, self._pathEdit = selector, pathLabel, pathEdit
        self._onChanged = onChanged
        for student in bundledStudents():
            selector.addItem(student.stem, str(student))
        selector.addItem(_("From file..."), "")
        self._showPathLine()
        selector.currentIndexChanged.connect(self._changed)
        pathEdit.currentPathChanged.connect(self._changed)

    @property
    def path(self):
        return self._bundled() or self._pathEdit.currentPath

    def show(self, path):
        """Show a choice without telling it; an empty path is the default model."""
        index = self._selector.findData(path) if path else 0
        fromFile = index < 0
        for widget in (self._selector, self._pathEdit):
            widget.blockSignals(True)
        self._selector.setCurrentIndex(self._selector.count - 1 if fromFile else index)
        self._pathEdit.setCurrentPath(path if fromFile else "")
        for widget in (self._selector, self._pathEdit):
            widget.blockSignals(False)
        self._showPathLine()

    def isUsable(self):
        """Whether the chosen file is there."""
        return bool(self.path) and Path(self.path).is_file()

    def _bundled(self):
        return self._selector.itemData(self._selector.currentIndex)

    def _changed(self, *_arguments):
        self._showPathLine()
        self._onChanged()

    def _showPathLine(self):
        for widget in (self._pathLabel, self._pathEdit):
            widget.setVisible(not self._bundled())
