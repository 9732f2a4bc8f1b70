"""How a scanner takes one sequence of a head: its slices, where the patient lay, coil and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..imaging.grid import Grid
from .random_fields import Field, lattice

PLANES = {
    "axial": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "coronal": (1, 0, 0, 0, 0, -1, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1, -1, 0, 0),
}
"""Direction cosines (LPS) of columns, rows and slices."""

_FWHM = 2.355
"""Of a Gaussian, in standard deviations: the profile of a slice."""

_BIAS_MM = 170.0
"""Wavelength of the receive coil's unevenness: some head's length."""


@dataclass(frozen=True)
class Acquisition:
    """One sequence as it was planned, and as the patient lay.

    Attributes:
        plane: a key of :data:`PLANES`.
        spacing: of columns, rows and slices, mm.
        shift: (x, y, z) mm that the head has moved by since the first sequence.
        angles: about x, y, z through the head's middle, degrees.
        bias: standard deviation of the coil's unevenness; two of them to either side are a quarter between
            the darkest and the brightest place, and scanners have 10 to 40 % (Vovk et al., IEEE TMI 26, 2007).
        noise: standard deviation of the Rician noise, in parts of the brain's brightness.
    """

    plane: str
    spacing: tuple[float, float, float]
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bias: float = 0.06
    noise: float = 0.03

    def movement(self, middle: tuple[float, ...]) -> sitk.Euler3DTransform:
        """Points of the scanner -> points of the head as it lay at first; ``middle`` of the head, mm."""
        transform = sitk.Euler3DTransform()
        transform.SetCenter(middle)
        transform.SetRotation(*np.radians(self.angles).tolist())
        transform.SetTranslation(self.shift)
        return transform


def acquire(head: sitk.Image, acquisition: Acquisition, seed: tuple[int, ...]) -> sitk.Image:
    """A volume as a scanner gives it.

    Args:
        head: float, air 0, finer than the slices.
        acquisition: how.
        seed: of coil and noise.

    Returns:
        int16 on a grid of its own over the whole head, its first slice at the feet, front or left.
    """
    random = np.random.default_rng(seed)
    grid = _grid(head, acquisition)
    thick = _slabs(head, acquisition)
    signal = sitk.GetArrayFromImage(
        sitk.Resample(
            thick,
            grid.size,
            acquisition.movement(_middle(head)),
            sitk.sitkLinear,
            grid.origin,
            grid.spacing,
            grid.direction,
            0.0,
        )
    )
    points = lattice(grid.size, grid.spacing)
    signal *= np.exp(np.float32(acquisition.bias) * Field.sample(random, _BIAS_MM, 0.2, 5)(points))
    sigma = acquisition.noise * float(np.median(signal[signal > signal.mean()]))
    real, imaginary = (random.normal(0, sigma, signal.shape).astype(np.float32) for _ in range(2))
    return grid.to_image(np.rint(np.hypot(signal + real, imaginary)).astype(np.int16))


def label_on(label: sitk.Image, volume: sitk.Image) -> sitk.Image:
    """A label map on the grid of a volume that was taken before the patient moved (nearest label)."""
    return Grid.from_image(volume).resample(label, sitk.sitkNearestNeighbor, 0)


def _grid(head: sitk.Image, acquisition: Acquisition) -> Grid:
    """Over the head, along the planes' axes."""
    axes = np.reshape(PLANES[acquisition.plane], (3, 3)).T.astype(float)
    extent = np.abs(axes.T @ (np.array(head.GetSize()) * head.GetSpacing()))
    size = np.ceil(extent / acquisition.spacing).astype(int)
    origin = np.array(_middle(head)) - axes @ ((size - 1) / 2 * np.array(acquisition.spacing))
    return Grid(
        tuple(size.tolist()), acquisition.spacing, tuple(origin.tolist()), tuple(axes.ravel().tolist())
    )


def _middle(head: sitk.Image) -> tuple[float, ...]:
    return head.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in head.GetSize()])


def _slabs(head: sitk.Image, acquisition: Acquisition) -> sitk.Image:
    """The head blurred across the slices as far as each of them is thick.

    The patient's turn against the planes is neglected: at 10 degrees a slab is 2 % thicker.
    """
    axes = np.abs(np.reshape(PLANES[acquisition.plane], (3, 3)).T)
    across = int(axes[:, 2].argmax())
    own, wide = head.GetSpacing()[across], acquisition.spacing[2]
    if wide <= own:
        return head
    sigma = float(np.sqrt(wide**2 - own**2)) / _FWHM
    return sitk.RecursiveGaussian(head, sigma, False, sitk.RecursiveGaussianImageFilter.ZeroOrder, across)
