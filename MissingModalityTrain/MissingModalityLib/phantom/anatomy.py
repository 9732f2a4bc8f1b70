"""The healthy brain: signed distances to its borders in mm, and from them soft tissue maps.

Axes of the patient: x to the left, y to the back, z up (LPS), mm, origin in the middle of the brain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .random_fields import Field, Points, ellipsoid, smoothstep, soft_union, tube

GYRI_MM, FOLDS_MM = 38.0, 25.0
"""Wavelengths of the fields whose zeros are the sulci; half of it lies between two of them."""

RIBBON_MM = 3.0
"""Thickness of the cortical ribbon; 2 to 4.5 mm in people (Fischl and Dale, PNAS 2000)."""

TISSUES = ("csf", "gray", "white", "deep", "vessel")

# Lateral ventricle of one side: frontal horn, body, atrium, occipital horn; and atrium, temporal horn.
_UPPER = np.array([[9, -42, 12], [8, -26, 18], [10, -2, 24], [15, 20, 21], [22, 32, 13], [21, 52, 8]], float)
_UPPER_RADII = np.array([2.5, 5.5, 4.5, 5.0, 6.0, 1.5])
_LOWER = np.array([[22, 32, 13], [27, 20, -6], [33, 0, -18], [30, -14, -20]], float)
_LOWER_RADII = np.array([5.0, 2.6, 2.0, 2.2])

# What takes up contrast agent in every brain, paths and radii; by it T1ce is told from T1. Arteries: basilar,
# middle and anterior cerebral. Veins: internal cerebral to straight sinus, transverse sinus. Choroid plexus.
_ENHANCING = tuple(
    (np.array(path, float), np.array(radii))
    for path, radii in (
        ([[0, -4, -46], [0, -5, -18]], [1.8, 1.6]),
        ([[0, -5, -18], [7, -13, -15], [24, -12, -13], [40, -8, -9]], [1.5, 1.8, 1.8, 1.2]),
        ([[7, -13, -15], [1, -20, -8], [1, -44, 4], [1, -40, 26], [1, -10, 37]], [1.5, 1.3, 1.3, 1.2, 0.9]),
        ([[2, -14, 12], [1, 24, 9], [0, 36, 4], [0, 72, -12]], [1.3, 1.6, 2.6, 3.2]),
        ([[0, 72, -12], [24, 72, -16], [46, 48, -20]], [3.2, 3.4, 3.4]),
        ([[7, -6, 19], [14, 18, 18], [21, 31, 12], [27, 20, -5]], [1.0, 1.5, 2.6, 1.6]),
    )
)


@dataclass(frozen=True)
class AnatomyParameters:
    """Everything that makes one healthy brain different from another.

    Attributes:
        scale: (3,) size along x, y, z relative to the average brain.
        ventricles: width of the ventricles relative to the average.
        sulcus_depth: mean depth of the sulci, mm.
        sulcus_width: half the width of a sulcus, mm; wide in old people.
        gyri, folds: fields whose zero levels are the large and the small sulci.
        uneven: smooth displacement that makes the halves differ.
        winding: displacement that bends the sulci on their way down.
        depth, folia, vessels: fields of sulcal depth, cerebellar folding, and vessels (their common zeros).
    """

    scale: np.ndarray
    ventricles: float
    sulcus_depth: float
    sulcus_width: float
    gyri: Field
    folds: Field
    uneven: tuple[Field, Field, Field]
    winding: tuple[Field, Field, Field]
    depth: Field
    folia: Field
    vessels: tuple[Field, Field]

    @classmethod
    def sample(cls, random: np.random.Generator) -> AnatomyParameters:
        """Draw a patient's parameters."""
        return cls(
            scale=random.normal(1.0, 0.03, 3).clip(0.93, 1.07),
            ventricles=float(np.exp(random.normal(0.0, 0.18))),
            sulcus_depth=random.uniform(14, 19),
            sulcus_width=random.uniform(0.15, 0.6),
            gyri=Field.sample(random, GYRI_MM, 0.12, 36),
            folds=Field.sample(random, FOLDS_MM, 0.15, 36),
            uneven=tuple(Field.sample(random, 55.0, 0.2, 8) for _ in range(3)),
            winding=tuple(Field.sample(random, 26.0, 0.3, 10) for _ in range(3)),
            depth=Field.sample(random, 45.0, 0.2, 8),
            folia=Field.sample(random, 60.0, 0.2, 8),
            vessels=(Field.sample(random, 30.0, 0.2, 14), Field.sample(random, 30.0, 0.2, 14)),
        )


def tissues(points: Points, parameters: AnatomyParameters, voxel: float) -> dict[str, np.ndarray]:
    """Share of each tissue in every voxel.

    Args:
        points: patient coordinates, mm (mass effect already undone).
        parameters: of the brain.
        voxel: size over which borders blend (partial volume), mm.

    Returns:
        float32 maps of :data:`TISSUES` and ``"brain"`` (1 inside the skull-stripped head), in 0..1.
    """
    x, y, z = (p / np.float32(s) for p, s in zip(points, parameters.scale, strict=True))
    shift = [2.0 * field((x, y, z)) for field in parameters.uneven]
    # both halves are made of the same |x|, moved a little each on its own
    side = (np.abs(x) + 0.7 * shift[0] * np.sign(x), y + shift[1], z + shift[2])
    half = (np.abs(x), y, z)
    cerebrum, below = _hulls(half)
    cortex, white = _cortex(half, side, cerebrum, parameters)
    edge = 0.6 * voxel
    ventricle = smoothstep(_ventricles(half, parameters.ventricles), edge)
    deep = smoothstep(_deep_nuclei(half), edge) * (1 - ventricle)
    hindbrain = smoothstep(below - np.maximum(cerebrum, 0) * 4, edge)
    folia = _folia((x, y, z), below, parameters.folia)
    brain = smoothstep(np.maximum(cerebrum, below) + 0.3, edge)
    inside = smoothstep(cortex, edge)
    core = smoothstep(white, edge)
    shares = {
        "white": core * (1 - hindbrain) + (1 - folia) * hindbrain,
        "gray": (inside - core) * (1 - hindbrain) + folia * hindbrain,
    }
    lumen = smoothstep(np.maximum.reduce([tube(half, *path) for path in _ENHANCING]), edge) * brain
    keep = (1 - ventricle) * (1 - deep) * (1 - lumen)
    result = {name: (share * keep * brain).astype(np.float32) for name, share in shares.items()}
    result["deep"] = (deep * (1 - lumen) * brain).astype(np.float32)
    solid = sum(result.values())
    csf = np.clip(brain - solid, 0, 1)
    vessel = np.maximum(_vessels((x, y, z), parameters.vessels, cortex) * csf, lumen)
    return result | {"csf": csf - vessel, "vessel": vessel, "brain": brain.astype(np.float32)}


def _hulls(half: Points) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances to the cerebrum (fissure included) and to cerebellum with brain stem."""
    _, y, z = half
    crown = ellipsoid(half, (11, 3, 7), (54, 80, 54))
    frontal = ellipsoid(half, (17, -38, -1), (33, 41, 31))
    occipital = ellipsoid(half, (19, 46, 0), (37, 37, 32))
    floor = z + 22 - 0.004 * (y + 20) ** 2 * (y < -20) - 0.10 * np.maximum(y, 0)
    upper = -soft_union(-soft_union(crown, frontal, occipital, blend=10.0), -floor, blend=8.0)
    temporal = ellipsoid(half, (39, -6, -23), (20, 40, 19))
    cerebrum = soft_union(upper, temporal, blend=5.0)
    lobe = ellipsoid(half, (21, 44, -36), (32, 31, 23))
    vermis = ellipsoid(half, (0, 44, -34), (12, 25, 21))
    stem = tube(
        half,
        np.array([[0, 10, -12], [0, 14, -34], [0, 22, -50], [0, 30, -70]], float),
        np.array([14, 15, 11, 7.5]),
    )
    return cerebrum.astype(np.float32), soft_union(lobe, vermis, stem, blend=4.0).astype(np.float32)


def _cortex(
    half: Points, side: Points, cerebrum: np.ndarray, parameters: AnatomyParameters
) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances to the pial surface and to the border of gray and white matter."""
    wound = [value + 2.2 * field(side) for value, field in zip(side, parameters.winding, strict=True)]
    round_head = (wound[0] / 0.8, wound[1], wound[2] / 0.75)
    radius = np.sqrt(sum(value * value for value in round_head)) + np.float32(1e-3)
    # On a sphere of a brain's mean radius, so that sulci run down from the surface: a field of x, y, z alone
    # would cut the cortex at any angle.
    sphere = tuple(72 * value / radius for value in round_head)
    depth = parameters.sulcus_depth * np.clip(1 + 0.25 * parameters.depth(side), 0.4, 1.6)
    sheets = [
        _sheet(parameters.gyri, sphere, GYRI_MM, cerebrum, 1.3 * depth),
        _sheet(parameters.folds, sphere, FOLDS_MM, cerebrum, 0.75 * depth),
        _fissures(half, wound),
    ]
    gap = np.minimum.reduce(sheets)
    width = parameters.sulcus_width * (1 + 0.6 * smoothstep(6 - cerebrum, 6))
    pial = np.minimum(cerebrum - 0.4, gap - width)
    return pial.astype(np.float32), (pial - RIBBON_MM).astype(np.float32)


def _sheet(
    field: Field, sphere: Points, wavelength: float, hull: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Distance in mm to the sulci where ``field`` is 0, which end ``depth`` mm below the hull."""
    slope = 2 * np.pi / wavelength * 0.75
    across = np.abs(field(sphere)) / slope
    return np.sqrt(across**2 + np.maximum(hull - depth, 0) ** 2)


def _fissures(half: Points, wound: Sequence[np.ndarray]) -> np.ndarray:
    """Distance in mm to the fissure between the halves (around the corpus callosum) and the Sylvian one."""
    x, y, _ = half
    callosum = ellipsoid(half, (0, 4, 8), (1e3, 46, 27))
    between = np.sqrt(x**2 + np.maximum(callosum, 0) ** 2)
    roof = -5 + 0.16 * y + 0.004 * (y - 10) ** 2
    sylvian = np.sqrt(
        ((wound[2] - roof) * 0.9) ** 2 + np.maximum(39 - x, 0) ** 2 + np.maximum(np.abs(y + 6) - 32, 0) ** 2
    )
    return np.minimum(between, sylvian - 0.2)


def _ventricles(half: Points, size: float) -> np.ndarray:
    """Signed distance to lateral, third and fourth ventricle."""
    x, _, _ = half
    lateral = np.maximum(tube(half, _UPPER, _UPPER_RADII * size), tube(half, _LOWER, _LOWER_RADII * size))
    lateral = np.minimum(lateral, x - 1.0)  # the septum between the two
    third = ellipsoid(half, (0, 4, -2), (2.2 * size, 13, 9))
    fourth = ellipsoid(half, (0, 32, -38), (5.5 * size, 4, 8))
    return np.maximum.reduce([lateral, third, fourth])


def _deep_nuclei(half: Points) -> np.ndarray:
    """Signed distance to caudate, putamen with pallidum, and thalamus."""
    caudate = tube(
        half, np.array([[13, -32, 8], [15, -18, 19], [19, 6, 24]], float), np.array([6.0, 4.2, 1.8])
    )
    x, y, z = half
    tilted = (x * 0.94 - y * 0.34, x * 0.34 + y * 0.94, z)
    putamen = ellipsoid(tilted, (26.5, 2.0, 2.0), (5.5, 16, 10))
    thalamus = ellipsoid(half, (11, 12, 6), (8, 14, 8.5))
    return np.maximum.reduce([caudate, putamen, thalamus])


def _folia(points: Points, below: np.ndarray, field: Field) -> np.ndarray:
    """Share of gray matter in cerebellum and brain stem: a finely folded shell around white matter."""
    x, y, z = points
    stripes = np.cos(2 * np.pi / 5.5 * (z + 0.35 * (y - 50) + 3 * field(points)))
    shell = smoothstep(11 + 4 * stripes - below, 3.0)
    stem = smoothstep(14 - np.sqrt(x**2 + (y - 16 - 0.3 * (z + 40)) ** 2), 2.0)
    return shell * (0.75 + 0.25 * stripes) * (1 - stem)


def _vessels(points: Points, fields: tuple[Field, Field], cortex: np.ndarray) -> np.ndarray:
    """Share of vessels: lines where two fields vanish together, in the sulci; and the sagittal sinus."""
    slope = 2 * np.pi / 30 * 0.6
    lines = np.sqrt(fields[0](points) ** 2 + fields[1](points) ** 2) / slope
    branches = smoothstep(1.3 - lines, 0.8) * (cortex < 0.8)
    x, y, z = points
    rim = np.sqrt((y / 84) ** 2 + ((z - 9) / 57) ** 2)
    sinus = smoothstep(2.6 - np.sqrt(x**2 + (60 * (rim - 0.985)) ** 2), 1.0) * (z > 0)
    return np.maximum(branches, sinus).astype(np.float32)
