"""A glioma: necrotic core, enhancing rim, infiltrating edema and the brain that it pushes aside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .random_fields import Field, Points, smoothstep


@dataclass(frozen=True)
class TumorParameters:
    """Everything that makes one tumor different from another.

    Attributes:
        center: (3,) mm, patient coordinates.
        radius: of the core (necrosis with rim), mm.
        stretch: (3,) of the core along x, y, z.
        rim: mean thickness of the enhancing rim, mm; negative leaves patches of it.
        edema: mean reach of the edema beyond the core, mm.
        push: largest displacement of the brain, mm.
        surface, inner, patches, fingers: fields of core outline, core border, rim thickness and edema reach.
    """

    center: np.ndarray
    radius: float
    stretch: np.ndarray
    rim: float
    edema: float
    push: float
    surface: Field
    inner: Field
    patches: Field
    fingers: Field

    @classmethod
    def sample(cls, random: np.random.Generator) -> TumorParameters:
        """Draw a patient's parameters."""
        radius = random.uniform(12, 23)
        # off the midline and above the brain stem: in the white matter of one hemisphere
        center = np.array(
            [random.choice([-1, 1]) * random.uniform(26, 40), random.uniform(-42, 45), random.uniform(4, 34)]
        )
        return cls(
            center=center,
            radius=radius,
            stretch=random.uniform(0.8, 1.25, 3),
            rim=random.uniform(3.0, 6.5),
            edema=random.uniform(12, 28),
            push=random.uniform(0.15, 0.4) * radius,
            surface=Field.sample(random, 1.7 * radius, 0.35, 20),
            inner=Field.sample(random, 11.0, 0.4, 24),
            patches=Field.sample(random, 17.0, 0.4, 20),
            fingers=Field.sample(random, 34.0, 0.4, 28),
        )

    def displacement(self, points: Points) -> Points:
        """Where the tissue now at ``points`` was before the tumor pushed it, mm."""
        offsets = tuple(p - np.float32(c) for p, c in zip(points, self.center, strict=True))
        distance = np.sqrt(sum(offset * offset for offset in offsets)) + np.float32(1e-3)
        # none at the center, most at the core's border, then fading over 22 mm as tissue gives way
        reach = np.clip(distance / self.radius, 0, 1) * np.exp(-np.maximum(distance - self.radius, 0) / 22.0)
        factor = (self.push * reach / distance).astype(np.float32)
        return tuple(p - offset * factor for p, offset in zip(points, offsets, strict=True))

    def depth(self, points: Points) -> np.ndarray:
        """Signed distance in mm to the irregular outline of the core, positive inside."""
        scaled = [
            (p - np.float32(c)) / np.float32(s)
            for p, c, s in zip(points, self.center, self.stretch, strict=True)
        ]
        distance = np.sqrt(sum(value * value for value in scaled))
        return self.radius * (1 + 0.16 * self.surface(points)) - distance


def tumor_shares(
    points: Points, parameters: TumorParameters, tissue: dict[str, np.ndarray], voxel: float
) -> dict[str, np.ndarray]:
    """Share of every tumor class in every voxel, in 0..1; together at most 1.

    Edema spreads along white matter, hardly enters cortex and deep nuclei and never cerebrospinal fluid; the
    core replaces any tissue but leaves the ventricles, which it compresses.
    """
    depth = parameters.depth(points)
    edge = 0.6 * voxel
    solid = tissue["brain"] * (1 - 0.9 * smoothstep(tissue["csf"] - 0.5, 0.25) * (depth < 4))
    core = smoothstep(depth, edge) * solid
    thickness = parameters.rim * (1 + 0.6 * parameters.patches(points)) + 0.9 * parameters.inner(points)
    rim = core * smoothstep(thickness - depth, edge)
    conduct = tissue["white"] + 0.45 * tissue["gray"] + 0.55 * tissue["deep"]
    reach = parameters.edema * (0.85 + 0.3 * parameters.fingers(points)) * (0.5 + 0.5 * conduct)
    # the other half is reached only through the corpus callosum
    across = np.maximum(-points[0] * np.sign(parameters.center[0]), 0)
    edema = smoothstep(depth + reach - 1.5 * across, 1.2 + edge) * (conduct > 0.25) * tissue["brain"]
    edema = np.clip(edema * np.clip(1.6 * conduct, 0, 1), 0, 1 - core)
    return {"ncr": core - rim, "et": rim, "ed": edema * (depth > -parameters.edema * 2.2)}
