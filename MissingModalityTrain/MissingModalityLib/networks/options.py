"""Options of the networks that come with the library, with their ranges; imports nothing heavy.

Upper bounds are several times what the papers use. They are there for mistyped numbers and damaged files,
which would otherwise fill the memory before anyone notices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from ..core.aliases import OLD_NETWORK_OPTIONS, renamed
from ..core.errors import OptionError
from ..core.settings import choice, facts, fraction, setting, switch
from .encoder_options import (
    M2FTransOptions,
    MMFormerOptions,
    RAHVEDOptions,
    RobustSegOptions,
    UHeMISOptions,
    UHVEDOptions,
)
from .option_kinds import PREFIX, NetworkOptions, is_whole, require_heads_divide, whole

_PLAIN_HEADS = ("classes", "regions", "sigmoids")
CAVITY = "+cavity"
"""Ends the name of a head that tells the resection cavity too."""
HEAD_NAMES = (*_PLAIN_HEADS, *(f"{name}{CAVITY}" for name in _PLAIN_HEADS))
"""Ways to tell the classes of a voxel, see :mod:`.heads`."""

NORM_GROUPS = 8
"""Groups of a group normalization; widths are multiples, so that groups are equal."""

TRANSFORMER_OUTPUTS = 4
"""Depths of the Transformer that MST-KDNet decodes; its layers are shared out evenly among them."""

_HEAD = (
    "What the last layer tells: one softmax over the classes, or sigmoids of regions or classes; with "
    "+cavity the resection cavity too"
)


def _class_count() -> int:
    from ..core.labels import TumorClass  # brings numpy, which listing options must do without

    return len(TumorClass)


def _are_blocks(value: Any) -> bool:
    return 1 <= len(value) <= 6 and all(map(is_whole(1, 16), value))


def _is_grid(value: Any) -> bool:
    # one number: public weights tell how many tokens there are, not how they lie
    most = 4096
    return len(value) in (1, 3) and all(map(is_whole(1, most), value)) and prod(value) <= most


@dataclass(frozen=True)
class SegResNetOptions(NetworkOptions):
    """Of :class:`.segresnet.EarlyFusionSegResNet`."""

    width: int = whole(
        16, 8, 256, "Channels of the finest level; they double at each lower one", multiple_of=NORM_GROUPS
    )
    blocks: tuple[int, ...] = setting(
        (1, 2, 2, 4),
        "Residual blocks of each level going down",
        "1 to 6 whole numbers from 1 to 16",
        _are_blocks,
    )
    availability_channels: bool = switch(
        True, "Add a constant channel per modality that tells whether it is available"
    )
    head: str = choice("regions", _HEAD, *HEAD_NAMES)
    dropout: float = fraction(0.0, "Probability after the first convolution")
    space_to_depth: int = whole(
        1,
        1,
        4,
        "Side in voxels of the blocks that become one voxel of the body, their voxels channels; 2 makes "
        "windows of eight times as many voxels cost the same",
    )
    deep_supervision: bool = switch(
        False, "Train logits of coarser levels too; needs three levels, and a method that trains them"
    )
    presence: bool = switch(False, "Tell which classes are in the image at all, from its coarsest level")

    def __post_init__(self) -> None:
        super().__post_init__()
        # between the coarsest level, which nnU-Net leaves out too, and the finest, which has its own logits
        if self.deep_supervision and len(self.blocks) < 3:
            raise OptionError(
                f"Setting {PREFIX}deep_supervision=True needs three levels or more, and {PREFIX}blocks="
                f"{','.join(map(str, self.blocks))} has {len(self.blocks)}. Change one of them."
            )


@dataclass(frozen=True)
class GatedFusionOptions(NetworkOptions):
    """Of :class:`.gatedfusion.GatedFusion`."""

    width: int = whole(
        16, 8, 256, "Channels of the finest level; they double at each lower one", multiple_of=NORM_GROUPS
    )
    blocks: tuple[int, ...] = setting(
        (1, 1, 2),
        "Residual blocks of each level going down, from the second one on",
        "1 to 6 whole numbers from 1 to 16",
        _are_blocks,
    )
    head: str = choice("regions", _HEAD, *HEAD_NAMES)
    dropout: float = fraction(0.0, "Probability at the bottleneck")
    space_to_depth: int = whole(
        2, 1, 4, "Side in voxels of the blocks that become one voxel of the body, their voxels channels"
    )
    deep_supervision: bool = switch(
        False, "Logits at the decoder's coarser levels too, which the loss compares with the labels"
    )
    presence: bool = switch(False, "Tell which classes are in the image at all, from its coarsest level")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deep_supervision and len(self.blocks) < 2:
            raise OptionError(
                f"Setting {PREFIX}deep_supervision=True needs a level between finest and coarsest, and "
                f"{PREFIX}blocks={self.blocks[0]} has one number. Give more, or leave it out."
            )


@dataclass(frozen=True)
class RFNetOptions(NetworkOptions):
    """Of :class:`.rfnet.RFNet`."""

    width: int = whole(16, 4, 256, "Channels of the finest level; 16 in the paper", multiple_of=4)
    classes: int = field(
        default_factory=_class_count,
        metadata=facts(
            "Classes, background included: 4, or 5 for those of BraTS 2015; others load weights alone",
            "2 to 16",
            is_whole(2, 16),
        ),
    )


@dataclass(frozen=True)
class MSTKDNetOptions(NetworkOptions):
    """Of :class:`.mstkdnet.MSTKDNet`. Default sizes and dropout: those of its public code."""

    width: int = whole(16, 8, 256, "Channels of the finest level", multiple_of=NORM_GROUPS)
    embedding_size: int = whole(768, 1, 4096, "Channels of a token")
    num_layers: int = whole(12, 4, 48, "Layers of the Transformer", multiple_of=TRANSFORMER_OUTPUTS)
    num_heads: int = whole(12, 1, 64, "Attention heads, a divisor of embedding_size")
    mlp_size: int = whole(2048, 1, 16384, "Inner size of the layers")
    decoder_channels: int = whole(
        512, 16, 2048, "Channels of the Transformer's coarsest decoded map", multiple_of=16
    )
    position_grid: tuple[int, ...] = setting(
        (4, 6, 5),
        "Tokens (of 32 voxels a side) per axis z, y, x that positions are learned for; other grids get them "
        "interpolated. The default are the paper's 128x192x160 voxels",
        "three whole numbers (or one: their product) of 1 or more, at most 4096 tokens",
        _is_grid,
    )
    head: str = choice("sigmoids", f"{_HEAD}; sigmoids in the public code", *HEAD_NAMES)
    norm: str = choice(
        "group", "Normalization of the Transformer's decoder; batch in the public code", "group", "batch"
    )
    dropout: float = fraction(0.2, "Probability at the bottleneck; half of it in the Transformer")
    activation_checkpointing: bool = switch(
        False, "Compute activations again for the gradient instead of keeping them: less memory, more time"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        what = f"{PREFIX}embedding_size={self.embedding_size}"
        require_heads_divide(self.num_heads, self.embedding_size, what)


@dataclass(frozen=True)
class AdaMMOptions(NetworkOptions):
    """Of :class:`.adamm.AdaMM`. Default sizes and dropout: those of its public code."""

    width: int = whole(16, 8, 256, "Channels of the finest level", multiple_of=NORM_GROUPS)
    adapter_channels: int = whole(64, 1, 1024, "Channels within the adapters")
    graph_nodes: int = whole(8, 1, 1024, "Nodes of each graph")
    head: str = choice("sigmoids", f"{_HEAD}; sigmoids in the public code", *HEAD_NAMES)
    garm: bool = switch(True, "Refine the bottleneck by a graph; else the mean of both bottlenecks is taken")
    presence: bool = switch(True, "Tell which classes are in the image at all")
    dropout: float = fraction(0.2, "Probability at bottleneck and adapters")
    as_public_code: bool = switch(False, "With the faults of the public code, which its weights need")
    activation_checkpointing: bool = switch(
        False, "Compute activations again for the gradient instead of keeping them: less memory, more time"
    )


@dataclass(frozen=True)
class SMUNetOptions(NetworkOptions):
    """Of :class:`.smunet.SMUNet` and :class:`.smunet.ACN`. Defaults: those of their public codes."""

    width: int = whole(16, 8, 256, "Channels of the finest level", multiple_of=NORM_GROUPS)
    head: str = choice("sigmoids", f"{_HEAD}; sigmoids in the public codes", *HEAD_NAMES)
    dropout: float = fraction(0.2, "Probability at the bottleneck")


def _is_volume(value: Any) -> bool:
    return len(value) == 3 and all(map(is_whole(8, 512), value))


@dataclass(frozen=True)
class M3AEOptions(NetworkOptions):
    """Of :class:`.m3ae.M3AE`. Defaults: those of its public code."""

    width: int = whole(
        16, 8, 256, "Channels of the finest level; they double at each lower one", multiple_of=NORM_GROUPS
    )
    substitute_size: tuple[int, ...] = setting(
        (155, 240, 240),
        "Voxels (z, y, x) of the learned image that stands for missing modalities; its middle lies in the "
        "middle of the brain's box, and beyond it there is 0. The default is a volume of BraTS",
        "three whole numbers from 8 to 512",
        _is_volume,
    )
    deep_supervision: bool = switch(True, "Train logits of coarser levels too")
    head: str = choice("regions", _HEAD, *HEAD_NAMES)
    dropout: float = fraction(0.0, "Probability after the first convolution")


@dataclass(frozen=True)
class DynUNetOptions(NetworkOptions):
    """Of :class:`.dynunet.DynUNet`. Defaults: what nnU-Net plans for BraTS."""

    width: int = whole(
        32, 2, 256, "Channels of the finest level; they double at each lower one, up to 320", multiple_of=2
    )
    levels: int = whole(6, 3, 8, "Resolutions, each half the one before")
    deep_supervision: bool = switch(True, "Train logits of coarser levels too; needs four levels")
    head: str = choice("classes", _HEAD, *HEAD_NAMES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deep_supervision and self.levels < 4:
            raise OptionError(
                f"Setting {PREFIX}deep_supervision=True needs four levels or more, and {PREFIX}levels="
                f"{self.levels}. Change one of them."
            )


OPTIONS: dict[str, type[NetworkOptions]] = {
    "acn": SMUNetOptions,
    "adamm": AdaMMOptions,
    "dynunet": DynUNetOptions,
    "gatedfusion": GatedFusionOptions,
    "m2ftrans": M2FTransOptions,
    "m3ae": M3AEOptions,
    "mmformer": MMFormerOptions,
    "mstkdnet": MSTKDNetOptions,
    "rahved": RAHVEDOptions,
    "rfnet": RFNetOptions,
    "robustseg": RobustSegOptions,
    "segresnet": SegResNetOptions,
    "smunet": SMUNetOptions,
    "uhemis": UHeMISOptions,
    "uhved": UHVEDOptions,
}
"""By name of the network, for what must know them without loading PyTorch."""


def named_today(network: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options under the names of today; networks from outside have no earlier ones.

    Raises:
        OptionError: an option under both its names.
    """
    return renamed(options, OLD_NETWORK_OPTIONS) if network in OPTIONS else dict(options)
