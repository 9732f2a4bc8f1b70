"""The scripts behind `make student` and `make comparison`, on tiny cases with settings to match."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

import bundled_student
import compare_recipes
from compare_recipes import COMPARISONS, Line
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.recipes import STAGES
from tiny_run import log, record

TINY = {
    "iterations_per_epoch": 1,
    "batch_size": 1,
    "patch_size": 16,
    "validation_fraction": 0,
    "num_workers": 0,
    "network.width": 8,
    "network.blocks": [1, 1],
}
Script = Callable[..., int]


def call(monkeypatch: pytest.MonkeyPatch, module: ModuleType, **options: object) -> int:
    """A script's `main` with its options, given by name."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    monkeypatch.setattr(sys, "argv", ["script", *words])
    return module.main()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """:func:`call` in this test."""
    return partial(call, monkeypatch)


def test_the_bundled_student_is_trained_scored_and_described(
    script: Script,
    tiny_cases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    changed = {
        **bundled_student.SETTINGS,
        **TINY,
        "epochs": 1,
        "precision": "float32",
        "validation_fraction": 0,
    }
    monkeypatch.setattr(bundled_student, "SETTINGS", changed)
    places = {
        "train": tiny_cases,
        "test": tiny_cases,
        "run": tmp_path / "run",
        "models": tmp_path / "models",
    }
    assert script(bundled_student, **places) == 0
    student = tmp_path / "models" / f"{bundled_student.NAME}.safetensors"
    card = read_card(student)
    assert card["name"] == bundled_student.NAME and card["network"] == "gatedfusion"
    scores = card["evaluation"]
    assert (scores["cases"], scores["left_out"]) == (2, 1), "one has two of the sequences"
    assert student.with_suffix(".md").read_text("utf-8").startswith("#")
    before, stages = student.read_bytes(), log(tmp_path / "run")
    assert script(bundled_student, **places) == 0
    assert student.stat().st_size == len(before) and log(tmp_path / "run") == stages
    monkeypatch.setattr(bundled_student, "SETTINGS", {**changed, "epochs": 2})
    assert script(bundled_student, **places) == 2
    assert "other settings" in capsys.readouterr().err


def change_lines(monkeypatch: pytest.MonkeyPatch, lines: dict[str, Line]) -> None:
    """Let the comparison of recipes have these lines, and steps that take no time."""
    short = replace(COMPARISONS["recipes"], lines=lines, settings=TINY)
    monkeypatch.setitem(COMPARISONS, "recipes", short)


def take_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the comparison of recipes have two lines."""
    lines = COMPARISONS["recipes"].lines
    change_lines(monkeypatch, {name: lines[name] for name in ("baseline", "+AEM signed +KD")})
    monkeypatch.setattr(compare_recipes, "EXCLUDED", ("patient_b",))


@pytest.fixture
def two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """:func:`take_two_lines` in this test."""
    take_two_lines(monkeypatch)


@pytest.fixture(scope="module")
def compared(tiny_cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two lines of one seed have left, trained in turn for 3 steps each."""
    output = tmp_path_factory.mktemp("compared") / "out"
    with pytest.MonkeyPatch.context() as monkeypatch:
        take_two_lines(monkeypatch)
        places = {"train": tiny_cases, "test": tiny_cases, "output": output}
        assert call(monkeypatch, compare_recipes, **places, seeds=1, steps=3) == 0
    return output


def scores(output: Path) -> list[str]:
    """What was scored in a comparison, line by line."""
    return [(path / "cases.csv").read_text("utf-8") for path in sorted(output.glob("*/*/evaluation"))]


@pytest.mark.usefixtures("two_lines")
def test_all_recipes_make_the_same_number_of_steps_and_stand_in_one_table(
    script: Script, compared: Path, tiny_cases: Path, capsys: pytest.CaptureFixture
) -> None:
    options = {"train": tiny_cases, "test": tiny_cases, "output": compared, "seeds": 1}
    runs = [compared / name / "seed0" for name in ("baseline", "aem-signed--kd")]
    assert [len(log(run)) for run in runs] == [3, 3]
    assert [line["stage"] for line in log(runs[1])] == ["pretrain", "train", "posttrain"]
    assert all("patient_b" not in record(run)["cases"] for run in runs)
    before = scores(compared)
    shutil.rmtree(runs[1] / "evaluation")
    assert script(compare_recipes, **options, steps=3) == 0
    assert "| +AEM signed +KD | 1 |" in capsys.readouterr().out
    assert scores(compared) == before and len(log(runs[1])) == 3
    assert script(compare_recipes, **options, steps=6) == 2
    assert "another length" in capsys.readouterr().err


def test_all_systems_make_the_same_steps_on_crops_of_the_same_size(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = {}
    monkeypatch.setattr(
        compare_recipes, "_work", lambda job, *_: plans.update({job.name: make_plan(**job.choices())})
    )
    monkeypatch.setattr(compare_recipes, "_report", lambda *_: "")
    words = ["script", "--lines", "systems", "--train", str(tiny_cases), "--test", str(tiny_cases)]
    monkeypatch.setattr(sys, "argv", words)
    assert compare_recipes.main() == 0
    assert [plan.network for plan in plans.values()] == ["rfnet", "rfnet", "mstkdnet", "adamm"]
    assert [list(plan.stages) for plan in plans.values()][1:3] == [[*STAGES], ["train"]]
    stages = [plan.stages.values() for plan in plans.values()]
    assert {sum(stage.epochs * stage.iterations_per_epoch for stage in each) for each in stages} == {300}
    assert {(stage.batch_size, stage.patch_size) for each in stages for stage in each} == {(1, (96, 96, 96))}


@pytest.mark.usefixtures("two_lines")
def test_no_case_is_scored_by_a_network_that_trained_on_it(
    script: Script, tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_lines(monkeypatch, {"baseline": Line("baseline"), "short": Line("baseline", share=0.2)})
    for folds in (2, 3):
        monkeypatch.setattr(compare_recipes, "EXCLUDED", ("patient_b",) if folds == 2 else ())
        assert script(compare_recipes, train=tiny_cases, output=tmp_path / "out", folds=folds, steps=1) == 0
        scored: list[str] = []
        for fold in range(folds):
            run = tmp_path / "out" / "baseline" / f"fold{fold}of{folds}"
            test = sorted(path.name for path in (tmp_path / "out" / "folds" / run.name).iterdir())
            assert test and not set(test) & set(record(run)["cases"])
            scored += test
        assert len(set(scored)) == len(scored)


@pytest.mark.usefixtures("two_lines")
@pytest.mark.slow  # trains four times, 20 s
def test_trainings_side_by_side_are_those_made_in_turn(
    script: Script, compared: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    places = {"train": tiny_cases, "test": tiny_cases, "output": tmp_path / "out"}
    assert script(compare_recipes, **places, seeds=1, steps=3, at_once=2) == 0
    assert len(scores(compared)) == 2 and scores(tmp_path / "out") == scores(compared)
