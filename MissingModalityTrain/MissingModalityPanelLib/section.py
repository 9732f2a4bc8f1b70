"""What the sections of the panel share: choices kept in the scene, buttons that say why, a line for a job."""

import os

import slicer
from slicer.i18n import tr as _


class Section:
    """One collapsible part of the panel.

    Attributes:
        panel: the widget; its ``state`` is the parameter node, None while the scene changes.
        ui, logic: of the panel.
        paths: path edits by the field that keeps what they show.
        choices: combo boxes, whose items hold texts, by field.
    """

    paths = ()
    choices = ()

    def __init__(self, panel):
        self.panel, self.ui, self.logic = panel, panel.ui, panel.logic
        self._edits = {field: getattr(self.ui, f"{field}Edit") for field in self.paths}
        self._selectors = {field: getattr(self.ui, f"{field}Selector") for field in self.choices}
        self._showing = False

    @property
    def state(self):
        return self.panel.state

    def connect(self):
        """Let choices reach the scene; after the combo boxes have been filled."""
        for edit in self._edits.values():
            edit.currentPathChanged.connect(self._onChosen)
            edit.validInputChanged.connect(self._onChosen)  # all that is told of a path that was cleared
        for selector in self._selectors.values():
            selector.currentIndexChanged.connect(self._onChosen)

    def show(self, state):
        """Fill the widgets that the wrapper cannot tie to a field."""
        self._showing = True  # else the first of them would write what the others do not show yet
        for field, edit in self._edits.items():
            if edit.currentPath != getattr(state, field):
                edit.setCurrentPath(getattr(state, field))
        for field, selector in self._selectors.items():
            selector.setCurrentIndex(selector.findData(getattr(state, field)))
        self._showing = False

    def update(self):
        """Bring buttons and texts up to date with the state."""

    def reset(self):
        """The scene was closed: forget what was shown of it."""

    def cleanup(self):
        """The application is about to delete the panel."""

    def _onChosen(self, *_arguments):
        if self.state is None or self._showing:
            return
        chosen = {field: edit.currentPath for field, edit in self._edits.items()}
        chosen |= {
            field: selector.itemData(selector.currentIndex) for field, selector in self._selectors.items()
        }
        # as one change: after each, the widgets show what the scene has
        with slicer.util.NodeModify(self.state.parameterNode):
            for field, value in chosen.items():
                if value is not None and getattr(self.state, field) != value:
                    setattr(self.state, field, value)
        self.panel.updateGui()


class JobLine:
    """Progress, Cancel and a line of text for the one job that a section may have."""

    def __init__(self, section, name):
        """Use the widgets ``<name>ProgressBar``, ``<name>CancelButton`` and ``<name>StatusLabel``."""
        self._section = section
        self._bar = getattr(section.ui, f"{name}ProgressBar")
        self._cancelButton = getattr(section.ui, f"{name}CancelButton")
        self._label = getattr(section.ui, f"{name}StatusLabel")
        self._cancelButton.clicked.connect(self.cancel)
        self._job = None
        self._onResult = self._canceled = None

    @property
    def running(self):
        return self._job is not None

    def start(self, arguments, doing, onResult, canceled=None):
        """Run a command.

        Args:
            arguments: of the command line.
            doing: what to say meanwhile.
            onResult: called with what the command reports when it has succeeded; returns what to say then.
            canceled: what to say when the user has ended it.
        """
        self._onResult, self._canceled = onResult, canceled or _("Canceled.")
        self.tell(doing)
        self._bar.setMaximum(0)
        self._job = self._section.logic.runCommand(arguments, self._onProgress, self._onFinished)
        self._section.panel.updateGui()

    def cancel(self, *_arguments):
        """End the job; nothing happens where there is none."""
        if self._job is not None:
            self._job.cancel()

    def tell(self, text):
        """Show a text, or none."""
        tell(self._label, text)

    def update(self):
        """Show progress and Cancel while there is a job."""
        self._bar.setVisible(self.running)
        self._cancelButton.setVisible(self.running)

    def _onProgress(self, event):
        self._bar.setMaximum(event.total)
        self._bar.setValue(event.step)
        self.tell(progressText(event))

    def _onFinished(self, job):
        self._job = None
        try:
            if job.cancelled:
                self.tell(self._canceled)
            elif job.error:
                self.fail(job.error)
            else:
                self.tell(self._onResult(job.result))
        except Exception as error:
            self.fail(str(error))
        finally:
            self._section.panel.updateGui()

    def fail(self, message):
        """Show what went wrong, in a window too."""
        self.tell(message)
        showError(message)


def showError(message):
    """Tell what went wrong in a window."""
    slicer.util.errorDisplay(message, windowTitle=_("Brain tumor segmentation training"))


def tell(label, text):
    """Show a text in a label that is hidden without one."""
    label.setText(text)
    label.setVisible(bool(text))


def explain(button, ready, conditions):
    """Enable a button unless a condition is unmet, and say in its tooltip which, or what it does.

    Args:
        button: to change.
        ready: what it does.
        conditions: whether each is unmet, by the text that says what to do.
    """
    unmet = [text for text, isUnmet in conditions.items() if isUnmet]
    button.setEnabled(not unmet)
    button.setToolTip("\n".join(unmet) or ready)


def isFolder(path):
    """Whether a text is the path of a folder; an empty one is not."""
    return os.path.isdir(path)  # unlike Path, it takes a path that no system can have for none


def progressText(event):
    """A progress event in words."""
    stages = {
        "prepare": _("Preparing the cases"),
        "tumors": _("Cutting out the tumors"),
        "write": _("Writing"),
        "Evaluating": _("Evaluating"),
    }
    done = f"{stages.get(event.stage, event.stage)} {event.step}/{event.total}"
    numbers = [f"{name} {value:.4g}" for name, value in event.values.items()]
    return ", ".join(filter(None, [done, event.message, *numbers]))
