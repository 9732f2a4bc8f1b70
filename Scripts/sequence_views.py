"""Views of a skull-stripped brain for the training of the sequence check: heads around it, other scanners.

Everything works on coarse volumes (MissingModalityLib.clinical.coarse): intensities in deviations about the
median of the brain's middle, air at the lowest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch
from torch.nn import functional

from MissingModalityLib.clinical.coarse import RANGE, SHAPE, SPACING_MM, centered
from MissingModalityLib.core.modalities import Modality

AIR = RANGE[0]
_FAR_MM = 60.0

Span = tuple[float, float]

_AIR_BELOW: Mapping[Modality, Span] = {
    Modality.FLAIR: (2.0, 7.0),
    Modality.T1CE: (3.5, 8.0),
    Modality.T1: (3.5, 9.0),
    Modality.T2: (1.6, 4.2),
}
"""Deviations from the median of the brain down to air; measured on cases with their own intensities."""

_LOOKS: Mapping[str, Mapping[Modality, Span]] = {
    # intensity relative to the brain's median
    "csf": {
        Modality.FLAIR: (0.05, 0.35),
        Modality.T1CE: (0.2, 0.5),
        Modality.T1: (0.2, 0.5),
        Modality.T2: (1.6, 3.0),
    },
    "dura": {
        Modality.FLAIR: (0.6, 1.2),
        Modality.T1CE: (1.1, 2.2),
        Modality.T1: (0.5, 1.0),
        Modality.T2: (0.3, 0.8),
    },
    "bone": dict.fromkeys(Modality, (0.02, 0.25)),
    "marrow": {
        Modality.FLAIR: (0.3, 1.2),
        Modality.T1CE: (0.5, 1.8),
        Modality.T1: (0.5, 1.8),
        Modality.T2: (0.3, 1.2),
    },
    "fat": {
        Modality.FLAIR: (0.8, 2.5),
        Modality.T1CE: (1.4, 3.5),
        Modality.T1: (1.4, 3.5),
        Modality.T2: (0.7, 2.5),
    },
    "muscle": {
        Modality.FLAIR: (0.3, 0.8),
        Modality.T1CE: (0.7, 1.3),
        Modality.T1: (0.6, 1.0),
        Modality.T2: (0.2, 0.6),
    },
    "mucosa": {
        Modality.FLAIR: (0.9, 1.8),
        Modality.T1CE: (1.3, 2.6),
        Modality.T1: (0.6, 1.0),
        Modality.T2: (1.3, 2.5),
    },
}
_FAT_SUPPRESSED: Mapping[Modality, float] = {
    Modality.FLAIR: 0.3,
    Modality.T1CE: 0.15,
    Modality.T1: 0.05,
    Modality.T2: 0.25,
}
"""How often protocols suppress fat."""


@dataclass(frozen=True)
class Source:
    """A stripped volume to make views of.

    Attributes:
        volume: coarse, float16 of SHAPE.
        distance: float16 of SHAPE, mm outside of the brain, negative inside.
    """

    volume: torch.Tensor
    distance: torch.Tensor


Layers = list[tuple[str, torch.Tensor]]
"""What lies there, and its share of each voxel beyond the border to what came before."""

Sources = Mapping[Modality, Source]
"""Of one patient."""


class Views:
    """Draws views; one generator decides everything."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._torch = torch.Generator().manual_seed(seed)

    def views(self, sources: Sources) -> dict[Modality, np.ndarray]:
        """A view of each sequence of a patient, all from one place and with one head; as :func:`coarse`."""
        transform = self._movement()
        distance = _resampled(next(iter(sources.values())).distance, transform, _FAR_MM)
        layers = self._layers(distance) if self._chance(0.6) else None
        return {
            modality: self._view(source, modality, transform, distance, layers)
            for modality, source in sources.items()
        }

    def _view(
        self,
        source: Source,
        modality: Modality,
        transform: sitk.Transform,
        distance: torch.Tensor,
        layers: Layers | None,
    ) -> np.ndarray:
        air = -self._span(_AIR_BELOW[modality])
        volume = self._curved(_resampled(source.volume, transform, AIR).clamp(min=air), air)
        if layers is not None:
            volume = self._with_head(volume, layers, modality, air)
        return self.finish(volume, distance < 0, air, layers is not None)

    def other(self, sources: Mapping[Modality, Source]) -> np.ndarray:
        """A view of what is none of the sequences but may lie beside them: another image or map."""
        kinds = [self._lumps, self._ring, self._shaded]
        if Modality.T2 in sources:
            kinds += [self._diffusion, self._labels]
        if {Modality.T1, Modality.T1CE} <= sources.keys():
            kinds += [self._subtraction]
        modality = list(sources)[int(self._random.integers(len(sources)))]
        moved = self._moved(sources[modality])
        make = kinds[int(self._random.integers(len(kinds)))]
        return make(sources, *moved)

    def _lumps(self, sources: Sources, volume: torch.Tensor, distance: torch.Tensor) -> np.ndarray:
        """Smooth noise, within a brain's outline or without."""
        inside = (distance < 0) if self._chance(0.5) else torch.ones(SHAPE, dtype=torch.bool)
        noise = self._field(int(self._random.integers(2, 20)))
        return self.finish(noise, inside, AIR, False)

    def _ring(self, sources: Sources, volume: torch.Tensor, distance: torch.Tensor) -> np.ndarray:
        """Computed tomography: bone brightest, soft tissue nearly even."""
        soft = 0.15 * volume.clamp(-3, 3) + 0.5 * torch.randn(SHAPE, generator=self._torch)
        skull = self._span((4, 40)) * _step(distance - 2) * _step(self._span((6, 11)) - distance)
        scalp = torch.where(distance > self._span((13, 20)), torch.tensor(-self._span((3, 40))), soft)
        return self.finish(scalp + skull, torch.ones(SHAPE, dtype=torch.bool), AIR, True)

    def _shaded(self, sources: Sources, volume: torch.Tensor, distance: torch.Tensor) -> np.ndarray:
        """A map of a field or of edges."""
        if self._chance(0.5):
            return self.finish(2 * self._field(3) + 0.1 * volume, distance < 0, AIR, False)
        edges = sum(part**2 for part in torch.gradient(volume)).sqrt()
        return self.finish(edges, distance < 0, AIR, False)

    def _diffusion(self, sources: Sources, volume: torch.Tensor, distance: torch.Tensor) -> np.ndarray:
        """An apparent diffusion coefficient: fluid far above tissue, which is nearly even."""
        volume, distance = self._moved(sources[Modality.T2])
        tissue = 0.25 * volume.clamp(-2, 1) + 0.4 * torch.randn(SHAPE, generator=self._torch)
        fluid = self._span((3, 6)) * _step((volume - 1.5) * SPACING_MM)
        return self.finish(tissue + fluid, distance < 0, AIR, False)

    def _labels(self, sources: Sources, volume: torch.Tensor, distance: torch.Tensor) -> np.ndarray:
        """A map of few values."""
        count = int(self._random.integers(1, 4))
        borders = torch.from_numpy(np.sort(self._random.uniform(-1.5, 1.5, count)))
        values = torch.from_numpy(self._random.normal(0, 2, count + 1)).float()
        return centered(
            values[torch.bucketize(volume.double(), borders)].numpy(),
            np.ones(SHAPE, bool) if self._chance(0.5) else (distance < 0).numpy(),
            (distance < 0).numpy(),
        )

    def _subtraction(self, sources: Sources, volume: torch.Tensor, distance: torch.Tensor) -> np.ndarray:
        """T1 with contrast less T1 without."""
        difference = sources[Modality.T1CE].volume - sources[Modality.T1].volume
        volume, distance = self._moved(Source(difference, sources[Modality.T1].distance))
        return self.finish(volume, distance < 0, AIR, False)

    def finish(self, volume: torch.Tensor, inside: torch.Tensor, air: float, with_head: bool) -> np.ndarray:
        """What a scanner and a protocol add: field, thick slices, noise, an end of the coverage."""
        volume = air + (volume - air) * torch.exp(self._span((0, 0.2)) * self._field(3))
        if self._chance(0.5):
            volume = self._thick(volume)
        if self._chance(0.2):
            volume = functional.avg_pool3d(volume[None], 3, 1, 1)[0]
        volume = volume + self._span((0, 0.25)) * torch.randn(SHAPE, generator=self._torch)
        shown = torch.ones(SHAPE, dtype=torch.bool) if with_head else inside
        covered = self._coverage() if self._chance(0.3) else torch.ones(SHAPE, dtype=torch.bool)
        head = inside if not with_head else (volume > 0.65 * air)
        shown, head = (shown & covered).numpy(), (head & covered).numpy()
        return centered(volume.numpy(), shown, head)

    def _moved(self, source: Source) -> tuple[torch.Tensor, torch.Tensor]:
        transform = self._movement()
        return _resampled(source.volume, transform, AIR), _resampled(source.distance, transform, _FAR_MM)

    def _movement(self) -> sitk.Transform:
        """Turned, scaled, moved, and with some chance along other axes."""
        angles = np.radians(self._random.normal(0, 8, 3))
        matrix = np.eye(3)
        for axis, angle in enumerate(angles):
            first, second = [other for other in range(3) if other != axis]
            turn = np.eye(3)
            turn[first, first] = turn[second, second] = np.cos(angle)
            turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
            matrix = matrix @ turn
        matrix = matrix * np.exp(self._random.normal(0, 0.07, 3))
        if self._chance(0.5):
            matrix[0] *= -1
        if self._chance(0.15):
            matrix = matrix[self._random.permutation(3)] * self._random.choice([-1, 1], 3)[:, None]
        transform = sitk.AffineTransform(3)
        transform.SetCenter([(count - 1) / 2 for count in SHAPE[::-1]])
        transform.SetMatrix(matrix.ravel().tolist())
        transform.SetTranslation(self._random.normal(0, 8 / SPACING_MM, 3).tolist())
        return transform

    def _curved(self, volume: torch.Tensor, air: float) -> torch.Tensor:
        """Another relation of intensities, the order of tissues kept."""
        top = RANGE[1] + 2
        share = ((volume - air) / (top - air)).clamp(0, 1)
        return air + (top - air) * share ** float(np.exp(self._random.normal(0, 0.2)))

    def _layers(self, distance: torch.Tensor) -> Layers:
        """What lies around the brain, from inside to outside: fluid, dura, bone with marrow, scalp, air."""
        uneven = distance + 2.0 * self._field(6)
        fluid = self._span((-1, 4)) + 1.5 * self._field(6)
        dura, bone = self._span((0.5, 1.5)), self._span((4, 9))
        scalp = (self._span((3, 9)) + 2 * self._field(5)).clamp(min=1.5)
        outside = _step(uneven - (fluid + 1 + bone + scalp))
        parts = self._lower_head(distance)
        return [
            ("csf", _step(uneven)),
            ("dura", _step(uneven - fluid)),
            ("bone", _step(uneven - (fluid + dura))),
            ("marrow", _step(uneven - (fluid + 1 + 0.3 * bone))),
            ("bone", _step(uneven - (fluid + 1 + 0.7 * bone))),
            ("fat", _step(uneven - (fluid + 1 + bone))),
            ("air", outside),
            *((name, outside * part) for name, part in parts.items()),
        ]

    def _lower_head(self, distance: torch.Tensor) -> dict[str, torch.Tensor]:
        """Muscle, fat and mucosa in lumps, below a slanted plane: neck and face."""
        first, second = self._field(8) > 0, self._field(8) > 0
        z, y = (torch.linspace(-1, 1, count) for count in SHAPE[:2])
        plane = z[:, None, None] - self._span((-0.7, 0.3)) * y[None, :, None] + self._span((0.1, 0.6))
        body = (plane < 0) & (distance < self._span((20, 70)))
        lumps = {"muscle": first & second, "fat": second & ~first, "mucosa": first & ~second}
        return {name: (body & part).float() for name, part in lumps.items()}

    def _with_head(
        self, volume: torch.Tensor, layers: Layers, modality: Modality, air: float
    ) -> torch.Tensor:
        """A brain inside the layers of a head, as one sequence shows them."""
        looks = {name: air * (1 - self._span(spans[modality])) for name, spans in _LOOKS.items()}
        looks["air"] = air
        if self._chance(_FAT_SUPPRESSED[modality]):
            looks["fat"] = air * (1 - self._span((0.15, 0.6)))
        for name, share in layers:
            volume = volume + (looks[name] - volume) * share
        return volume

    def _thick(self, volume: torch.Tensor) -> torch.Tensor:
        """Slices of 8 mm along one axis, brought back by interpolation; 5 mm are nearly those of the grid."""
        kernel = [1, 1, 1]
        kernel[int(self._random.integers(3))] = 2
        thick = functional.avg_pool3d(volume[None], kernel, kernel, ceil_mode=True)[None]
        if self._chance(0.3):
            return functional.interpolate(thick, SHAPE, mode="nearest")[0, 0]
        return functional.interpolate(thick, SHAPE, mode="trilinear")[0, 0]

    def _coverage(self) -> torch.Tensor:
        """A slab: all voxels but those beyond one or two planes."""
        axis = int(self._random.choice(3, p=(0.7, 0.15, 0.15)))
        length = SHAPE[axis]
        shown = torch.zeros(SHAPE, dtype=torch.bool)
        low, high = int(self._span((0, 0.35)) * length), int(self._span((0.65, 1)) * length)
        shown.narrow(axis, low, high - low).fill_(True)
        return shown

    def _field(self, knots: int) -> torch.Tensor:
        """Smooth noise of deviation about one."""
        coarse = torch.randn((1, 1, knots, knots + 1, knots), generator=self._torch)
        return 1.4 * functional.interpolate(coarse, SHAPE, mode="trilinear", align_corners=True)[0, 0]

    def _span(self, span: Span) -> float:
        return float(self._random.uniform(*span))

    def _chance(self, share: float) -> bool:
        return bool(self._random.random() < share)


def _resampled(volume: torch.Tensor, transform: sitk.Transform, fill: float) -> torch.Tensor:
    image = sitk.GetImageFromArray(volume.float().numpy())
    return torch.from_numpy(sitk.GetArrayFromImage(sitk.Resample(image, transform, sitk.sitkLinear, fill)))


def _step(distance: torch.Tensor) -> torch.Tensor:
    """Share of a voxel beyond a border, from mm."""
    return (distance / SPACING_MM + 0.5).clamp(0, 1)
