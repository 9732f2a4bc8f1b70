"""A section of a panel: one file of code, one .ui file, and parameters of its own."""

import qt
import slicer

from MissingModalityPanelLib.widgets import signalsBlocked


class Section:
    """One part of a panel.

    A subclass is added to a panel by its name in the panel's tuple of sections; its widgets come from the
    file ``Resources/UI/<Name>.ui`` of the module, where Name is ``name`` with a capital.

    Attributes:
        name: under which the panel holds the section, ``panel.<name>``.
        Parameters: class whose annotated attributes become parameters of the panel's parameter node, see
            parameters.py; None where the section keeps nothing in the scene.
        paths: parameters that path edits show; the edit of ``field`` is called ``<field>Edit``.
        choices: parameters that combo boxes show, ``<field>Selector``; the value is the chosen item's data.
            Slicer's wrapper ties a combo box to an Enum or a list that is known beforehand, not to texts that
            come from a registry or a folder.
        panel: the module's widget.
        ui: the section's own widgets by name.
        logic: the module's logic.
    """

    name = ""
    Parameters = None
    paths = ()
    choices = ()

    def __init__(self, panel):
        """Load the widgets into the panel."""
        self.panel, self.logic = panel, panel.logic
        widget = slicer.util.loadUI(panel.resourcePath(f"UI/{self.name.capitalize()}.ui"))
        panel.layout.addWidget(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(widget)
        self._edits = {field: getattr(self.ui, f"{field}Edit") for field in self.paths}
        self._selectors = {field: getattr(self.ui, f"{field}Selector") for field in self.choices}
        self._isShowing = False

    @property
    def state(self):
        """The panel's parameter node; None while the scene changes."""
        return self.panel.state

    def connect(self):
        """Let choices reach the scene; called when all sections have filled their combo boxes."""
        for field, edit in self._edits.items():
            onChosen = self._chooser(field)
            edit.currentPathChanged.connect(onChosen)
            edit.validInputChanged.connect(onChosen)  # the only signal for a path that was cleared
        for field, selector in self._selectors.items():
            selector.currentIndexChanged.connect(self._chooser(field))

    def _chooser(self, field):
        """What a signal of the field's widget calls, whatever it tells."""
        return lambda *_arguments: self.onChosen(field)

    def show(self, state):
        """Fill the widgets that Slicer's wrapper does not tie to a parameter."""
        self._isShowing = True  # else the first of them would write what the others do not show yet
        for field, edit in self._edits.items():
            if edit.currentPath != getattr(state, field):  # else the cursor jumps while somebody types
                edit.setCurrentPath(getattr(state, field))
        for field, selector in self._selectors.items():
            # -1, nothing chosen, where the item is not offered (yet): the first one must not take its place
            selector.setCurrentIndex(selector.findData(getattr(state, field)))
        self._isShowing = False

    def onChosen(self, *fields):
        """Keep what the path edits or combo boxes of some parameters show."""
        if self.state is None or self._isShowing:
            return
        chosen = {field: self._displayed(field) for field in fields}
        # as one change: after each change the widgets show what the scene has
        with slicer.util.NodeModify(self.state.parameterNode):
            for field, value in chosen.items():
                # None: the combo box shows nothing, because what the scene has is not among its items
                if value is not None and getattr(self.state, field) != value:
                    setattr(self.state, field, value)
        self.panel.updateGui()

    def _displayed(self, field):
        if field in self._edits:
            return self._edits[field].currentPath
        return self._selectors[field].itemData(self._selectors[field].currentIndex)

    def offer(self, field, labels):
        """Replace the items of a combo box; the choice stays where it is among them.

        Args:
            field: one of ``choices``.
            labels: texts to show by the value that each stands for.
        """
        selector = self._selectors[field]
        with signalsBlocked(selector):
            selector.clear()
            for row, (value, label) in enumerate(labels.items()):
                selector.addItem(label, value)
                selector.setItemData(row, label, qt.Qt.ToolTipRole)  # a narrow list cuts long texts off
            if self.state is not None:
                selector.setCurrentIndex(selector.findData(getattr(self.state, field)))

    def update(self):
        """Bring buttons and texts up to date with the state."""

    def enter(self):
        """The module has become the one that is shown."""

    def exit(self):
        """Another module is shown; what runs goes on."""

    def stop(self):
        """The scene is about to be closed: end what works on it."""

    def reset(self):
        """The scene was closed: forget what was shown of it."""

    def cleanup(self):
        """The application is about to delete the panel."""
