"""What the last layer of a network tells, and everything that follows from it: loss, class map, gate.

Three heads: "classes" is one softmax over background, NCR/NET, ED and ET; "regions" are sigmoids of the
nested WT, TC and ET; "sigmoids" is one for each class, background included, that need not agree. Each comes
with a further, last channel for the resection cavity too: "classes+cavity" and so on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import OptionError
from ..core.labels import REGIONS, RESECTION_CAVITY, TumorClass
from .head_arrays import (
    PAINTED,
    THRESHOLD,
    class_weights,
    one_hot,
    painted,
    region_target,
    scale,
    with_mean_one,
)

BACKGROUND_LOGIT = 4.0
"""By how much a new network takes a voxel for background: tumor fills about 2 % of a crop, and
sigmoid(-4) = 1.8 %."""

LEAST_PROBABILITY = 1e-6
"""Keeps logits of probabilities finite, and both ends apart in single precision."""


@dataclass(frozen=True)
class Head(ABC):
    """One way to tell the classes of a voxel. A network from outside may bring a further one.

    Attributes:
        channels: K of the logits (B, K, D, H, W).
        name: as options and student files call it.
        entropy_name: of its cross entropy among the terms of a loss.
        first_scored: channel from which on Dice counts; 1 leaves the background out.
        squares_dice: whether the plain loss squares the denominator of Dice.
        takes_thresholds: whether :meth:`class_map` can be given a threshold for each region.
        has_background: whether the first channel is that of background, and each further one a class.
        cavity: whether the last channel is the resection cavity.
    """

    channels: int

    name: ClassVar[str]
    entropy_name: ClassVar[str]
    first_scored: ClassVar[int] = 0
    squares_dice: ClassVar[bool] = False
    takes_thresholds: ClassVar[bool] = False
    has_background: ClassVar[bool] = True
    cavity: ClassVar[bool] = False

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, K, ...) logits -> the same shape, 0..1."""

    def logits(self, probabilities: Tensor) -> Tensor:
        """Logits (B, K, ...) that have these probabilities; of sigmoids, if a head does not say otherwise."""
        return probabilities.logit(LEAST_PROBABILITY)

    @abstractmethod
    def target(self, classes: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, D, H, W) integer classes -> (B, K, D, H, W) of 0 and 1, what the probabilities should be."""

    @abstractmethod
    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross entropy in nats.

        Args:
            logits: (B, K, ...).
            target: (B, K, ...) probabilities, as :meth:`target` or a teacher gives them.
        """

    def label_entropy(self, logits: Tensor, classes: Tensor, target: Tensor) -> Tensor:
        """:meth:`cross_entropy` of integer classes (B, D, H, W), whose :meth:`target` is at hand."""
        return self.cross_entropy(logits, target)

    def voxel_entropies(self, logits: Tensor, classes: Tensor, target: Tensor) -> Tensor:
        """Cross entropy in nats of each choice, as :meth:`label_entropy` before its mean.

        Returns:
            (B, n, D, H, W): n = 1 choice among classes, or n = K two-sided ones.

        Raises:
            OptionError: the head does not offer it.
        """
        raise OptionError(
            f"The head '{self.name}' tells no cross entropy per voxel. Leave focal_gamma, top_k_fraction, "
            "region_weights and consistency_weight as they are."
        )

    def channel_weights(self, regions: Sequence[float]) -> list[float]:
        """Weights of the K channels; those of tumor have the mean 1, that of background is 1.

        Args:
            regions: weights of WT, TC and ET; a class has the mean weight of the regions that hold it.

        Raises:
            OptionError: the head does not offer it.
        """
        raise OptionError(f"The head '{self.name}' knows no regions. Leave region_weights as they are.")

    def voxel_weights(self, channels: Tensor, classes: Tensor) -> Tensor:
        """Weights (K,) of channels as factors of :meth:`voxel_entropies`: the weight of each channel."""
        return channels.view(1, -1, 1, 1, 1)

    @abstractmethod
    def init_background_bias(self, bias: Tensor) -> None:
        """Spare training the hundreds of steps that learning the rarity of tumor from zero takes.

        Lin et al., "Focal loss for dense object detection", ICCV 2017, Sec. 4.1.

        Args:
            bias: of the last convolution, K blocks of one or more channels; changed in place.
        """

    @abstractmethod
    def background(self, shape: Sequence[int]) -> Tensor:
        """Probabilities (B, K, D, H, W) of background for certain; ``shape`` (B, any, D, H, W)."""

    @abstractmethod
    def class_map(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities (K, D, H, W) -> uint8 class map (D, H, W)."""

    def region_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities (K, D, H, W) -> (3, D, H, W) of WT, TC and ET.

        Of statements about each class by themselves, that of the class that claims a voxel most.
        """
        return np.stack([probabilities[list(members)].max(0) for members in REGIONS.values()])

    @abstractmethod
    def apply_presence(self, probabilities: np.ndarray, factors: np.ndarray) -> None:
        """Lower the probabilities of classes that the case does not seem to hold.

        Args:
            probabilities: (K, D, H, W), changed in place.
            factors: (3,) of NCR, ED and ET, 0..1; 1 leaves a class as it is.
        """

    @property
    def _unweighed(self) -> tuple[float, ...]:
        """The factor 1 of each channel that is neither background nor tumor."""
        return (1.0,) * self.cavity


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
        return [*class_weights(regions), *self._unweighed]

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
        scale(probabilities, (1.0, *factors, *self._unweighed))
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
        return [*with_mean_one(regions), *self._unweighed]

    @torch.no_grad()
    def init_background_bias(self, bias: Tensor) -> None:
        bias.fill_(-BACKGROUND_LOGIT)

    def background(self, shape: Sequence[int]) -> Tensor:
        # no region at all
        return torch.zeros(shape[0], self.channels, *shape[2:])

    def class_map(self, probabilities: np.ndarray, thresholds: Sequence[float] | None = None) -> np.ndarray:
        """See :meth:`Head.class_map`; ``thresholds`` of WT, TC and ET in place of 0.5."""
        return painted(probabilities, thresholds)

    def region_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities

    def apply_presence(self, probabilities: np.ndarray, factors: np.ndarray) -> None:
        """A region is there if one of its classes is: its factor is the largest of theirs."""
        of_regions = (max(factors[cls - 1] for cls in members) for members in REGIONS.values())
        scale(probabilities, (*of_regions, *self._unweighed))


class SigmoidsHead(_SigmoidHead):
    """A sigmoid for each class; background is what none of the others claims."""

    name = "sigmoids"
    squares_dice = True  # as the public codes of MST-KDNet and AdaMM

    def target(self, classes: Tensor, dtype: torch.dtype) -> Tensor:
        return one_hot(classes, self.channels, dtype)

    def channel_weights(self, regions: Sequence[float]) -> list[float]:
        return [*class_weights(regions), *self._unweighed]

    @torch.no_grad()
    def init_background_bias(self, bias: Tensor) -> None:
        bias.fill_(-BACKGROUND_LOGIT)
        bias.view(self.channels, -1)[TumorClass.BACKGROUND] = BACKGROUND_LOGIT

    def background(self, shape: Sequence[int]) -> Tensor:
        return _background_class(shape, self.channels)

    def class_map(self, probabilities: np.ndarray) -> np.ndarray:
        return painted(probabilities[list(PAINTED)])

    def apply_presence(self, probabilities: np.ndarray, factors: np.ndarray) -> None:
        """NCR, ED and ET are independent statements: each is multiplied, and background stays."""
        scale(probabilities, (1.0, *factors, *self._unweighed))


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


def _with_cavity(classes: np.ndarray, cavity: np.ndarray) -> np.ndarray:
    """A class map, changed in place, with the cavity where its probability claims background."""
    classes[(classes == TumorClass.BACKGROUND) & (cavity > THRESHOLD)] = RESECTION_CAVITY
    return classes


def _background_class(shape: Sequence[int], channels: int) -> Tensor:
    result = torch.zeros(shape[0], channels, *shape[2:])
    result[:, TumorClass.BACKGROUND] = 1
    return result


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
