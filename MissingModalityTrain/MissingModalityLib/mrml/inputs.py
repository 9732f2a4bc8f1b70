"""Which volume nodes can be segmented, and their files for a child process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import SimpleITK as sitk
import slicer

from ..core.errors import ImageError
from ..core.modalities import Modality, in_words
from ..imaging.dicom_slices import check_slices
from ..imaging.volumes import check_volume
from .volumes import Node, image_of, lps_matrix


def input_problem(node: Node) -> str | None:
    """What keeps a node from being an input volume, as the rest of a sentence; None when nothing does."""
    if node is None:
        return "is not there; choose a loaded volume"
    kind = node.GetClassName()
    if node.IsA("vtkMRMLSequenceNode") or "MultiVolume" in kind:
        return "is a series of volumes (4-D); choose one frame of it as a volume of its own"
    if node.IsA("vtkMRMLLabelMapVolumeNode") or node.IsA("vtkMRMLSegmentationNode"):
        return "is a label map or segmentation, not an MRI volume; choose the volume it was drawn on"
    if not node.IsA("vtkMRMLVolumeNode"):
        return f"is a {kind}, not a volume; choose an MRI volume"
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        return "has no image data; load it again or choose another volume"
    scalars = image.GetPointData().GetScalars()
    components = scalars.GetNumberOfComponents() if scalars else 0
    if components != 1 or not node.IsA("vtkMRMLScalarVolumeNode"):
        return "has several values per voxel (vector, color, tensor or 4-D); choose a volume with one"
    return None


def check_nodes(nodes: Mapping[Modality, Node]) -> None:
    """Refuse what cannot be segmented, before any work starts.

    Raises:
        ImageError: no volume at all, one volume in two places, a node that is no scalar volume, a transform
            that voxels cannot follow, an image that :func:`volumes.check_volume` refuses, or a DICOM series
            that :func:`dicom_slices.check_slices` refuses.
    """
    if not nodes:
        raise ImageError(f"No volume is chosen. Choose at least one of {in_words()}.")
    first_use: dict[int, Modality] = {}
    for modality, node in nodes.items():
        problem = input_problem(node)
        if problem:
            name = f"'{node.GetName()}'" if node is not None else "The volume"
            raise ImageError(f"{name} chosen for {modality.title} {problem}.")
        other = first_use.setdefault(id(node), modality)
        if other is not modality:
            raise ImageError(
                f"'{node.GetName()}' is chosen for both {other.title} and {modality.title}. "
                "Choose each volume once."
            )
    for node in nodes.values():
        check_volume(image_of(node), node.GetName())
        places = (dicom_values(node, tag) for tag in ("0020,0032", "0020,0037"))
        check_slices(node.GetName(), *places, node.GetSpacing()[2])


def write_inputs(nodes: Mapping[Modality, Node], folder: Path) -> dict[Modality, Path]:
    """One file per node (checked before) in ``folder``, for a child process; order kept."""
    paths = {}
    for modality, node in nodes.items():
        paths[modality] = folder / f"{modality.name}.nrrd"
        image = image_of(node)
        # axes as the node has them: where they are not quite straight, whoever reads the file tells the user
        image.SetDirection((lps_matrix(node)[:3, :3] / image.GetSpacing()).ravel().tolist())
        # read once and deleted: compressing takes many times longer than writing the voxels as they are
        sitk.WriteImage(image, str(paths[modality]), useCompression=False)
    return paths


def dicom_values(node: Node, tag: str, most: int | None = None) -> list[str]:
    """One attribute of the first instances of a volume loaded from DICOM; none without a database."""
    database = getattr(slicer, "dicomDatabase", None)
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    return [database.instanceValue(uid, tag) for uid in instances[:most]] if database else []
