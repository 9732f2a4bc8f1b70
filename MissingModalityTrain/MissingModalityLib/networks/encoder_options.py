"""Options of networks with an encoder for each modality, RFNet's and AdaMM's apart; see :mod:`.options`."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.settings import switch
from .option_kinds import PREFIX, NetworkOptions, require_heads_divide, whole


@dataclass(frozen=True)
class UHVEDOptions(NetworkOptions):
    """Of :class:`.uhved.UHVED`."""

    width: int = whole(
        8,
        2,
        128,
        "Inner channels of the finest level, half of which the latent has; 8 in the paper",
        multiple_of=2,
    )
    as_public_code: bool = switch(
        False, "With the batch normalizations of the public PyTorch code, which its weights need"
    )


@dataclass(frozen=True)
class UHeMISOptions(NetworkOptions):
    """Of :class:`.uhemis.UHeMIS`."""

    width: int = whole(8, 2, 128, "Inner channels of the finest level", multiple_of=2)


@dataclass(frozen=True)
class RobustSegOptions(NetworkOptions):
    """Of :class:`.robustseg.RobustSeg`."""

    width: int = whole(16, 2, 128, "Channels of the finest level; 16 in the paper", multiple_of=2)
    voxel_norm_side: int = whole(
        0,
        0,
        256,
        "Side in voxels of the only crops that can be trained on, if image decoders have a weight per voxel "
        "as in the public PyTorch code, which its weights need; else 0",
        multiple_of=8,
    )


@dataclass(frozen=True)
class RAHVEDOptions(NetworkOptions):
    """Of :class:`.rahved.RAHVED`."""

    width: int = whole(16, 4, 128, "Channels of the finest level; 16 in its public code", multiple_of=4)


@dataclass(frozen=True)
class MMFormerOptions(NetworkOptions):
    """Of :class:`.mmformer.MMFormer`. Default sizes: those of its paper."""

    width: int = whole(8, 2, 128, "Channels of the finest level", multiple_of=2)
    token_size: int = whole(512, 8, 4096, "Channels of a token", multiple_of=8)
    num_heads: int = whole(8, 1, 64, "Attention heads, a divisor of token_size")
    mlp_size: int = whole(4096, 1, 16384, "Inner size of the Transformer's layers")
    position_side: int = whole(
        8,
        1,
        16,
        "Side of the cube of tokens (of 16 voxels a side) that positions are learned for; other grids get "
        "them interpolated",
    )
    as_public_code: bool = switch(False, "With the faults of the public code, which its weights need")

    def __post_init__(self) -> None:
        super().__post_init__()
        what = f"{PREFIX}token_size={self.token_size}"
        require_heads_divide(self.num_heads, self.token_size, what)


@dataclass(frozen=True)
class M2FTransOptions(NetworkOptions):
    """Of :class:`.m2ftrans.M2FTrans`. Default sizes: those of the paper's code for crops of 80 voxels."""

    width: int = whole(16, 2, 128, "Channels of the finest level", multiple_of=2)
    num_layers: int = whole(3, 1, 24, "Layers of the Transformer")
    num_heads: int = whole(8, 1, 64, "Attention heads, a divisor of 16 times width")
    mlp_size: int = whole(4096, 1, 16384, "Inner size of the Transformer's layers")
    position_side: int = whole(
        5,
        1,
        16,
        "Side of the cube of tokens (of 16 voxels a side) that positions and fusion tokens are learned for; "
        "other grids get them interpolated",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        size = 16 * self.width  # channels of the coarsest of five levels
        what = f"the {size} channels of a token, 16 times {PREFIX}width={self.width}"
        require_heads_divide(self.num_heads, size, what)
