"""What the segmentation panel remembers, in the scene."""

from enum import Enum

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

from MissingModalityLib.core.modalities import MODALITIES


class Device(Enum):
    """Where the network runs; values as on the command line."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "cuda"

    def label(self):
        return {"auto": _("Automatic"), "cpu": _("CPU"), "cuda": _("GPU (CUDA)")}[self.value]


@parameterNodeWrapper
class MissingModalitySegParameterNode:
    """State of the panel, kept in the scene; an empty ``studentPath`` means the default model."""

    flair: vtkMRMLScalarVolumeNode
    t1ce: vtkMRMLScalarVolumeNode
    t1: vtkMRMLScalarVolumeNode
    t2: vtkMRMLScalarVolumeNode
    outputSegmentation: vtkMRMLSegmentationNode
    regions: bool = False
    device: Device = Device.AUTO
    studentPath: str = ""
    folderDataPath: str = ""
    folderOutputPath: str = ""

    def inputs(self):
        """Chosen volume nodes by ``Modality``, in channel order."""
        nodes = {modality: getattr(self, modality.name.lower()) for modality in MODALITIES}
        return {modality: node for modality, node in nodes.items() if node is not None}
