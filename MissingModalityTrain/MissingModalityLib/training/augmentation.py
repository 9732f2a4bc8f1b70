"""Augmentation of crops through MONAI, replayable: one seed per crop decides everything."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from monai.transforms import (
    Compose,
    RandAdjustContrast,
    RandAffined,
    RandBiasField,
    RandFlipd,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandRotated,
    RandScaleIntensity,
    RandShiftIntensity,
)

_KEYS = ("image", "label")
_MODES = ("bilinear", "nearest")


class Augmentation:
    """Random geometry for image and label together, then random intensities for each modality on its own.

    Args:
        level: "none", "paper" (RFNet's, with one draw per volume: rotation within 10 degrees about one axis,
            scale and shift of intensities by 0.1, flips) or "strong" (for few cases: rotation about all axes,
            zoom, shear, gamma, bias field, noise and blur besides).
    """

    def __init__(self, level: str) -> None:
        self.level = level
        self.spatial, self.intensity = {"none": (None, None), "paper": _paper(), "strong": _strong()}[level]

    def __call__(self, image: np.ndarray, label: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (4, D, H, W) float32 and label (D, H, W) uint8 -> the same, changed as ``seed`` says.

        Voxels outside the brain and missing channels stay exactly 0.
        """
        if self.spatial is None:
            return image, label
        self.spatial.set_random_state(seed=seed)
        self.intensity.set_random_state(seed=seed)
        moved: dict[str, Any] = self.spatial({"image": image, "label": label[None]})
        volumes = np.asarray(moved["image"], np.float32)
        result = np.zeros_like(volumes)
        for channel, volume in enumerate(volumes):
            brain = volume != 0
            if brain.any():
                result[channel] = np.where(brain, np.asarray(self.intensity(volume[None]))[0], 0)
        return result, np.asarray(moved["label"])[0].round().astype(np.uint8)


def _flips() -> list[RandFlipd]:
    return [RandFlipd(_KEYS, prob=0.5, spatial_axis=axis) for axis in range(3)]


def _paper() -> tuple[Compose, Compose]:
    angle = math.radians(10)
    rotations = [
        RandRotated(_KEYS, prob=1 / 3, mode=_MODES, padding_mode="zeros", keep_size=True, **{name: angle})
        for name in ("range_x", "range_y", "range_z")
    ]
    intensity = [RandScaleIntensity(0.1, prob=1), RandShiftIntensity(0.1, prob=1)]
    return Compose([*rotations, *_flips()]), Compose(intensity)


def _strong() -> tuple[Compose, Compose]:
    spatial = RandAffined(
        _KEYS,
        prob=0.7,
        rotate_range=(math.radians(20),) * 3,
        scale_range=(0.15,) * 3,
        shear_range=(0.05,) * 3,
        mode=_MODES,
        padding_mode="zeros",
    )
    intensity = [
        RandBiasField(prob=0.2, degree=2, coeff_range=(-0.15, 0.15)),
        RandGaussianSmooth((0.4, 1.0), (0.4, 1.0), (0.4, 1.0), prob=0.15),
        RandAdjustContrast(prob=0.4, gamma=(0.7, 1.5)),
        RandScaleIntensity(0.25, prob=0.8),
        RandShiftIntensity(0.25, prob=0.8),
        RandGaussianNoise(prob=0.25, std=0.15),
    ]
    return Compose([spatial, *_flips()]), Compose(intensity)
