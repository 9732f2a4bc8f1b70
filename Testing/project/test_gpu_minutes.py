"""The command for a GPU that is there for minutes: each part by itself, and all of it on a CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bundled_student
import gpu_minutes
import packed_cases
import pieces
import timed_training
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.progress import Event, ProgressStage
from MissingModalityLib.inference.student import Student
from MissingModalityLib.synthesis.tumor_cache import tumor_folder
from MissingModalityLib.training.plan import change_plan, make_plan
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run import train
from MissingModalityLib.training.run_folder import RunFolder
from packed_archive import write_packed_case
from prepared_arrays import write_prepared_cases
from tiny_run import log

SMALL = {
    **{"patch_size": 16, "iterations_per_epoch": 1, "network.width": 8, "network.blocks": "1,1"},
    **{"exclude": "none", "precision": "float32"},
    **{f"{stage}.epochs": 1 for stage in make_plan(bundled_student.RECIPE).stages},
}
"""Over the settings of the bundled student."""


def test_files_come_back_from_pieces_of_limited_size(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "pieces"
    (root / "run").mkdir(parents=True)
    first, second = root / "run" / "checkpoint.pt", root / "empty"
    second.write_bytes(b"")
    folder.mkdir()
    (folder / "notes.txt").touch()
    for content in (bytes(range(256)) * 5, b"newer"):
        first.write_bytes(content)
        pieces.split([first, second], root, folder, size=500)
        assert max(path.stat().st_size for path in folder.iterdir()) <= 500
    made = pieces.join(folder, tmp_path / "joined")
    assert {path.relative_to(tmp_path / "joined").as_posix() for path in made} == {
        "run/checkpoint.pt",
        "empty",
    }
    assert made[0].read_bytes() == b"newer" and made[1].read_bytes() == b""
    names = {path.name for path in folder.iterdir()} - {"notes.txt"}
    assert len(names) == 2, "pieces of the older file are still there"
    assert (folder / "notes.txt").exists(), "a file that is no piece is gone"


def test_a_split_that_is_killed_leaves_the_files_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = tmp_path / "state", tmp_path / "pieces"
    path.write_bytes(b"before" * 100)
    pieces.split([path], tmp_path, folder, size=50)
    path.write_bytes(b"after" * 100)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pieces, "write_report", killed)
    with pytest.raises(KeyboardInterrupt):
        pieces.split([path], tmp_path, folder, size=50)
    assert pieces.join(folder, tmp_path / "joined")[0].read_bytes() == b"before" * 100


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (Path.unlink, "cannot be read"),
        (lambda piece: piece.write_bytes(b"x" + piece.read_bytes()[1:]), "damaged"),
    ],
)
def test_pieces_that_are_missing_or_damaged_make_no_file(
    harm: Callable[[Path], Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_bytes(b"state" * 100)
    pieces.split([tmp_path / "state"], tmp_path, tmp_path / "pieces", size=100)
    harm(next((tmp_path / "pieces").glob("*.002")))
    assert pieces.main([str(tmp_path / "pieces"), str(tmp_path / "joined")]) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "joined").iterdir())


def test_files_that_are_there_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"state")
    pieces.split([tmp_path / "state"], tmp_path, tmp_path / "pieces")
    with pytest.raises(CaseError, match="there already"):
        pieces.join(tmp_path / "pieces", tmp_path)


def test_epochs_fill_the_time_in_the_proportions_of_the_recipe() -> None:
    wanted = {"pretrain": 30, "train": 80, "posttrain": 20}
    seconds = {"pretrain": 1.0, "train": 1.0, "posttrain": 2.0}
    tenfold = {"pretrain": 300, "train": 800, "posttrain": 200}
    fit_epochs = timed_training.fit_epochs
    assert fit_epochs(wanted, {}, seconds, 1500) == tenfold
    # 30 s are spent on what is done already
    assert fit_epochs(wanted, {"pretrain": 30}, seconds, 1470) == tenfold
    # nothing that is done is undone, and every stage comes
    assert fit_epochs(wanted, {"pretrain": 5}, seconds, -9) == {"pretrain": 5, "train": 2, "posttrain": 1}


class SimulatedTraining:
    """A training whose epochs take as long as they are told to, on a clock of its own.

    Args:
        monkeypatch: puts it in place of the real one.
        folder: of the run.
        seconds: of an epoch, by stage.
    """

    startup = 3.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, seconds: dict[str, float]) -> None:
        self.now, self.seconds, self.folder = 0.0, seconds, RunFolder(folder)
        self.done = dict.fromkeys(seconds, 0)
        self.plan = make_plan("aem-kd", "segresnet", settings={"iterations_per_epoch": 4})
        monkeypatch.setattr(bundled_student, "begin", self.begin)
        monkeypatch.setattr(timed_training, "train", self.resume)

    def begin(self, data: Path, run: Path, settings: Any, seed: int, device: str, on_progress: Any) -> None:
        on_progress(Event(ProgressStage.PREPARE, 0, 1))
        RunRecord(str(data), {}, (), self.plan).write(self.folder)
        self.folder.checkpoint.touch()
        self.go_on(on_progress)

    def resume(
        self, data: Path, run: Path, resume: bool, settings: Any, device: str, on_progress: Any
    ) -> None:
        over = [name for name in self.done if self.done[name] == self.plan.stages[name].epochs]
        self.plan = change_plan(self.plan, settings, over)
        self.go_on(on_progress)

    def go_on(self, on_progress: Callable[[Event], None]) -> None:
        self.now += self.startup
        for name, stage in self.plan.stages.items():
            while self.done[name] < stage.epochs:
                for step in range(4):
                    self.now += self.seconds[name] / 4
                    on_progress(Event(name, 4 * self.done[name] + step + 1, 4 * stage.epochs))
                self.done[name] += 1


@pytest.mark.parametrize("seconds", [(1.0, 1.0, 1.0), (0.5, 2.0, 4.0), (4.0, 1.0, 0.5)])
def test_a_training_ends_with_its_schedule_shortly_before_its_time(
    seconds: tuple[float, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    training = SimulatedTraining(
        monkeypatch, tmp_path, dict(zip(("pretrain", "train", "posttrain"), seconds, strict=True))
    )
    kept = []
    run = timed_training.TimedRun(
        tmp_path, tmp_path, 500, lambda: kept.append(training.now), clock=lambda: training.now
    )
    run.train()
    assert training.done == {name: stage.epochs for name, stage in training.plan.stages.items()}
    assert 430 < training.now <= 500
    pauses = [second - first for first, second in zip([0.0, *kept], kept, strict=False)]
    assert max(pauses) < timed_training.KEEP_SECONDS + 10 and kept[-1] == training.now


def test_a_training_that_gets_slower_is_ended_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    training = SimulatedTraining(monkeypatch, tmp_path, {"pretrain": 1.0, "train": 1.0, "posttrain": 500.0})
    kept = []
    run = timed_training.TimedRun(
        tmp_path, tmp_path, 300, lambda: kept.append(training.now), clock=lambda: training.now
    )
    run.train()
    assert training.done["train"] > 10 and training.done["posttrain"] == 0
    assert kept[-1] == training.now <= 300 + 500 / 4


def test_a_part_that_fails_or_hangs_leaves_the_others(tmp_path: Path) -> None:
    measurement = gpu_minutes.Measurement(tmp_path / "out", 60, tmp_path)
    script = tmp_path / "part.py"
    script.write_text("import sys, time\ntime.sleep(float(sys.argv[1]))\nsys.exit(int(sys.argv[2]))")
    running = [
        measurement.start(part, [script, *words], limit)
        for part, words, limit in (("hangs", (600, 0), 1), ("fails", (0, 3), 60), ("works", (0, 0), 60))
    ]
    assert [measurement.finish(each) for each in running] == [False, False, True]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(entry["part"], entry["result"]) for entry in results] == [
        ("hangs", "stopped after 1 s"),
        ("fails", "failed with exit code 3, see log.txt"),
        ("works", "done"),
    ]
    assert "fails: failed with exit code 3" in (tmp_path / "out" / "log.txt").read_text()


def test_what_is_kept_of_a_run_goes_on_elsewhere(tmp_path: Path) -> None:
    data, run = tmp_path / "prepared", tmp_path / "work" / "run"
    write_prepared_cases(data)
    bundled_student.begin(data, run, SMALL, device="cpu")
    timed_training.keep_result(run, tmp_path / "out")
    assert Student.load(tmp_path / "out" / timed_training.STUDENT).card["name"] == bundled_student.NAME
    joined = tmp_path / "joined"
    assert joined / timed_training.STUDENT in pieces.join(tmp_path / "out" / "pieces", joined)
    before, moved = log(joined / "run"), data.rename(tmp_path / "moved")
    settings = {f"{before[-1]['stage']}.epochs": 2}
    train(moved, joined / "run", resume=True, settings=settings, device="cpu")
    assert log(joined / "run")[:-1] == before and log(joined / "run")[-1]["epoch"] == 2


@pytest.mark.parametrize("method", ["aem", pytest.param("grown", marks=pytest.mark.slow)])
def test_tumors_are_made_ahead_as_training_wants_them(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bundled_student.SETTINGS, "train.synthesis.method", method)
    write_prepared_cases(tmp_path, count=4)  # one of them is held out
    timed_training.make_tumors(tmp_path, exclude=["patient_1"])
    made = sorted(tumor_folder(tmp_path).iterdir())
    assert len(made) >= 2 and not any("patient_1" in path.name for path in made)
    settings = {**SMALL, "exclude": "patient_1"}
    bundled_student.begin(tmp_path, tmp_path / "run", settings, device="cpu")
    assert sorted(tumor_folder(tmp_path).iterdir()) == made


def test_cases_are_prepared_and_what_cannot_be_read_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_packed_case(tmp_path / "packed" / "patient.zip")
    (tmp_path / "packed" / "no_archive.zip").write_text("text")
    places = ["--packed", str(tmp_path / "packed"), "--output", str(tmp_path / "out")]
    assert gpu_minutes.main([*places, "--parts", "prepare"]) == 1
    assert "1 of 2 cases prepared" in (tmp_path / "out" / "log.txt").read_text()
    (result,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result["result"] == "failed with exit code 2, see log.txt"


def test_of_two_packed_cases_of_one_name_the_second_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two patients, of whom one would be written over."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(folders):
        write_packed_case(folder / "patient.zip", seed=seed)
    own = packed_cases.prepare_packed(folders[0] / "patient.zip", tmp_path / "own").path
    places = ["--packed", *map(str, folders), "--output", str(tmp_path / "out"), "--jobs", "1"]
    assert packed_cases.main(places) == 2
    assert (tmp_path / "out" / own.name).read_bytes() == own.read_bytes()
    said = capsys.readouterr().out
    assert f"{folders[1] / 'patient.zip'}: left out" in said and "1 of 2 cases prepared" in said


def test_the_run_of_an_earlier_session_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_bytes(b"state")
    pieces.split([tmp_path / "state"], tmp_path, tmp_path / "out" / "pieces")
    before = sorted(path.read_bytes() for path in (tmp_path / "out" / "pieces").iterdir())
    output = ["--output", str(tmp_path / "out")]
    assert gpu_minutes.main(["--packed", str(tmp_path), *output]) == 2
    assert timed_training.main(["--data", str(tmp_path), *output, "--until", "1"]) == 2
    assert capsys.readouterr().err.count("would replace. Choose another folder.") == 2
    assert sorted(path.read_bytes() for path in (tmp_path / "out" / "pieces").iterdir()) == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pieces"]


def test_a_timed_training_takes_settings_of_its_own() -> None:
    words = ["--data", "cases", "--output", "out", "--until", "1", "--set", "patch_size=32", "epochs=1"]
    options = timed_training._options(words)
    assert dict(options.settings) == {"patch_size": "32", "epochs": "1"}


@pytest.mark.slow
def test_packed_cases_become_a_student_in_the_time_given(tmp_path: Path) -> None:
    for number in range(3):
        write_packed_case(tmp_path / "packed" / f"patient_{number}.zip", seed=number)
    places = ["--packed", str(tmp_path / "packed"), "--output", str(tmp_path / "out")]
    changes = ["--set", *(f"{key}={value}" for key, value in SMALL.items())]
    assert gpu_minutes.main([*places, "--seconds", "100", "--parts", "prepare", "train", *changes]) == 0
    assert Student.load(tmp_path / "out" / timed_training.STUDENT).card["name"] == bundled_student.NAME
