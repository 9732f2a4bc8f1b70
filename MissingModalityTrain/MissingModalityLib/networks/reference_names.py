"""Names and sizes of the public reference codes' weights.

A table says, per network, how its options show in the weights and which of our parameters each name feeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..core.modalities import MODALITIES, SUBSETS, availability
from .adamm_adapters import CONTENT
from .reference_names_encoders import (
    m2ftrans_names,
    m2ftrans_options,
    mmformer_names,
    mmformer_options,
    rfnet_names,
    rfnet_options,
    robustseg_names,
    robustseg_options,
    uhved_names,
    uhved_options,
)
from .unet import UNET_LEVELS


@dataclass(frozen=True)
class Reference:
    """How to read one public code's checkpoints.

    Attributes:
        options: reference weights by name -> options of our network; KeyError or IndexError where they cannot
            tell.
        names: options -> (reference name, our name) of a module, with all of its weights, or of one weight.
        ignored: beginnings of names that the public code never reads.
        orders: our name of a weight -> the axis and the order in which its channels become ours.
    """

    options: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    names: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]]
    ignored: tuple[str, ...] = ()
    orders: Mapping[str, tuple[int, Sequence[int]]] = field(default_factory=dict)


T1_AND_T1CE_SWAPPED = (0, 2, 1, 3)
"""Their channels FLAIR, T1, T1ce, T2 in the order of ours."""
BACKGROUND_FIRST = (3, 0, 1, 2)
"""Their outputs NCR/NET, ED, ET, background in the order of ours."""


def _mstkdnet_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    tokens, embedding = weights["Unetr.transformer.embeddings.position_embeddings"].shape[1:]
    layers = {key.split(".")[3] for key in weights if key.startswith("Unetr.transformer.layer.")}
    return {
        "width": weights["conv1a.weight"].shape[0],
        "embedding_size": embedding,
        "num_layers": len(layers),
        "mlp_size": weights["Unetr.transformer.layer.0.mlp.w_1.weight"].shape[0],
        "decoder_channels": weights["Unetr.decoder12_upsampler.block.weight"].shape[1],
        # 120 are the 5x6x4 patches of 32 voxels that the paper's crops of 160x192x128 hold, in x, y, z
        "position_grid": (5, 6, 4) if tokens == 120 else (tokens,),
        "norm": "batch",
    }


def _unet_names() -> Iterable[tuple[str, str]]:
    """What MST-KDNet and AdaMM have in common."""

    def block(theirs: str, ours: str) -> Iterable[tuple[str, str]]:
        for number in (1, 2):
            yield f"{theirs}.gn{number}", f"{ours}.norms.{number - 1}"
            yield f"{theirs}.conv{number}", f"{ours}.convs.{number - 1}"

    yield "conv1a", "encoder.entry"
    yield from block("conv1b", "encoder.refine.0.0")
    for level in range(1, UNET_LEVELS):
        yield f"ds{level}", f"encoder.down.{level - 1}"
    for level in (1, 2):
        for number, letter in enumerate("ab"):
            yield from block(f"conv{level + 1}{letter}", f"encoder.refine.{level}.{number}")
    for number, letter in enumerate("abcd"):
        yield from block(f"conv4{letter}", f"content.{number}")
    for number, level in enumerate((4, 3, 2)):
        yield f"up{level}conva", f"decoder.lift.{number}"
        yield from block(f"up{level}convb", f"decoder.refine.{number}")
    yield from (("convc", "style"), ("convco", "bottleneck"), ("up1conv", "classify"))


def _mstkdnet_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield from _unet_names()
    yield "Unetr.transformer.embeddings.position_embeddings", "transformer.positions"
    yield "Unetr.transformer.embeddings.patch_embeddings", "transformer.embed"
    for layer in range(options["num_layers"]):
        theirs, ours = f"Unetr.transformer.layer.{layer}", f"transformer.layers.{layer}"
        yield f"{theirs}.attention_norm", f"{ours}.norms.0"
        yield f"{theirs}.mlp_norm", f"{ours}.norms.1"
        yield f"{theirs}.mlp.w_1", f"{ours}.inner"
        yield f"{theirs}.mlp.w_2", f"{ours}.outer"
        for part in ("query", "key", "value", "out"):
            yield f"{theirs}.attn.{part}", f"{ours}.attention.{part}"
    for theirs, ours, kinds in (
        ("decoder0", "map_0", "cc"),
        ("decoder3", "lift_3", "lll"),
        ("decoder6", "lift_6", "ll"),
        ("decoder9", "lift_9", "l"),
        ("decoder12_upsampler", "map_12", "d"),
        ("decoder9_upsampler", "map_9", "cccd"),
        ("decoder6_upsampler", "map_6", "ccd"),
        ("decoder3_upsampler", "map_3", "ccd"),
        ("decoder0_header", "head", "ccd"),
    ):
        for number, kind in enumerate(kinds):
            place = f".{number}" if len(kinds) > 1 else ""
            yield from _multiscale_block(f"Unetr.{theirs}{place}.block", f"multiscale.{ours}{place}", kind)


def _multiscale_block(theirs: str, ours: str, kind: str) -> Iterable[tuple[str, str]]:
    """c: convolution, norm; l: doubling, convolution, norm; d: one layer that doubles, or the head's."""
    if kind == "d":
        yield f"{theirs[: -len('.block')]}.block", ours
    else:
        for number in range(3 if kind == "l" else 2):
            norm = number == (2 if kind == "l" else 1)
            yield f"{theirs}.{number}" if norm else f"{theirs}.{number}.block", f"{ours}.{number}"


def _adamm_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "width": weights["conv1a.weight"].shape[0],
        "adapter_channels": weights["enc_adapters.0001.0.down.weight"].shape[0],
        "graph_nodes": weights["adagem.contour_proj0.anchor"].shape[0],
        "as_public_code": True,
    }


def _adamm_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield from _unet_names()
    for subset in SUBSETS[:-1]:
        flags = availability(subset)
        ours = "banks." + "".join(str(int(flag)) for flag in flags)
        theirs = "".join(str(int(flags[channel])) for channel in T1_AND_T1CE_SWAPPED)
        yield from ((f"convc_.{theirs}", f"{ours}.style"), (f"convco_.{theirs}", f"{ours}.bottleneck"))
        for part in ("down", "up"):
            for place in range(CONTENT + 1):
                yield f"enc_adapters.{theirs}.{place}.{part}", f"{ours}.adapters.{place}.{part}"
            for place in range(UNET_LEVELS - 1):
                yield f"dec_adapters.{theirs}.{place}.{part}", f"{ours}.adapters.{CONTENT + 1 + place}.{part}"
    for theirs, ours in (("contour", "specific"), ("region", "general")):
        for part in ("anchor", "sigma"):
            yield f"adagem.{theirs}_proj0.{part}", f"garm.{ours}.{part}"
    for theirs, ours in (("contour_conv", "sharpen"), ("mdf.conv0", "place"), ("mdf.conv1", "merge")):
        yield from (
            (f"adagem.{theirs}.0.conv", f"garm.{ours}.0"),
            (f"adagem.{theirs}.0.bn", f"garm.{ours}.1"),
        )
    yield "adagem.gcn.weight", "garm.exchange"
    yield "adagem.mdf.gat.attn_layers.0", "garm.attention.mix"
    yield "adagem.mdf.gat.output_proj", "garm.attention.out"
    yield "adagem.mdf.pred", "garm.out"
    yield from (("cls_conv1", "presence.0"), ("cls_bn1", "presence.1"), ("cls_conv2", "presence.3"))


_ADAMM_NEVER_READ = (
    # modules without part in any output; the bank of no modality at all (there is none of all of them)
    *(f"adagem.{name}." for name in ("e2r", "region_conv1", "region_conv2", "mdf.conv", "mdf.gcn")),
    *(f"{name}.0000." for name in ("enc_adapters", "dec_adapters", "convc_", "convco_")),
)
_ORDERS = {
    "encoder.entry.weight": (1, T1_AND_T1CE_SWAPPED),
    "classify.weight": (0, BACKGROUND_FIRST),
    "classify.bias": (0, BACKGROUND_FIRST),
}


REFERENCES: Mapping[str, Reference] = {
    "rfnet": Reference(rfnet_options, rfnet_names),
    "mstkdnet": Reference(
        _mstkdnet_options,
        _mstkdnet_names,
        ignored=("Unetr.transformer.encoder_norm.",),
        orders=_ORDERS,
    ),
    "mmformer": Reference(
        mmformer_options,
        mmformer_names,
        # never read by the public code
        ignored=tuple(f"{modality.name.lower()}_decode_conv." for modality in MODALITIES),
    ),
    "adamm": Reference(_adamm_options, _adamm_names, ignored=_ADAMM_NEVER_READ, orders=_ORDERS),
    "m2ftrans": Reference(m2ftrans_options, m2ftrans_names),
    "robustseg": Reference(robustseg_options, robustseg_names),
    "uhved": Reference(uhved_options, uhved_names),
}
