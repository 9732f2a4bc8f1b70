"""Pre-training without labels: a network restores images of which it is shown a part.

Liu et al., "M3AE: multimodal representation learning for brain tumor segmentation with missing modalities",
AAAI 2023: whole modalities are hidden, and blocks of those that are left. In place of all that is hidden
stands the network's substitute, which is learned along: of all images the one that restores best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..core.errors import OptionError
from ..networks.network import Network
from .method import Method
from .options import MaskedOptions


class MaskedAutoencoder(nn.Module):
    """A network as what restores, so that a distributed wrapper and a compiler find it in ``forward``.

    Args:
        network: with a method ``reconstruct``, see :meth:`~..networks.m3ae.M3AE.reconstruct`.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, visible: Tensor, place: Tensor | None) -> tuple[Tensor, Tensor]:
        """Restored image and substitute, (B, 4, D, H, W) each."""
        return self.network.reconstruct(image, visible, place)


class Masked(Method):
    """The mean square of the difference to the image, hidden or not, of every modality that a case has."""

    Options: ClassVar[type] = MaskedOptions

    def check(self, network: nn.Module) -> None:
        """Refuse networks that restore no images from blocks.

        Raises:
            OptionError: such a network.
        """
        if not hasattr(network, "reconstruct"):
            raise OptionError(
                f"Setting method=masked is for networks that restore hidden parts of images, and "
                f"{network.name} does not. Choose the network m3ae, or another method."
            )

    def assemble(self, network: Network, seed: int = 0) -> nn.Module:
        """The network inside a module that restores."""
        return MaskedAutoencoder(network)

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """``restored`` and ``substitute``.

        Args:
            network: from :meth:`assemble`, possibly wrapped.
            batch: as for :class:`.supervised.Supervised`; labels are not read.
            epoch: not read.
        """
        image, present = batch["image"], batch["present"]
        blocks = shown_blocks(image.shape, self.options.patch_side, self.options.ratio).to(image.device)
        visible = blocks & batch["available"][:, :, None, None, None]
        restored, substitute = network(image, visible, batch.get("place"))
        with torch.autocast(image.device.type, enabled=False):
            of_modalities = (restored.float() - image).square().flatten(2).mean(2)
            terms = {
                "restored": (of_modalities * present).sum() / present.sum(),
                "substitute": self.options.substitute_weight * substitute.float().square().mean(),
            }
        return {**terms, "total": sum(terms.values())}


def shown_blocks(shape: Sequence[int], side: int, ratio: float) -> Tensor:
    """Which voxels are not hidden, of each modality by itself; drawn by PyTorch's generator of the CPU.

    Args:
        shape: (B, 4, D, H, W).
        side: of the blocks, which begin at the first voxel.
        ratio: share of the blocks that is hidden; one is shown at least.

    Returns:
        (B, 4, D, H, W) bool.
    """
    grid = [-(-length // side) for length in shape[2:]]
    drawn = torch.rand(*shape[:2], *grid).flatten(2)
    shown = max(1, round(drawn.shape[2] * (1 - ratio)))
    blocks = torch.zeros_like(drawn, dtype=torch.bool)
    blocks = blocks.scatter_(2, drawn.topk(shown).indices, True).view(*shape[:2], *grid)
    for axis, length in enumerate(shape[2:], 2):
        blocks = blocks.repeat_interleave(side, axis).narrow(axis, 0, length)
    return blocks
