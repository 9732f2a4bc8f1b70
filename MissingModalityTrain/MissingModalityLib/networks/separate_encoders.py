"""What networks share that encode each modality by itself and let those at hand meet afterwards."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import ImageError, OptionError
from ..core.modalities import MODALITIES
from .network import Network
from .output import Feature, Kind, Output, asked
from .rfnet_blocks import gather_rows, scatter_rows

Pyramid = list[Tensor]
"""Feature maps from fine (index 0, level 1) to coarse."""


class Encoded(NamedTuple):
    """Features of the single modalities of a batch, before anything is fused.

    Attributes:
        pyramids: per modality, the rows (n_m, C, d, h, w) of the samples that have it.
        present: (B, 4) bool on the CPU, which samples these are.
    """

    pyramids: dict[int, Pyramid]
    present: Tensor


class Chosen(NamedTuple):
    """What is to be fused.

    Attributes:
        stacks: levels (B, A, C, d, h, w) of the A modalities ``used``, 0 where a sample has them not.
        used: modalities that any sample fuses.
        available: (B, 4) bool on the CPU, those of each sample.
        present: (B, 4) bool on the CPU, those that were encoded.
    """

    stacks: Pyramid
    used: Sequence[int]
    available: Tensor
    present: Tensor

    @property
    def flags(self) -> Tensor:
        """(B, A) bool on the device of the features, which of the modalities ``used`` each sample has."""
        return self.available[:, list(self.used)].to(self.stacks[0].device)


class SeparateEncoders(Network):
    """Any non-empty subset of modalities per sample; encoders of modalities that no sample has do not run.

    A subclass makes :attr:`encoders` and defines :meth:`decode`.

    Attributes:
        encoders: one for each modality, (n, 1, D, H, W) -> :data:`Pyramid`.
        least_side: voxels that every side of an image has at least.
        single_kinds: kinds of features that are of single modalities; while training, those that are
            ``present`` are encoded for them, whatever the random subset that is fused.
        fused_levels: how many levels of a pyramid are fused, if not all.
    """

    encoders: nn.ModuleList
    least_side: ClassVar[int]
    single_kinds: ClassVar[tuple[str, ...]] = (Kind.ENCODER,)
    fused_levels: ClassVar[int | None] = None
    find_unused_parameters = True  # encoders of modalities that no sample has

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """See :meth:`.network.Network.forward`.

        Raises:
            ImageError: image or availability of the wrong shape, or a sample without modality.
            OptionError: ``available`` names a modality that is not present.
        """
        available = available.cpu()
        encode = available
        if present is not None and self.training:
            _check_present(self.name, available, present.cpu())
            if any(asked(features, kind) for kind in self.single_kinds):
                encode = present
        encoded = self.encode(image, encode)
        to_fuse = self._choose(encoded, available)
        own = self.own_features(encoded.pyramids, features)
        del encoded  # while predicting, the chosen stacks are the only copy left
        logits, found = self.decode(to_fuse, features)
        return Output(logits, {**own, **found})

    def encode(self, image: Tensor, present: Tensor) -> Encoded:
        """The first half of :meth:`forward`: every modality on its own, once for any number of subsets.

        Args:
            image: (B, 4, D, H, W), as in :meth:`forward`.
            present: (B, 4) bool, modalities to encode; the others' voxels are never read.

        Raises:
            ImageError: as :meth:`forward`.
        """
        present = present.cpu()  # decides what is computed: one wait for the device instead of many
        self._check_image(image)
        _check_flags(self.name, present, len(image))
        pyramids = {
            m: self.encoders[m](image[present[:, m], m : m + 1]) for m in MODALITIES if present[:, m].any()
        }
        return Encoded(pyramids, present)

    def fuse(self, encoded: Encoded, available: Tensor, features: bool | Collection[str] = False) -> Output:
        """The second half of :meth:`forward`: what the modalities ``available`` (B, 4) say together.

        Raises:
            ImageError: ``available`` has the wrong shape, or a sample without modality.
            OptionError: ``available`` names a modality that was not encoded.
        """
        logits, found = self.decode(self._choose(encoded, available.cpu()), features)
        return Output(logits, {**self.own_features(encoded.pyramids, features), **found})

    @abstractmethod
    def decode(
        self, chosen: Chosen, features: bool | Collection[str]
    ) -> tuple[Tensor, dict[Feature, Tensor]]:
        """Fuse and segment.

        Args:
            chosen: modalities to fuse.
            features: kinds to give.

        Returns:
            Logits (B, K, D, H, W), and the features after fusion that are asked for.
        """

    def own_features(
        self, pyramids: Mapping[int, Pyramid], features: bool | Collection[str]
    ) -> dict[Feature, Tensor]:
        """Features of single modalities: the levels of the encoders."""
        if not asked(features, Kind.ENCODER):
            return {}
        return {
            Feature(Kind.ENCODER, level, MODALITIES[number]): x
            for number, pyramid in pyramids.items()
            for level, x in enumerate(self.encoder_levels(pyramid), 1)
        }

    def encoder_levels(self, pyramid: Pyramid) -> Pyramid:
        """The maps of a pyramid that are features of the encoder, finest first."""
        return pyramid

    def _choose(self, encoded: Encoded, available: Tensor) -> Chosen:
        pyramids, present = encoded
        _check_flags(self.name, available, len(present))
        _check_present(self.name, available, present)
        used = [m for m in MODALITIES if available[:, m].any()]
        levels = self.fused_levels or len(next(iter(pyramids.values())))
        stacks = [_stack(pyramids, level, used, available, present) for level in range(levels)]
        return Chosen(stacks, used, available, present)

    def _check_image(self, image: Tensor) -> None:
        sides = image.shape[2:]
        if (
            image.ndim != 5
            or image.shape[1] != len(MODALITIES)
            or any(s < self.least_side or s % self.divisor for s in sides)
        ):
            raise ImageError(
                f"{self.name}: an image of shape {tuple(image.shape)} does not fit. Give (batch, "
                f"{len(MODALITIES)}, depth, height, width) with sides that are multiples of {self.divisor}, "
                f"at least {self.least_side}."
            )


class SeparatelyDecoded(SeparateEncoders):
    """Separate encoders whose modalities are segmented one by one, too, while the network is trained.

    Attributes:
        separate: decodes the pyramid of one modality into logits (n, K, D, H, W), one decoder for all four.
    """

    separate: nn.Module

    def own_features(
        self, pyramids: Mapping[int, Pyramid], features: bool | Collection[str]
    ) -> dict[Feature, Tensor]:
        """Features of single modalities: encoder levels and, while training, separate logits."""
        found = super().own_features(pyramids, features)
        if self.training and asked(features, Kind.SEPARATE):
            found |= {
                Feature(Kind.SEPARATE, modality=MODALITIES[number]): self.separate(pyramid)
                for number, pyramid in pyramids.items()
            }
        return found


def _stack(
    pyramids: Mapping[int, Pyramid], level: int, used: Sequence[int], available: Tensor, present: Tensor
) -> Tensor:
    """One level of the modalities ``used``, (B, A, C, D, H, W), zero where a sample lacks one."""
    rows = (gather_rows(pyramids[m][level], available[present[:, m], m]) for m in used)
    return torch.stack([scatter_rows(x, available[:, m]) for x, m in zip(rows, used, strict=True)], 1)


def _check_present(name: str, available: Tensor, present: Tensor) -> None:
    if (available & ~present).any():
        raise OptionError(
            f"{name}: a modality is marked available but not present. Mark it in both or neither."
        )


def _check_flags(name: str, flags: Tensor, batch: int) -> None:
    if flags.shape != (batch, len(MODALITIES)) or not flags.any(1).all():
        raise ImageError(
            f"{name}: every sample needs one flag per modality and at least one available modality."
        )
