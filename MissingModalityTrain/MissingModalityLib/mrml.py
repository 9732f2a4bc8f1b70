"""MRML nodes to images and label maps to segmentation nodes: the only file that imports ``slicer``.

Everything that leaves here is in the world frame (parent transforms applied); results go back to the voxels
of the reference volume and under its parent transform, so both stay together when the transform changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .core.errors import ImageError
from .core.modalities import Modality, in_words
from .core.segments import REGION_SEGMENTS, SEGMENTS, Segment
from .datasets.detection import Guess, detect_modality
from .imaging.dicom_slices import check_slices
from .imaging.grid import RAS_TO_LPS, straight_axes
from .imaging.volumes import check_volume

_BINARY = "Binary labelmap"
_SURFACE = "Closed surface"
_RAS_TO_LPS_AFFINE = np.diag([*np.diag(RAS_TO_LPS), 1.0])
_MM3_PER_CM3 = 1000.0
_FIT_TO_FILL_IN = 0.5
"""Guesses below this confidence are reported, not filled in."""

_DICOM_TAGS = {
    "SeriesDescription": "0008,103e",
    "ProtocolName": "0018,1030",
    "ContrastBolusAgent": "0018,0010",
    "ScanningSequence": "0018,0020",
    "RepetitionTime": "0018,0080",
    "EchoTime": "0018,0081",
    "InversionTime": "0018,0082",
}

Node = Any
"""A MRML node; slicer's classes are known to no type checker."""


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
        places = (_dicom_values(node, tag) for tag in ("0020,0032", "0020,0037"))
        check_slices(node.GetName(), *places, node.GetSpacing()[2])


def image_of(node: Node) -> sitk.Image:
    """A volume node as an image in the world frame.

    Args:
        node: scalar volume; linear parent transforms without shear are applied to its geometry.

    Returns:
        Own copy of the voxels with spacing (mm), origin and direction (LPS).

    Raises:
        ImageError: a parent transform bends or shears the volume.
    """
    image = sitk.GetImageFromArray(np.array(voxels_of(node)))
    lps = _lps_matrix(node)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    if not (spacing > 0).all():
        raise ImageError(
            f"'{node.GetName()}' has a voxel size of zero. Correct its spacing in the Volumes module."
        )
    direction = straight_axes(lps[:3, :3] / spacing)
    if direction is None:
        raise ImageError(
            f"'{node.GetName()}' has slanted voxel axes (scanner tilt or a transform that shears it). "
            "Resample it to straight axes first, e.g. with the Resample Scalar/Vector/DWI Volume module."
        )
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def add_volume(scene: Node, image: sitk.Image, name: str) -> Node:
    """The inverse of :func:`image_of`: a new scalar volume node with default display in ``scene``."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy((_RAS_TO_LPS_AFFINE @ lps).ravel().tolist())
    voxels = sitk.GetArrayViewFromImage(image)
    data = vtk.vtkImageData()
    data.SetDimensions(*image.GetSize())
    # deep, because a view of an ITK image's memory is void once Python drops the image
    data.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    node.SetAndObserveImageData(data)
    node.SetIJKToRASMatrix(matrix)
    node.CreateDefaultDisplayNodes()
    return node


def voxels_of(node: Node) -> np.ndarray:
    """The voxels (z, y, x) of a scalar volume node; a view, not a copy."""
    data = node.GetImageData()
    return vtk_to_numpy(data.GetPointData().GetScalars()).reshape(data.GetDimensions()[::-1])


def detect_inputs(scene: Node) -> dict[str, Guess]:
    """Guess the sequence of every loaded volume that could be an input.

    Reads node name, file name and, for volumes from Slicer's DICOM database, header attributes.

    Returns:
        Guesses by node ID, in the order of the scene.
    """
    found = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    found.UnRegister(None)  # the caller owns it, and with it every node
    nodes = [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]
    return {
        node.GetID(): detect_modality(node.GetName() or "", _file_name(node), header=_dicom_header(node))
        for node in nodes
        if input_problem(node) is None and not node.GetHideFromEditors()
    }


def assign_inputs(scene: Node, guesses: Mapping[str, Guess]) -> tuple[dict[Modality, Node], list[str]]:
    """One volume per sequence: the most confident guess, among equals the volume loaded first.

    Args:
        scene: where the node IDs are valid.
        guesses: from :func:`detect_inputs`.

    Returns:
        Volume nodes by modality in channel order; warnings about volumes left out, one sentence each.
    """
    chosen: dict[Modality, str] = {}
    warnings = []
    for node_id in sorted(guesses, key=lambda key: -guesses[key].confidence):
        guess, name = guesses[node_id], scene.GetNodeByID(node_id).GetName()
        if guess.modality is None or guess.confidence < _FIT_TO_FILL_IN:
            warnings.append(f"'{name}' was left out. {guess.reason}")
        elif guess.modality in chosen:
            winner = chosen[guess.modality]
            taken = f"'{scene.GetNodeByID(winner).GetName()}' ({guesses[winner].confidence:.0%}) was taken"
            title = guess.modality.title
            warnings.append(f"'{name}' ({guess.confidence:.0%}) looks like {title} too; {taken}.")
        else:
            chosen[guess.modality] = node_id
    return {modality: scene.GetNodeByID(chosen[modality]) for modality in sorted(chosen)}, warnings


def write_inputs(nodes: Mapping[Modality, Node], folder: Path) -> dict[Modality, Path]:
    """One file per node (checked before) in ``folder``, for a child process; order kept."""
    paths = {}
    for modality, node in nodes.items():
        paths[modality] = folder / f"{modality.name}.nrrd"
        image = image_of(node)
        # axes as the node has them: where they are not quite straight, whoever reads the file tells the user
        image.SetDirection((_lps_matrix(node)[:3, :3] / image.GetSpacing()).ravel().tolist())
        # read once and deleted: compressing takes many times longer than writing the voxels as they are
        sitk.WriteImage(image, str(paths[modality]), useCompression=False)
    return paths


def build_segmentation(classes: np.ndarray, reference: Node, regions: bool = False) -> Node:
    """Tumor classes on the reference volume's voxels -> a ``vtkSegmentation`` that is in no scene yet.

    Args:
        classes: (z, y, x) uint8, values 0..3.
        reference: the volume node that the classes belong to.
        regions: add whole tumor and tumor core, which overlap the three disjoint segments.

    Returns:
        Binary label maps (the disjoint segments share one) and closed surfaces; a class without voxels is an
        empty segment.

    Raises:
        ImageError: the volume has lost or changed its voxels since.
    """
    if input_problem(reference) or voxels_of(reference).shape != classes.shape:
        raise ImageError(
            "The reference volume was changed or removed during the segmentation. Start it again."
        )
    segmentation = slicer.vtkSegmentation()
    segmentation.SetSourceRepresentationName(_BINARY)
    # one image of all classes for all segments, as Slicer shares label maps: a third of the memory
    shared = _oriented_image(classes, reference)
    for segment in SEGMENTS:
        _add_segment(segmentation, segment, shared, int(segment.tumor_class))
    for segment in REGION_SEGMENTS if regions else ():
        mask = np.isin(classes, segment.classes).astype(np.uint8)
        _add_segment(segmentation, segment, _oriented_image(mask, reference), 1)
    segmentation.CreateRepresentation(_SURFACE)
    return segmentation


def place_segmentation(segmentation: Node, reference: Node, output: Node = None) -> Node:
    """Put a built segmentation into the reference volume's scene.

    Args:
        segmentation: from :func:`build_segmentation`.
        reference: gives the geometry, parent transform and place in the subject hierarchy.
        output: segmentation node to overwrite; a new one named after the reference volume where None.

    Returns:
        The ``vtkMRMLSegmentationNode``, with closed surfaces shown in 3-D.
    """
    scene = reference.GetScene()
    node = output
    if node is None:
        name = scene.GenerateUniqueName(f"{reference.GetName()} tumor segmentation")
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    node.GetSegmentation().DeepCopy(segmentation)
    # by this reference label_map_of and the DICOM export find the volume again
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    display = node.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName3D(_SURFACE)
    for region in REGION_SEGMENTS:
        if segmentation.GetSegment(region.id):
            # Filled, these would hide the disjoint segments that lie inside them.
            display.SetSegmentVisibility2DFill(region.id, False)
            display.SetSegmentVisibility3D(region.id, False)
    _join_study(node, reference)
    return node


def region_volumes(node: Node) -> dict[str, float]:
    """Volumes in cm3 of NCR, ED, ET, TC and WT, by segment ID, from the disjoint segments as they are now.

    Args:
        node: segmentation node made by :func:`place_segmentation`; segments removed since count as empty.
    """
    volumes = {segment.id: _segment_volume(node, segment.id) for segment in SEGMENTS}
    by_class = {int(segment.tumor_class): volumes[segment.id] for segment in SEGMENTS}
    for region in reversed(REGION_SEGMENTS):
        volumes[region.id] = sum(by_class[value] for value in region.classes)
    return volumes


def classes_of(node: Node, reference: Node) -> np.ndarray:
    """The disjoint segments of a node as classes (z, y, x) uint8 on the reference volume's voxels."""
    classes = np.zeros(voxels_of(reference).shape, np.uint8)
    grid = _oriented_image(classes, reference)
    for segment in SEGMENTS:
        mask = slicer.vtkOrientedImageData()
        if node.GetSegmentation().GetSegment(segment.id) is None:
            continue
        node.GetBinaryLabelmapRepresentation(segment.id, mask)
        if mask.IsEmpty():
            continue
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(mask, grid, mask)
        inside = vtk_to_numpy(mask.GetPointData().GetScalars()).reshape(classes.shape) != 0
        classes[inside] = segment.tumor_class
    return classes


def label_map_of(node: Node) -> sitk.Image:
    """The disjoint segments of a node as one image of classes on the grid of its reference volume.

    Raises:
        ImageError: the volume is gone, or the node has none of our segments.
    """
    if not any(node.GetSegmentation().GetSegment(segment.id) for segment in SEGMENTS):
        raise ImageError(
            f"'{node.GetName()}' has none of the segments {', '.join(segment.name for segment in SEGMENTS)}. "
            "Choose a segmentation that was made here."
        )
    reference = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    if reference is None:
        raise ImageError(
            f"The volume that '{node.GetName()}' was segmented on is not loaded any more. Load it, choose it "
            "as the segmentation's source volume in the Segment Editor, and try again."
        )
    labels = sitk.GetImageFromArray(classes_of(node, reference))
    labels.CopyInformation(image_of(reference))
    return labels


def _file_name(node: Node) -> str:
    """Name of the file that a volume was loaded from, empty for one that was not."""
    storage = node.GetStorageNode()
    return Path(storage.GetFileName()).name if storage is not None and storage.GetFileName() else ""


def _dicom_header(node: Node) -> dict[str, str]:
    """Attributes of the first instance of a volume loaded from DICOM; empty where there is no database."""
    header = {key: _dicom_values(node, tag, 1) for key, tag in _DICOM_TAGS.items()}
    return {key: values[0] for key, values in header.items() if values}


def _dicom_values(node: Node, tag: str, most: int | None = None) -> list[str]:
    """One attribute of the first instances of a volume loaded from DICOM; none without a database."""
    database = getattr(slicer, "dicomDatabase", None)
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    return [database.instanceValue(uid, tag) for uid in instances[:most]] if database else []


def _lps_matrix(node: Node) -> np.ndarray:
    """4x4 matrix from voxel indices (i, j, k) to world LPS (mm)."""
    return _RAS_TO_LPS_AFFINE @ _ijk_to_world(node)


def _ijk_to_world(node: Node) -> np.ndarray:
    """4x4 matrix from voxel indices (i, j, k) to world RAS (mm)."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    transform = node.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise ImageError(
                f"'{node.GetName()}' is under the non-linear transform '{transform.GetName()}'. Harden the "
                "transform on the volume first (Transforms module), or take the volume out of it."
            )
        world = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(world)
        vtk.vtkMatrix4x4.Multiply4x4(world, matrix, matrix)
    return np.reshape([matrix.GetElement(*place) for place in np.ndindex(4, 4)], (4, 4))


def _oriented_image(values: np.ndarray, reference: Node) -> Node:
    """``values`` (z, y, x) uint8 as image data in the reference volume's own (untransformed) geometry."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*values.shape[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = values.ravel()
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    return image


def _add_segment(segmentation: Node, segment: Segment, image: Node, label_value: int) -> None:
    entry = slicer.vtkSegment()
    entry.SetName(segment.name)
    entry.SetColor(*segment.unit_color)
    entry.SetNameAutoGenerated(False)
    entry.SetColorAutoGenerated(False)
    entry.SetTerminology(segment.terminology)
    entry.SetLabelValue(label_value)
    # else DICOM SEG would declare it drawn by hand
    entry.SetTag("DICOM.SegmentAlgorithmType", "AUTOMATIC")
    entry.SetTag("DICOM.SegmentAlgorithmName", "MissingModality")
    entry.AddRepresentation(_BINARY, image)
    segmentation.AddSegment(entry, segment.id)


def _segment_volume(node: Node, segment_id: str) -> float:
    """Volume of one segment in cm3; a scaling parent transform counts."""
    if node.GetSegmentation().GetSegment(segment_id) is None:
        return 0.0
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    if image.IsEmpty():
        return 0.0
    # the image is of this segment alone, 0 and 1, though segments share a label map
    count = np.count_nonzero(vtk_to_numpy(image.GetPointData().GetScalars()))
    scale = 1.0
    transform = node.GetParentTransformNode()
    if transform is not None and transform.IsTransformToWorldLinear():
        world = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(world)
        scale = abs(world.Determinant())  # negative for a transform that mirrors
    return float(count * np.prod(image.GetSpacing()) * scale / _MM3_PER_CM3)


def _join_study(node: Node, reference: Node) -> None:
    """Put the segmentation beside its reference volume in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(reference.GetScene())
    if hierarchy is None:
        return
    own, other = (hierarchy.GetItemByDataNode(item) for item in (node, reference))
    if own and other:  # 0 for nodes that the hierarchy does not know
        hierarchy.SetItemParent(own, hierarchy.GetItemParent(other))
