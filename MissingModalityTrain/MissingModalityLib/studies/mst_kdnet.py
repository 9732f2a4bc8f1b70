"""Tables 1 to 4 of the MST-KDNet paper (Zhu et al., MICCAI 2025); RMBTS is RobustSeg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .study import DataSet, Row, Study, Training

PAPER = "MST-KDNet paper"
BRATS2024 = DataSet("BraTS2024", ("brats2024",))
FETS2024 = DataSet("FeTS2024", ("fets2024",))
_PEERS = {
    "RA-HVED": Training("rahved", "ra-hved"),
    "RMBTS": Training("robustseg"),
    "mmFormer": Training("mmformer"),
    "M2FTrans": Training("m2ftrans"),
    "ACN": Training("acn", "acn"),
    "SMUNet": Training("smunet", "smu-net"),
}
"""Each as one network for all subsets, also ACN and SMU-Net, which their papers train for each subset."""

_WITHOUT = {
    "w/o MS-TKD": ("joint.attention", "joint.multiscale"),
    "w/o GSME": ("joint.style", "joint.adversarial"),
    "w/o SLKD": ("joint.logits", "joint.kl_divergence"),
}
"""Options whose terms a line of Table 4 leaves out."""


def mst_kdnet(*without: str) -> Training:
    """MST-KDNet, without the terms of these options."""
    return Training("mstkdnet", "mst-kd", settings=tuple((name, 0) for name in without))


_METHODS = (
    *(Row(name, training, name, "MST-KDNet") for name, training in _PEERS.items()),
    Row("MST-KDNet", mst_kdnet(), "MST-KDNet"),
)


def _study(number: int, title: str, rows: Sequence[Row], data: Sequence[DataSet], **more: Any) -> Study:
    """A table; HD95 is that of the paper's public code, which scores empty regions 0."""
    source = f"{PAPER}, Table {number}"
    hd95 = {"hd95_rule": "zero", "hd95_definition": "pooled"}
    return Study(f"mst-table{number}", title, rows, source, data, **hd95, **more)


_BOTH = ("dice", "hd95")

STUDIES = (
    _study(1, "Dice of methods", _METHODS, (BRATS2024,), layout="methods"),
    _study(2, "HD95 of methods", _METHODS, (BRATS2024,), layout="methods", metrics=("hd95",)),
    _study(3, "methods on FeTS 2024", _METHODS, (FETS2024,), metrics=_BOTH),
    _study(
        4,
        "MST-KDNet without parts of its distillation",
        (
            *(Row(name, mst_kdnet(*options), name, "MST-KDNet") for name, options in _WITHOUT.items()),
            Row("MST-KDNet", mst_kdnet(), "MST-KDNet"),
        ),
        (BRATS2024, FETS2024),
        metrics=_BOTH,
    ),
)
