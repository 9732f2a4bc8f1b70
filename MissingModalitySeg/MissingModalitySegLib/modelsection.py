"""The section Model: one that came with the extension, one that was trained here, or a file; and its card."""

import os
from pathlib import Path

from slicer.i18n import tr as _

from MissingModalityLib.core.errors import MissingModalityError, StudentError
from MissingModalityLib.core.files import file_sha256, read_text
from MissingModalityLib.inference.card import CHOICES, Card, read_card
from MissingModalityLib.inference.locations import bundled_student, students_in, user_models
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.widgets import signalsBlocked

MOST_CARD_BYTES = 1 << 21
"""Thirty times what the bundled model's has; a longer text would keep the panel busy."""


def bundledStudents():
    """Paths of the models that came with the extension; the default first."""
    try:
        return students_in(bundled_student().parent)
    except MissingModalityError:
        return []


def trainedStudents():
    """Paths of the models in the user's own folder, where the training module exports to."""
    return students_in(user_models())


class ModelParameters:
    """Empty means the default model, whose place changes with every update of the extension."""

    studentPath: str = ""


class ModelSection(Section):
    """A combo box of models (student files) whose last entry opens a line for a file, and the model's card.

    Attributes:
        path: the chosen file as text; empty while "From file..." has none.
        card: the card in the chosen file's header; None where there is no usable file.
        problem: why the chosen file cannot be used, a sentence; empty where it can.
    """

    name = "model"
    Parameters = ModelParameters

    def __init__(self, panel):
        super().__init__(panel)
        self._chosen = None
        self._read = None
        self.card, self.problem = None, ""
        self.refresh()
        self.ui.studentSelector.currentIndexChanged.connect(self._onModelChosen)
        self.ui.studentPathEdit.currentPathChanged.connect(self._onModelChosen)
        self.ui.studentPathEdit.validInputChanged.connect(self._onModelChosen)  # for a path that was cleared
        self.ui.cardButton.toggled.connect(self._showCard)

    @property
    def path(self):
        return self._listed() or self.ui.studentPathEdit.currentPath

    def enter(self):
        self.refresh()

    def refresh(self):
        """Look again which models there are; the choice stays."""
        # None, or _showPath would find the emptied combo box up to date
        chosen, self._chosen = self._chosen or "", None
        selector = self.ui.studentSelector
        with signalsBlocked(selector):
            selector.clear()
            for student in bundledStudents():
                selector.addItem(student.stem, str(student))
            for student in trainedStudents():
                selector.addItem(_("{name} (trained here)").format(name=student.stem), str(student))
            selector.addItem(_("From file..."), "")
        self._showPath(chosen)

    def show(self, state):
        self._showPath(state.studentPath)

    def _showPath(self, path):
        """Show a choice without keeping it; an empty path is the default model."""
        if path == self._chosen:
            return
        self._chosen = path
        selector, edit = self.ui.studentSelector, self.ui.studentPathEdit
        index = selector.findData(path) if path else 0
        fromFile = index < 0
        with signalsBlocked(selector, edit):
            selector.setCurrentIndex(selector.count - 1 if fromFile else index)
            edit.setCurrentPath(path if fromFile else "")
        self._readModel()

    def _listed(self):
        return self.ui.studentSelector.itemData(self.ui.studentSelector.currentIndex)

    def _onModelChosen(self, *_arguments):
        # the default is kept as empty: its path changes with every update of the extension
        self._chosen = "" if self.ui.studentSelector.currentIndex == 0 else self.path
        self._readModel()
        if self.state is not None:
            self.state.studentPath = self._chosen
            self.panel.updateGui()

    def _readModel(self):
        for widget in (self.ui.studentPathLabel, self.ui.studentPathEdit):
            widget.setVisible(not self._listed())
        self._readCard()
        self._showCard()

    def _readCard(self):
        """Read the header once per file and change of it."""
        if not self.path:
            self.card, self.problem, self._read = None, _("Choose a model file."), None
            return
        path = Path(self.path)
        # the time too, because the training panel may export to the same name again
        found = (path, os.path.getmtime(path) if os.path.isfile(path) else None)
        if found == self._read:
            return
        self._read = found
        try:
            self.card, self.problem = read_card(path), ""
        except StudentError as error:
            self.card, self.problem = None, str(error)

    def _showCard(self, *_arguments):
        self.ui.cardButton.setEnabled(self.card is not None)
        shown = self.ui.cardButton.checked and self.card is not None
        self.ui.cardBrowser.setVisible(shown)
        if shown:
            self.ui.cardBrowser.setMarkdown(cardText(Path(self.path), self.card))


def cardText(path, card):
    """A model's card as Markdown: the .md file beside it, if that is of this very file, else its header."""
    beside = path.with_suffix(".md")
    if not beside.is_file():
        return headerText(path, card)
    note = _(
        "The file {name} beside this model is not shown: it does not name the SHA-256 of this very file, as "
        "the card of it would."
    )
    return _ownCard(path, beside) or f"{headerText(path, card)}\n\n{note.format(name=beside.name)}"


def _ownCard(path, beside):
    """The text beside a model; empty where it is another file's, or none that can be shown.

    What is written over a model of the same name leaves the card of the one before.
    """
    try:
        text = read_text(beside, MOST_CARD_BYTES)
        return text if file_sha256(path) in text else ""
    except (OSError, ValueError):
        return ""


def headerText(path, card):
    """The entries of a model's header as Markdown."""
    training = card.get("training", {})
    facts = {
        _("network"): card["network"],
        _("recipe"): training.get("recipe"),
        _("number of training cases"): len(training.get("cases", ())),
        _("license"): card.get("license"),
        _("about the data"): card.get("data_note"),
        _("chosen beside its weights"): choicesText(card),
    }
    lines = [f"- {name}: {value}" for name, value in facts.items() if value]
    limits = [f"- {text}" for text in card.get("limits", ())]
    notice = _("**Research use only, not a medical device.**")
    return "\n".join([f"# {card.get('name', path.stem)}", "", notice, "", *lines, *limits])


def choicesText(card):
    """What a model decides by, as ``missing-modality select`` or ``export`` has put it; empty for nothing."""
    plain = Card(card["network"], card["options"])
    chosen = {
        name: card.get(name) for name in CHOICES if (card.get(name) or None) != (plain.get(name) or None)
    }
    return ", ".join(f"{name} {_valueText(value)}" for name, value in chosen.items())


def _valueText(value):
    """Of a choice: a number, a word, axes or a probability for each region."""
    if isinstance(value, dict):
        return " ".join(f"{key} {entry}" for key, entry in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
