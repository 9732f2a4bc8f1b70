"""The table of stages: which ones to go through, and for how many epochs."""

import json

import qt

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.training.plan import Plan, make_plan
from MissingModalityLib.training.recipes import RECIPES

MOST_EPOCHS = 100000
"""A spin box needs a limit (its own is 99); no training comes near this one."""


class StagesTable:
    """Keeps what differs from the recipe's own stages in the parameter node.

    The field ``stages`` holds JSON: the recipe, network and preset that the changes were made to, the epochs
    that were changed, by stage, and the stages left out, which without changes are those that the recipe has
    on request. With another recipe, network or preset all is void.
    """

    def __init__(self, table, onChanged):
        """``onChanged`` is called without arguments when the user has changed ``table``."""
        self._table, self._onChanged = table, onChanged
        self._spinBoxes = {}
        self._shown = None
        self._filling = False
        table.itemChanged.connect(self._changed)

    def show(self, state):
        """Show the stages of the chosen recipe, with the changes."""
        plan, changes = planOf(state), chosenChanges(state)
        if (plan, changes) == self._shown:
            return
        rebuilt = self._shown is None or plan != self._shown[0]
        self._shown, self._filling = (plan, changes), True
        if rebuilt:  # else a number would lose the keyboard while it is typed
            self._makeRows(plan.stages)
        for row, (name, settings) in enumerate(plan.stages.items()):
            off = name in changes["off"]
            self._table.item(row, 0).setCheckState(qt.Qt.Unchecked if off else qt.Qt.Checked)
            epochs = changes["epochs"].get(name, settings.epochs)
            if self._spinBoxes[name].value != epochs:
                self._spinBoxes[name].setValue(epochs)
            self._spinBoxes[name].setEnabled(not off)
        self._filling = False

    def clear(self):
        """Show no stage: the choices make no plan."""
        self._table.setRowCount(0)
        self._spinBoxes = {}
        self._shown = None

    def _makeRows(self, stages):
        for spinBox in self._spinBoxes.values():
            spinBox.hide()  # those that are replaced live on until Qt is idle, over what comes after them
        self._table.setRowCount(len(stages))
        self._spinBoxes = {}
        for row, name in enumerate(stages):
            item = qt.QTableWidgetItem(name)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
            self._table.setItem(row, 0, item)
            spinBox = self._spinBoxes[name] = qt.QSpinBox()
            spinBox.setRange(1, MOST_EPOCHS)
            spinBox.valueChanged.connect(self._changed)
            self._table.setCellWidget(row, 1, spinBox)
        # as high as its rows and the header, so that nothing scrolls and nothing is empty
        self._table.setFixedHeight((len(stages) + 1) * self._table.rowHeight(0))

    def texts(self, state):
        """What the table says, for the field ``stages``; empty where that is the recipe's own."""
        stages = planOf(state).stages
        rows = enumerate(self._spinBoxes)
        off = [name for row, name in rows if self._table.item(row, 0).checkState() == qt.Qt.Unchecked]
        epochs = {name: box.value for name, box in self._spinBoxes.items() if name in stages}
        changed = {name: value for name, value in epochs.items() if value != stages[name].epochs}
        if not changed and off == _onRequest(state):
            return ""
        return json.dumps({"of": _origin(state), "epochs": changed, "off": off})

    def _changed(self, *_arguments):
        if not self._filling:
            self._onChanged()


def planOf(state):
    """The plan of recipe, network and preset, with all stages that the recipe offers."""
    offered = list(RECIPES.get(state.recipe).stages)
    return make_plan(state.recipe, state.network, state.preset, offered)


def planProblem(state):
    """Why the choices make no plan, such as a network that is not installed; empty where they make one."""
    try:
        planOf(state)
    except OptionError as error:
        return str(error)
    return ""


def chosenStages(state):
    """Names of the stages that are ticked, in their order."""
    off = chosenChanges(state)["off"]
    return [name for name in planOf(state).stages if name not in off]


def chosenChanges(state):
    """Changes to that plan: ``epochs`` by stage, and the stages that are ``off``."""
    own = {"epochs": {}, "off": _onRequest(state)}
    try:
        changes = json.loads(state.stages) if state.stages else own
        known = changes.get("of") == _origin(state)
        return {"epochs": dict(changes["epochs"]), "off": list(changes["off"])} if known else own
    except (ValueError, TypeError, KeyError, AttributeError):
        return own  # a scene of a later version, which keeps the changes in another way


def trainingChoices(state):
    """What the panel says about a training, as arguments of ``MissingModalityTrainLogic.train``."""
    changes = chosenChanges(state)
    stages = planOf(state).stages
    kept = chosenStages(state)
    settings = {f"{name}.epochs": value for name, value in changes["epochs"].items() if name in kept}
    if state.validationPercent / 100 != Plan().validation_fraction:
        settings["validation_fraction"] = state.validationPercent / 100
    if state.resectionCavity != Plan().resection_cavity:
        settings["resection_cavity"] = state.resectionCavity
    for name in kept:
        synthesis = stages[name].synthesis
        if synthesis.method != "none" and state.factor != synthesis.factor:
            settings[f"{name}.synthesis.factor"] = state.factor
        if synthesis.method == "aem":
            options = state.synthesisOptions()
            settings |= {f"{name}.synthesis.{option}": value for option, value in options.items()}
    return {
        "recipe": state.recipe,
        "network": state.network,
        "preset": state.preset,
        "stages": kept if changes["off"] != _onRequest(state) else None,
        "settings": settings,
        "seed": state.seed,
        "device": state.device,
        "convention": state.convention or None,
    }


def _onRequest(state):
    return list(RECIPES.get(state.recipe).on_request)


def _origin(state):
    return f"{state.recipe}/{state.network}/{state.preset}"
