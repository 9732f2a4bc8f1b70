"""What is told of a training's time before it begins."""

from __future__ import annotations

import re

import pytest
import torch

from MissingModalityLib.training import time_estimate
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.time_estimate import in_words, least_seconds, told_before
from tiny_run import TINY

CPU = torch.device("cpu")


def test_the_time_grows_with_steps_and_batches_and_no_random_number_is_used_up(monkeypatch):
    monkeypatch.setattr(time_estimate, "_seconds", lambda *_: 2.0)
    torch.manual_seed(3)
    assert least_seconds(make_plan(settings={**TINY, "epochs": 5}), CPU) == 5 * 2 * 2.0
    assert least_seconds(make_plan(settings={**TINY, "epochs": 5, "batch_size": 4}), CPU) == 4 * 5 * 2 * 2.0
    expected = torch.Generator().manual_seed(3)
    assert torch.equal(torch.rand(4), torch.rand(4, generator=expected))


def test_a_real_step_is_timed():
    assert 0 < least_seconds(make_plan(settings=TINY), CPU) < 3600


def test_a_day_and_more_without_a_gpu_is_told_with_the_smaller_presets(monkeypatch):
    monkeypatch.setattr(time_estimate, "least_seconds", lambda *_: 100_000.0)
    told = told_before(make_plan(), "paper", CPU)
    assert (
        told.startswith("About 28 hours or more on cpu with preset paper")
        and "--preset light or quick" in told
    )
    assert "14 days" in told_before(make_plan(), "paper", CPU, runs=12)
    assert "--preset" not in told_before(make_plan(), "quick", CPU)
    assert "this plan" in told_before(make_plan(), None, CPU)


def test_what_cannot_be_timed_is_not_guessed(monkeypatch):
    def refuse(*_: object) -> float:
        raise RuntimeError("one size of crops alone")

    monkeypatch.setattr(time_estimate, "_seconds", refuse)
    assert told_before(make_plan(settings=TINY), "quick", CPU) is None


@pytest.mark.parametrize("seconds", [0.2, 30, 150, 9000, 200_000])
def test_times_are_told_in_the_largest_unit_of_which_there_are_two(seconds):
    number, unit = re.fullmatch(r"(\d+) (\w+)", in_words(seconds)).groups()
    assert int(number) >= (1 if unit == "second" else 2)
