"""Volume nodes of noise, in the geometries that scanners write."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util

SHAPE = (12, 16, 20)


def add_volume(
    name: str = "FLAIR", matrix: np.ndarray | None = None, kind: str = "vtkMRMLScalarVolumeNode"
) -> Any:
    """A volume of noise in the scene; ``matrix`` (4, 4) goes from voxel indices to RAS."""
    array = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    node = slicer.util.addVolumeFromArray(array, nodeClassName=kind, name=name)
    if matrix is not None:
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def rotation(degrees: float, axis: int) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    first, second = (index for index in range(3) if index != axis)
    matrix[[first, first, second, second], [first, second, first, second]] = cosine, -sine, sine, cosine
    return matrix


def add_transform(matrix: np.ndarray) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Registration")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


GEOMETRIES = {
    "plain": np.eye(4),
    "anisotropic": np.array([[0.5, 0, 0, 10], [0, 0.5, 0, -20], [0, 0, 5, 30], [0, 0, 0, 1]]),
    "flipped": np.array([[-1.0, 0, 0, 9], [0, 1, 0, 2], [0, 0, -2, 5], [0, 0, 0, 1]]),
    "oblique": rotation(25, 0) @ rotation(-10, 2) @ np.diag([1, 0.9, 3, 1.0]),
}
