"""What a head is: how logits become probabilities, what they should be, and the class map they make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..core.errors import OptionError
from ..core.labels import REGIONS, TUMOR_CLASSES

BACKGROUND_LOGIT = 4.0
"""By how much a new network takes a voxel for background: tumor fills about 2 % of a crop, and
sigmoid(-4) = 1.8 %."""

LEAST_PROBABILITY = 1e-6
"""Keeps logits of probabilities finite, and both ends apart in single precision."""

THRESHOLD = 0.5
"""Probability above which a sigmoid claims a voxel."""


def one_hot(classes: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, count, D, H, W) of ``dtype``, without an int64 copy."""
    numbers = torch.arange(count, device=classes.device, dtype=classes.dtype).view(1, -1, 1, 1, 1)
    return (classes.unsqueeze(1) == numbers).to(dtype)


def region_target(classes: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, D, H, W) integer classes -> (B, 3, D, H, W) masks of WT, TC, ET."""
    # compared class by class, each once, which costs the CPU much less time than torch.isin
    of_classes = {cls: classes == cls for cls in TUMOR_CLASSES}
    masks = [reduce(torch.logical_or, (of_classes[n] for n in numbers)) for numbers in REGIONS.values()]
    return torch.stack(masks, 1).to(dtype)


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
