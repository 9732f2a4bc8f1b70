"""The search for the rigid movement that lays one head over another, from coarse to fine.

SimpleITK maximizes Mattes' mutual information (Mattes et al., IEEE TMI 22(1), 2003) on samples of a head.
Several starts are tried where that is cheap, at 8 mm, and the best goes on. One thread and fixed seeds: the
same input gives the same bits, whatever else the machine does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

from ..imaging.process_switch import ProcessSwitch
from .heads import Head

_BINS = 32

_TURN_RADIUS_MM = 60.0
"""Of brain tissue about the head's center, on average: what a turn of 1 radian moves it by."""

_START_DEGREES = 15.0
"""Of turned starts; the search at 8 mm finds the way back from twice as far."""

_TURNED_STARTS = 3
"""How many of them are followed, those of the highest mutual information."""

_NUDGE_MM, _NUDGE_DEGREES = (5.0, -5.0, 5.0), (4.0, 4.0, -4.0)
"""Where the second search starts, off the result of the first one: 9 mm and 7 degrees."""

_RELAXATION = 0.75
"""Of a step when the gradient turns back; ITK's 0.5 ends the search too early in narrow valleys."""

# Threads add up their sums in the order in which they end; the metric and N4 ask how many the process allows.
one_thread = ProcessSwitch(
    read=sitk.ProcessObject.GetGlobalDefaultNumberOfThreads,
    write=sitk.ProcessObject.SetGlobalDefaultNumberOfThreads,
    changed=1,
)


@dataclass(frozen=True)
class Level:
    """One resolution of the search.

    Attributes:
        spacing_mm: of both volumes, where their own is finer.
        samples: points that mutual information is computed from.
        margin_mm: of air around the head among the samples: outlines guide the coarse search, inner
            structures the fine one, because two strips of one head differ.
        steps_mm: first and last step.
        iterations: at most.
    """

    spacing_mm: float
    samples: int
    margin_mm: float
    steps_mm: tuple[float, float]
    iterations: int


COARSE = Level(8.0, 6000, 10.0, (6.0, 0.1), 60)
MIDDLE = Level(4.0, 15000, 5.0, (2.0, 0.03), 60)
FINE = Level(1.5, 30000, 1.5, (0.7, 0.01), 60)
CHECK = Level(1.5, 10000, 1.5, (0.7, 0.05), 30)


def rigid(
    center: Sequence[float], shift_mm: Sequence[float] = (0, 0, 0), radians: Sequence[float] = (0, 0, 0)
) -> sitk.Euler3DTransform:
    """A turn about ``center``, then a shift."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter([float(value) for value in center])
    transform.SetRotation(*(float(value) for value in radians))
    transform.SetTranslation([float(value) for value in shift_mm])
    return transform


def align(fixed: Head, moving: Head) -> sitk.Euler3DTransform:
    """Lay ``moving`` over ``fixed``: points of the fixed head -> points of the moving one.

    Raises:
        RuntimeError: of ITK; the heads do not overlap.
    """
    return refine(fixed, moving, refine(fixed, moving, _best(fixed, moving), MIDDLE), FINE)


def align_again(fixed: Head, moving: Head, found: sitk.Euler3DTransform) -> sitk.Euler3DTransform:
    """The result of a second search, which starts beside that of the first and draws other samples.

    Raises:
        RuntimeError: as :func:`align`.
    """
    nudged = rigid(
        fixed.center,
        np.add(found.GetTranslation(), _NUDGE_MM),
        np.add(_angles(found), np.radians(_NUDGE_DEGREES)),
    )
    return refine(fixed, moving, refine(fixed, moving, nudged, MIDDLE, seed=2), CHECK, seed=2)


def refine(
    fixed: Head, moving: Head, start: sitk.Euler3DTransform, level: Level, seed: int = 1
) -> sitk.Euler3DTransform:
    """The transform of most mutual information near ``start``."""
    return _search(fixed, moving, start, level, seed)[1]


def _best(fixed: Head, moving: Head) -> sitk.Euler3DTransform:
    """At the coarse level, from the header, from center to center, and from the best of both turned."""
    shifts = np.zeros(3), moving.center - fixed.center
    angles = [sign * np.radians(_START_DEGREES) * axis for axis, sign in product(np.eye(3), (1, -1))]
    turned = [rigid(fixed.center, shift, angle) for shift, angle in product(shifts, angles)]
    values = [_value(fixed, moving, start) for start in turned]
    tried = [rigid(fixed.center, shift) for shift in shifts]
    tried += [turned[number] for number in np.argsort(values, kind="stable")[:_TURNED_STARTS]]
    results = []
    for start in tried:
        try:
            results.append(_search(fixed, moving, start, COARSE))
        except RuntimeError:  # the heads do not meet from here
            continue
    if not results:
        raise RuntimeError("the heads do not meet")
    return min(results, key=lambda result: result[0])[1]


def _search(
    fixed: Head, moving: Head, start: sitk.Euler3DTransform, level: Level, seed: int = 1
) -> tuple[float, sitk.Euler3DTransform]:
    """The least metric, which is minus the mutual information (nats), and where it is."""
    method = _method(fixed, level, seed)
    found = sitk.Euler3DTransform(start)
    method.SetInitialTransform(found, inPlace=True)
    method.SetOptimizerAsRegularStepGradientDescent(
        *level.steps_mm, level.iterations, relaxationFactor=_RELAXATION, gradientMagnitudeTolerance=1e-8
    )
    method.SetOptimizerScales([_TURN_RADIUS_MM**2] * 3 + [1.0] * 3)
    with one_thread.hold():
        method.Execute(fixed.at(level.spacing_mm), moving.at(level.spacing_mm))
    return method.GetMetricValue(), found


def _value(fixed: Head, moving: Head, start: sitk.Euler3DTransform) -> float:
    method = _method(fixed, COARSE, seed=1)
    method.SetInitialTransform(start, inPlace=False)
    try:
        with one_thread.hold():
            return method.MetricEvaluate(fixed.at(COARSE.spacing_mm), moving.at(COARSE.spacing_mm))
    except RuntimeError:  # the heads do not meet here
        return 0.0


def _method(fixed: Head, level: Level, seed: int) -> sitk.ImageRegistrationMethod:
    mask = fixed.mask_at(level.spacing_mm, level.margin_mm)
    voxels = max(1, int(np.count_nonzero(sitk.GetArrayViewFromImage(mask))))
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, level.samples / voxels), seed)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _angles(transform: sitk.Euler3DTransform) -> tuple[float, float, float]:
    return transform.GetAngleX(), transform.GetAngleY(), transform.GetAngleZ()
