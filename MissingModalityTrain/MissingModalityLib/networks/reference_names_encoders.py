"""Names in public codes of weights of networks with an encoder for each modality; :mod:`.reference_names`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

from torch import Tensor

from ..core.modalities import MODALITIES
from .hved_blocks import HVED_LEVELS
from .m2ftrans import CROSSED
from .m2ftrans import LEVELS as M2FTRANS_LEVELS
from .m2ftrans_blocks import CROSS_LAYERS
from .mmformer import LEVELS as MMFORMER_LEVELS
from .rfnet import RFNET_LEVELS


def rfnet_options(weights: Mapping[str, Tensor]) -> dict[str, int]:
    head = weights["decoder_fuse.seg_layer.weight"]
    return {"width": head.shape[1], "classes": head.shape[0]}


def rfnet_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    # file names and channel order agree with ours: flair, t1ce, t1, t2
    for modality in MODALITIES:
        yield from _content_names(f"{modality.name.lower()}_encoder", f"encoders.{modality:d}")
    for theirs, ours in (("decoder_sep", "separate"), ("decoder_fuse", "fused")):
        yield f"{theirs}.seg_layer", f"{ours}.head"
        yield from _decoder_names(theirs, ours)
    for level in range(1, RFNET_LEVELS + 1):
        yield from _rfnet_level(level, options["classes"])


def _content_names(theirs: str, ours: str, levels: int = RFNET_LEVELS) -> Iterable[tuple[str, str]]:
    """The encoder that RFNet, RobustSeg and M2FTrans have for each modality."""
    for level in range(1, levels + 1):
        yield f"{theirs}.e{level}_c1.conv", f"{ours}.levels.{level - 1}.entry.conv"
        yield f"{theirs}.e{level}_c2.conv", f"{ours}.levels.{level - 1}.residual.0.conv"
        yield f"{theirs}.e{level}_c3.conv", f"{ours}.levels.{level - 1}.residual.1.conv"


def _decoder_names(theirs: str, ours: str, levels: int = RFNET_LEVELS) -> Iterable[tuple[str, str]]:
    """The steps of their decoders."""
    for level in range(1, levels):
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


def uhved_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"width": weights["encoder.cnn_Flair_0.conv.weight"].shape[0], "as_public_code": True}


def uhved_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
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


def robustseg_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "width": weights["ce_flair.e1_c1.conv.weight"].shape[0],
        "voxel_norm_side": weights["image_de_flair.layer_norm_3.weight"].shape[0],
    }


def robustseg_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
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


def mmformer_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    hidden, size = weights["multimodal_transformer.cross_ffn_list.0.fn.fn.net.0.weight"].shape
    return {
        "width": weights["flair_encoder.e1_c1.weight"].shape[0],
        "token_size": size,
        "num_heads": 8,
        "mlp_size": hidden,
        "position_side": round(weights["flair_pos"].shape[1] ** (1 / 3)),
        "as_public_code": True,
    }


def mmformer_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for modality in MODALITIES:
        name, ours = modality.name.lower(), f"encoders.{modality:d}"
        for level in range(MMFORMER_LEVELS):
            theirs = f"{name}_encoder.e{1 + level}"
            yield (
                f"{theirs}_c1{'.conv' if level else ''}",
                f"{ours}.levels.{level}.entry{'.conv' if level else ''}",
            )
            for number in (0, 1):
                yield f"{theirs}_c{2 + number}.conv", f"{ours}.levels.{level}.residual.{number}.conv"
        yield from ((f"{name}_encode_conv", f"{ours}.embed"), (f"{name}_pos", f"{ours}.places"))
        yield from _mmformer_layer(f"{name}_transformer", f"{ours}.layer")
    yield from _mmformer_layer("multimodal_transformer", "attend")
    yield "multimodal_decode_conv", "mix"
    for theirs, ours in (("decoder_sep", "separate"), ("decoder_fuse", "fused")):
        for level in range(MMFORMER_LEVELS - 1):
            for part, name in (("c1", "lifting"), ("c2", "merging"), ("out", "refining")):
                yield f"{theirs}.d{1 + level}_{part}.conv", f"{ours}.steps.{level}.{name}.conv"
    yield from (("decoder_sep.seg_layer", "separate.head"), ("decoder_fuse.seg_layer", "fused.heads.0"))
    for level in range(MMFORMER_LEVELS):
        if level:
            yield f"decoder_fuse.seg_d{level}", f"fused.heads.{level}"
        theirs, ours = f"decoder_fuse.RFM{1 + level}.fusion_layer", f"fused.fusions.{level}"
        yield f"{theirs}.0.conv", f"{ours}.mix"
        for number in (0, 1):
            yield f"{theirs}.{1 + number}.conv", f"{ours}.refine.{number}.conv"


def _mmformer_layer(theirs: str, ours: str, layer: int = 0) -> Iterable[tuple[str, str]]:
    """A layer of the Transformers of mmFormer and M2FTrans."""
    for number, part in enumerate(("attention", "ffn")):
        yield f"{theirs}.cross_{part}_list.{layer}.fn.norm", f"{ours}.norms.{number}"
    yield f"{theirs}.cross_attention_list.{layer}.fn.fn.qkv", f"{ours}.attend"
    yield f"{theirs}.cross_attention_list.{layer}.fn.fn.proj", f"{ours}.out"
    yield f"{theirs}.cross_ffn_list.{layer}.fn.fn.net.0", f"{ours}.inner"
    yield f"{theirs}.cross_ffn_list.{layer}.fn.fn.net.3", f"{ours}.outer"


def m2ftrans_options(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    layers = {key.split(".")[3] for key in weights if key.startswith("Bottleneck.trans_bottle.cross_ffn")}
    return {
        "width": weights["flair_encoder.e1_c1.conv.weight"].shape[0],
        "num_layers": len(layers),
        "mlp_size": weights["Bottleneck.trans_bottle.cross_ffn_list.0.fn.fn.net.0.weight"].shape[0],
        "position_side": round(weights["fusion"].shape[1] ** (1 / 3)),
    }


def m2ftrans_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for modality in MODALITIES:
        yield from _content_names(
            f"{modality.name.lower()}_encoder", f"encoders.{modality:d}", M2FTRANS_LEVELS
        )
    yield from (("pos", "bottleneck.positions"), ("fusion", "bottleneck.fusion"))
    for layer in range(options["num_layers"]):
        yield from _mmformer_layer("Bottleneck.trans_bottle", f"bottleneck.layers.{layer}", layer)
    for theirs, ours in (("decoder_sep", "separate"), ("decoder_fusion", "fused")):
        yield f"{theirs}.seg_layer", f"{ours}.head"
        yield from _decoder_names(theirs, ours, M2FTRANS_LEVELS)
    yield f"decoder_fusion.d{M2FTRANS_LEVELS}_c2.conv", "fused.merging.conv"
    yield f"decoder_fusion.d{M2FTRANS_LEVELS}_out.conv", "fused.refining.conv"
    for level in range(M2FTRANS_LEVELS):
        theirs, ours = f"decoder_fusion.prm_fusion{1 + level}.prm_layer", f"fused.maps.{level}"
        yield from ((f"{theirs}.0.conv", f"{ours}.0.conv"), (f"{theirs}.1", f"{ours}.1"))
        theirs, ours = f"decoder_fusion.RFM{1 + level}.fusion_layer", f"fused.fusions.{level}"
        yield f"{theirs}.0.conv", f"{ours}.squeeze.conv"
        for number in (0, 1):
            yield f"{theirs}.{1 + number}.conv", f"{ours}.refine.{number}.conv"
    for level, layer in product(range(M2FTRANS_LEVELS - CROSSED, M2FTRANS_LEVELS), range(CROSS_LAYERS)):
        theirs = f"decoder_fusion.CT{1 + level}.layers.{layer}"
        yield from _cross_layer_names(theirs, f"fused.fusions.{level}.layers.{layer}")


def _cross_layer_names(theirs: str, ours: str) -> Iterable[tuple[str, str]]:
    """A layer of M2FTrans's cross-token blocks."""
    maps = {"query_map": "query", "out_project": "out"}
    for modality in MODALITIES:
        for kind in ("key", "value"):
            maps[f"{kind}_map_{modality.name.lower()}"] = f"{kind}s.{modality:d}"
    for name, own in maps.items():
        for number in range(3):
            yield f"{theirs}.cross_attn.{name}.conv{1 + number}", f"{ours}.{own}.{3 * number}"
            yield f"{theirs}.cross_attn.{name}.norm{1 + number}", f"{ours}.{own}.{3 * number + 1}"
    for name, own in (("ffn1", "mix_map"), ("ffn2", "mix_modalities")):
        for number, conv in enumerate(("pwconv1", "dwconv", "pwconv2")):
            yield f"{theirs}.{name}.{conv}", f"{ours}.{own}.layers.{3 * number}"
            yield f"{theirs}.{name}.norm{1 + number}", f"{ours}.{own}.layers.{3 * number + 1}"
