"""M3AE: a U-Net that sees a learned image in place of whatever it is not shown.

Liu, Wei, Lu, Sun, Wang, Zheng: "M3AE: multimodal representation learning for brain tumor segmentation with
missing modalities", AAAI 2023. The body is Myronenko's (BrainLes 2018), as MONAI has it. The substitute, one
image of each modality, is learned together with the weights while the network restores masked images, see
:mod:`~..methods.masked`; afterwards it stands for missing modalities.

The published substitute is as large as a volume of BraTS and lies on its grid. Cases here are boxes around a
brain, so its middle lies in the middle of the box, wherever the brain lay in its volume.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from monai.networks.nets import SegResNet
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.modalities import MODALITIES
from .deep_supervision import LOSS_FEATURES, DeepHeads
from .heads import HEADS
from .network import Network
from .options import M3AEOptions
from .output import Feature, Kind, Output, asked
from .segresnet import decoded_levels

BLOCKS = (1, 2, 2, 4)
"""Residual blocks of each level going down, as published."""

SUBSTITUTE_SPEED = 0.005 / 3e-4
"""Learning rates of substitute and weights in the public code: Adam moves a number by about its rate, so one
that is multiplied by this moves as much faster."""


class M3AE(Network):
    """All modalities enter together, the substitute in place of missing ones.

    If asked for, ``Output.features`` holds (level 1 is full resolution):

    - ``content`` and, group-normalized, ``fused`` of level 4 (B, C, d, h, w): the encoder's end;
    - ``decoder`` of levels 3 to 1, group-normalized;
    - with ``deep_supervision`` ``deep`` of levels 2 and 3, logits (B, K, d, h, w).
    """

    name = "m3ae"
    reads_present = False
    reads_place = True
    # labels teach nothing of how images are restored, and restoring nothing of logits
    find_unused_parameters = True
    Options = M3AEOptions
    divisor = 2 ** (len(BLOCKS) - 1)
    distillable_features = (Kind.CONTENT,)

    def __init__(self, options: M3AEOptions) -> None:
        super().__init__(options)
        self.head = HEADS[options.head]
        self.body = SegResNet(
            init_filters=options.width,
            in_channels=len(MODALITIES),
            out_channels=self.head.channels,
            dropout_prob=options.dropout or None,  # 0 would add a layer that does nothing
            blocks_down=BLOCKS,
            blocks_up=(1,) * (len(BLOCKS) - 1),
        )
        self.head.init_background_bias(self.body.conv_final[-1].conv.bias)
        self.deep: DeepHeads | None = None
        if options.deep_supervision:
            coarser = {level: options.width * 2 ** (level - 1) for level in range(2, len(BLOCKS))}
            self.deep, self.loss_features = DeepHeads(coarser, self.head), LOSS_FEATURES
        self.restore = nn.Conv3d(options.width, len(MODALITIES), 1)
        self.substitute = nn.Parameter(torch.zeros(len(MODALITIES), *options.substitute_size))

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
        place: Tensor | None = None,
    ) -> Output:
        """See :meth:`.network.Network.forward`."""
        levels = self._levels(image, available[:, :, None, None, None], place)
        return Output(self.body.conv_final(levels[1]), self._features(levels, features))

    def reconstruct(
        self, image: Tensor, visible: Tensor, place: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Restore whole images from parts of them.

        Args:
            image: (B, 4, D, H, W), as for :meth:`forward`.
            visible: (B, 4, D, H, W) bool, the voxels to look at.
            place: as for :meth:`forward`.

        Returns:
            (B, 4, D, H, W), and the part of the substitute that lies there, of the same shape.
        """
        shown = self._substitute(image, place)
        levels = decoded_levels(self.body, torch.where(visible, image, shown))
        return self.restore(levels[1]), shown

    def _levels(self, image: Tensor, visible: Tensor, place: Tensor | None) -> dict[int, Tensor]:
        return decoded_levels(self.body, torch.where(visible, image, self._substitute(image, place)))

    def _substitute(self, image: Tensor, place: Tensor | None) -> Tensor:
        """(B, 4, D, H, W): the part that lies where each crop lies, 0 beyond its borders."""
        sides = image.shape[2:]
        middle = [-(side // 2) for side in sides]
        starts = [middle] * len(image) if place is None else place.tolist()
        parts = {tuple(start): self._part(start, sides) for start in starts}
        return torch.stack([parts[tuple(start)] for start in starts]).to(image.dtype)

    def _part(self, start: Sequence[int], sides: Sequence[int]) -> Tensor:
        """(4, *sides) from a voxel counted from the middle."""
        shape = self.substitute.shape[1:]
        firsts = [first + side // 2 for first, side in zip(start, shape, strict=True)]
        inside, lacking = [slice(None)], []
        for first, size, side in zip(firsts, sides, shape, strict=True):
            low, high = min(max(first, 0), side), min(max(first + size, 0), side)
            inside.append(slice(low, high))
            before = min(max(-first, 0), size)
            lacking = [before, size - (high - low) - before, *lacking]  # the last axis first, as pad() has it
        return SUBSTITUTE_SPEED * F.pad(self.substitute[tuple(inside)], lacking)

    def _features(self, levels: dict[int, Tensor], features: bool | Collection[str]) -> dict[Feature, Tensor]:
        """Those that are asked for."""
        groups, deepest = self.body.norm[1]["num_groups"], max(levels)
        found = {Feature(Kind.CONTENT): levels[deepest]} if asked(features, Kind.CONTENT) else {}
        kinds = {level: Kind.FUSED if level == deepest else Kind.DECODER for level in levels}
        found |= {
            Feature(kinds[level], level): F.group_norm(x, groups)
            for level, x in levels.items()
            if asked(features, kinds[level])
        }
        if self.deep is not None and asked(features, Kind.DEEP):
            found |= self.deep(levels)
        return found
