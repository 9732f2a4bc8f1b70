"""From tissue shares to four MRI contrasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..core.modalities import MODALITIES, Modality
from .random_fields import Field, Points

# Median intensity relative to white matter in FLAIR, T1ce, T1, T2, and its standard deviation between
# patients, of ten real four-modality cases: Testing/tools/measure_tissues.py prints them. "deep" lies between
# gray and white matter. Vessels in T1ce are as bright as the 90th percentile of what exceeds 1.45 times the
# median inside six patients' brains beside the tumor: 2.3 times it (1.8 to 2.7).
MEANS: Mapping[str, tuple[float, ...]] = {
    "white": (1.00, 1.00, 1.00, 1.00),
    "gray": (1.19, 0.83, 0.87, 1.24),
    "deep": (1.10, 0.91, 0.93, 1.10),
    "csf": (0.37, 0.48, 0.57, 3.40),
    "vessel": (0.75, 2.30, 0.85, 1.40),
    "ncr": (1.98, 0.83, 0.93, 2.30),
    "ed": (1.79, 0.89, 0.95, 1.71),
    "et": (1.85, 1.58, 0.96, 1.87),
}
SPREADS: Mapping[str, tuple[float, ...]] = {
    "white": (0.00, 0.00, 0.00, 0.00),
    "gray": (0.15, 0.06, 0.07, 0.14),
    "deep": (0.07, 0.04, 0.03, 0.05),
    "csf": (0.13, 0.16, 0.07, 1.00),
    "vessel": (0.10, 0.35, 0.08, 0.30),
    "ncr": (0.49, 0.20, 0.19, 0.64),
    "ed": (0.41, 0.11, 0.08, 0.32),
    "et": (0.44, 0.22, 0.15, 0.40),
}
TEXTURE: Mapping[str, float] = {
    "white": 0.025, "gray": 0.04, "deep": 0.03, "csf": 0.08, "vessel": 0.1,
    "ncr": 0.12, "ed": 0.12, "et": 0.18,
}  # fmt: skip
"""Standard deviation inside a tissue, of its own mean."""


@dataclass(frozen=True)
class ContrastParameters:
    """How the scanner sees the patient.

    Attributes:
        means: tissue -> (4,) intensity relative to white matter.
        scale: (4,) intensity of white matter in the file.
        coarse, fine: fields of texture inside tissues.
        bias: one smooth field per sequence; the receive coil.
        bias_strength: standard deviation of the bias.
        noise: standard deviation of the Rician noise relative to white matter.
        blur: (4,) point spread per sequence, mm.
        seed: of the noise, which belongs to the voxels and not to the patient.
    """

    means: dict[str, np.ndarray]
    scale: np.ndarray
    coarse: Field
    fine: Field
    bias: tuple[Field, ...]
    bias_strength: float
    noise: float
    blur: np.ndarray
    seed: int

    @classmethod
    def sample(cls, random: np.random.Generator) -> ContrastParameters:
        """Draw a patient's parameters."""
        # a patient's tumor tissues vary together: one draw per sequence and half of it per tissue
        shared = random.normal(size=len(MODALITIES))
        means = {}
        for tissue, mean in MEANS.items():
            draw = 0.7 * shared + 0.7 * random.normal(size=len(MODALITIES))
            means[tissue] = np.array(mean) + np.array(SPREADS[tissue]) * draw.clip(-1.5, 1.5)
        # that the rim enhances is what tells ET from NCR; independent draws could undo it
        means["et"][Modality.T1CE] = max(means["et"][Modality.T1CE], means["ncr"][Modality.T1CE] + 0.35, 1.35)
        for tissue in ("ncr", "ed", "et"):  # what is brighter than white matter there is blood, no glioma
            means[tissue][Modality.T1] = min(means[tissue][Modality.T1], MEANS["white"][Modality.T1])
        return cls(
            means=means,
            scale=random.uniform(250, 900, len(MODALITIES)),
            coarse=Field.sample(random, 26.0, 0.5, 16),
            fine=Field.sample(random, 8.0, 0.5, 40),
            bias=tuple(Field.sample(random, 190.0, 0.2, 5) for _ in MODALITIES),
            bias_strength=random.uniform(0.02, 0.07),
            noise=random.uniform(0.03, 0.06),
            blur=random.uniform(0.3, 0.6, len(MODALITIES)),
            seed=int(random.integers(2**31)),
        )


def render(
    shares: Mapping[str, np.ndarray],
    brain: np.ndarray,
    points: Points,
    parameters: ContrastParameters,
    spacing: tuple[float, float, float],
) -> dict[Modality, np.ndarray]:
    """Four int16 volumes (D, H, W), exactly 0 outside the brain and at least 1 inside.

    Args:
        shares: tissue -> share of every voxel; they sum to 1 inside the brain.
        brain: bool.
        points: patient coordinates, mm.
        parameters: of the scanner.
        spacing: voxel size (z, y, x), mm.
    """
    # 0.7 squared is a half, so the sum of two fields of variance 1 has variance 1
    texture = 0.7 * parameters.fine(points) + 0.7 * parameters.coarse(points)
    random = np.random.default_rng(parameters.seed)
    volumes = {}
    for modality in MODALITIES:
        signal = np.zeros(brain.shape, np.float32)
        for tissue, share in shares.items():
            if tissue in parameters.means:
                mean = np.float32(parameters.means[tissue][modality])
                signal += mean * share * (1 + np.float32(TEXTURE[tissue]) * texture)
        sigma = [parameters.blur[modality] / size for size in spacing]
        signal = ndimage.gaussian_filter(signal, sigma, truncate=3.0)
        signal *= np.exp(np.float32(parameters.bias_strength) * parameters.bias[modality](points))
        real, imaginary = (
            random.normal(0, parameters.noise, brain.shape).astype(np.float32) for _ in range(2)
        )
        magnitude = np.sqrt((signal + real) ** 2 + imaginary**2) * np.float32(parameters.scale[modality])
        volumes[modality] = np.where(brain, np.maximum(np.rint(magnitude), 1), 0).astype(np.int16)
    return volumes
