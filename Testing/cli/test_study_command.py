"""The command study: lists, runs and refusals; what it trains is tested in Testing/studies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import exit_code
from MissingModalityLib.__main__ import main
from MissingModalityLib.studies import conduct, cost
from MissingModalityLib.studies.registry import STUDIES
from MissingModalityLib.studies.sizes import SIZES
from MissingModalityLib.training.dry_step import StepCost
from MissingModalityLib.training.machines import GPUS
from MissingModalityLib.training.plan import make_plan

STEP = StepCost(0, 0, 0, 1e15, 1e6, 100)


def test_runs_are_listed_with_their_numbers_and_nothing_is_trained(
    tiny_cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["study", "table8", "--data", str(tiny_cases), "--output", str(tmp_path), "--list-runs"]
    assert main([*arguments, "--preset", "quick", "--seeds", "2", "--progress", "json"]) == 0
    runs = json.loads(capsys.readouterr().out)["result"]["runs"]
    assert [run["run"] for run in runs] == list(range(len(runs))) and len(runs) == 2 * 4
    assert {run["state"] for run in runs} == {"to do"} and not (tmp_path / "runs").exists()


def test_costs_of_all_studies_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    few = {name: STUDIES[name] for name in ("table8", "mst-table1")}
    monkeypatch.setattr("MissingModalityLib.cli.study.STUDIES", few)
    monkeypatch.setattr(cost, "dry_step", lambda *asked: STEP)
    assert main(["study", "--list", "--preset", "quick", "--device", "cpu"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.endswith("time of all steps on cpu, as busy as it is now, as 'plan' predicts it:")
    assert first.split()[:5] == ["table8", "4", "runs", "15", "steps"]
    assert "not available" in second or len(STUDIES["mst-table1"].rows) * 6 == int(second.split()[3])


def test_one_study_is_listed_with_the_steps_and_settings_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    batches = []
    monkeypatch.setattr(cost, "dry_step", lambda plan, *asked: batches.extend(plan.stages.values()) or STEP)
    asked = ["study", "table8", "--list", "--preset", "quick", "--steps", "24", "--device", "cpu"]
    assert main([*asked, "--set", "batch_size=3"]) == 0
    (line,) = capsys.readouterr().out.splitlines()[1:]
    assert line.split()[:5] == ["table8", "4", "runs", "60", "steps"]
    assert {stage.batch_size for stage in batches} == {3}


def test_a_study_takes_as_long_as_the_cost_model_says_and_a_step_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = []
    monkeypatch.setattr(cost, "dry_step", lambda *asked: counted.append(asked) or STEP)
    seconds = cost.predicted_on(GPUS["h100"])
    plans = [make_plan(preset="quick", settings={"epochs": epochs}) for epochs in (4, 8)]
    assert seconds(plans[0]) == pytest.approx(40 * GPUS["h100"].seconds(STEP, True))
    assert seconds(plans[1]) == pytest.approx(2 * seconds(plans[0])) and len(counted) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--list", "--gpu", "h10"], "Did you mean h100"),
        (["table4", "--gpu", "h100"], "Add --list"),
        (["table4"], "--data is missing"),
        (["--data", "x"], "the study is missing"),
    ],
)
def test_half_a_question_is_answered_with_what_is_missing(
    words: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    assert exit_code(["study", *words]) == 2
    assert said in capsys.readouterr().err


def test_help_names_every_study_and_preset(capsys: pytest.CaptureFixture) -> None:
    assert exit_code(["study", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*STUDIES, *SIZES))


def test_what_is_typed_reaches_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = {}
    monkeypatch.setattr(conduct, "study", lambda **given: asked.update(given) or {"runs": []})
    words = ["study", "table4", "--data", "cases", "--output", str(tmp_path), "--test", "others"]
    assert main([*words, "--only", "5", "--seeds", "3", "--preset", "light", "--set", "batch_size=4"]) == 0
    assert (asked["name"], asked["run"], asked["seeds"], asked["train"]) == ("table4", 5, 3, True)
    assert (asked["test"], asked["settings"]) == (Path("others"), {"batch_size": "4"})
    assert capsys.readouterr().out == "Run 5 of table4 is over.\n"
