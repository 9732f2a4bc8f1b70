"""The U-Net of nnU-Net, as MONAI has it (DynUNet), on zeroed channels: trained with modality dropout.

Isensee, Jaeger, Kohl, Petersen, Maier-Hein: "nnU-Net: a self-configuring method for deep learning-based
biomedical image segmentation", Nature Methods 18, 2021. Missing sequences in its training: Eijgelaar et al.,
"Robust deep learning-based segmentation of glioblastoma on routine clinical MRI scans using sparsified
training", Radiology: Artificial Intelligence 2(5), 2020.
"""

from __future__ import annotations

from collections.abc import Collection

from monai.networks.nets import DynUNet as Body
from torch import Tensor, nn

from ..core.errors import ImageError
from ..core.modalities import MODALITIES
from .deep_supervision import LOSS_FEATURES
from .heads import HEADS
from .network import Network
from .options import DynUNetOptions
from .output import Feature, Kind, Output, asked, chosen, mask_missing

MOST_CHANNELS = 320
"""Of any level, as in nnU-Net."""


class DynUNet(Network):
    """All modalities enter together; a missing one is a zero channel.

    If asked for, ``Output.features`` holds, with L levels of which level 1 has full resolution and each
    further one halves the sides and doubles the channels, up to 320:

    - ``fused`` of level L (B, C, d, h, w): the encoder's end; fused from the first convolution on;
    - ``decoder`` of levels L-1 to 1 (B, C, d, h, w);
    - with ``deep_supervision`` ``deep`` of levels 2 to L-2, logits (B, K, d, h, w); nnU-Net leaves out the
      decoder's coarsest level too.
    """

    name = "dynunet"
    reads_present = False
    Options = DynUNetOptions

    def __init__(self, options: DynUNetOptions) -> None:
        super().__init__(options)
        self.head = HEADS[options.head]
        self.divisor = 2 ** (options.levels - 1)
        widths = [min(options.width * 2**level, MOST_CHANNELS) for level in range(options.levels)]
        strides = [1] + [2] * (options.levels - 1)
        self.body = Body(
            spatial_dims=3,
            in_channels=len(MODALITIES),
            out_channels=self.head.channels,
            kernel_size=[3] * options.levels,
            strides=strides,
            upsample_kernel_size=strides[1:],
            filters=widths,
        )
        del self.body.skip_layers  # names the same layers once more, in every file of weights too
        self.deep: nn.ModuleDict | None = None
        if options.deep_supervision:
            self.loss_features = LOSS_FEATURES
            self.deep = nn.ModuleDict(
                {
                    str(level): nn.Conv3d(widths[level - 1], self.head.channels, 1)
                    for level in range(2, options.levels - 1)
                }
            )
            self.deep.apply(Body.initialize_weights)

    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """See :meth:`.network.Network.forward`.

        Raises:
            ImageError: an image whose sides do not fit.
        """
        if any(side % self.divisor or side < 2 * self.divisor for side in image.shape[2:]):
            raise ImageError(
                f"{self.name}: an image of shape {tuple(image.shape)} does not fit. Give sides that are "
                f"multiples of {self.divisor}, at least {2 * self.divisor}, or lower network.levels."
            )
        levels = self._levels(mask_missing(image, available))
        kinds = {level: Kind.FUSED if level == max(levels) else Kind.DECODER for level in levels}
        found = chosen({Feature(kinds[level], level): x for level, x in levels.items()}, features)
        if self.deep is not None and asked(features, Kind.DEEP):
            for level, layer in self.deep.items():
                found[Feature(Kind.DEEP, int(level))] = layer(levels[int(level)])
        return Output(self.body.output_block(levels[1]), found)

    def _levels(self, x: Tensor) -> dict[int, Tensor]:
        """The encoder's end and the decoder's maps, by level."""
        skips = []
        for block in (self.body.input_block, *self.body.downsamples):
            x = block(x)
            skips.append(x)
        levels = {len(skips) + 1: self.body.bottleneck(x)}
        for level, block in zip(range(len(skips), 0, -1), self.body.upsamples, strict=True):
            levels[level] = block(levels[level + 1], skips[level - 1])
        return levels
