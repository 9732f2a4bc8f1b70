"""SMU-Net's and ACN's networks and their terms of joint training."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from masks import flags
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods.information import (
    MEAN,
    VARIANCE,
    Regressor,
    entropy_map,
    information_distance,
)
from MissingModalityLib.methods.joint import JointDistillation
from MissingModalityLib.methods.style import fused_matrix, style_distance
from MissingModalityLib.networks import build
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.output import Feature, Kind, Output
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.run import train
from small_networks import SMALLEST, small_network
from tiny_run import QUICK, assert_same, weights

BACKGROUND_FIRST = (3, 0, 1, 2)


def joint(recipe: str) -> JointDistillation:
    return JointDistillation(make_plan(recipe).stages["train"].joint)


def batch() -> dict[str, Tensor]:
    image = torch.randn(2, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(2, 16, 16, 16, dtype=torch.uint8)
    label[:, 4:12, 4:12, 4:12] = 2
    return {
        "image": image,
        "label": label,
        "available": flags("0100", "0110"),
        "present": flags("1111", "0110"),
    }


def test_the_size_of_smunet_is_the_published_one() -> None:
    assert round(sum(x.numel() for x in build("smunet").parameters()) / 1e6, 2) == 4.78


@pytest.mark.parametrize("epoch", [0, 5, 25])
def test_consistency_and_content_of_smunet_are_the_published_ones(epoch: int, golden) -> None:
    with np.load(golden("mstkd_losses")) as data:
        given = {
            name: torch.from_numpy(data[f"in/{name}"])
            for name in ("pred_f", "pred_m", "content_f", "content_m")
        }
        expected = {name: data[f"loss/co_{epoch}/{name}_loss"] for name in ("consistency", "content")}
        risen = data[f"loss/consistency_weight_{epoch}"]
    outputs = [
        Output(
            given[f"pred_{kind}"][:, BACKGROUND_FIRST].double().logit(),
            {Feature(Kind.CONTENT): given[f"content_{kind}"]},
        )
        for kind in "mf"
    ]
    method = JointDistillation(replace(joint("smu-net").options, style=0.0, adversarial=0.0, ramp_epochs=0))
    found = method._distances(*outputs, HEADS["sigmoids"], epoch)
    np.testing.assert_allclose(found["consistency"], risen * expected["consistency"], rtol=1e-5)
    np.testing.assert_allclose(found["content"], 0.2 * expected["content"], rtol=1e-5)


def test_a_lone_style_is_paired_with_itself() -> None:
    student, teacher = torch.randn(2, 2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    target = fused_matrix(teacher, teacher)
    apart = (fused_matrix(student, student) - target).square().sum((1, 2)) / target.square().sum((1, 2))
    torch.testing.assert_close(style_distance([student], [teacher]), apart.mean())


def test_doubt_is_greatest_where_a_channel_says_least() -> None:
    probabilities = torch.tensor([0.0, 1 / math.e, 1.0]).view(1, 1, 3, 1, 1).expand(1, 4, 3, 1, 1)
    found = entropy_map(probabilities.logit(), HEADS["sigmoids"])
    torch.testing.assert_close(found[0, 0].flatten(), torch.tensor([0.0, 1 / math.e / math.log(4), 0.0]))


def test_information_is_the_density_of_the_teachers_features() -> None:
    told = Regressor(3)(torch.randn(2, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0)))
    teacher = torch.randn(2, 3, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(told[VARIANCE], torch.full((2, 3, 1, 1, 1), 5.0))
    density = Normal(told[MEAN], told[VARIANCE].sqrt()).log_prob(teacher).mean()
    torch.testing.assert_close(information_distance(told, teacher), -density - 0.5 * math.log(2 * math.pi))


def test_a_step_of_acn_trains_networks_and_regressor_and_then_both_discriminators() -> None:
    method, network = joint("acn"), small_network("acn").train()
    method.check(network)
    pair = method.assemble(network).train()
    terms = method.loss(pair, batch(), 20)
    distances = {"adversarial", "consistency", "doubt", "information"}
    assert set(terms) == {"student_dice", "teacher_dice", "total", *distances}
    terms["total"].backward()
    judges = [method.discriminator, method.doubts.module]
    assert all(x.grad is None for judge in judges for x in judge.parameters())
    assert all(x.grad.isfinite().all() for x in pair.parameters())
    assert any(x.grad.any() for x in method.regressor.parameters())
    before = [[x.clone() for x in judge.parameters()] for judge in judges]
    method.finish_step()
    for judge, old in zip(judges, before, strict=True):
        assert any(not torch.equal(x, y) for x, y in zip(judge.parameters(), old, strict=True))


def test_teachers_learn_nothing_from_information_or_doubt() -> None:
    method, network = joint("acn"), small_network("acn").train()
    pair = method.assemble(network).train()
    terms = method.loss(pair, batch(), 20)
    (terms["information"] + terms["doubt"]).backward()
    assert all(x.grad is None for x in pair.teacher.parameters())
    assert any(x.grad is not None and x.grad.any() for x in pair.student.parameters())


def test_information_needs_content() -> None:
    with pytest.raises(OptionError, match=r"joint\.information=0\.5: network segresnet has no such features"):
        JointDistillation(replace(joint("acn").options, adversarial=0.0)).check(small_network("segresnet"))


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "network"), [("acn", "acn"), ("smu-net", "smunet")])
def test_a_run_that_is_resumed_ends_with_the_same_bits(
    recipe: str, network: str, tiny_cases: Path, tmp_path: Path
) -> None:
    settings = {**QUICK, "network": SMALLEST[network], "lr_schedule": "constant-linear"}
    settings |= {"lr_decay_fraction": 0, "validation_fraction": 0}
    whole = train(tiny_cases, tmp_path / "a", recipe, settings={**settings, "epochs": 2})
    cut = train(tiny_cases, tmp_path / "b", recipe, settings={**settings, "epochs": 1})
    train(None, cut, resume=True, settings={"epochs": 2})
    assert_same(weights(whole), weights(cut))
