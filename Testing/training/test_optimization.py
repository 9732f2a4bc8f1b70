"""The learning rate step by step, and optimizers: what is set is what trains, also after a resume."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.training import optimization
from MissingModalityLib.training.optimization import (
    WeightAverage,
    clip_gradients,
    learning_rate,
    make_optimizer,
    skip_where_not_finite,
)
from MissingModalityLib.training.run import train
from MissingModalityLib.training.settings import Settings
from tiny_run import QUICK, TINY, assert_same, log, weights

CPU = torch.device("cpu")
CONSTANT = {"lr_schedule": "constant-linear", "learning_rate": 0.5}


def rates(**settings: object) -> list[float]:
    chosen = Settings(**{"epochs": 4, "iterations_per_epoch": 5, "learning_rate": 0.5, **settings})
    return [learning_rate(chosen, step) for step in range(chosen.epochs * chosen.iterations_per_epoch)]


def test_polynomial_decay_falls_from_epoch_to_epoch() -> None:
    assert rates() == [0.5 * (1 - epoch / 4) ** 0.9 for epoch in range(4) for _ in range(5)]


def test_a_constant_rate_falls_linearly_over_the_last_share_of_steps() -> None:
    found = rates(lr_schedule="constant-linear", lr_decay_fraction=0.25)
    assert found[:16] == [0.5] * 16
    assert found[16:] == pytest.approx([0.5 * left / 5 for left in (4, 3, 2, 1)])


def test_no_share_to_fall_over_is_a_constant_rate() -> None:
    assert set(rates(lr_schedule="constant-linear", lr_decay_fraction=0)) == {0.5}


def test_a_longer_run_has_the_same_constant_part() -> None:
    short, long = (rates(lr_schedule="constant-linear", epochs=epochs) for epochs in (4, 8))
    assert short[:16] == long[:16] and long[16:32] == [0.5] * 16


@pytest.mark.parametrize("schedule", ["poly", "constant-linear"])
def test_a_warm_up_rises_linearly_to_the_schedule(schedule: str) -> None:
    warm, plain = rates(lr_schedule=schedule, lr_warmup_steps=4), rates(lr_schedule=schedule)
    assert warm[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5]) and warm[4:] == plain[4:]


def test_the_steps_of_a_run_have_the_rates_of_its_schedule(tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**TINY, **CONSTANT, "lr_warmup_steps": 4, "lr_decay_fraction": 0.5}
    run = train(tiny_cases, tmp_path / "run", settings=settings)
    assert [line["learning_rate"] for line in log(run)] == pytest.approx([0.25, 0.5, 0.5 / 3])
    (group,) = torch.load(run / "checkpoint.pt", weights_only=True)["optimizer"]["param_groups"]
    assert group["lr"] == log(run)[-1]["learning_rate"]


def test_a_run_made_longer_in_its_constant_part_ends_like_one_that_was_planned_so(
    tiny_cases: Path, tmp_path: Path
) -> None:
    settings = {**TINY, "lr_schedule": "constant-linear", "validation_fraction": 0}
    long = train(tiny_cases, tmp_path / "long", settings={**settings, "epochs": 3, "lr_decay_fraction": 0.4})
    begun = train(tiny_cases, tmp_path / "run", settings={**settings, "epochs": 1, "lr_decay_fraction": 0})
    train(None, begun, resume=True, settings={"epochs": 3, "lr_decay_fraction": 0.4})
    assert_same(weights(long), weights(begun))


def test_adamw_decays_weights_apart_from_the_gradient() -> None:
    parameter = nn.Parameter(torch.ones(3))
    settings = Settings(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer([parameter], settings, CPU)
    parameter.grad = torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.full((3,), 1 - 0.1 * 0.5))


def test_a_run_with_adamw_that_is_resumed_ends_with_the_same_bits(tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**TINY, "optimizer": "adamw", "weight_decay": 0.1, "lr_schedule": "constant-linear"}
    settings = {**settings, "lr_decay_fraction": 0}
    whole = train(tiny_cases, tmp_path / "whole", settings={**settings, "epochs": 2})
    adam = train(tiny_cases, tmp_path / "adam", settings={**settings, "epochs": 2, "optimizer": "adam"})
    cut = train(tiny_cases, tmp_path / "cut", settings={**settings, "epochs": 1})
    train(None, cut, resume=True, settings={"epochs": 2})
    assert_same(weights(whole), weights(cut))
    assert any(not value.equal(weights(adam)[name]) for name, value in weights(whole).items())


def test_sgd_makes_steps_with_nesterovs_momentum() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = make_optimizer([parameter], Settings(optimizer="sgd", learning_rate=0.1, weight_decay=0), CPU)
    for expected in (1 - 0.1 * 1.99, 1 - 0.1 * (1.99 + 1 + 0.99 * 1.99)):
        parameter.grad = torch.ones(3)
        optimizer.step()
        torch.testing.assert_close(parameter.detach(), torch.full((3,), expected))


def test_a_run_with_nnunets_training_that_is_resumed_ends_with_the_same_bits(
    tiny_cases: Path, tmp_path: Path
) -> None:
    settings = {**QUICK, "network": {"width": 2, "levels": 4}, "lr_schedule": "constant-linear"}
    settings = {**settings, "lr_decay_fraction": 0, "validation_fraction": 0}
    whole = train(tiny_cases, tmp_path / "a", "nnunet-dropout", settings={**settings, "epochs": 2})
    cut = train(tiny_cases, tmp_path / "b", "nnunet-dropout", settings={**settings, "epochs": 1})
    train(None, cut, resume=True, settings={"epochs": 2})
    assert_same(weights(whole), weights(cut))
    assert "deep_dice" in log(whole)[-1]["loss"]


@pytest.mark.parametrize(("before", "after"), [("adam", "adamw"), ("adamw", "adam"), ("sgd", "adam")])
def test_a_run_keeps_its_optimizer(before: str, after: str, tiny_cases: Path, tmp_path: Path) -> None:
    run = train(tiny_cases, tmp_path / "run", settings={**TINY, "epochs": 1, "optimizer": before})
    with pytest.raises(OptionError, match=r"does not fit these settings \(another optimizer\)"):
        train(None, run, resume=True, settings={"epochs": 2, "optimizer": after})


def gradients_of(parameters: list[nn.Parameter], seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)


@pytest.mark.parametrize("beta2", [0.999, 0.5])
def test_the_default_optimizer_makes_the_steps_of_adam_with_amsgrad(beta2: float) -> None:
    steps = []
    for make in (
        lambda weights: make_optimizer(weights, Settings(learning_rate=0.1, adam_beta2=beta2), CPU),
        lambda weights: torch.optim.Adam(weights, 0.1, (0.9, beta2), weight_decay=1e-4, amsgrad=True),
    ):
        torch.manual_seed(0)
        weights = list(nn.Conv3d(3, 5, 3).parameters())
        optimizer = make(weights)
        for step in range(5):
            gradients_of(weights, step)
            optimizer.step()
        steps.append(weights)
    assert all(mine.equal(theirs) for mine, theirs in zip(*steps, strict=True))


@pytest.mark.parametrize(("largest", "expected"), [(2.5, 0.5), (10.0, 1.0), (0.0, 1.0)])
def test_gradients_are_scaled_down_to_their_largest_norm(largest: float, expected: float) -> None:
    weights = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(2))]
    weights[0].grad, weights[1].grad = torch.tensor([3.0]), torch.tensor([0.0, 4.0])
    assert clip_gradients([weights], largest).item() == 5
    torch.testing.assert_close(weights[0].grad, torch.tensor([3.0 * expected]))
    torch.testing.assert_close(weights[1].grad, torch.tensor([0.0, 4.0 * expected]))


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_fused_step_on_a_gradient_that_is_no_number_changes_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimization, "FUSED_ON", {"cpu"})
    weight = nn.Parameter(torch.ones(3))
    optimizer = make_optimizer([weight], Settings(optimizer=name), CPU)
    moved = []
    for value in (1.0, math.nan, math.inf, 1.0):
        before = weight.detach().clone()
        weight.grad = torch.full((3,), value)
        skip_where_not_finite(optimizer, clip_gradients([[weight]], 1.0))
        optimizer.step()
        moved.append(not weight.equal(before))
    assert moved == [True, False, False, True] and weight.isfinite().all()
    assert optimizer.state[weight]["step"] == 2


def test_a_running_average_is_that_of_pytorch_to_the_bit() -> None:
    network = nn.Sequential(nn.Conv3d(2, 3, 3), nn.BatchNorm3d(3))
    mine = WeightAverage(network, 0.9)
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for step in range(5):
        with torch.no_grad():
            for value in (*network.parameters(), network[1].running_mean):
                value.add_(torch.randn_like(value))
        for average in (mine, theirs):
            average.update_parameters(network)
        assert_same(mine.state_dict(), theirs.state_dict())
        if step == 2:
            resumed = WeightAverage(network, 0.9)
            resumed.load_state_dict(mine.state_dict())
            mine = resumed


def test_a_running_average_goes_on_where_its_state_was_kept() -> None:
    network = nn.Linear(2, 2)
    average, resumed = WeightAverage(network, 0.9), WeightAverage(network, 0.9)
    average.update_parameters(network)
    resumed.load_state_dict(average.state_dict())
    with torch.no_grad():
        network.weight += 1
    for each in (average, resumed):
        each.update_parameters(network)
    assert_same(resumed.state_dict(), average.state_dict())
