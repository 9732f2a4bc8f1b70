"""AdaMM's adapters: a few small layers of its own for every subset that lacks a modality.

Each sample passes those of its own subset; adapters of subsets that no sample has are not computed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import ImageError
from ..core.modalities import MODALITIES, SUBSETS, availability, subset_name, subset_of

CONTENT = 3
"""Place of the adapter after the content blocks; encoder levels come before it, decoder levels after it."""


_PROBES = 256
"""Random features by which adapters are compared: sixteen times as many change no similarity by 0.01."""


class Adapter(nn.Module):
    """1x1x1 convolutions down and up with GELU between them, beside an identity.

    Args:
        channels: in and out.
        inner: channels between.
        dropout: of what is added.
    """

    def __init__(self, channels: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.down = nn.Conv3d(channels, inner, 1)
        self.up = nn.Conv3d(inner, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, D, H, W) -> the same shape."""
        return x + self.dropout(self.added(x))

    def added(self, x: Tensor) -> Tensor:
        """What it adds to (B, channels, D, H, W) without dropout."""
        return self.up(F.gelu(self.down(x)))


class SubsetAdapters(nn.Module):
    """What one subset has of its own: seven adapters, and both convolutions that make the bottleneck."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        halved = (2 * width, 4 * width, 8 * width)  # channels after each strided convolution
        deepest = halved[-1]
        self.adapters = nn.ModuleList(
            Adapter(channels, inner, dropout) for channels in (*halved, deepest, *halved[1::-1], width)
        )
        # the two lower levels of the encoder and the content; then the style from these and the content
        self.style = nn.Conv3d(halved[-2] + deepest + deepest, deepest, 1)
        self.bottleneck = nn.Conv3d(deepest + deepest, deepest, 1)


class AllAdapters(nn.ModuleDict):
    """Adapters for each of the 14 subsets that lack a modality, by bits, such as "1010" for FLAIR and T1.

    Args:
        width: channels of the U-Net's first level.
        inner: of the adapters.
        dropout: of the adapters.
    """

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        lacking = (subset for subset in SUBSETS if len(subset) < len(MODALITIES))
        super().__init__(
            {_bits(availability(subset)): SubsetAdapters(width, inner, dropout) for subset in lacking}
        )

    def routing(self, available: Tensor) -> SubsetRouting:
        """Which samples of a batch go through which subset's adapters.

        Args:
            available: (B, 4) bool.

        Raises:
            ImageError: a sample without modality.
        """
        rows: dict[str, list[int]] = {}
        # one wait for the device, which cannot decide by itself which adapters are computed
        for row, flags in enumerate(available.tolist()):
            rows.setdefault(_bits(flags), []).append(row)
        complete, nothing = "1" * len(MODALITIES), "0" * len(MODALITIES)
        if nothing in rows:
            raise ImageError("adamm: every sample needs at least one available modality.")
        return SubsetRouting(
            [(None if bits == complete else self[bits], found) for bits, found in rows.items()]
        )

    @torch.no_grad()
    def likeness(self) -> tuple[list[str], Tensor]:
        """How alike the adapters of every two subsets are: cosine similarity of what they add.

        To the same random features from a fixed seed, so that it takes no image: of what adapters make of
        images it tells nothing.

        Returns:
            Names of the 14 subsets, and (14, 14) float, -1..1, the mean over the places in the network.
        """
        generator = torch.Generator().manual_seed(0)
        found = []
        for adapters in zip(*(own.adapters for own in self.values()), strict=True):
            probes = torch.randn(_PROBES, adapters[0].down.in_channels, 1, 1, 1, generator=generator)
            added = torch.stack([adapter.added(probes).flatten() for adapter in adapters])
            directions = F.normalize(added, dim=1)
            found.append(directions @ directions.T)
        names = [subset_name(subset_of(flag == "1" for flag in bits)) for bits in self]
        return names, torch.stack(found).mean(0)


class SubsetRouting:
    """Which samples of a batch go through which adapters, none where nothing is missing.

    Args:
        groups: adapters and rows; every row of the batch in one of them.
    """

    def __init__(self, groups: list[tuple[SubsetAdapters | None, list[int]]]) -> None:
        self._groups = groups
        mixed = [row for _, rows in groups for row in rows]
        self._order = sorted(range(len(mixed)), key=mixed.__getitem__)

    def through(self, apply: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
        """``apply(own, x, *others)`` of the samples that lack a modality, ``x`` itself of the complete ones.

        Args:
            apply: called once per subset, with the rows of its samples.
            x, others: (B, ...).
        """
        if len(self._groups) == 1:
            own = self._groups[0][0]
            return x if own is None else apply(own, x, *others)
        parts = [
            x[rows] if own is None else apply(own, x[rows], *(other[rows] for other in others))
            for own, rows in self._groups
        ]
        return torch.cat(parts)[self._order]  # back into the batch's order: parts stand subset by subset

    def adapt(self, place: int, x: Tensor) -> Tensor:
        """(B, C, D, H, W), every sample through its own adapter, the ``place``-th of its subset."""
        return self.through(lambda own, rows: own.adapters[place](rows), x)


def _bits(flags: tuple[bool, ...] | list[bool]) -> str:
    return "".join(str(int(flag)) for flag in flags)
