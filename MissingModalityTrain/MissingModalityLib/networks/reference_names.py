"""Names and sizes of the public reference codes' weights.

A table says, per network, how its options show in the weights and which of our parameters each name feeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from torch import Tensor

from ..core.modalities import MODALITIES, SUBSETS, availability
from .adamm_adapters import CONTENT
from .hved_blocks import HVED_LEVELS
from .rfnet import RFNET_LEVELS
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


def _rfnet_options(weights: Mapping[str, Tensor]) -> dict[str, int]:
    head = weights["decoder_fuse.seg_layer.weight"]
    return {"width": head.shape[1], "classes": head.shape[0]}


def _rfnet_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    # file names and channel order agree with ours: flair, t1ce, t1, t2
    for modality in MODALITIES:
        yield from _content_names(f"{modality.name.lower()}_encoder", f"encoders.{modality:d}")
    for theirs, ours in (("decoder_sep", "separate"), ("decoder_fuse", "fused")):
        yield f"{theirs}.seg_layer", f"{ours}.head"
        yield from _decoder_names(theirs, ours)
    for level in range(1, RFNET_LEVELS + 1):
        yield from _rfnet_level(level, options["classes"])


def _content_names(theirs: str, ours: str) -> Iterable[tuple[str, str]]:
    """The encoder that RFNet and RobustSeg have for each modality."""
    for level in range(1, RFNET_LEVELS + 1):
        yield f"{theirs}.e{level}_c1.conv", f"{ours}.levels.{level - 1}.entry.conv"
        yield f"{theirs}.e{level}_c2.conv", f"{ours}.levels.{level - 1}.residual.0.conv"
        yield f"{theirs}.e{level}_c3.conv", f"{ours}.levels.{level - 1}.residual.1.conv"


def _decoder_names(theirs: str, ours: str) -> Iterable[tuple[str, str]]:
    """The steps of their decoders."""
    for level in range(1, RFNET_LEVELS):
        yield f"{theirs}.d{level}_c1.conv", f"{ours}.steps.{level - 1}.lifting.conv"
        yield f"{theirs}.d{level}_c2.conv", f"{ours}.steps.{level - 1}.merging.conv"
        yield f"{theirs}.d{level}_out.conv", f"{ours}.steps.{level - 1}.refining.conv"


def _rfnet_level(level: int, classes: int) -> Iterable[tuple[str, str]]:
    """Region maps and fusion of one level."""
    theirs, ours = f"decoder_fuse.prm_generator{level}", f"fused.maps.{level - 1}"
    yield f"{theirs}.embedding_layer.0.conv", f"{ours}.squeeze.conv"
    yield f"{theirs}.embedding_layer.1.conv", f"{ours}.embed.0.conv"
    yield f"{theirs}.embedding_layer.2.conv", f"{ours}.embed.1.conv"
    yield f"{theirs}.prm_layer.0.conv", f"{ours}.classify.0.conv"
    yield f"{theirs}.prm_layer.1", f"{ours}.classify.1"
    theirs, ours = f"decoder_fuse.RFM{level}", f"fused.fusion.{level - 1}"
    for region in range(classes):
        for layer in (0, 2):
            yield f"{theirs}.modal_fusion.{region}.weight_layer.{layer}", f"{ours}.weigh.{region}.{layer}"
    for layer in range(3):
        yield f"{theirs}.region_fusion.fusion_layer.{layer}.conv", f"{ours}.regions.{layer}.conv"
    yield f"{theirs}.short_cut.0.conv", f"{ours}.squeeze.conv"
    yield f"{theirs}.short_cut.1.conv", f"{ours}.shortcut.0.conv"
    yield f"{theirs}.short_cut.2.conv", f"{ours}.shortcut.1.conv"


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


def _uhved_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"width": weights["encoder.cnn_Flair_0.conv.weight"].shape[0], "as_public_code": True}


def _uhved_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    public = ("Flair", "T1c", "T1", "T2")  # in the order of ours
    for modality, name in zip(MODALITIES, public, strict=True):
        for part, ours in (("conv", "entry"), ("norm", "norm")):
            yield f"encoder.cnn_{name}_0.{part}", f"encoders.{modality:d}.{ours}"
        for level, number in product(range(HVED_LEVELS), (0, 1)):
            yield (
                f"encoder.cnn_{name}_{2 * level + 1}.conv_{number}",
                f"encoders.{modality:d}.levels.{level}.convs.{number}",
            )
    decoders = {name: f"restore.{number}" for number, name in enumerate(public)}
    for name, ours in {**decoders, "seg": "segment"}.items():
        for part, last in (("conv", "last"), ("norm", "norm")):
            yield f"img_decoder.last_conv_{name}.{part}", f"{ours}.{last}"
        for level, number in product(range(HVED_LEVELS - 1), (0, 1)):  # theirs count from coarse to fine
            yield (
                f"img_decoder.res_{name}_{HVED_LEVELS - 2 - level}.conv_{number}",
                f"{ours}.levels.{level}.convs.{number}",
            )


def _robustseg_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "width": weights["ce_flair.e1_c1.conv.weight"].shape[0],
        "voxel_norm_side": weights["image_de_flair.layer_norm_3.weight"].shape[0],
    }


def _robustseg_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for modality, name in zip(MODALITIES, ("flair", "t1c", "t1", "t2"), strict=True):
        yield from _content_names(f"ce_{name}", f"encoders.{modality:d}")
        style = f"se_{'falir' if name == 'flair' else name}"  # spelled so there
        ours = f"appearance.{modality:d}"
        yield f"{style}.c_0.conv", f"{ours}.entry"
        for number in range(4):
            yield f"{style}.c_{1 + number}.conv", f"{ours}.down.{number}"
        yield f"{style}.se_logit.conv", f"{ours}.code"
        yield from _image_decoder_names(f"image_de_{name}", f"restore.{modality:d}")
    for level in range(RFNET_LEVELS):
        yield f"att_c{1 + level}.conv", f"gates.{level}.gate.conv"
        yield f"fusion_c{1 + level}.conv", f"gates.{level}.mix.conv"
    yield "mask_de.seg_logit.conv", "segment.head"
    yield from _decoder_names("mask_de", "segment")


def _image_decoder_names(theirs: str, ours: str) -> Iterable[tuple[str, str]]:
    for number in (0, 1):
        yield f"{theirs}.mlp.linear_{number}.linear", f"{ours}.code.{number}"
    yield f"{theirs}.mlp.mu.linear", f"{ours}.scale"
    yield f"{theirs}.mlp.sigma.linear", f"{ours}.shift"
    for number in range(4):
        yield f"{theirs}.res_{number}.conv1.conv", f"{ours}.blocks.{number}.first"
        yield f"{theirs}.res_{number}.conv2.conv", f"{ours}.blocks.{number}.second"
    for number in range(3):
        yield f"{theirs}.conv_{number}.conv", f"{ours}.lift.{number}"
        yield f"{theirs}.layer_norm_{1 + number}", f"{ours}.norms.{number}"
    yield f"{theirs}.G_logit.conv", f"{ours}.last"


REFERENCES: Mapping[str, Reference] = {
    "rfnet": Reference(_rfnet_options, _rfnet_names),
    "mstkdnet": Reference(
        _mstkdnet_options,
        _mstkdnet_names,
        ignored=("Unetr.transformer.encoder_norm.",),
        orders=_ORDERS,
    ),
    "adamm": Reference(_adamm_options, _adamm_names, ignored=_ADAMM_NEVER_READ, orders=_ORDERS),
    "robustseg": Reference(_robustseg_options, _robustseg_names),
    "uhved": Reference(_uhved_options, _uhved_names),
}
