"""What is counted in voxels: overlap, misses and inventions of one region, and the ratios of these."""

from __future__ import annotations

from dataclasses import dataclass

DICE_EPSILON = 1e-8
"""As the public evaluation of RFNet has it; it decides what two empty masks score and no printed digit."""


@dataclass(frozen=True)
class Counts:
    """Voxels of one region of one prediction.

    Attributes:
        overlap: in prediction and reference.
        predicted: in the prediction.
        reference: in the reference.
        image: in the whole image.
    """

    overlap: int
    predicted: int
    reference: int
    image: int

    @property
    def dice(self) -> float:
        """0..1; two empty masks score 1 and one empty mask about 0 (RFNet, Ding et al., ICCV 2021)."""
        return (2 * self.overlap + DICE_EPSILON) / (self.predicted + self.reference + DICE_EPSILON)

    @property
    def iou(self) -> float:
        """Intersection over union, 0..1; of empty masks as :attr:`dice`."""
        union = self.predicted + self.reference - self.overlap
        return (self.overlap + DICE_EPSILON) / (union + DICE_EPSILON)

    @property
    def sensitivity(self) -> float | None:
        """Share of the reference that was found, 0..1; None where there is none to find."""
        return _share(self.overlap, self.reference)

    @property
    def precision(self) -> float | None:
        """Share of the prediction that is right, 0..1; None where nothing was found."""
        return _share(self.overlap, self.predicted)

    @property
    def specificity(self) -> float | None:
        """Share of the image outside the reference that was left out, 0..1 (BraTS 2017 to 2021)."""
        outside = self.image - self.reference
        return _share(outside - (self.predicted - self.overlap), outside)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
