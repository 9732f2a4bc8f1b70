"""The section Training: recipe and stages, start, pause, resume, stop, and what the run is doing."""

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from MissingModalityLib.core.errors import MissingModalityError
from MissingModalityLib.training.recipes import RECIPES
from MissingModalityPanelLib.section import Section, explain, isFolder, showError, tell
from MissingModalityTrainLib.parameternode import Network
from MissingModalityTrainLib.plots import RunPlots
from MissingModalityTrainLib.runmonitor import Following, epochText, runText
from MissingModalityTrainLib.stagestable import StagesTable, chosenChanges, planOf, trainingChoices

POLL_MILLISECONDS = 1000
LOG_LINES = 500
CHOICES = (
    "recipeSelector",
    "networkSelector",
    "presetSelector",
    "stagesTable",
    "runPathEdit",
)
"""Widgets whose choices a running training has taken; they say nothing to it."""

RUN_SETTING = "MissingModality/RunFolder"
STOP_SETTING = "MissingModality/StopTrainingOnExit"
"""Not kept in the scene: a run, and what becomes of it when the application closes, outlive scenes."""


class TrainingSection(Section):
    """Follows one run: that of the chosen folder, and while a process trains there no other."""

    paths = ("runPath",)
    choices = ("recipe",)

    def __init__(self, panel):
        super().__init__(panel)
        self._following = None
        self._epochsShown = self._textShown = None
        self._watched = False
        self._ours = False  # another Slicer that only looks on must not end it
        self._plots = RunPlots()
        for index, (name, recipe) in enumerate((name, RECIPES.get(name)) for name in RECIPES):
            self.ui.recipeSelector.addItem(name, name)
            self.ui.recipeSelector.setItemData(index, _(recipe.summary), qt.Qt.ToolTipRole)
        self._stages = StagesTable(self.ui.stagesTable, self._onStagesChanged)
        self.ui.logText.setMaximumBlockCount(LOG_LINES)
        self.ui.startButton.clicked.connect(lambda *_args: self.onStart(resume=False))
        self.ui.pauseButton.clicked.connect(self.onPause)
        self.ui.resumeButton.clicked.connect(self.onResume)
        self.ui.stopButton.clicked.connect(self.onStop)
        self.ui.plotsButton.clicked.connect(self.onShowPlots)
        stop = slicer.util.settingsValue(STOP_SETTING, False, converter=slicer.util.toBool)
        self.ui.stopOnExitCheckBox.setChecked(stop)
        self.ui.stopOnExitCheckBox.toggled.connect(lambda on: qt.QSettings().setValue(STOP_SETTING, on))
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.timeout.connect(self._onTimer)
        self._timer.start()

    def _onChosen(self, *_arguments):
        """A recipe made for a network of its own brings it along; the user may choose another."""
        before = self.state and self.state.recipe
        super()._onChosen()
        if self.state is None or self.state.recipe == before or not before:
            return
        network = RECIPES.get(self.state.recipe).network
        if network != RECIPES.get(before).network:
            self.state.network = Network(network)

    @property
    def alive(self):
        """Whether a process is training that this panel can pause and stop."""
        return self._following is not None and self._following.alive

    @property
    def hasRun(self):
        """Whether the chosen folder holds a training with a checkpoint."""
        return self._following is not None and self._following.hasCheckpoint

    @property
    def record(self):
        """What the run is made of, see ``run.json``; None where there is none."""
        status = self._following and self._following.status
        return status.record if status else None

    def findLastRun(self):
        """Take up the run that a panel was last used for, where the scene names none."""
        last = slicer.util.settingsValue(RUN_SETTING, "")
        if not last or self.state.runPath:
            return
        found = Following(last)
        if found.alive or found.status:
            self.ui.runPathEdit.setCurrentPath(last)

    def onStart(self, resume):
        """Start a training of the chosen run folder, or go on with it."""
        state = self.state
        choices = {"device": state.device.value} if resume else trainingChoices(state)
        data = state.dataPath if not resume or self._dataMoved() else None
        try:
            self.panel.ensureDependencies()
            process = self.logic.startTraining(data, state.runPath, resume=resume, **choices)
        except (MissingModalityError, RuntimeError) as error:
            self._fail(str(error))
            return
        qt.QSettings().setValue(RUN_SETTING, state.runPath)
        self._ours = True
        self._follow(Following(state.runPath, process), started=True)
        self._plots.fill(self._following.epochs)
        self._plots.show()

    def _dataMoved(self):
        """Whether the cases of the run are not where they were, and the panel names another folder."""
        return bool(self.record) and not isFolder(self.record.data) and isFolder(self.state.dataPath)

    def onPause(self):
        """Halt the process where it is."""
        self._try(self._following.pause)

    def onResume(self):
        """Let a paused process go on, or start one that goes on after the last whole epoch."""
        if self.alive:
            self._try(self._following.goOn)
        else:
            self.onStart(resume=True)

    def onStop(self):
        """End the process."""
        self._try(self._following.stop)

    def _try(self, act):
        """Do something to the process, which may be another user's or stuck."""
        try:
            act()
        except Exception as error:
            self._fail(_("The training's process does not obey: {error}").format(error=error))
        self._show()

    def onShowPlots(self):
        """Show loss and Dice of the run so far."""
        self._plots.fill(self._following.epochs)
        self._plots.show()

    def show(self, state):
        if self.alive and not self._follows(state.runPath):
            state.runPath = str(self._following.folder)  # the run goes on, whatever scene there is
        super().show(state)

    def update(self):
        state = self.state
        self._stages.show(state)
        if not self.alive and not self._follows(state.runPath):
            self._follow(Following(state.runPath) if state.runPath else None)
            return
        for button, (ready, conditions) in self._unmetConditions().items():
            explain(button, ready, conditions)
        for name in CHOICES:
            getattr(self.ui, name).setEnabled(not self.alive)
        self.ui.trainingProgressBar.setVisible(self.alive)

    def reset(self):
        """Plots went with the scene; those of a run that goes on come back."""
        self._epochsShown = None

    def cleanup(self):
        self._timer.stop()
        if self.alive and self._ours and self.ui.stopOnExitCheckBox.checked:
            self._try(self._following.stop)

    def _unmetConditions(self):
        """For each button what it does, and what keeps it from working."""
        state, following = self.state, self._following
        alive, paused = self.alive, following is not None and following.paused
        folder = following.folder if following else ""
        running = {
            _("A training is running in {folder}.").format(folder=folder): alive,
            _("A program outside of this panel is training there."): following and following.busy,
        }
        noStage = len(chosenChanges(state)["off"]) == len(planOf(state).stages)
        idle = {_("No training is running."): not alive}
        return {
            self.ui.startButton: (
                _("Train from the beginning"),
                {
                    **running,
                    _("Choose the folder of cases."): not isFolder(state.dataPath),
                    _("Choose a run folder."): not state.runPath,
                    _("The run folder holds a training already: resume it, or choose another."): self.hasRun,
                    _("Tick at least one stage."): noStage,
                },
            ),
            self.ui.pauseButton: (
                _("Halt the training where it is; it keeps its memory and loses nothing"),
                {**idle, _("The training is paused already."): paused},
            ),
            self.ui.resumeButton: (
                _("Go on at the step where it was paused")
                if paused
                else _("Go on after the last whole epoch"),
                {
                    **({} if paused else running),
                    _("Choose a run folder that holds a training."): not (paused or self.hasRun),
                    _("All stages of this training are over."): following is not None and following.finished,
                },
            ),
            self.ui.stopButton: (
                _("End the training and free its memory; Resume goes on after the last whole epoch"),
                idle,
            ),
            self.ui.plotsButton: (
                _("Show loss and validation Dice of the run in plot views"),
                {_("No epoch is over yet."): following is None or not following.epochs},
            ),
        }

    def _onStagesChanged(self):
        if self.state is not None:
            self.state.stages = self._stages.texts(self.state)

    def _onTimer(self):
        if self._following is None or self.state is None:
            return
        self._following.look()
        self._show()
        if self._watched and self._following.error:
            self._watched = False
            showError(self._following.error)

    def _follows(self, path):
        """Whether it is this folder that is shown, however it is written; none for an empty path."""
        folder = self._following.folder if self._following else None
        return folder == (Path(path) if path else None)

    def _follow(self, following, started=False):
        """``started``: the process may have ended by now, and its end is to be told."""
        self._following, self._epochsShown, self._textShown = following, None, None
        self._watched = started or self.alive
        self._show()

    def _show(self):
        """What the followed run is doing."""
        following = self._following
        text = following.text() if following else ""
        if text != self._textShown:  # else what went wrong since would be gone after a second
            self._textShown = text
            tell(self.ui.trainingStatusLabel, text)
        if following is not None:
            step, steps = following.progress()
            self.ui.trainingProgressBar.setMaximum(steps)
            self.ui.trainingProgressBar.setValue(step)
        self._showEpochs()
        self.panel.updateGui()

    def _showEpochs(self):
        following = self._following
        epochs = following.epochs if following else []
        shown = (len(epochs), following and following.state, self.record is None)
        if shown == self._epochsShown:
            return
        self._epochsShown = shown
        printed = following.log if following and not following.alive else ""
        made = runText(self.record) if self.record else ""
        lines = [made, *map(epochText, epochs[-LOG_LINES:]), printed]
        self.ui.logText.setPlainText("\n".join(filter(None, lines)))
        if self.alive or self._watched:
            self._plots.fill(epochs)

    def _fail(self, message):
        tell(self.ui.trainingStatusLabel, message)
        showError(message)
