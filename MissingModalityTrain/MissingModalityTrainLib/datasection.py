"""The section Data: which cases a folder holds, which are left out and why, and how they are split."""

from types import SimpleNamespace
from typing import Annotated

import qt
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange

from MissingModalityLib.core.labels import CAVITY_RULES, CONVENTIONS
from MissingModalityLib.core.modalities import Modality
from MissingModalityPanelLib.jobline import JobLine
from MissingModalityPanelLib.progresstexts import withWarnings
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.widgets import fillTable, setEnabledWithReason, setStatus

USE_COLUMN = 1
MOST_ROWS = 8
"""Rows of a table that are seen at once; the others are scrolled to."""


class DataParameters:
    """An empty path is not chosen yet; an empty convention is told by the files' names.

    ``resectionCavity`` is what a labeled one counts as, a key of ``CAVITY_RULES``.

    Ranges stand here, since tying a spin box to a parameter overwrites those of the .ui file.
    """

    dataPath: str = ""
    convention: Annotated[str, Choice(["", *CONVENTIONS])] = ""
    validationPercent: Annotated[int, WithinRange(0, 90)] = 10
    seed: Annotated[int, WithinRange(0, 999999)] = 0
    resectionCavity: Annotated[str, Choice(list(CAVITY_RULES))] = next(iter(CAVITY_RULES))


class DataSection(Section):
    """Attributes: ``cases``, records of the cases that were found last, as the command ``cases`` has them."""

    name = "data"
    Parameters = DataParameters
    paths = ("dataPath",)
    choices = ("convention", "resectionCavity")

    def __init__(self, panel):
        super().__init__(panel)
        self.cases = []
        self._warnings = []
        self._looked = self._shown = None
        self._job = JobLine(self)
        names = {name: name for name in CONVENTIONS}
        self.offer("convention", {"": _("As the files' names tell"), **names})
        rules = {rule: text[0].upper() + text[1:] for rule, text in CAVITY_RULES.items()}
        self.offer("resectionCavity", rules)
        self.ui.lookButton.clicked.connect(self.onLook)
        self.reset()

    def onLook(self):
        """List the cases of the folder in a process of its own: a disk may be slow, a folder large."""
        state = self.state
        arguments = ["cases", state.dataPath]
        if state.convention:
            arguments += ["--convention", state.convention]
        self.reset()
        self._looked = (state.dataPath, state.convention)
        self._job.start(arguments, _("Looking through the folder..."), self._onFound)

    def labeled(self):
        """The records of the cases that have a label."""
        return [case for case in self.cases if case["label"]]

    def reset(self):
        self._show([], [])
        setStatus(self.ui.dataStatusLabel, "")

    def update(self):
        state = self.state
        folder = _("Choose the folder of cases.")
        running = _("The folder is being looked at.")
        setEnabledWithReason(
            self.ui.lookButton,
            _("List the cases in the folder, and what is left out and why"),
            {running: self._job.isRunning, folder: not state.dataPath},
        )
        self._job.update()
        if self.cases and self._looked != (state.dataPath, state.convention):
            self.reset()
        # drawn anew at every change of either, without reading the folder again
        split = (state.validationPercent, state.seed)
        if self.cases and split != self._shown:
            self._showSplit(split)

    def cleanup(self):
        self._job.cancel()

    def _onFound(self, result):
        self._show(result["cases"], result["skipped"], result["warnings"])
        return ""  # the split, which comes next, says it all

    def _show(self, cases, skipped, warnings=()):
        self.cases, self._warnings, self._shown = cases, warnings, None
        showRows(
            self.ui.casesTable,
            [
                (
                    case["name"],
                    "",
                    ", ".join(Modality[name].title for name in case["modalities"]),
                    _("yes") if case["label"] else _("no"),
                    case["layout"],
                    case["convention"] or _("unknown"),
                )
                for case in cases
            ],
        )
        showRows(self.ui.skippedTable, [(entry["path"], entry["reason"]) for entry in skipped])
        self.ui.casesTable.setVisible(bool(cases))
        self.ui.skippedTable.setVisible(bool(skipped))

    def _showSplit(self, split):
        """Which cases the training would hold out, by the very function that it uses."""
        from MissingModalityLib.datasets.splitting import split_cases

        self._shown = split
        percent, seed = split
        # the function reads attributes, as cases have them; the command has told keys of JSON objects
        labeled = [SimpleNamespace(**case) for case in self.labeled()]
        heldOut = {case.name for case in split_cases(labeled, percent / 100, seed)[1]} if labeled else set()
        for row, case in enumerate(self.cases):
            use = _("validation") if case["name"] in heldOut else _("training")
            text = use if case["label"] else _("left out: no label")
            self.ui.casesTable.setItem(row, USE_COLUMN, qt.QTableWidgetItem(text))
        self.ui.casesTable.resizeColumnsToContents()
        text = _(
            "Cases: {cases} (to train on: {training}, held out to validate on: {heldOut}, without a label: "
            "{unlabeled}). Skipped files: {skipped}."
        ).format(
            cases=len(self.cases),
            training=len(labeled) - len(heldOut),
            heldOut=len(heldOut),
            unlabeled=len(self.cases) - len(labeled),
            skipped=self.ui.skippedTable.rowCount,
        )
        if any(case["convention"] is None for case in self.labeled()):
            advice = _("Choose how the label numbers are to be read: some files' names do not tell.")
            text = f"{text} {advice}"
        warnings = [{"case": "", "warning": warning} for warning in self._warnings]
        setStatus(self.ui.dataStatusLabel, withWarnings(text, warnings))


def showRows(table, rows):
    """Fill a table and make it as high as its rows, up to MOST_ROWS of them."""
    fillTable(table, rows)
    table.resizeColumnsToContents()
    if rows:
        # the header and the bar to scroll sideways are about as high as a row each
        table.setFixedHeight((min(len(rows), MOST_ROWS) + 2) * table.rowHeight(0))
