"""The section Evaluate and export: the trained network as a file, and how good it is on every subset."""

import math
import os
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from MissingModalityLib.core.labels import CAVITY_REGION, REGIONS
from MissingModalityLib.inference.locations import STUDENT_SUFFIX, user_models
from MissingModalityPanelLib.jobline import JobLine
from MissingModalityPanelLib.progresstexts import withWarnings
from MissingModalityPanelLib.section import Section
from MissingModalityPanelLib.slowdisks import isFile, isFolder, modified
from MissingModalityPanelLib.widgets import setEnabledWithReason
from MissingModalityTrainLib.viewlayouts import showTable

RESULTS, HEATMAP = "evaluation", "heatmap.png"
"""Folder inside the run's, and the picture in it."""

FIRST_FOLD = "fold0"
"""Folder of a cross-validation that each has."""

HEATMAP_WIDTH = 390  # pixels; with the margins no wider than a narrow panel
OWN = "MissingModality.evaluation"
"""Attribute that tells our table, that of a scene that was loaded too."""


class EvaluationParameters:
    """Empty means not chosen yet; without test cases the folder of cases is taken."""

    studentPath: str = ""
    evaluationPath: str = ""


class EvaluationSection(Section):
    """Works on the chosen run; what it writes can be read without the panel."""

    name = "evaluation"
    Parameters = EvaluationParameters
    paths = ("studentPath", "evaluationPath")

    def __init__(self, panel):
        super().__init__(panel)
        self._job = JobLine(self)
        self._proposed = ""
        self._pictured = None
        self.ui.exportButton.clicked.connect(self.onExport)
        self.ui.evaluateButton.clicked.connect(self.onEvaluate)

    def onExport(self):
        """Write the student file of the chosen run."""
        path = Path(self.state.studentPath)
        question = _("{path} is there already. Replace it?").format(path=path)
        if os.path.exists(path) and not slicer.util.confirmOkCancelDisplay(question):
            return
        try:
            self.panel.ensureDependencies()
            # our own folder is proposed before it exists; one that was mistyped is not made but refused
            if path.parent == user_models():
                path.parent.mkdir(parents=True, exist_ok=True)
        except (RuntimeError, OSError) as error:
            self._job.fail(str(error))
            return
        arguments = ["export", "--run", self.state.runPath, "--output", path, "--name", path.stem]
        self._job.start(arguments, _("Exporting..."), self._onExported)

    def onEvaluate(self):
        """Score the student file on every subset of sequences."""
        state = self.state
        try:
            self.panel.ensureDependencies()
        except RuntimeError as error:
            self._job.fail(str(error))
            return
        data = state.evaluationPath or state.dataPath
        output = Path(state.runPath) / RESULTS
        arguments = ["evaluate", "--student", state.studentPath, "--data", data, "--output", output]
        arguments += ["--device", state.device, "--store"]
        if state.convention:
            arguments += ["--convention", state.convention]
        # the rule that the run had, or the scores would be of another task
        record = self.panel.training.record
        rule = record.plan.resection_cavity if record else state.resectionCavity
        arguments += ["--resection-cavity", rule]
        model = Path(state.studentPath).name
        self._job.start(arguments, _("Starting..."), lambda result: self._onEvaluated(model, result))

    def update(self):
        state = self.state
        self._propose()
        running = {_("Another job of this section is running."): self._job.isRunning}
        student = {
            _("Choose a model file ending in .safetensors."): not state.studentPath.endswith(STUDENT_SUFFIX)
        }
        hasRun = self.panel.training.hasRun
        setEnabledWithReason(
            self.ui.exportButton,
            _("Write the trained network as one file; the segmentation module lists it"),
            {**running, _("Choose a run folder that holds a training."): not hasRun, **student},
        )
        data = state.evaluationPath or state.dataPath
        setEnabledWithReason(
            self.ui.evaluateButton,
            _("Score the model file on all subsets of sequences that the test cases allow"),
            {
                **running,
                _("Export the model file first."): not isFile(state.studentPath),
                _("Choose the folder of test cases."): not isFolder(data),
                _("Choose a run folder; the results go into it."): not state.runPath,
                _(
                    "Choose another run folder: the results would replace the scores of a cross-validation."
                ): self._isCrossValidation(),
            },
        )
        self._job.update()
        self._showHeatmap()

    def _isCrossValidation(self):
        """Whether the run is one, or a fold of one, whose folder keeps scores that cost all its trainings."""
        record, run = self.panel.training.record, self.state.runPath
        return bool(run) and (
            isFolder(str(Path(run) / FIRST_FOLD)) or (record is not None and record.folds is not None)
        )

    def reset(self):
        self._proposed = ""

    def cleanup(self):
        self._job.cancel()

    def _propose(self):
        """Name the student after its run, in the folder whose files the segmentation module lists."""
        run = self.state.runPath
        proposed = str(user_models() / f"{Path(run).name}{STUDENT_SUFFIX}") if run else ""
        before, self._proposed = self._proposed, proposed
        if proposed != before and self.state.studentPath in ("", before):
            self.ui.studentPathEdit.setCurrentPath(proposed)

    def _onExported(self, result):
        path = Path(result["output"])
        listed = path.parent == user_models()
        text = _("Wrote {path}. The segmentation module lists it.") if listed else _("Wrote {path}.")
        return text.format(path=path)

    def _onEvaluated(self, model, result):
        table = evaluationTable()
        fillEvaluationTable(table, result["subsets"])
        showTable(table)
        self._pictured = None
        mean = result["averages"]["all"]["dice"]
        # the name, since another run may be chosen by now, or later
        text = _("{model}: cases evaluated: {count}. Mean Dice over all subsets: {dice}.").format(
            model=model,
            count=len(result["cases"]),
            dice=", ".join(f"{name} {mean[name]:.2f}" for name in scoredRegions(mean)),
        )
        flattered = _(
            "The network was trained on {seen} of these cases, so the scores flatter it; they were not "
            "stored in the model file."
        )
        if result["seen"]:
            text = f"{text} {flattered.format(seen=len(result['seen']))}"
        return withWarnings(text, result["warnings"])

    def _showHeatmap(self):
        """The picture of the run's latest evaluation, read again when it has changed."""
        path = Path(self.state.runPath) / RESULTS / HEATMAP
        time = modified(str(path)) if self.state.runPath else None
        found = (path, time) if time else None
        if found == self._pictured:
            return
        self._pictured = found
        if found:  # scaled here, since a label cuts off what is larger
            picture = qt.QPixmap(str(path))
            self.ui.heatmapLabel.setPixmap(picture.scaledToWidth(HEATMAP_WIDTH, qt.Qt.SmoothTransformation))
        self.ui.heatmapLabel.setVisible(bool(found))


def evaluationTable():
    """Our table node of the scene; a new one where there is none."""
    for node in slicer.util.getNodesByClass("vtkMRMLTableNode"):
        if node.GetAttribute(OWN):
            return node
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", _("Dice and HD95 by subset"))
    table.SetAttribute(OWN, "1")
    return table


def fillEvaluationTable(table, subsets):
    """One row for each subset: cases, then mean and standard deviation of Dice and HD95 of each region."""
    table.RemoveAllColumns()
    addColumn(table, vtk.vtkStringArray(), _("Subset"), [entry["subset"] for entry in subsets])
    addColumn(table, vtk.vtkIntArray(), _("Cases"), [entry["cases"] for entry in subsets])
    for metric, title, decimals in (("dice", _("Dice"), 3), ("hd95", _("HD95 (mm)"), 1)):
        for region in scoredRegions(subsets[0]["dice"]):
            for key, heading in ((metric, title), (f"{metric}_std", _("{title} SD").format(title=title))):
                numbers = [entry[key][region] for entry in subsets]
                # a column of a VTK table cannot lack single values
                rounded = [math.nan if number is None else round(number, decimals) for number in numbers]
                addColumn(table, vtk.vtkDoubleArray(), f"{region} {heading}", rounded)


def scoredRegions(scores):
    """Those that the panel shows: the resection cavity where it was scored."""
    return [region for region in (*REGIONS, CAVITY_REGION) if region in scores]


def addColumn(table, column, name, values):
    """Fill a VTK array and hang it into a table node."""
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    table.AddColumn(column)
