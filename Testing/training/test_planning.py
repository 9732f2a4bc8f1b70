"""A plan from a folder and a memory, and what many machines make of it."""

from __future__ import annotations

import json
import shlex
from math import prod

import pytest
import torch

from command_line import exit_code
from MissingModalityLib.__main__ import main
from MissingModalityLib.training import fitting, machines, planning, scale
from MissingModalityLib.training.dry_step import StepCost, dry_step
from MissingModalityLib.training.machines import GPUS
from MissingModalityLib.training.plan import Plan, make_plan


def cost(plan: Plan, stage: str, half: bool = False) -> StepCost:
    settings = plan.stages[stage]
    voxels = settings.batch_size * settings.patch_size[0] * settings.patch_size[1] * settings.patch_size[2]
    return StepCost(10**8 + 300 * voxels, 10**8, 4 * 10**7, 1e5 * voxels, 1e3 * voxels, 1000)


@pytest.fixture
def planned(monkeypatch, tmp_path):
    monkeypatch.setattr(fitting, "dry_step", cost)
    monkeypatch.setattr(planning, "find_cases", lambda folder: type("L", (), {"cases": [None] * 20})())
    monkeypatch.setattr(planning, "brain_boxes", lambda cases: [(140, 172, 140)] * 3)
    return tmp_path


def test_the_command_trains_with_what_was_chosen(planned, capsys):
    words = ["plan", "--data", str(planned), "--network", "rfnet", "--memory", "24", "--json"]
    assert main([*words, "--set", "learning_rate=1e-3"]) == 0
    result = json.loads(capsys.readouterr().out)
    command = shlex.split(result["command"])
    settings = dict(text.split("=") for text in command[command.index("--set") + 1 :])
    assert settings == {**result["settings"], "learning_rate": "1e-3"}
    plan = make_plan("baseline", "rfnet", settings=settings)
    assert plan.stages["train"].learning_rate == 1e-3
    assert 0.85 <= result["used"] <= 1 and result["needed"] <= 24e9


def test_time_is_that_of_the_steps_and_of_the_papers(planned, capsys):
    result = planning.plan_training(planned, network="rfnet", preset="light", gpu="a100")
    (stage,) = result["stages"].values()
    assert stage["seconds"] > 0 and result["days"] == pytest.approx(stage["steps"] * stage["seconds"] / 86400)
    assert result["paper_days"] == pytest.approx(300 * 150 * stage["seconds"] / 86400)
    patch, batch = (result["settings"][name] for name in ("patch_size", "batch_size"))
    larger = prod(map(int, patch.split(","))) * int(batch) / (80**3 * 2)
    assert result["paper_voxels_days"] == pytest.approx(result["paper_days"] / larger)
    assert "300" not in result["settings"] and "to the paper's 45000 steps" in planning.summary(result)
    assert not result["free"] and "GiB, of which the plan takes" in planning.summary(result)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--memory", "24"], "--data is missing"),
        (["--data", "cases", "--network", "rfnett", "--memory", "24"], "Did you mean rfnet"),
        (["--data", "cases", "--gpu", "h10"], "Did you mean h100"),
        (["--data", "cases", "--gpu", "h100", "--measure"], "Leave out the GPU's name"),
        (["--data", "cases", "--memory", "0.7"], "GiB for one step"),
        (["--data", "cases", "--memory", "nan"], "memory is nan GB"),
        (["--data", "cases", "--memory", "24000"], "at most 300"),
    ],
)
def test_what_cannot_be_planned_is_told_in_one_message(planned, capsys, words, said):
    assert exit_code(["plan", *words]) == 2
    assert said in capsys.readouterr().err


def test_more_gpus_make_more_crops_and_wait_longer_for_each_other(monkeypatch):
    plan = make_plan("aem-kd", "rfnet")
    one, eight, many = (scale.scaled(plan, "train", cost(plan, "train"), "h100", n) for n in (1, 8, 64))
    assert one.efficiency == 1 and one.exchanged == 0
    assert one.crops_per_second < eight.crops_per_second < many.crops_per_second
    assert 1 > eight.efficiency > many.efficiency > 0
    assert "batch_size=16 iterations_per_epoch=19" in eight.command  # of 2 and 150
    assert "torchrun --standalone --nproc-per-node 8" in eight.command and "--nnodes 8" in many.command
    assert any("learning rate" in text for text in many.breaks)


def test_predictions_for_a_cluster_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(scale, "dry_step", cost)
    assert main(["plan", "--scale", "--gpu", "a100"]) == 0
    text = capsys.readouterr().out
    assert "GPU: a100" in text and "10,000 raw studies" in text and "sbatch --array=0-63" in text
    assert "    first=$(scontrol" in text and "segment.sh is" in text  # what the commands take for granted


def test_a_system_that_does_not_tell_its_memory_is_asked_for_it(monkeypatch, planned, capsys):
    monkeypatch.setattr(machines, "free_memory", lambda device: 0)
    assert exit_code(["plan", "--data", "cases", "--device", "cpu"]) == 2
    assert "Give it with --memory GB" in capsys.readouterr().err


def test_a_plan_for_the_device_at_hand_fills_what_is_free_there(monkeypatch, planned, capsys):
    monkeypatch.setattr(machines, "_cpu_rates", lambda: CPU_RATES)
    monkeypatch.setattr(machines, "free_memory", lambda device: 6 * 10**9)
    result = planning.plan_training(planned, network="rfnet", device="cpu")
    assert result["memory"] == 6 * 10**9 and 0.85 <= result["used"] <= 1
    assert result["free"] and "cpu: 5.6 GiB free, of which" in planning.summary(result)
    monkeypatch.setattr(machines, "free_memory", lambda device: 10**8)
    assert exit_code(["plan", "--data", "cases", "--network", "rfnet", "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "cpu has 0.1 GiB free. Choose" in said and "light, or end what else takes memory there." in said


def test_memory_of_a_gpu_that_others_hold_is_not_planned_with(monkeypatch):
    device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA A100-SXM4-80GB")
    monkeypatch.setattr(machines, "memory_of", lambda _: 80 * 10**9)
    for free, expected in ((30 * 10**9, 30 * 10**9 + machines._GPU_HELD), (80 * 10**9, 80 * 10**9)):
        monkeypatch.setattr(machines, "free_memory", lambda _, free=free: free)
        assert machines.this_machine(device).memory == expected


def test_a_gpu_waits_for_its_host_where_operators_are_short():
    small = StepCost(0, 0, 0, 1e6, 1e6, 2000)
    assert GPUS["h200"].seconds(small, True) == 2000 * GPUS["h200"].per_operator
    large = StepCost(0, 0, 0, 1e14, 1e6, 2000)
    assert GPUS["v100"].seconds(large, False) > GPUS["v100"].seconds(large, True)


MEASURED = {
    "4 crops": ("aem-kd", "segresnet", "train", {"batch_size": 4, "network.width": 24}, 1 / 11.5),
    "8 crops": ("aem-kd", "segresnet", "train", {"batch_size": 8, "network.width": 24}, 1 / 7.5),
    "wider": ("aem-kd", "segresnet", "train", {"batch_size": 4, "network.width": 32}, 1 / 11.5),
    "post-training": ("aem-kd", "segresnet", "posttrain", {"batch_size": 4, "network.width": 24}, 1 / 9.7),
    "small operators": ("baseline", "rfnet", "train", {"batch_size": 1, "patch_size": 80}, 0.28),
}
"""Steps of an NVIDIA H200 in 16 bits: recipe, network, stage, settings, seconds."""

MEASURED_ON_CPU = {"segresnet": (64, 0.81), "gatedfusion": (64, 0.46), "rfnet": (32, 2.57)}
"""Side of a crop and CPU seconds of a step on an AMD EPYC with the rates below."""

CPU_RATES = (93e9, 3.9e9)
"""Operations of a matrix product and bytes of a copy, per CPU second."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "8 crops" else pytest.mark.slow) for name in MEASURED]
)
def test_steps_that_a_gpu_made_are_predicted_within_a_fifth(name):
    recipe, network, stage, settings, seconds = MEASURED[name]
    plan = make_plan(recipe, network, settings={"patch_size": 128, **settings})
    predicted = GPUS["h200"].seconds(dry_step(plan, stage, half=True), half=True)
    assert predicted == pytest.approx(seconds, rel=0.2)


@pytest.mark.parametrize(
    "network",
    [pytest.param(name, marks=() if name == "gatedfusion" else pytest.mark.slow) for name in MEASURED_ON_CPU],
)
def test_steps_that_a_cpu_made_are_predicted_within_two_fifths(network, monkeypatch):
    monkeypatch.setattr(machines, "_cpu_rates", lambda: CPU_RATES)
    side, seconds = MEASURED_ON_CPU[network]
    plan = make_plan("baseline", network, settings={"patch_size": side, "batch_size": 1})
    predicted = machines.this_machine(torch.device("cpu")).seconds(dry_step(plan, "train"), half=False)
    assert predicted == pytest.approx(seconds, rel=0.4)
