"""A module's panel that consists of sections, over the module's one parameter node."""

from types import SimpleNamespace

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from MissingModalityPanelLib.dependencies import ensureDependencies
from MissingModalityPanelLib.parameters import connectGui
from MissingModalityPanelLib.widgets import setStatus

LAST = -1.0
"""Priority of an observer that is called after all others, those in Slicer's wrapper of parameters too: only
then have they read what has changed. Among those of priority 0, VTK calls the one that was added first last.
"""


class SectionPanel(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Base of a module's widget. It holds no choices: they lie in the parameter node.

    Attributes:
        title: of windows with messages and questions.
        requirements: file in the module's Resources, the Python packages that its commands need.
        logicClass: of the module's logic.
        sectionClasses: the sections from top to bottom; each becomes the attribute of its ``name``.
        logic: the module's logic.
        ui: the widgets of all sections by name.
        state: the parameter node; None while the scene changes.
        isShown: whether the module is the one that is open.
    """

    title = ""
    requirements = ""
    logicClass = None
    sectionClasses = ()

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = self.ui = self.state = None
        self.isShown = False
        self._disconnectGui = None
        self._sections = []

    def setup(self):
        super().setup()
        self.logic = self.logicClass()
        self.ui = SimpleNamespace()
        for sectionClass in self.sectionClasses:
            section = sectionClass(self)
            setattr(self, section.name, section)
            self._sections.append(section)
            vars(self.ui).update(vars(section.ui))
        self._addNotice()
        for section in self._sections:
            section.connect()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        # a volume or result that a section shows may be deleted in any module
        self.addObserver(scene, scene.NodeRemovedEvent, self.updateGui)
        self.initializeParameterNode()

    def _addNotice(self):
        self.ui.sceneLabel, self.ui.noticeLabel = qt.QLabel(), qt.QLabel()
        for label in (self.ui.sceneLabel, self.ui.noticeLabel):
            label.setWordWrap(True)
            self.layout.addWidget(label)
        self.ui.noticeLabel.setText(
            _("Research use only, not a medical device. Check every result before you use it.")
        )
        self.layout.addStretch(1)

    def cleanup(self):
        """The application is about to delete the panel."""
        for section in self._sections:
            section.cleanup()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.isShown = True
        self.initializeParameterNode()
        for section in self._sections:
            section.enter()
        self.updateGui()

    def exit(self):
        self.isShown = False
        for section in self._sections:
            section.exit()

    def onSceneStartClose(self, caller, event):
        for section in self._sections:
            section.stop()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        for section in self._sections:
            section.reset()
        self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """The parameters of a loaded scene may name nodes that came in after them."""
        self.setParameterNode(self.logic.getParameterNode())

    def initializeParameterNode(self):
        """Show the parameter node of the scene where it is not shown yet."""
        parameterNode = self.logic.getParameterNode()
        # the nodes in the scene are compared: the logic wraps the same one anew at every call
        shown = self.state and self.state.parameterNode
        if parameterNode.parameterNode is not shown:
            self.setParameterNode(parameterNode)

    def setParameterNode(self, parameterNode):
        """Show another parameter node, or none."""
        modified = vtk.vtkCommand.ModifiedEvent
        if self.state is not None:
            self._disconnectGui()
            self.removeObserver(self.state.parameterNode, modified, self.onStateModified)
        # None while widgets are filled: their signals would write back what the others do not show yet
        self.state = self._disconnectGui = None
        if parameterNode is not None:
            self._disconnectGui = connectGui(parameterNode, self.ui)
            for section in self._sections:
                section.show(parameterNode)
            self.state = parameterNode
            self.addObserver(parameterNode.parameterNode, modified, self.onStateModified, priority=LAST)
            setStatus(self.ui.sceneLabel, "\n".join(parameterNode.replaced))
            self.updateGui()

    def onStateModified(self, caller, event):
        """A parameter was changed: by the panel itself, by a script, or by a scene that was loaded."""
        if self.state is not None:
            for section in self._sections:
                section.show(self.state)
            self.updateGui()

    def updateGui(self, *_arguments):
        """Bring all sections up to date."""
        for section in self._sections:
            if self.state is not None:
                section.update()

    def ensureDependencies(self):
        """Install the Python packages that are missing, after asking.

        Raises:
            RuntimeError: a package is missing; the message says what to do.
        """
        ensureDependencies(self.title, self.resourcePath(self.requirements))

    def showError(self, message):
        """Say in a window what went wrong."""
        slicer.util.errorDisplay(message, windowTitle=self.title)
