"""Seeds of a run: new runs have the new rule, those without the key go on by the old one, to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.training.run import train
from tiny_run import QUICK, TINIEST, assert_same, record, weights

DROPOUT = {**QUICK, **TINIEST["baseline"], "network.dropout": 0.5, "epochs": 2}


def made_by_old_rule(run: Path) -> Path:
    """Let a run that has only begun pass for one of a version without the key."""
    content = record(run)
    del content["seeding"]
    (run / "run.json").write_text(json.dumps(content))
    return run


def stop_after_the_first_epoch(tiny_cases: Path, run: Path, seed: int) -> Path:
    def stop(event) -> None:
        if event.stage == "train" and event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_cases, run, seed=seed, settings=DROPOUT, on_progress=stop)
    return run


def test_a_run_without_the_key_goes_on_by_the_old_rule(tiny_cases: Path, tmp_path: Path) -> None:
    def old_formula(rule: int, *place: int) -> int:
        return hash(place) % 2**63

    with patch("MissingModalityLib.training.loop.epoch_seed", old_formula):
        whole = train(tiny_cases, tmp_path / "whole", seed=3, settings=DROPOUT)
        cut = stop_after_the_first_epoch(tiny_cases, tmp_path / "cut", 3)
    train(tiny_cases, made_by_old_rule(cut), resume=True)
    assert_same(weights(whole), weights(cut))
    assert "seeding" not in record(cut) or record(cut)["seeding"] == 1
    new = train(tiny_cases, tmp_path / "new", seed=3, settings=DROPOUT)
    assert record(new)["seeding"] == 2
    with pytest.raises(AssertionError):
        assert_same(weights(whole), weights(new))


@pytest.mark.parametrize(("seeding", "alike"), [(True, False), (False, True)], ids=["new rule", "old rule"])
def test_the_discriminator_begins_as_the_rule_of_the_run_says(
    seeding: bool, alike: bool, tiny_cases: Path, tmp_path: Path
) -> None:
    options = {
        **QUICK,
        **TINIEST["adamm"],
        "epochs": 1,
        "iterations_per_epoch": 1,
        "joint.discriminator_rate": 1e-12,
    }
    begun = []
    for seed in (1, 2):
        run = train(tiny_cases, tmp_path / f"run{seed}", "adamm", seed=seed, settings=options)
        if not seeding:
            train(None, made_by_old_rule(run), resume=True, restart="train")
        state = torch.load(run / "checkpoint.pt", weights_only=True)
        begun.append(state["method"]["discriminator"])
    same = all(torch.allclose(value, begun[1][name], atol=1e-6) for name, value in begun[0].items())
    assert same == alike


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64, 1.5, "0", None, True], ids=repr)
def test_a_wrong_seed_is_refused_before_anything_is_written(
    seed: object, tiny_cases: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=r"seed=.*below 2\*\*63"):
        train(tiny_cases, tmp_path / "run", seed=seed, settings=DROPOUT)
    assert not (tmp_path / "run").exists()
