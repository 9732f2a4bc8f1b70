"""Tables 1 to 10 of the AEM+KD paper (Liu et al., Enhancing Incomplete Multi-modal Brain Tumor Segmentation).

The headline is AEM with factor 8 (Table 7) and 900 epochs of post-training (Table 10), whose averages the
other tables repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .study import DataSet, Row, Study, Training

PAPER = "AEM+KD paper"
BRATS2020 = DataSet("BRATS2020", ("brats2020",))
BRATS2018 = DataSet("BRATS2018", ("brats2018-1", "brats2018-2", "brats2018-3"))
BRATS2015 = DataSet("BRATS2015", ("brats2015",))
HOSTS = {"U-HVED": "uhved", "RobustSeg": "robustseg", "RFNet": "rfnet"}
"""The networks that the paper puts its method on, by the names that it prints."""

FACTOR = 8
EPOCHS = 900


def aem(network: str, factor: int = FACTOR, method: str = "aem") -> Training:
    """Training on real cases after pre-training with synthetic ones."""
    synthetic = (("synthesis.method", method), ("synthesis.factor", factor))
    return Training(network, "aem", after=Training(network, "aem", "pretrain", synthetic))


def aem_kd(
    network: str, epochs: int = EPOCHS, length: float = 1.0, factor: int = FACTOR, method: str = "aem"
) -> Training:
    """The whole method: post-training after :func:`aem`."""
    before = aem(network, factor, method)
    return Training(network, "aem-kd", "posttrain", after=before, epochs=epochs, length=length)


def host_rows(name: str, network: str) -> tuple[Row, Row, Row]:
    """A network alone, with AEM, and with both, under the names that the paper prints."""
    return (
        Row(name, Training(network), name),
        Row(f"{name}+AEM", aem(network), f"{name}+AEM", name),
        Row(f"{name}+AEM+KD", aem_kd(network), f"{name}+AEM+KD", name),
    )


def _against_peers(number: int, data: DataSet) -> Study:
    peers = {"HeMIS": "uhemis", **HOSTS}
    rows = [Row(name, Training(network), name) for name, network in peers.items()]
    ours = Row("AEM+KD", aem_kd("rfnet"), "AEM+KD", "RFNet")
    return Study(
        f"table{number}",
        f"methods on {data.name}",
        (*rows, ours),
        f"{PAPER}, Table {number}",
        (data,),
        "subsets",
        et_filtered=True,
    )


def _on_2020(
    number: int, title: str, rows: Sequence[Row], layout: str = "means", printed: int = 0, **more: Any
) -> Study:
    source = f"{PAPER}, Table {printed or number}"
    return Study(f"table{number}", title, rows, source, (BRATS2020,), layout, et_filtered=True, **more)


_ONE_TO_ONE = ("T1", "T1+T2", "FLAIR+T1+T2")


def _alone(subset: str) -> Training:
    return Training("rfnet", settings=(("training_subsets", subset), ("validation_subsets", subset)))


_TABLE_8 = (
    Row("Baseline", Training("rfnet"), "baseline"),
    Row(
        "Synthetic",
        Training(
            "rfnet",
            "aem",
            settings=(("synthesis.method", "aem"), ("synthesis.factor", FACTOR)),
            after=aem("rfnet").after,
        ),
        "fine-tuned on real+synthetic",
        "Baseline",
    ),
    Row("Real (Ours)", aem("rfnet"), "fine-tuned on real only", "Baseline"),
)

STUDIES = (
    _against_peers(1, BRATS2020),
    _against_peers(2, BRATS2018),
    _against_peers(3, BRATS2015),
    _on_2020(
        4,
        "each component on each host",
        tuple(row for name, network in HOSTS.items() for row in host_rows(name, network)),
        further=(*host_rows("HeMIS", "uhemis"), *host_rows("SegResNet", "segresnet")),
    ),
    _on_2020(
        5,
        "hosts with and without the method, subset by subset",
        tuple(
            row
            for name, network in HOSTS.items()
            for row in (host_rows(name, network)[0], host_rows(name, network)[2])
        ),
        "subsets",
        printed=4,
    ),
    _on_2020(
        6,
        "mixed images in place of transplanted tumors",
        tuple(
            row
            for name, network in HOSTS.items()
            for row in (
                Row(name, Training(network), name),
                Row(f"{name}+MixUp", aem(network, method="mixup"), f"{name}+MixUp", name),
                Row(f"{name}+AEM", aem(network), f"{name}+AEM", name),
            )
        ),
        "subsets",
    ),
    _on_2020(
        7,
        "how many synthetic cases",
        (
            Row("RFNet", Training("rfnet"), "RFNet"),
            *(
                Row(f"+AEMx{factor}", aem("rfnet", factor), f"RFNet+AEMx{factor}", "RFNet")
                for factor in (2, 4, 8)
            ),
        ),
        "subsets",
    ),
    _on_2020(8, "fine-tuning on real cases, or on real and synthetic ones", _TABLE_8),
    Study(
        "table9",
        "one network for all subsets, one for each, and distillation",
        (
            Row("One-to-Many", Training("rfnet"), "one-to-many"),
            Row(
                "One-to-One",
                None,
                "one-to-one",
                by_subset=tuple((subset, _alone(subset)) for subset in _ONE_TO_ONE),
            ),
            Row("KD-based", aem_kd("rfnet"), "KD", "One-to-Many"),
        ),
        f"{PAPER}, Table 9",
        (BRATS2020,),
        "methods",
        subsets=_ONE_TO_ONE,
        et_filtered=True,
    ),
    Study(
        "table10",
        "epochs of post-training",
        tuple(
            row
            for name, network in HOSTS.items()
            for row in (
                Row(f"{name}+AEM", aem(network), f"{name}+AEM"),
                *(
                    Row(
                        f"{name}+AEM+KD{epochs}",
                        aem_kd(network, epochs, epochs / 300),
                        f"{name}+AEM+KD{epochs}",
                        f"{name}+AEM",
                    )
                    for epochs in (300, 600, 900)
                ),
            )
        ),
        f"{PAPER}, Table 10",
        (BRATS2020,),
        et_filtered=True,
        equal_steps=False,
        course="posttrain",
    ),
)
