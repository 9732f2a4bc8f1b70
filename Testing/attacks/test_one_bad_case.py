"""A case that fails in whatever way costs itself alone, in every command on many cases."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.failures import LOG_FILE
from MissingModalityLib.datasets.case import Case
from MissingModalityLib.evaluation import student_scores
from MissingModalityLib.imaging import reading
from MissingModalityLib.inference import folder_patients
from raw_volumes import packed_nifti
from small_cases import write_shell_case
from tiny_run import TINY, record

GOOD, BAD = "BraTS2021_90001", "BraTS2021_90002"
FAULTS = (ValueError("no\nsense"), MemoryError(), RecursionError("deep"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two cases with labels."""
    for seed, name in enumerate((GOOD, BAD)):
        write_shell_case(tmp_path / "data" / name, seed=seed)
    return tmp_path / "data"


@pytest.fixture(params=FAULTS, ids=lambda error: type(error).__name__)
def fault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Exception:
    """What the reading of one case ends with, though nobody foresaw it."""
    read_study: Callable[[Case], object] = reading.read_study

    def failing(case: Case) -> object:
        if case.name == BAD:
            raise request.param
        return read_study(case)

    for module in (reading, folder_patients, student_scores):
        monkeypatch.setattr(module, "read_study", failing)
    return request.param


def run(command: str, data: Path, output: Path, *options: object) -> int:
    places = ["--data", data, "--output", output, *options, "--progress", "none"]
    return main([command, *map(str, places)])


def assert_logged(folder: Path, fault: Exception) -> None:
    log = (folder / LOG_FILE).read_text()
    assert log.startswith(f"{BAD}\n") and "Traceback" in log and type(fault).__name__ in log


def test_a_folder_is_segmented_but_for_the_case(
    data: Path, tmp_path: Path, student: Path, fault: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run("segment-folder", data, output, "--student", student, "--device", "cpu") == 1
    with (output / "volumes.csv").open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert rows[GOOD]["error"] == "" and rows[BAD]["error"].startswith(type(fault).__name__)
    assert (output / f"{GOOD}.seg.nrrd").exists() and not list(output.glob(f"{BAD}*"))
    assert "Traceback" not in "".join(capfd.readouterr())
    assert_logged(output, fault)


def test_a_folder_is_prepared_but_for_the_case(data: Path, tmp_path: Path, fault: Exception) -> None:
    output = tmp_path / "out"
    assert run("prepare", data, output) == 1
    report = json.loads((output / "report.json").read_text())
    assert (list(report["cases"]), report["unforeseen"]) == ([GOOD], [BAD])
    assert report["skipped"][0]["reason"].startswith(type(fault).__name__)
    assert_logged(output, fault)


def test_a_folder_is_evaluated_but_for_the_case(
    data: Path, tmp_path: Path, student: Path, fault: Exception
) -> None:
    output = tmp_path / "out"
    assert run("evaluate", data, output, "--student", student, "--device", "cpu") == 1
    summary = json.loads((output / "summary.json").read_text())
    assert [case["name"] for case in summary["cases"]] == [GOOD]
    assert summary["skipped"][0]["reason"].startswith(type(fault).__name__)
    assert_logged(output, fault)


@pytest.mark.parametrize("fault", FAULTS[:1], indirect=True)
def test_a_training_leaves_the_case_out(data: Path, tmp_path: Path, fault: Exception) -> None:
    output = tmp_path / "run"
    settings = [f"{name}={value}" for name, value in TINY.items() if name != "network"]
    network = [f"network.{name}={json.dumps(value)}" for name, value in TINY["network"].items()]
    assert run("train", data, output, "--device", "cpu", "--set", *settings, *network) == 0
    kept = record(output)
    (left_out,) = kept["left_out"]
    assert (list(kept["cases"]), left_out["name"]) == ([GOOD], BAD)
    assert left_out["reason"].startswith(type(fault).__name__)
    assert_logged(output / "prepared", fault)


@pytest.mark.parametrize(
    ("command", "offset"),
    [("segment-folder", float("nan")), ("prepare", float("inf")), ("evaluate", 0.0)],
)
def test_bad_input_of_one_case_is_no_failure_of_the_folder(
    data: Path, tmp_path: Path, student: Path, command: str, offset: float
) -> None:
    (data / BAD / "flair.nii.gz").write_bytes(packed_nifti(vox_offset=offset))
    options = () if command == "prepare" else ("--student", student, "--device", "cpu")
    assert run(command, data, tmp_path / "out", *options) == (1 if command == "segment-folder" else 0)
    assert not (tmp_path / "out" / LOG_FILE).exists()
    assert any(tmp_path.glob("out/*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("command", ["cases", "prepare", "segment-folder", "evaluate"])
def test_pipes_devices_and_links_in_circles_stop_no_folder(
    data: Path, tmp_path: Path, student: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "circle": _circle}
    for name in ("flair.nii.gz", "seg.nii.gz"):
        for kind, make in bad.items():
            case = data / f"{BAD}-{kind}-{name[:3]}"
            shutil.copytree(data / BAD, case)
            (case / name).unlink()
            make(case / name)
    shutil.rmtree(data / BAD)
    if command == "cases":
        assert main([command, str(data)]) == 0
        return
    options = () if command == "prepare" else ("--student", student, "--device", "cpu")
    assert run(command, data, tmp_path / "out", *options) == (1 if command == "segment-folder" else 0)
    assert not (tmp_path / "out" / LOG_FILE).exists()
    said = "".join(capfd.readouterr())
    assert all(f"{BAD}-{kind}-fla" in said for kind in bad)


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


def test_a_package_that_is_missing_is_no_failure_of_a_case(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(case: Case) -> object:
        raise ModuleNotFoundError("none", name="scipy")

    monkeypatch.setattr(reading, "read_study", failing)
    assert run("prepare", data, tmp_path / "out") == 2
    assert "'scipy' is not installed" in capsys.readouterr().err
