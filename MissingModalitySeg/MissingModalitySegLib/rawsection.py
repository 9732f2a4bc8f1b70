"""The section Raw input: what is done to volumes as the scanner gives them, before they are segmented."""

from dataclasses import dataclass, replace
from typing import Any, Union

from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from MissingModalityLib.core.progress import ProgressStage
from MissingModalityPanelLib.section import Section


@dataclass(frozen=True)
class RawSteps:
    """Which steps raw volumes go through; each does nothing where it is not needed.

    Attributes:
        register: move volumes onto the first one where they do not lie on it.
        strip: find the brain where the skull is still there.
        checkContent: tell where a volume does not look like the sequence it was chosen for.
        evenOut: take the receive coil's uneven brightness from volumes whose skull is still there.
        brainMask: segmentation or label map volume node with the brain, in place of stripping; None for none.
        keep: add transforms of moved volumes and the mask of the brain to the scene.
    """

    register: bool = True
    strip: bool = True
    checkContent: bool = True
    evenOut: bool = True
    brainMask: Any = None
    keep: bool = False

    def arguments(self, maskPath, folder):
        """Of the command line.

        Args:
            maskPath: file with ``brainMask``, where there is one.
            folder: for what the steps have made, where it is kept.
        """
        chosen = {
            ("--registration", "never"): not self.register,
            ("--stripping", "never"): not self.strip,
            ("--no-content-check",): not self.checkContent,
            ("--bias-field", "never"): not self.evenOut,
            ("--brain-mask", maskPath): self.brainMask is not None,
            ("--steps-output", folder): self.keep,
        }
        return [argument for option, isChosen in chosen.items() if isChosen for argument in option]

    def folderArguments(self):
        """Of the command line for many patients: without what belongs to one of them."""
        return replace(self, brainMask=None, keep=False).arguments(None, None)

    def leftOut(self):
        """Why a step will not be done, by stage."""
        mask = {ProgressStage.STRIP: _("own mask")} if self.brainMask is not None else {}
        done = {
            ProgressStage.REGISTER: self.register,
            ProgressStage.STRIP: self.strip,
            ProgressStage.CHECK: self.checkContent,
            ProgressStage.EVEN_OUT: self.evenOut,
        }
        return {stage: _("left out") for stage, isDone in done.items() if not isDone} | mask


class RawParameters:
    """All steps are on, so that nobody needs to know of them; older scenes have none of these parameters."""

    registerVolumes: bool = True
    stripSkull: bool = True
    checkContent: bool = True
    evenOut: bool = True
    # Slicer's wrapper knows typing.Union alone, and takes the selector's kinds of nodes from here
    brainMask: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
    keepSteps: bool = False

    def rawSteps(self):
        """The choices as ``RawSteps``."""
        return RawSteps(
            self.registerVolumes,
            self.stripSkull,
            self.checkContent,
            self.evenOut,
            self.brainMask,
            self.keepSteps,
        )


class RawSection(Section):
    """Closed when the panel opens."""

    name = "raw"
    Parameters = RawParameters

    def update(self):
        hasMask = self.state.brainMask is not None
        self.ui.stripSkullCheckBox.setEnabled(not hasMask)
        self.ui.stripSkullCheckBox.setToolTip(
            _("The brain mask below takes the place of this step")
            if hasMask
            else _("Find the brain where the skull is still there; stripped volumes stay as they are")
        )
