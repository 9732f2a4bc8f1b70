"""The choice of a model: one that came with the extension, one trained here, or a file."""

import os
from pathlib import Path

from slicer.i18n import tr as _

from MissingModalityLib.core.errors import MissingModalityError, StudentError
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.locations import bundled_student, user_models
from MissingModalityPanelLib.widgets import silenced


def bundledStudents():
    """Paths of the models that came with the extension; the default first."""
    try:
        return _studentsIn(bundled_student().parent)
    except MissingModalityError:
        return []


def trainedStudents():
    """Paths of the models in the user's own folder, where the training module exports to."""
    return _studentsIn(user_models())


def _studentsIn(folder):
    return sorted(folder.glob("*.safetensors"))


class StudentChooser:
    """A combo box of models whose last entry opens a line for a file, and the card of the chosen one.

    Attributes:
        path: the chosen file as text; empty while "From file..." has none.
        choice: what to remember of it: empty for the default model, whose place changes with every update.
        card: the card in the chosen file's header; None where there is no usable file.
        problem: why the chosen file cannot be used, a sentence; empty where it can.
    """

    def __init__(self, ui, onChanged):
        """Fill the widgets; ``onChanged`` is called without arguments whenever the user chooses."""
        self._selector, self._pathLabel, self._pathEdit = (
            ui.studentSelector,
            ui.studentPathLabel,
            ui.studentPathEdit,
        )
        self._cardButton, self._cardBrowser = ui.cardButton, ui.cardBrowser
        self._onChanged = onChanged
        self._chosen = None
        self._read = None
        self.card, self.problem = None, ""
        self.refresh()
        self._selector.currentIndexChanged.connect(self._changed)
        self._pathEdit.currentPathChanged.connect(self._changed)
        self._pathEdit.validInputChanged.connect(self._changed)  # all that is told of a cleared path
        self._cardButton.toggled.connect(self._showCard)

    @property
    def path(self):
        return self._listed() or self._pathEdit.currentPath

    @property
    def choice(self):
        return self._chosen

    def refresh(self):
        """Look again which models there are; the choice stays."""
        chosen, self._chosen = self._chosen or "", None
        with silenced(self._selector):
            self._selector.clear()
            for student in bundledStudents():
                self._selector.addItem(student.stem, str(student))
            for student in trainedStudents():
                self._selector.addItem(_("{name} (trained here)").format(name=student.stem), str(student))
            self._selector.addItem(_("From file..."), "")
        self.show(chosen)

    def show(self, path):
        """Show a choice without telling it; an empty path is the default model."""
        if path == self._chosen:
            return
        self._chosen = path
        index = self._selector.findData(path) if path else 0
        fromFile = index < 0
        with silenced(self._selector, self._pathEdit):
            self._selector.setCurrentIndex(self._selector.count - 1 if fromFile else index)
            self._pathEdit.setCurrentPath(path if fromFile else "")
        self._update()

    def _listed(self):
        return self._selector.itemData(self._selector.currentIndex)

    def _changed(self, *_arguments):
        self._chosen = "" if self._selector.currentIndex == 0 else self.path
        self._update()
        self._onChanged()

    def _update(self):
        for widget in (self._pathLabel, self._pathEdit):
            widget.setVisible(not self._listed())
        self._readCard()
        self._showCard()

    def _readCard(self):
        """Read the header once per file and change of it."""
        if not self.path:
            self.card, self.problem, self._read = None, _("Choose a model file."), None
            return
        path = Path(self.path)
        found = (path, os.path.getmtime(path) if os.path.isfile(path) else None)
        if found == self._read:
            return
        self._read = found
        try:
            self.card, self.problem = read_card(path), ""
        except StudentError as error:
            self.card, self.problem = None, str(error)

    def _showCard(self, *_arguments):
        self._cardButton.setEnabled(self.card is not None)
        shown = self._cardButton.checked and self.card is not None
        self._cardBrowser.setVisible(shown)
        if shown:
            self._cardBrowser.setMarkdown(cardText(Path(self.path), self.card))


def cardText(path, card):
    """What a model's card says, as Markdown: the file beside it, else what its header tells."""
    beside = path.with_suffix(".md")
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    training = card.get("training", {})
    facts = {
        _("network"): card["network"],
        _("recipe"): training.get("recipe"),
        _("number of training cases"): len(training.get("cases", ())),
        _("license"): card.get("license"),
        _("about the data"): card.get("data_note"),
    }
    lines = [f"- {name}: {value}" for name, value in facts.items() if value]
    limits = [f"- {text}" for text in card.get("limits", ())]
    notice = _("**Research use only, not a medical device.**")
    return "\n".join([f"# {card.get('name', path.stem)}", "", notice, "", *lines, *limits])
