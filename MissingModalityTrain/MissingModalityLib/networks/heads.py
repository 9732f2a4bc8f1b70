"""What the last layer of a network tells, and everything that follows from it: loss, class map, gate.

Three heads: "classes" is one softmax over background, NCR/NET, ED and ET; "regions" are sigmoids of the
nested WT, TC and ET; "sigmoids" is one for each class, background included, that need not agree. Each comes
with a further, last channel for the resection cavity too: "classes+cavity" and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.labels import NON_ENHANCING, REGIONS, RESECTION_CAVITY, TUMOR_CLASSES, TumorClass, merged
from .head import BACKGROUND_LOGIT, LEAST_PROBABILITY, THRESHOLD, Head, one_hot, region_target

# The later overwrites the earlier: each region lies within the one before, and a voxel claimed as enhancing
# is enhancing whatever else claims it. So WT, TC and ET hold every voxel that one of their classes claims.
_PAINTED = (TumorClass.ED, TumorClass.NCR, TumorClass.ET)


class ClassesHead(Head):
    """One softmax over the classes; the most probable one is the voxel's."""

    name = "classes"
    entropy_name = "ce"
    first_scored = 1

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)

    def logits(self, probabilities: Tensor) -> Tensor:
        return probabilities.clamp(LEAST_PROBABILITY).log()  # softmax undoes it, up to a constant

    def target(self, classes: Tensor, dtype: torch.dtype) -> Tensor:
        return one_hot(classes, self.channels, dtype)

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target)

    def label_entropy(self, logits: Tensor, classes: Tensor, target: Tensor) -> Tensor:
        # from class numbers: products of every channel with its target would be K times as large
        return F.cross_entropy(logits, classes.long())

    def voxel_entropies(self, logits: Tensor, classes: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, classes.long(), reduction="none").unsqueeze(1)

    def channel_weights(self, regions: Sequence[float]) -> list[float]:
        return [*_class_weights(regions), *self._unweighed]

    def voxel_weights(self, channels: Tensor, classes: Tensor) -> Tensor:
        """The weight of each voxel's class."""
        return channels[classes.long()].unsqueeze(1)

    @torch.no_grad()
    def init_background_bias(self, bias: Tensor) -> None:
        bias.view(self.channels, -1)[TumorClass.BACKGROUND] += BACKGROUND_LOGIT

    def background(self, shape: Sequence[int]) -> Tensor:
        return _background_class(shape, self.channels)

    def class_map(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities.argmax(0).astype(np.uint8)

    def region_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """One of its classes is a voxel's, so they add up."""
        return np.stack([probabilities[list(members)].sum(0) for members in REGIONS.values()])

    def apply_presence(self, probabilities: np.ndarray, factors: np.ndarray) -> None:
        """Presence re-weighs the classes' prior and the result sums to 1 again (Bayes' rule).

        So a voxel whose class is ruled out becomes the next likely one, not a hole in the tumor.
        """
        _scale(probabilities, (1.0, *factors, *self._unweighed))
        background = probabilities[TumorClass.BACKGROUND]
        np.maximum(background, np.finfo(np.float32).tiny, out=background)  # where nothing else is left
        probabilities /= probabilities.sum(0)


class _SigmoidHead(Head):
    """K two-sided choices of their own."""

    entropy_name = "bce"

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, target)

    def voxel_entropies(self, logits: Tensor, classes: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


class RegionsHead(_SigmoidHead):
    """Sigmoids of the nested regions; the inner one overwrites the outer one."""

    name = "regions"
    takes_thresholds = True
    has_background = False

    def target(self, classes: Tensor, dtype: torch.dtype) -> Tensor:
        return region_target(classes, dtype)

    def channel_weights(self, regions: Sequence[float]) -> list[float]:
        return [*_with_mean_one(regions), *self._unweighed]

    @torch.no_grad()
    def init_background_bias(self, bias: Tensor) -> None:
        bias.fill_(-BACKGROUND_LOGIT)

    def background(self, shape: Sequence[int]) -> Tensor:
        # no region at all
        return torch.zeros(shape[0], self.channels, *shape[2:])

    def class_map(self, probabilities: np.ndarray, thresholds: Sequence[float] | None = None) -> np.ndarray:
        """See :meth:`Head.class_map`; ``thresholds`` of WT, TC and ET in place of 0.5."""
        return _painted(probabilities, thresholds)

    def region_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities

    def apply_presence(self, probabilities: np.ndarray, factors: np.ndarray) -> None:
        """A region is there if one of its classes is: its factor is the largest of theirs."""
        of_regions = (max(factors[cls - 1] for cls in members) for members in REGIONS.values())
        _scale(probabilities, (*of_regions, *self._unweighed))


class SigmoidsHead(_SigmoidHead):
    """A sigmoid for each class; background is what none of the others claims."""

    name = "sigmoids"
    squares_dice = True  # as the public codes of MST-KDNet and AdaMM

    def target(self, classes: Tensor, dtype: torch.dtype) -> Tensor:
        return one_hot(classes, self.channels, dtype)

    def channel_weights(self, regions: Sequence[float]) -> list[float]:
        return [*_class_weights(regions), *self._unweighed]

    @torch.no_grad()
    def init_background_bias(self, bias: Tensor) -> None:
        bias.fill_(-BACKGROUND_LOGIT)
        bias.view(self.channels, -1)[TumorClass.BACKGROUND] = BACKGROUND_LOGIT

    def background(self, shape: Sequence[int]) -> Tensor:
        return _background_class(shape, self.channels)

    def class_map(self, probabilities: np.ndarray) -> np.ndarray:
        return _painted(probabilities[list(_PAINTED)])

    def apply_presence(self, probabilities: np.ndarray, factors: np.ndarray) -> None:
        """NCR, ED and ET are independent statements: each is multiplied, and background stays."""
        _scale(probabilities, (1.0, *factors, *self._unweighed))


class CavityClassesHead(ClassesHead):
    """A fifth class, the resection cavity, whose number is that of its channel."""

    name = "classes+cavity"
    cavity = True


class CavityRegionsHead(RegionsHead):
    """A fourth sigmoid, of the resection cavity; what is tumor is not cavity."""

    name = "regions+cavity"
    cavity = True

    def target(self, classes: Tensor, dtype: torch.dtype) -> Tensor:
        cavity = (classes == RESECTION_CAVITY).unsqueeze(1)
        return torch.cat([super().target(classes, dtype), cavity.to(dtype)], 1)

    def class_map(self, probabilities: np.ndarray, thresholds: Sequence[float] | None = None) -> np.ndarray:
        return _with_cavity(super().class_map(probabilities[:-1], thresholds), probabilities[-1])

    def region_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities[:-1]


class CavitySigmoidsHead(SigmoidsHead):
    """A fifth sigmoid, of the resection cavity; what is tumor is not cavity."""

    name = "sigmoids+cavity"
    cavity = True

    def class_map(self, probabilities: np.ndarray) -> np.ndarray:
        return _with_cavity(super().class_map(probabilities), probabilities[-1])


class FiveClassesHead(ClassesHead):
    """One softmax over the classes of BraTS 2015, in the order of its numbers: the core is two of them.

    Necrosis, edema, non-enhancing and enhancing tumor (Menze et al., TMI 2015). Class maps have the core as
    one, as those of other heads. For networks that tell no presence.
    """

    name = "five-classes"
    numbers: ClassVar[tuple[int, ...]] = (
        *(TumorClass.BACKGROUND, TumorClass.NCR, TumorClass.ED, NON_ENHANCING, TumorClass.ET),
    )

    def target(self, classes: Tensor, dtype: torch.dtype) -> Tensor:
        return torch.stack([classes == number for number in self.numbers], 1).to(dtype)

    def label_entropy(self, logits: Tensor, classes: Tensor, target: Tensor) -> Tensor:
        return self.cross_entropy(logits, target)

    def voxel_entropies(self, logits: Tensor, classes: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, reduction="none").unsqueeze(1)

    def channel_weights(self, regions: Sequence[float]) -> list[float]:
        weights = super().channel_weights(regions)
        return [weights[number] for number in merged(np.array(self.numbers))]

    def voxel_weights(self, channels: Tensor, classes: Tensor) -> Tensor:
        return (self.target(classes, channels.dtype) * channels.view(1, -1, 1, 1, 1)).sum(1, keepdim=True)

    def class_map(self, probabilities: np.ndarray) -> np.ndarray:
        return merged(np.array(self.numbers, np.uint8)[probabilities.argmax(0)])

    def region_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        numbers = merged(np.array(self.numbers))
        return np.stack([probabilities[np.isin(numbers, members)].sum(0) for members in REGIONS.values()])


def _with_cavity(classes: np.ndarray, cavity: np.ndarray) -> np.ndarray:
    """A class map, changed in place, with the cavity where its probability claims background."""
    classes[(classes == TumorClass.BACKGROUND) & (cavity > THRESHOLD)] = RESECTION_CAVITY
    return classes


def _background_class(shape: Sequence[int], channels: int) -> Tensor:
    result = torch.zeros(shape[0], channels, *shape[2:])
    result[:, TumorClass.BACKGROUND] = 1
    return result


def _with_mean_one(weights: Sequence[float]) -> list[float]:
    return [weight * len(weights) / sum(weights) for weight in weights]


def _class_weights(regions: Sequence[float]) -> list[float]:
    """Weights of WT, TC and ET -> of background, NCR, ED and ET."""
    holding = [
        [weight for weight, members in zip(regions, REGIONS.values(), strict=True) if cls in members]
        for cls in TUMOR_CLASSES
    ]
    return [1.0, *_with_mean_one([sum(weights) / len(weights) for weights in holding])]


def _painted(maps: np.ndarray, thresholds: Sequence[float] | None = None) -> np.ndarray:
    """(3, D, H, W) probabilities in the order of :data:`_PAINTED` -> class map."""
    classes = np.zeros(maps.shape[1:], np.uint8)
    for found, cls, threshold in zip(maps, _PAINTED, thresholds or (THRESHOLD,) * len(maps), strict=True):
        classes[found > threshold] = cls
    return classes


def _scale(probabilities: np.ndarray, factors: Sequence[float]) -> None:
    for channel, factor in zip(probabilities, factors, strict=True):
        channel *= factor


FIVE_CLASSES = FiveClassesHead(len(FiveClassesHead.numbers))
"""Of networks whose option ``classes`` is 5."""

HEADS: dict[str, Head] = {
    head.name: head
    for head in (
        *(ClassesHead(len(TumorClass)), RegionsHead(len(REGIONS)), SigmoidsHead(len(TumorClass))),
        CavityClassesHead(len(TumorClass) + 1),
        CavityRegionsHead(len(REGIONS) + 1),
        CavitySigmoidsHead(len(TumorClass) + 1),
    )
}
"""By the name that options give."""
