"""What two processes do together and one does alone: steps of training, and commands that fail."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from masks import flags
from MissingModalityLib.methods.joint import JointDistillation
from MissingModalityLib.methods.method import Method
from MissingModalityLib.methods.options import DistillationOptions, JointOptions, SupervisedOptions
from MissingModalityLib.methods.self_distillation import Distillation
from MissingModalityLib.methods.supervised import Supervised
from MissingModalityLib.runtime import distributed
from MissingModalityLib.training import augmentation
from MissingModalityLib.training.loop import Trainer
from MissingModalityLib.training.plan import flattened
from small_networks import SMALLEST, small_network
from tiny_run import QUICK, TINY

TRAIN_EPOCH = Trainer.train_epoch

NETWORKS = {
    "adamm": ("adamm", {"dropout": 0.0}),
    "rfnet": ("rfnet", {}),
    "regions": ("segresnet", {}),
    "classes": ("segresnet", {"head": "classes"}),
    "mstkdnet": ("mstkdnet", {"dropout": 0.0}),
    "deep": ("segresnet", {"blocks": (1, 1, 1), "deep_supervision": True, "presence": True}),
}
STYLE_ALONE = {"attention": 0.0, "multiscale": 0.0, "presence": 1.0}
LOGITS_ALONE = dict.fromkeys(("attention", "multiscale", "style", "adversarial"), 0.0)
METHODS = {
    "supervised": Supervised,
    "consistency": lambda: Supervised(SupervisedOptions(consistency_weight=1.0)),
    "hard voxels": lambda: Supervised(
        SupervisedOptions(
            **{"dice_over": "sample", "focal_gamma": 2.0, "top_k_fraction": 0.1, "region_weights": (1, 1, 2)},
            **{"consistency_weight": 1.0, "consistency_trains_superset": True},
        )
    ),
    "fused": Distillation,
    "encoder": lambda: Distillation(DistillationOptions(features="encoder")),
    "joint": lambda: JointDistillation(JointOptions(cross_entropy=1.0)),
    "presence": lambda: JointDistillation(JointOptions(**STYLE_ALONE)),
    "logits": lambda: JointDistillation(JointOptions(**LOGITS_ALONE)),
}
STEPS = [
    *((name, "supervised") for name in ("adamm", "rfnet", "regions", "classes", "deep")),
    *((name, "fused") for name in ("rfnet", "regions", "deep")),
    ("rfnet", "encoder"),
    ("rfnet", "consistency"),
    ("classes", "hard voxels"),
    ("mstkdnet", "joint"),
    ("adamm", "presence"),
    ("rfnet", "logits"),
]


def batch(side: int) -> dict[str, Tensor]:
    """Two samples, of which only the first has T1 and only the second FLAIR; nobody has T2."""
    random = torch.Generator().manual_seed(5)
    label = torch.randint(0, 4, (2, side, side, side), generator=random, dtype=torch.uint8)
    label[0][label[0] == 3] = 2  # no class 3 in one of them: a mean of two Dice losses is another number
    return {
        "image": torch.randn(2, 4, side, side, side, generator=random).double(),
        "label": label,
        "available": flags("0100", "1000"),
        "teacher": flags("0110", "1100"),
        "present": flags("0110", "1100"),
    }


def step(name: str, method: str, wrap: Any, rank: int | None = None) -> dict[str, dict[str, Tensor]]:
    """Terms of a loss, of all processes together, and all gradients, in double precision where it is kept.

    Args:
        rank: which sample to take; both where None.
    """
    architecture, options = NETWORKS[name]
    network = small_network(architecture, **options).double().train()
    samples = batch(32 if name == "mstkdnet" else 16)
    if rank is not None:
        samples = {key: value[rank : rank + 1] for key, value in samples.items()}
    chosen: Method = METHODS[method]()
    trained = chosen.assemble(network)
    chosen.begin_epoch(network, 0)
    wrapped = wrap(trained, network.find_unused_parameters)  # must live until the gradients are there
    terms = chosen.loss(wrapped, samples, 0)
    terms["total"].backward()
    chosen.finish_step()
    values = distributed.mean(torch.stack([value.detach().double() for value in terms.values()]))
    learning = {"": trained, "discriminator.": getattr(chosen, "discriminator", None)}
    gradient = {
        f"{kind}{key}": x.grad
        for kind, module in learning.items()
        if module is not None
        for key, x in module.named_parameters()
        if x.grad is not None
    }
    chosen.loss(wrapped, samples, 0)  # a wrapper that still waits for gradients says so now
    return {"terms": dict(zip(terms, values, strict=True)), "gradient": gradient}


# networks so small are chaotic: steps must be small for rounding to stay what it is
CURVES = {
    "segresnet": {
        "learning_rate": 1e-4,
        "validation_fraction": 0.4,
        "ema_decay": 0.5,
        "network": SMALLEST["segresnet"],
    },
    "rfnet": {
        "learning_rate": 1e-5,
        "num_workers": 1,
        "validation_fraction": 0,
        "network": SMALLEST["rfnet"],
    },
}
STAGES = ("train", "posttrain")


def curve(network: str) -> dict[str, Any]:
    """Settings of a training of two stages in batches of two samples."""
    return {**QUICK, "epochs": 2, "validation_interval": 2, "batch_size": 2, **CURVES[network]}


def curve_command(network: str, data: Path, output: Path) -> list[str]:
    """The command of :func:`curve`."""
    recipe = ("--network", network, "--recipe", "aem-kd", "--stages", ",".join(STAGES))
    return [*command(data, output, curve(network)), *recipe]


def command(data: Path, output: Path, settings: Mapping[str, Any]) -> list[str]:
    """A command that trains."""
    pairs = [f"{key}={value}" for key, value in flattened(settings).items()]
    common = ("train", "--data", data, "--output", output, "--device", "cpu", "--progress", "none")
    return [*map(str, common), "--set", *pairs]


def evaluation(student: Path, data: Path, output: Path) -> list[str]:
    """A command that evaluates."""
    pairs = {
        "--student": student,
        "--data": data,
        "--output": output,
        "--device": "cpu",
        "--progress": "none",
    }
    return ["evaluate", *(str(word) for pair in pairs.items() for word in pair)]


def spoiled(name: str) -> AbstractContextManager[Any]:
    """What a command of :func:`failures` needs to fail: images or, on one process alone, weights of NaN."""

    def no_numbers(image: Tensor, label: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        return image * torch.nan, label

    def spoil(trainer: Trainer, *arguments: Any) -> Any:
        result = TRAIN_EPOCH(trainer, *arguments)
        if distributed.rank() == 1:
            next(trainer.trained.parameters()).data.fill_(torch.nan)
        return result

    if name == "loss":
        return patch.object(augmentation, "apply", no_numbers)
    return patch.object(Trainer, "train_epoch", spoil) if name == "weights" else nullcontext()


def failures(folder: Path, data: Path) -> dict[str, list[str]]:
    """Commands that fail on all processes or on one of them."""
    good = {**TINY, "batch_size": 2}
    return {
        "option": [*command(data, folder / "a", good), "--sed", "3"],
        "setting": command(data, folder / "b", {**good, "epohcs": 3}),
        "batch": command(data, folder / "c", {**good, "batch_size": 3}),
        "data": command(folder / "nowhere", folder / "d", good),
        "student": [*command(data, folder / "e", good), "--init", str(folder / "none.safetensors")],
        "loss": command(data, folder / "f", good),
        "weights": command(data, folder / "j", good),
        "case": command(folder / "damaged", folder / "g", good),
        "evaluated": evaluation(folder / "none.safetensors", data, folder / "h"),
        "unlabeled": evaluation(folder / "s.safetensors", folder / "empty", folder / "i"),
        "written": command(data, folder / "blocked", good),
    }
