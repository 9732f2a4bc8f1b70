"""Segmentation of MRML volumes, for the panel and for scripts."""

from pathlib import Path

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from MissingModalityLib.core.segments import REGION_SEGMENTS, disjoint_segments
from MissingModalityLib.runtime.jobs import Job
from MissingModalityPanelLib.dependencies import ensureDependencies, ensureStripping
from MissingModalityPanelLib.parameters import readParameterNode
from MissingModalitySegLib.rawsection import RawSteps
from MissingModalitySegLib.sections import MissingModalitySegParameterNode
from MissingModalitySegLib.segmentationrun import SegmentationRun, nodesByModality

REQUIREMENTS = Path(__file__).parents[1] / "Resources" / "requirements.txt"

FILL_SHARE = 0.5
"""Slicer's own default: segments are filled half as opaque as they are outlined."""


class MissingModalitySegLogic(ScriptedLoadableModuleLogic):
    """What the panel does, and scripts can do as well."""

    def getParameterNode(self):
        return readParameterNode(MissingModalitySegParameterNode, super().getParameterNode())

    def ensureDependencies(self, stripping=False):
        """Install the Python packages that are missing, PyTorch among them, without asking: for scripts.

        The panel asks before it installs anything.

        Args:
            stripping: those too that find the brain in volumes with their skull on.

        Raises:
            RuntimeError: a package is missing and could not be installed; the message says what to do.
        """
        ensureDependencies(None, REQUIREMENTS)
        if stripping:
            ensureStripping(None)

    def segment(
        self,
        inputs,
        outputSegmentation=None,
        student=None,
        device="auto",
        regions=False,
        onProgress=None,
        steps=None,
    ):
        """Segment the tumor and wait for the result.

        Args:
            inputs: volume nodes by sequence name, any of "FLAIR", "T1CE", "T1", "T2". The first one is the
                reference: the segments lie on its grid.
            outputSegmentation: segmentation node to overwrite; a new one where None, or where somebody has
                changed its segments during the run.
            student: path of a .safetensors file; the bundled model where None.
            device: "auto", "cpu", "cuda" or "cuda:N".
            regions: add whole tumor and tumor core.
            onProgress: called with each ``MissingModalityLib.core.progress.Event``.
            steps: ``RawSteps``, what is done to raw volumes before; all that they need where None.

        Returns:
            The vtkMRMLSegmentationNode.

        Raises:
            MissingModalityError: bad input; the message names the volume and the remedy.
            RuntimeError: the process crashed; Slicer's log has the details.
            In both cases the scene is unchanged.
        """
        run = self.startSegmentation(
            inputs, outputSegmentation, student, device, regions, onProgress, steps=steps
        )
        run.wait()
        if run.exception is not None:
            raise run.exception
        return run.segmentation

    def startSegmentation(
        self,
        inputs,
        outputSegmentation=None,
        student=None,
        device="auto",
        regions=False,
        onProgress=None,
        onFinished=None,
        steps=None,
    ):
        """Like :meth:`segment`, without waiting.

        Args:
            onFinished: called with the SegmentationRun at the end, whatever the end is.

        Returns:
            The SegmentationRun, a ``Job``: call its ``poll()`` from a timer; ``cancel()`` ends it.

        Raises:
            MissingModalityError: as :meth:`segment`, as far as known before the start.
        """
        nodes = nodesByModality(inputs)
        finished = onFinished or (lambda run: None)
        raw = steps or RawSteps()
        run = SegmentationRun(nodes, outputSegmentation, student, device, regions, raw, onProgress, finished)
        return run.start()

    def needsBrainNetworks(self, inputs, steps):
        """Whether the networks that find brains are needed: a skull is there, and nothing else to strip it.

        Args:
            inputs: volume nodes by ``Modality``.
            steps: ``RawSteps``.

        Raises:
            MissingModalityError: a node cannot be used.
        """
        from MissingModalityLib import mrml
        from MissingModalityLib.clinical.installed_tools import TOOLS
        from MissingModalityLib.clinical.stripping import needs_stripping

        if not steps.strip or steps.brainMask is not None or any(tool.installed() for tool in TOOLS):
            return False
        mrml.check_nodes(inputs)
        return any(needs_stripping(mrml.image_of(node)) for node in inputs.values())

    def startFolder(
        self, data, output, student=None, device="auto", onProgress=None, onFinished=None, steps=None
    ):
        """``MissingModalityLib.segment_folder`` in a process of its own.

        Args:
            data: folder of patients.
            output: folder for the results.
            student, device, onProgress: as for :meth:`segment`.
            onFinished: called with the job at the end, whatever the end is.
            steps: ``RawSteps``, the same for all patients; all that they need where None. A brain mask, which
                is of one patient, is not used.

        Returns:
            The running ``MissingModalityLib.runtime.jobs.Job``: call its ``poll()`` from a timer.
        """
        arguments = ["segment-folder", "--data", data, "--output", output, "--device", device]
        arguments += ["--student", student] if student else []
        arguments += (steps or RawSteps()).folderArguments()
        return Job(arguments, onProgress, onFinished).start()

    def setOpacity(self, segmentationNode, opacity):
        """Opacity 0..1 of all segments, in slices and in 3-D."""
        display = segmentationNode.GetDisplayNode()
        display.SetOpacity3D(opacity)
        display.SetOpacity2DOutline(opacity)
        display.SetOpacity2DFill(FILL_SHARE * opacity)

    def saveLabelMap(self, segmentationNode, path):
        """Write the segments as one label map (1 NCR, 2 ED, 3 ET) on the grid of their reference volume.

        Args:
            path: its suffix says the kind of file: .nii.gz, .nii, .nrrd or .seg.nrrd.

        Raises:
            MissingModalityError: the reference volume is gone, or the file cannot be written.
        """
        # here as in all methods below: SimpleITK, which these bring, would delay each start of Slicer
        from MissingModalityLib import mrml
        from MissingModalityLib.imaging.segmentation_file import write_segmentation

        labels, corrected = mrml.label_map_of(segmentationNode), mrml.corrected_in(segmentationNode)
        computed = [segment.id for segment in disjoint_segments(cavity=True) if segment.id not in corrected]
        write_segmentation(labels, Path(path), computed=computed)

    def saveDicomSeg(self, segmentationNode, path):
        """Write the segments as a DICOM object (SEG) on the slices of the series that they were found on.

        Whole tumor and tumor core are in it where the node has them, as the sums of their parts. What a
        person has corrected is in it as semiautomatic. Needs the package highdicom.

        Args:
            path: the file, by convention ending in .dcm.

        Raises:
            MissingModalityError: the reference volume did not come from DICOM or lies elsewhere now, its
                files are gone, the file cannot be written, or the package is missing.
        """
        from MissingModalityLib import mrml
        from MissingModalityLib.dicom.segmentation_object import require_highdicom, write_dicom_seg

        require_highdicom()
        labels, files = mrml.dicom_label_map_of(segmentationNode)
        segmentation = segmentationNode.GetSegmentation()
        regions = any(segmentation.GetSegment(region.id) for region in REGION_SEGMENTS)
        write_dicom_seg(labels, files, Path(path), regions, corrected=mrml.corrected_in(segmentationNode))

    def detectInputs(self, scene=None):
        """Guess the MRI sequence of each loaded volume.

        Returns:
            ``Guess(modality, confidence, reason)`` by node ID; ``modality`` is None where nothing tells.
        """
        from MissingModalityLib import mrml

        return mrml.detect_inputs(scene or slicer.mrmlScene)

    def proposeInputs(self, scene=None):
        """The most likely volume for each sequence.

        Returns:
            Volume nodes by ``Modality``, and warnings for people about volumes that were left out.
        """
        from MissingModalityLib import mrml

        scene = scene or slicer.mrmlScene
        return mrml.assign_inputs(scene, mrml.detect_inputs(scene))

    def areOfSeveralVisits(self, nodes):
        """Whether the DICOM headers of volume nodes name more than one patient or date."""
        from MissingModalityLib import mrml

        return mrml.are_of_several_visits(nodes)

    def volumes(self, segmentationNode):
        """Volumes in cm³ by segment ID: NCR, ED, ET, TC (core), WT (whole tumor), see :meth:`measures`."""
        return self.measures(segmentationNode)[0]

    def measures(self, segmentationNode):
        """Volumes in cm³ and longest axial diameters in mm, both by segment ID, of the segments as they are.

        Counted on the voxels of their reference volume, as a segmentation reports them: what two segments
        share counts once. Whole tumor and tumor core are the sums of their parts, whatever is shown.

        Raises:
            MissingModalityError: the reference volume is gone, or the node has none of the segments.
        """
        from MissingModalityLib import mrml

        return mrml.measures_of(segmentationNode)

    def updateRegions(self, segmentationNode, drawn=False):
        """Make the segments whole tumor and tumor core, where the node has them, the sums of their parts.

        Args:
            drawn: those too that somebody has drawn in, or that the Segment Editor has taken voxels from;
                else they stay as they are.

        Returns:
            Names of those that are no such sums and stay. Measures and files go by the parts.

        Raises:
            MissingModalityError: as :meth:`measures`.
        """
        from MissingModalityLib import mrml

        return mrml.update_regions(segmentationNode, drawn)
