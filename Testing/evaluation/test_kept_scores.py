"""An evaluation that was stopped goes on with the next case, and takes over no score that may be another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.progress import Event
from MissingModalityLib.evaluation import evaluate as evaluate_module
from MissingModalityLib.evaluation import kept_scores
from MissingModalityLib.evaluation.evaluate import evaluate_folder, read_evaluation
from MissingModalityLib.evaluation.foreign import evaluate_predictions
from MissingModalityLib.evaluation.rows_file import SCORE_COLUMNS
from processes import environment
from small_cases import BOTH, write_shell_case
from small_networks import blind_student, tiny_student

FIRST, SECOND = "BraTS2021_90002", "BraTS2021_90003"


class Stopped(BaseException):
    """As Ctrl-C, which no code takes for a fault of a case."""


@pytest.fixture
def student(tmp_path: Path) -> Path:
    tiny_student().save(tmp_path / "s.safetensors")
    return tmp_path / "s.safetensors"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for seed, name in enumerate((FIRST, SECOND)):
        write_shell_case(tmp_path / "data" / name, BOTH, seed=seed)
    return tmp_path / "data"


def evaluate(student: Path, data: Path, output: Path, **options: str) -> list[str]:
    """Cases whose scores were taken over."""
    told: list[str] = []
    evaluate_folder(
        student, data, output, device="cpu", on_progress=lambda event: told.append(event.message), **options
    )
    return [message.removesuffix(", scored before") for message in told if message.endswith("scored before")]


def stop_at(case: str, student: Path, data: Path, output: Path) -> None:
    def on_progress(event: Event) -> None:
        if event.message.startswith(case):
            raise Stopped

    with pytest.raises(Stopped):
        evaluate_folder(student, data, output, device="cpu", on_progress=on_progress)


def test_a_stopped_evaluation_goes_on_and_ends_as_one_in_one_go(
    student: Path, data: Path, tmp_path: Path
) -> None:
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    stop_at(SECOND, student, data, stopped)
    assert evaluate(student, data, stopped) == [FIRST]
    assert evaluate(student, data, whole) == []
    for name in ("cases.csv", "table.md"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    facts = [{**read_evaluation(folder), "seconds": 0} for folder in (stopped, whole)]
    assert facts[0] == facts[1]
    assert sorted(path.name for path in stopped.iterdir()) == sorted(path.name for path in whole.iterdir())


def test_scores_of_another_model_another_rule_and_other_files_are_not_taken_over(
    student: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, output = tmp_path / "kept", tmp_path / "output"
    stop_at(SECOND, student, data, kept)

    def taken(**options: str) -> list[str]:
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(kept, output)
        return evaluate(options.pop("model", student), data, output, **options)

    assert taken() == [FIRST]
    blind_student().save(tmp_path / "other.safetensors")
    assert taken(model=tmp_path / "other.safetensors") == []
    assert taken(hd95_rule="zero") == []
    with monkeypatch.context() as patched:  # a version that measures more
        patched.setattr(evaluate_module, "SCORE_COLUMNS", (*SCORE_COLUMNS, "another"))
        assert taken() == []
    label = next((data / FIRST).glob("*seg*"))
    image = sitk.ReadImage(str(label))
    image.SetSpacing([2.0, 2.0, 2.0])
    sitk.WriteImage(image, str(label))
    assert taken() == []


def test_label_maps_are_scored_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    maps, whole = tmp_path / "maps", tmp_path / "whole"
    maps.mkdir()
    for name in (FIRST, SECOND):
        shutil.copy(next((data / name).glob("*seg*")), maps / f"{name}.nii.gz")
    image = sitk.ReadImage(str(maps / f"{FIRST}.nii.gz"))
    evaluate_predictions(maps, data, whole)

    def score(output: Path, stop: bool = False) -> list[str]:
        told: list[str] = []

        def on_progress(event: Event) -> None:
            if stop and event.message.startswith(SECOND):
                raise Stopped
            told.append(event.message)

        evaluate_predictions(maps, data, output, on_progress=on_progress)
        return [message for message in told if message.endswith("scored before")]

    for output, change in (("same", False), ("other", True)):
        with pytest.raises(Stopped):
            score(tmp_path / output, stop=True)
        if change:
            sitk.WriteImage(image * 0, str(maps / f"{FIRST}.nii.gz"))
        assert score(tmp_path / output) == ([] if change else [f"{FIRST}, scored before"])
        same = (tmp_path / output / "cases.csv").read_bytes() == (whole / "cases.csv").read_bytes()
        assert same is not change and not (tmp_path / output / "scored").exists()


def test_what_was_kept_and_is_damaged_is_scored_again(student: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    for damage in (b"", b"{}", b"[1, 2]", b"\xff", None):
        stop_at(SECOND, student, data, output)
        (kept,) = (output / "scored").iterdir()
        kept.write_bytes(kept.read_bytes()[:-200] if damage is None else damage)
        assert evaluate(student, data, output) == []


def test_a_folder_that_another_evaluation_writes_into_is_refused_and_loses_nothing(
    student: Path, data: Path, tmp_path: Path
) -> None:
    output, maps = tmp_path / "output", tmp_path / "maps"
    maps.mkdir()
    shutil.copy(next((data / FIRST).glob("*seg*")), maps / f"{FIRST}.nii.gz")
    stop_at(SECOND, student, data, output)
    assert [path.name for path in output.iterdir()] == ["scored"]
    code = (
        "import sys\nfrom contextlib import ExitStack\nfrom pathlib import Path\n"
        "from MissingModalityLib.evaluation.evaluate import take_folder\n"
        "with ExitStack() as held:\n"
        "    take_folder(Path(sys.argv[1]), held)\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, output]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(CaseError, match="output: another process is writing scores into this folder"):
            evaluate(student, data, output)
        with pytest.raises(CaseError, match="another process is writing scores into this folder"):
            evaluate_predictions(maps, data, output)
        other.kill()
    assert len(list((output / "scored").iterdir())) == 1
    assert evaluate(student, data, output) == [FIRST]
    assert not list(output.glob("*.lock"))


def test_another_file_in_the_folder_of_kept_scores_stays(student: Path, data: Path, tmp_path: Path) -> None:
    own = tmp_path / "output" / "scored" / "notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    stop_at(SECOND, student, data, tmp_path / "output")
    evaluate(student, data, tmp_path / "output")
    assert [path.name for path in own.parent.iterdir()] == [own.name]


def test_an_evaluation_that_can_write_nothing_is_refused_before_its_first_case(
    student: Path, data: Path
) -> None:
    """A folder in which nobody can make a file, as on a disk that is read only."""
    told: list[Event] = []
    with pytest.raises(CaseError, match=r"fd: cannot be written .*another output folder"):
        evaluate_folder(student, data, Path("/proc/self/fd"), device="cpu", on_progress=told.append)
    assert not told


def test_scores_of_data_named_by_another_path_are_not_taken_over(
    student: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warnings that were kept name files in it, and results tell no folder of this machine."""
    monkeypatch.chdir(tmp_path)
    stop_at(SECOND, student, Path("data"), tmp_path / "output")
    assert evaluate(student, data, tmp_path / "output") == []


def test_what_was_not_kept_for_lack_of_room_leaves_no_folder(
    student: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept_scores, "write_report", full)
    stop_at(SECOND, student, data, tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_what_a_process_that_was_killed_left_half_written_goes(
    student: Path, data: Path, tmp_path: Path
) -> None:
    stop_at(SECOND, student, data, tmp_path / "output")
    left = tmp_path / "output" / "scored" / ".unfinished-0123456789ab-scores.json"
    left.write_text("{")
    os.utime(left, (0, 0))
    evaluate(student, data, tmp_path / "output")
    assert not left.parent.exists()
