"""What shows a training outside of it: log.csv, progress.png, TensorBoard and MLflow."""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import MissingModalityLib as mm
from MissingModalityLib.__main__ import main
from MissingModalityLib.training import followers, log
from MissingModalityLib.training.followers import Followers
from MissingModalityLib.training.log import LogLine
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run_folder import RunFolder
from tiny_run import TINY

DICE = {"FLAIR+T1ce WT": 0.5, "FLAIR+T1ce TC": 0.25, "FLAIR+T1ce ET": 0.125, "mean": 0.3}


def line(epoch: int, stage: str = "train", dice: Mapping[str, float] | None = None) -> LogLine:
    return LogLine(stage=stage, epoch=epoch, loss={"total": 1 / epoch}, dice=dice, seconds=30.0)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    for written in (line(1, "pretrain"), line(1), line(2, dice=DICE)):
        log.append(run, written)
    return run


@pytest.fixture
def record() -> RunRecord:
    return RunRecord("cases", {}, (), mm.make_plan(settings={**TINY, "epochs": 2}), "baseline", "quick")


def test_the_table_has_a_row_for_each_epoch_and_columns_of_all(folder: RunFolder) -> None:
    with folder.table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["epoch"], row["loss.total"]) for row in rows] == [
        ("pretrain", "1", "1.0"),
        ("train", "1", "1.0"),
        ("train", "2", "0.5"),
    ]
    assert [row["dice.FLAIR+T1ce WT"] for row in rows] == ["", "", "0.5"]


def test_plot_draws_what_a_run_of_earlier_versions_has(folder: RunFolder, capsys) -> None:
    folder.table.unlink()
    assert main(["plot", str(folder.path), "-q"]) == 0
    with Image.open(folder.picture) as picture:
        assert picture.size == (800, 600) and len(picture.convert("RGB").getcolors(10**6)) > 10
    assert folder.table.exists() and sorted(path.name for path in folder.path.iterdir()) == [
        *("log.csv", "log.jsonl", "progress.png")
    ]
    assert main(["plot", str(folder.path.parent)]) == 2
    assert "no log.jsonl with a line" in capsys.readouterr().err


def test_the_picture_is_drawn_as_often_as_its_cost_allows(folder, record, monkeypatch) -> None:
    clock, drawn = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(followers, "monotonic", lambda: clock.now)

    def draw(run: RunFolder) -> None:
        drawn.append(clock.now)
        clock.now += 1.0  # what it costs

    monkeypatch.setattr(followers, "draw", draw)
    with Followers(folder, record, ()) as follow:
        for second in (5, 30, 40, 70, 90):
            clock.now = float(second)
            follow(line(1))
        follow(line(2))
    # after 25 s for the first, then after 50, and at the end of the stage
    assert drawn == [30.0, 90.0, 91.0]


def test_a_follower_that_fails_is_left_out_and_told_once(folder, record, monkeypatch, caplog) -> None:
    monkeypatch.setattr(followers, "_FIRST_COST_S", 0.0)
    calls: list[str] = []

    def fail(run: RunFolder) -> None:
        calls.append("draw")
        raise OSError("No space left on device")

    monkeypatch.setattr(followers, "draw", fail)
    with caplog.at_level(logging.WARNING), Followers(folder, record, ()) as follow:
        follow(line(1))
        follow(line(2))
    assert calls == ["draw"] and len(caplog.messages) == 1
    assert "progress.png is left out, and the training goes on (No space left" in caplog.text


class Recorder:
    """In place of the packages, which the tests do without: what they were called with."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, float, int]] = []
        self.ended: list[str] = []
        self.resumed: list[str | None] = []

    def start_run(self, run_id: str | None, run_name: str) -> SimpleNamespace:
        self.resumed.append(run_id)
        return SimpleNamespace(info=SimpleNamespace(run_id="abc"))

    def log_params(self, params: Mapping[str, object]) -> None:
        self.params = params

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.logged += [(name, value, step) for name, value in metrics.items()]

    def end_run(self, status: str) -> None:
        self.ended.append(status)


def test_mlflow_gets_every_epoch_and_how_it_ended_and_a_resumed_run_goes_on(
    folder, record, monkeypatch
) -> None:
    mlflow = Recorder()
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    with Followers(folder, record, ["mlflow"]) as follow:
        follow(line(2, dice=DICE))
    assert [entry for entry in mlflow.logged if entry[0].endswith("loss.total")] == [
        ("pretrain/loss.total", 1.0, 1),
        ("train/loss.total", 1.0, 1),
        ("train/loss.total", 0.5, 2),
    ]
    assert ("train/dice.FLAIR_T1ce WT", 0.5, 2) in mlflow.logged and mlflow.params["recipe"] == "baseline"
    mlflow.logged.clear()
    with pytest.raises(ZeroDivisionError), Followers(folder, record, ["mlflow"]) as follow:
        follow(line(2, dice=DICE))
        raise ZeroDivisionError
    assert {step for _, _, step in mlflow.logged} == {2}
    assert mlflow.resumed == [None, "abc"] and mlflow.ended == ["FINISHED", "FAILED"]


def test_tensorboard_has_each_epoch_once_after_a_resume(folder, record) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    for _ in range(2):
        with Followers(folder, record, ["tensorboard"]) as follow:
            follow(line(2, dice=DICE))
    events = accumulator.EventAccumulator(str(folder.tensorboard))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss.total")] == [(1, 1.0), (2, 0.5)]


@pytest.mark.parametrize(
    ("track", "words"),
    [("mlflow", 'pip install "missing-modality\\[mlflow\\]"'), ("mlflo", "Did you mean mlflow")],
)
def test_a_tracker_that_is_not_there_is_refused_before_anything_is_written(
    track, words, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(mm.MissingModalityError, match=words):
        mm.train(tmp_path / "cases", tmp_path / "run", track=[track])
    assert not (tmp_path / "run").exists()
