"""The search for the rigid movement that lays one head over another, from coarse to fine.

Mattes' mutual information (Mattes et al., IEEE TMI 22(1), 2003) is maximized by SimpleITK on samples of the head
alone. Several starts are tried where that is cheap, at 8 mm; the best goes on. One thread and fixed seeds: the same
input gives the same bits, whatever the machine does beside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

from .heads import Head

_BINS = 32
_TURN_RADIUS_MM = 60.0
"""Distance of brain tissue from the head's center: a turn by an angle moves it by that arc."""


@dataclass(frozen=True)
class Level:
    """One resolution of the search.

    Attributes:
        spacing_mm: distance of samples and voxels; the volumes are smoothed accordingly.
        samples: points of the reference's head that mutual information is computed from.
        step_mm: first and last step.
        iterations: at most.
    """

    spacing_mm: float
    samples: int
    step_mm: tuple[float, float]
    iterations: int
    margin_mm: float


COARSE = Level(8.0, 6000, (6.0, 0.1), 60, 10.0)
MIDDLE = Level(4.0, 15000, (2.0, 0.03), 60, 5.0)
FINE = Level(1.5, 30000, (0.7, 0.01), 60, 1.5)

START_DEGREES = 15.0


def movement(
    center: np.ndarray, shift: Iterable[float] = (0, 0, 0), radians: Iterable[float] = (0, 0, 0)
) -> sitk.Euler3DTransform:
    """A turn about ``center`` (mm), then a shift (mm)."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter([float(value) for value in center])
    transform.SetRotation(*(float(value) for value in radians))
    transform.SetTranslation([float(value) for value in shift])
    return transform


def starts(fixed: Head, moving: Head) -> list[sitk.Euler3DTransform]:
    """As the headers say, and from center to center; each straight and turned about each axis."""
    shifts = (np.zeros(3), moving.center - fixed.center)
    angle = np.radians(START_DEGREES)
    turns = [np.zeros(3), *(sign * angle * axis for axis, sign in product(np.eye(3), (1, -1)))]
    return [movement(fixed.center, shift, turn) for turn, shift in product(turns, shifts)]


def search(fixed: Head, moving: Head, refined: int = 3) -> list[tuple[float, sitk.Euler3DTransform]]:
    """Coarse results from the header, from the centers and from the most promising turned starts, best first."""
    tried = starts(fixed, moving)
    method = _method(fixed, moving, COARSE, 1)
    rated = sorted(
        ((_metric(method, fixed, moving, COARSE, start), number) for number, start in enumerate(tried[2:]))
    )
    chosen = tried[:2] + [tried[2:][number] for _, number in rated[:refined]]
    results = [refine(fixed, moving, start, COARSE) for start in chosen]
    return sorted(results, key=lambda result: result[0])


def refine(
    fixed: Head, moving: Head, start: sitk.Euler3DTransform, level: Level, seed: int = 1
) -> tuple[float, sitk.Euler3DTransform]:
    """The metric (negative mutual information, nats) and the transform at its minimum near ``start``."""
    method = _method(fixed, moving, level, seed)
    found = sitk.Euler3DTransform(start)
    method.SetInitialTransform(found, inPlace=True)
    method.Execute(fixed.at(level.spacing_mm), moving.at(level.spacing_mm))
    return method.GetMetricValue(), found


def _metric(method, fixed: Head, moving: Head, level: Level, start: sitk.Euler3DTransform) -> float:
    method.SetInitialTransform(sitk.Euler3DTransform(start), inPlace=False)
    try:
        return method.MetricEvaluate(fixed.at(level.spacing_mm), moving.at(level.spacing_mm))
    except RuntimeError:  # the heads do not meet
        return 0.0


def _method(fixed: Head, moving: Head, level: Level, seed: int) -> sitk.ImageRegistrationMethod:
    mask = fixed.mask_at(level.spacing_mm, level.margin_mm)
    count = max(1, int(np.count_nonzero(sitk.GetArrayViewFromImage(mask))))
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, level.samples / count), seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=level.step_mm[0],
        minStep=level.step_mm[1],
        numberOfIterations=level.iterations,
        relaxationFactor=0.75,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScales([_TURN_RADIUS_MM**2] * 3 + [1.0] * 3)
    return method
