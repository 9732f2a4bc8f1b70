"""Comparisons of no paper: recipes of AEM+KD on a light network, whole systems, ways of synthesis."""

from __future__ import annotations

from .aem_kd import aem, aem_kd
from .mst_kdnet import mst_kdnet
from .study import Row, Study, Training


def _signed(training: Training) -> Training:
    """The same with signed error maps, which the public code has in place of absolute ones."""
    if training.after is None:
        return Training(
            training.network,
            training.recipe,
            training.stage,
            (*training.settings, ("synthesis.difference", "signed")),
        )
    return Training(training.network, training.recipe, training.stage, after=_signed(training.after))


_FACTOR = 4
"""Real and synthetic cases together, times the real ones: the same for both kinds of synthesis."""

_SYNTHESIS = (
    Row("SegResNet", Training("segresnet")),
    Row("+AEM", aem("segresnet", _FACTOR), base="SegResNet"),
    Row("+grown", aem("segresnet", _FACTOR, "grown"), base="SegResNet"),
    Row("+AEM+KD", aem_kd("segresnet", factor=_FACTOR), base="SegResNet"),
    Row("+grown+KD", aem_kd("segresnet", factor=_FACTOR, method="grown"), base="SegResNet"),
    Row("RFNet", Training("rfnet"), base="SegResNet"),
    Row("gated fusion", Training("gatedfusion"), base="SegResNet"),
)

STUDIES = (
    Study(
        "recipes",
        "AEM+KD on the light network, with absolute and signed error maps",
        (
            Row("baseline", Training("segresnet")),
            Row("baseline, a fifth of the steps", Training("segresnet", length=0.2), base="baseline"),
            Row("+AEM absolute", aem("segresnet"), base="baseline"),
            Row("+AEM signed", _signed(aem("segresnet")), base="baseline"),
            Row("+AEM absolute +KD", aem_kd("segresnet"), base="baseline"),
            Row("+AEM signed +KD", _signed(aem_kd("segresnet")), base="baseline"),
        ),
    ),
    Study(
        "systems",
        "RFNet, AEM+KD, MST-KDNet and AdaMM",
        (
            Row("RFNet one-to-many", Training("rfnet")),
            Row("AEM+KD", aem_kd("rfnet"), base="RFNet one-to-many"),
            Row("MST-KDNet", mst_kdnet(), base="RFNet one-to-many"),
            Row("AdaMM", Training("adamm", "adamm"), base="RFNet one-to-many"),
        ),
        metrics=("dice", "hd95"),
    ),
    Study(
        "synthesis",
        "tumors cut out or grown, with and without distillation",
        _SYNTHESIS,
        metrics=("dice", "hd95"),
    ),
)
