"""The section Training: recipe and stages, start, pause, resume, stop, and what the run is doing."""

from pathlib import Path
from typing import Annotated

import qt
import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice

from MissingModalityLib.core.errors import MissingModalityError, OptionError
from MissingModalityLib.training.presets import PRESET_NAMES
from MissingModalityLib.training.recipes import RECIPES
from MissingModalityPanelLib.dependencies import isTorchInstalled
from MissingModalityPanelLib.device import DEVICES, DeviceChoice, deviceLabels
from MissingModalityPanelLib.progresstexts import withWarnings
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.slowdisks import PATIENCE, isFolder
from MissingModalityPanelLib.widgets import makeTimer, setEnabledWithReason, setStatus
from MissingModalityTrainLib.networkchoices import networkLabels, presetLabels, readOldName
from MissingModalityTrainLib.plots import RunPlots
from MissingModalityTrainLib.runmonitor import RunMonitor, epochText, runText
from MissingModalityTrainLib.stagestable import StagesTable, chosenStages, planProblem, trainingChoices

POLL_MILLISECONDS = 1000
"""Seldom, since each poll reads the run's record and log from a disk that may be slow."""

IDLE_MILLISECONDS = 5000
"""Where no process of a panel trains: another program may begin to."""

LOG_LINES = 500
"""The last ones of the log, to scroll through; log.jsonl in the run's folder has all."""

FIRST_RECIPE = next(iter(RECIPES))
CHOICES = (
    "recipeSelector",
    "networkSelector",
    "presetSelector",
    "stagesTable",
    "runPathEdit",
)
"""Widgets with no effect on a training that runs: it has read its choices at the start."""

RUN_SETTING = "MissingModality/RunFolder"
STOP_SETTING = "MissingModality/StopTrainingOnExit"
"""Keys of the application's settings, since a run outlives scenes."""


class TrainingParameters:
    """Recipe, network and preset are names as on the command line; ``stages`` is of StagesTable."""

    recipe: str = FIRST_RECIPE
    network: str = RECIPES.get(FIRST_RECIPE).network
    preset: Annotated[str, Choice(PRESET_NAMES)] = "quick"
    stages: str = ""
    device: DeviceChoice = DEVICES[0]
    runPath: str = ""


class TrainingSection(Section):
    """Follows one run: that of the chosen folder, and while a process trains there no other."""

    name = "training"
    Parameters = TrainingParameters
    paths = ("runPath",)
    choices = ("recipe", "network", "preset", "device")

    def __init__(self, panel):
        super().__init__(panel)
        self._monitor = None
        self._epochsShown = self._textShown = None
        self._watched = False
        self._ours = False  # another Slicer that only looks on must not end it
        self._plots = RunPlots()
        self.offer("recipe", {name: name for name in RECIPES})
        # the library's come first; those of other packages would be imported, and may fail to be
        for index, name in enumerate(RECIPES.own_names()):
            self.ui.recipeSelector.setItemData(index, RECIPES.get(name).summary, qt.Qt.ToolTipRole)
        self.offer("network", networkLabels())
        self.offer("preset", presetLabels())
        self.offer("device", deviceLabels())
        self._problem = ""
        self._stages = StagesTable(self.ui.stagesTable, self._onStagesChanged)
        self.ui.logText.setMaximumBlockCount(LOG_LINES)
        # clicked tells whether the button is checked, which would arrive as resume
        self.ui.startButton.clicked.connect(lambda *_args: self.onStart(resume=False))
        self.ui.pauseButton.clicked.connect(self.onPause)
        self.ui.resumeButton.clicked.connect(self.onResume)
        self.ui.stopButton.clicked.connect(self.onStop)
        self.ui.plotsButton.clicked.connect(self.onShowPlots)
        # an .ini file gives back texts, and the text "false" is true
        stop = slicer.util.settingsValue(STOP_SETTING, False, converter=slicer.util.toBool)
        self.ui.stopOnExitCheckBox.setChecked(stop)
        self.ui.stopOnExitCheckBox.toggled.connect(lambda on: qt.QSettings().setValue(STOP_SETTING, on))
        self._timer = makeTimer(IDLE_MILLISECONDS, self._onTimer)

    def enter(self):
        self._setTimer()

    def exit(self):
        self._setTimer()

    def onChosen(self, *fields):
        """A recipe made for a network of its own brings it along; the user may choose another."""
        before = self.state and self.state.recipe
        super().onChosen(*fields)
        if self.state is None or self.state.recipe == before or not before:
            return
        network = _networkOf(self.state.recipe)
        if network and network != _networkOf(before):
            self.state.network = network

    @property
    def alive(self):
        """Whether a process is training that this panel can pause and stop."""
        return self._monitor is not None and self._monitor.alive

    @property
    def hasRun(self):
        """Whether the chosen folder holds a training with a checkpoint."""
        return self._monitor is not None and self._monitor.hasCheckpoint

    @property
    def record(self):
        """What the run is made of, see ``run.json``; None where there is none."""
        status = self._monitor and self._monitor.status
        return status.record if status else None

    def findLastRun(self):
        """Take up the run that a panel was last used for, where the scene names none."""
        last = slicer.util.settingsValue(RUN_SETTING, "")
        if not last or self.state.runPath:
            return
        found = RunMonitor(last)
        if found.alive or found.status:
            self.ui.runPathEdit.setCurrentPath(last)

    def onStart(self, resume):
        """Start a training of the chosen run folder, or go on with it."""
        state = self.state
        data = state.dataPath if not resume or self._dataMoved() else None
        try:
            self.panel.ensureDependencies()
            # after them: networks of other packages are imported only now
            choices = {"device": state.device} if resume else trainingChoices(state)
            process = self.logic.startTraining(data, state.runPath, resume=resume, **choices)
        except (MissingModalityError, RuntimeError) as error:
            self._fail(str(error))
            return
        qt.QSettings().setValue(RUN_SETTING, state.runPath)
        self._ours = True
        self._follow(RunMonitor(state.runPath, process), started=True)
        self._plots.fill(self._monitor.epochs)
        self._plots.show()

    def _dataMoved(self):
        """Whether the cases of the run are not where they were, and the panel names another folder."""
        return bool(self.record) and not isFolder(self.record.data) and isFolder(self.state.dataPath)

    def onPause(self):
        """Halt the process where it is."""
        self._try(self._monitor.pause)

    def onResume(self):
        """Let a paused process go on, or start one that goes on after the last whole epoch."""
        if self.alive:
            self._try(self._monitor.resume)
        else:
            self.onStart(resume=True)

    def onStop(self):
        """End the process."""
        self._try(self._monitor.stop)

    def _try(self, act):
        """Do something to the process, which may be another user's or stuck."""
        try:
            act()
        except Exception as error:  # psutil's too, which has no name here: it may not be installed
            self._fail(_("The training's process does not obey: {error}").format(error=error))
        self._show()

    def onShowPlots(self):
        """Show loss and Dice of the run so far."""
        self._plots.fill(self._monitor.epochs)
        self._plots.show()

    def show(self, state):
        if self.alive and not self._follows(state.runPath):
            state.runPath = str(self._monitor.folder)  # the run goes on, whatever scene there is
        readOldName(state)
        super().show(state)

    def update(self):
        state = self.state
        self._problem = planProblem(state)
        if self._problem:
            self._stages.clear()
        else:
            self._stages.show(state)
        if not self.alive and not self._follows(state.runPath):
            self._follow(RunMonitor(state.runPath) if state.runPath else None)
            return
        self._updateButtons()
        for name in CHOICES:
            getattr(self.ui, name).setEnabled(not self.alive)
        self.ui.trainingProgressBar.setVisible(self.alive)

    def reset(self):
        """Plots went with the scene; those of a run that goes on come back."""
        self._epochsShown = None

    def cleanup(self):
        self._timer.stop()
        if self.alive and self._ours and self.ui.stopOnExitCheckBox.checked:
            self._try(self._monitor.stop)

    def _updateButtons(self):
        monitor = self._monitor
        paused = monitor is not None and monitor.paused
        running = {
            _("A training is running in {folder}.").format(folder=monitor and monitor.folder): self.alive,
            _("A program outside of this panel is training there."): monitor and monitor.busy,
        }
        idle = {_("No training is running."): not self.alive}
        setEnabledWithReason(
            self.ui.startButton, _("Train from the beginning"), {**running, **self._startConditions()}
        )
        setEnabledWithReason(
            self.ui.pauseButton,
            _("Halt the training where it is; it keeps its memory and loses nothing"),
            {**idle, _("The training is paused already."): paused},
        )
        setEnabledWithReason(
            self.ui.resumeButton,
            _("Go on at the step where it was paused") if paused else _("Go on after the last whole epoch"),
            {
                **({} if paused else running),
                _("Choose a run folder that holds a training."): not (paused or self.hasRun),
                _("All stages of this training are over."): monitor is not None and monitor.finished,
            },
        )
        setEnabledWithReason(
            self.ui.stopButton,
            _("End the training and free its memory; Resume goes on after the last whole epoch"),
            idle,
        )
        setEnabledWithReason(
            self.ui.plotsButton,
            _("Show loss and validation Dice of the run in plot views"),
            {_("No epoch is over yet."): monitor is None or not monitor.epochs},
        )

    def _startConditions(self):
        """What a new training needs, see ``setEnabledWithReason``."""
        state = self.state
        return {
            # a network of another package cannot be looked at without PyTorch, which Start offers to install
            self._problem: bool(self._problem) and isTorchInstalled(),
            _("Choose the folder of cases."): not isFolder(state.dataPath),
            _("Choose a run folder."): not state.runPath,
            _("The run folder holds a training already: resume it, or choose another."): self.hasRun,
            _("Tick at least one stage."): not self._problem and not chosenStages(state),
        }

    def _onStagesChanged(self):
        if self.state is not None:
            self.state.stages = self._stages.texts(self.state)

    def _onTimer(self):
        if self._monitor is None or self.state is None:
            return
        self._monitor.refresh()
        self._show()
        if self._watched and self._monitor.error:
            self._watched = False
            self.panel.showError(self._monitor.error)
        self._setTimer()

    def _setTimer(self):
        """Look at the run's folder while it is shown or a process trains there, else not at all."""
        usual = POLL_MILLISECONDS if self.alive else IDLE_MILLISECONDS
        # a folder on a share that answers slowly is looked at seldom, since Slicer stands still meanwhile
        slow = round(1000 * PATIENCE * self._monitor.lookSeconds) if self._monitor else 0
        self._timer.setInterval(max(usual, slow))
        if self.panel.isShown or self.alive:
            self._timer.start()
        else:
            self._timer.stop()

    def _follows(self, path):
        """Whether it is this folder that is shown, however it is written; none for an empty path."""
        folder = self._monitor.folder if self._monitor else None
        return folder == (Path(path) if path else None)

    def _follow(self, monitor, started=False):
        """Show another run, or none; ``started``: its process was just started, and may have ended by now."""
        self._monitor, self._epochsShown, self._textShown = monitor, None, None
        # a process whose end is to be shown in a window
        self._watched = started or self.alive
        self._setTimer()
        self._show()

    def _show(self):
        """What the followed run is doing."""
        monitor = self._monitor
        text = monitor.text() if monitor else ""
        if text != self._textShown:  # else what went wrong since would be gone after a second
            self._textShown = text
            setStatus(self.ui.trainingStatusLabel, text)
        if monitor is not None:
            step, steps = monitor.progress()
            self.ui.trainingProgressBar.setMaximum(steps)
            self.ui.trainingProgressBar.setValue(step)
        self._showEpochs()
        self.panel.updateGui()

    def _showEpochs(self):
        monitor = self._monitor
        epochs = monitor.epochs if monitor else []
        shown = (len(epochs), monitor and monitor.state, self.record is None)
        if shown == self._epochsShown:
            return
        self._epochsShown = shown
        printed = monitor.log if monitor and not monitor.alive else ""
        made = withWarnings(runText(self.record), self.record.warnings) if self.record else ""
        lines = [made, *map(epochText, epochs[-LOG_LINES:]), printed]
        self.ui.logText.setPlainText("\n".join(filter(None, lines)))
        if self.alive or self._watched:
            self._plots.fill(epochs)

    def _fail(self, message):
        setStatus(self.ui.trainingStatusLabel, message)
        self.panel.showError(message)


def _networkOf(recipe):
    """The network that a recipe is made for; None for a recipe that is not there or cannot be imported."""
    try:
        return RECIPES.get(recipe).network
    except OptionError:  # what is wrong stands beside Start, see planProblem
        return None
