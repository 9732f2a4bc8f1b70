"""One segmentation in a child process, from volume nodes to a segmentation node."""

import logging
import tempfile
from pathlib import Path

from slicer.i18n import tr as _

from MissingModalityLib.core.errors import ImageError, MissingModalityError, OptionError
from MissingModalityLib.core.modalities import modality_named
from MissingModalityLib.runtime.jobs import Job
from MissingModalitySegLib.resultview import stampOf


class SegmentationRun(Job):
    """A job that ends with a segmentation node in the scene.

    The scene is touched in one place only: after the process has succeeded, when all to be shown is ready.

    Attributes:
        exception: why there is no segmentation; None before the end and after success.
        segmentation: the segmentation node; None before the end and where there is none.
        report: what the command reports: model, device, seconds, warnings; None like ``segmentation``.
        reference: the volume node on whose grid the segments lie.
        center: (r, a, s) of the middle of the largest part of the tumor; None where there is none.
        kept: the segmentation node that was to be overwritten, where somebody has changed its segments during
            the run, so that the result got a new one; else None.
        stepNodes: new nodes with what the steps before have made; none unless asked for.
    """

    def __init__(self, inputs, output, student, device, regions, steps, onProgress, onFinished):
        """Write the volumes to files, which the process reads once the run is started.

        Args:
            inputs: volume nodes by ``Modality``; the first is the reference.
            output: segmentation node to overwrite, or None.
            student: path of a model file, or None for the bundled one.
            device: as on the command line.
            regions: add whole tumor and tumor core.
            steps: what is done to raw volumes before, ``RawSteps``.
            onProgress: called with each progress event, or None.
            onFinished: called with this run at the end, whatever the end is.

        Raises:
            ImageError: a node cannot be used.
            OptionError: the output is no segmentation node.
        """
        from MissingModalityLib import mrml

        mrml.check_nodes(inputs)
        if output is not None and not _isA(output, "vtkMRMLSegmentationNode"):
            raise OptionError(
                f"The output is a {_kindOf(output)}, not a segmentation node. Choose a segmentation, or None "
                "for a new one."
            )
        self.exception = self.segmentation = self.report = self.center = self.kept = None
        self.reference = next(iter(inputs.values()))
        self.stepNodes = []
        self._nodes, self._output, self._regions, self._steps = dict(inputs), output, regions, steps
        self._before = None if output is None else stampOf(output)
        self._given = mrml.state_of(self.reference)
        self._places = {modality: mrml.world_matrix(node) for modality, node in inputs.items()}
        self._onFinished = onFinished
        self._folder = tempfile.TemporaryDirectory(
            prefix="MissingModality-",
            ignore_cleanup_errors=True,  # on Windows others may still hold a file of it
        )
        folder = Path(self._folder.name)
        self._paths = mrml.write_inputs(inputs, folder)
        self._maskPath, self._stepsFolder = folder / "brain.nrrd", folder / "steps"
        if steps.brainMask is not None:
            mrml.write_brain_mask(steps.brainMask, self._maskPath)
        self._result = folder / "classes.nrrd"
        super().__init__(self._commandLine(student, device), onProgress, self._onProcessEnded)

    def _commandLine(self, student, device):
        arguments = ["segment", "--output", self._result, "--device", device]
        for modality, path in self._paths.items():
            arguments += [f"--{modality.name.lower()}", path]
        arguments += self._steps.arguments(self._maskPath, self._stepsFolder)
        return [*arguments, "--student", student] if student else arguments

    def wait(self, timeout=None):
        """Block until the end; an interrupted wait ends the process too."""
        try:
            return super().wait(timeout)
        except BaseException:
            self.cancel()
            raise

    def _onProcessEnded(self, _job):
        try:
            if self.error is None:
                self._import()
                warnings = [self._inNodeNames(warning) for warning in self.result["warnings"]]
                self.report = self.result | {"warnings": [*warnings, *self._notes()]}
            elif self.exit_code == 2 or self.canceled:  # 2: bad input, with a message for people
                self.exception = MissingModalityError(self._inNodeNames(self.error))
            else:
                logging.error("Log of the segmentation process:\n%s", self.log)
                self.exception = RuntimeError(self._inNodeNames(self.error))
        except Exception as error:
            self.exception = error
        finally:
            self._folder.cleanup()  # before the end is told, which may open a window and wait for the user
        self._onFinished(self)

    def _import(self):
        import SimpleITK as sitk

        from MissingModalityLib import mrml
        from MissingModalityLib.imaging.volumes import read_image

        reference = self.reference
        if reference.GetScene() is None:
            raise ImageError(
                _("The first volume was removed during the segmentation. Load it and start again.")
            )
        if mrml.input_problem(reference) or mrml.state_of(reference) != self._given:
            raise ImageError(
                _("The first volume was changed during the segmentation. Start it again for this volume.")
            )
        classes = sitk.GetArrayFromImage(read_image(self._result))
        built = mrml.build_segmentation(classes, reference, self._regions)
        self.center = mrml.tumor_center(classes, reference)
        made = self._stepsMade()
        output = self._output
        # a node that the user has deleted meanwhile lives on here, without a scene to be shown in
        if output is not None and output.GetScene() is None:
            output = None
        if output is not None and stampOf(output) != self._before:
            self.kept, output = output, None
        self.segmentation = mrml.place_segmentation(built, reference, output)
        if made is not None:
            self.stepNodes = self._addStepNodes(made)

    def _notes(self):
        """Sentences for people about what became of the output."""
        if self.kept is None:
            return []
        text = _(
            "The segments of '{name}' were changed during the segmentation, so they are kept; the result is "
            "'{result}'."
        )
        return [text.format(name=self.kept.GetName(), result=self.segmentation.GetName())]

    def _stepsMade(self):
        """What the steps before the segmentation have left; None where nobody wants to see it."""
        from MissingModalityLib.clinical.steps_output import read_steps

        return read_steps(self._stepsFolder) if self._steps.keep else None

    def _addStepNodes(self, made):
        from MissingModalityLib import mrml

        scene, name = self.reference.GetScene(), self.reference.GetName()
        nodes = [
            mrml.add_transform(
                scene,
                transform,
                _("{moved} onto {reference}").format(moved=self._nodes[modality].GetName(), reference=name),
                self._places[modality],
            )
            for modality, transform in made.movements.items()
        ]
        if made.brain is not None:
            nodes.append(mrml.add_brain_mask(scene, made.brain, _("{name} brain").format(name=name)))
        return nodes

    def _inNodeNames(self, message):
        """A message with the names of the volumes in place of the paths that the process was given."""
        named = {path: self._nodes[modality] for modality, path in self._paths.items()}
        if self._steps.brainMask is not None:
            named[self._maskPath] = self._steps.brainMask
        for path, node in named.items():
            message = message.replace(str(path), f"'{node.GetName()}'")
        return message


def nodesByModality(inputs):
    """Volume nodes by name of the sequence -> by ``Modality``, in the order given.

    Raises:
        OptionError: a name is unknown, two names mean one sequence, or what is given is no node.
    """
    nodes = {}
    for name, node in inputs.items():
        modality = modality_named(name)
        if node is not None and not _isA(node, "vtkMRMLNode"):
            raise OptionError(
                f"{modality.title} is a {_kindOf(node)}, not a node. Give the volume's node, as "
                "slicer.util.getNode finds it by its name."
            )
        if modality in nodes:
            raise OptionError(
                f"Two volumes were given for {modality.title}: '{nodes[modality].GetName()}' and "
                f"'{node.GetName()}'. Choose one of them."
            )
        nodes[modality] = node
    return nodes


def _isA(node, kind):
    return hasattr(node, "IsA") and bool(node.IsA(kind))


def _kindOf(value):
    return value.GetClassName() if hasattr(value, "GetClassName") else type(value).__name__
