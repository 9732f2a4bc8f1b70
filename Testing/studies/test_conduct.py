"""A small study for real: trained once, resumed, shared out, and its table."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

import MissingModalityLib as mm
from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.progress import Event, ProgressStage
from MissingModalityLib.core.setting_texts import as_text
from MissingModalityLib.core.settings import flat
from MissingModalityLib.runtime import lock
from MissingModalityLib.studies import conduct, registry, sizes
from MissingModalityLib.studies.conduct import StudyRequest, prepare_study
from MissingModalityLib.studies.grids import NOT_AVAILABLE, NOT_YET, TRAINED_ON
from MissingModalityLib.studies.study import DataSet, Row, Study, Training
from processes import torchrun
from small_cases import write_block_case
from tiny_run import TINY, log

HOST = Training("segresnet")
SMALL = Study(
    "small",
    "made up",
    (
        Row("host", HOST),
        Row("longer", Training("segresnet", "aem-kd", "posttrain", after=HOST), base="host"),
        Row("of tomorrow", Training("no_such_network"), base="host"),
    ),
    "a paper",
    (DataSet("a data set", ("",)),),
    equal_steps=False,
    course="posttrain",
)
SETTINGS = {key: value for key, value in TINY.items() if key != "epochs"} | {"iterations_per_epoch": 1}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases of two sequences, which have three subsets to score; not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("patient_a", "patient_b")):
        write_block_case(folder / name, patient=number)
    return folder


@pytest.fixture(scope="module", autouse=True)
def declared() -> Any:
    """The small study beside the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "STUDIES", {**registry.STUDIES, "small": SMALL})
        yield


def asked(data: Path, output: Path, **more: Any) -> dict[str, Any]:
    return {
        **{"name": "small", "data": data, "output": output, "test": data, "preset": "quick", "steps": 2},
        **{"settings": SETTINGS, **more},
    }


@pytest.fixture(scope="module")
def conducted(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of the small study, whole, and what it returned; not to be changed."""
    output = tmp_path_factory.mktemp("study")
    # run 1 alone first: what it begins with is trained along
    result = mm.study(**asked(cases, output), run=1)
    assert "markdown" not in result and not (output / "small.md").exists()
    return output, mm.study(**asked(cases, output))


def test_the_table_has_what_was_scored_and_says_what_is_not_available(
    conducted: tuple[Path, dict[str, Any]],
) -> None:
    output, result = conducted
    text = (output / "small.md").read_text("utf-8")
    assert text == result["markdown"] and "longer less host" in text
    assert "Warning: networks were trained on test cases: patient_a" in text
    head, host, longer, tomorrow = csv.reader((output / "small.csv").open())
    assert head[:4] == ["", "Dice WT", "Dice TC", "Dice ET"] and tomorrow[1] == NOT_AVAILABLE
    assert float(host[1]) >= 0 and float(longer[1]) >= 0
    assert [test["name"] for test in result["tests"]] == ["longer"]
    pictures = ("small.png", "small-subsets.png", "small-course.png", "small-case/patient_a.png")
    assert all((output / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert not (output / "small-sizes.png").exists(), "both rows have one network"
    assert len(result["runs"]) == 2 and all((Path(run) / "run.json").exists() for run in result["runs"])


def test_what_is_over_is_not_made_again(conducted: tuple[Path, dict[str, Any]], cases: Path) -> None:
    output, result = conducted

    def times() -> dict[Path, int]:
        return {
            path: path.stat().st_mtime_ns
            for part in ("runs", "small-case")
            for path in output.glob(f"{part}/**/*")
        }

    before, said = times(), []
    assert mm.study(**asked(cases, output), on_progress=said.append)["tables"] == result["tables"]
    assert {event.stage for event in said} <= {ProgressStage.CHECK} and before == times()


@pytest.mark.parametrize("file", ["flair", "seg"])
def test_a_run_that_is_over_is_not_used_where_a_name_holds_something_else(
    conducted: tuple[Path, dict[str, Any]], cases: Path, tmp_path: Path, file: str
) -> None:
    data, output = tmp_path / "data", tmp_path / "study"
    shutil.copytree(cases, data)
    shutil.copytree(conducted[0], output)
    mm.study(**asked(data, output))  # the data may have moved
    exchange(data / "patient_b", file)
    key = {"flair": "FLAIR", "seg": "label"}[file]
    told = rf"case 'patient_b' of the run '.*' has other voxels than when the run began \({key}\).*--output"
    with pytest.raises(CaseError, match=told):
        mm.study(**asked(data, output))
    assert mm.study(**asked(data, output), train=False)["tables"] == conducted[1]["tables"]
    for run in prepare_study(StudyRequest(**asked(data, output))).runs.runs:
        run.student.unlink()  # as of runs that were stopped, which are refused before any of them goes on
    with pytest.raises(CaseError, match=told):
        mm.study(**asked(data, output))


def test_scores_are_not_used_where_a_name_holds_something_else(
    conducted: tuple[Path, dict[str, Any]], cases: Path, tmp_path: Path
) -> None:
    test, output = tmp_path / "test", tmp_path / "study"
    shutil.copytree(cases, test)
    shutil.copytree(conducted[0], output)
    exchange(test / "patient_a", "t1ce")
    told = r"case 'patient_a' of the scores in '(.*)' has other voxels .* scored \(T1CE\).*remove that folder"
    with pytest.raises(CaseError, match=told) as refused:
        mm.study(**asked(cases, output, test=test))
    shutil.rmtree(re.search(told, str(refused.value))[1])
    mm.study(**asked(cases, output, test=test), run=0)


def exchange(case: Path, file: str) -> None:
    """Put the file of another patient in the place of one."""
    other = write_block_case(case.parent.parent / "other", patient=7)
    if file != "seg":
        shutil.copy2(other / f"{file}.nii.gz", case)
        return
    path = str(case / "seg.nii.gz")
    sitk.WriteImage(sitk.ShiftScale(sitk.ReadImage(path) != 0, 0, 2), path)


def test_a_run_that_was_trained_on_by_hand_is_scored_again(
    conducted: tuple[Path, dict[str, Any]], cases: Path, tmp_path: Path
) -> None:
    output = tmp_path / "study"
    shutil.copytree(conducted[0], output)
    work = prepare_study(StudyRequest(**asked(cases, output)))
    host = work.runs.runs[0]
    mm.train(None, host.folder.path, settings={"epochs": 3}, resume=True)
    lines = mm.study(**asked(cases, output), train=False)["tables"]["dice"][1:]
    assert [line[1] for line in lines] == [TRAINED_ON, conducted[1]["tables"]["dice"][2][1], NOT_AVAILABLE]
    told = conduct.evaluation_folder(work, host) / "summary.json"
    before = json.loads(told.read_text())
    told.write_text(json.dumps({key: before[key] for key in before if key != "weights_sha256"}))
    text = mm.study(**asked(cases, output))["markdown"]
    assert TRAINED_ON not in text and "Optimizer steps in all: host 3, longer 2" in text
    assert json.loads(told.read_text())["weights_sha256"] != before["weights_sha256"]


def test_rows_that_lack_say_so_and_runs_have_states(cases: Path, tmp_path: Path) -> None:
    request = StudyRequest(**asked(cases, tmp_path))
    result = mm.study(**asked(cases, tmp_path), train=False)
    assert [line[1] for line in result["tables"]["dice"][1:]] == [NOT_YET, NOT_YET, NOT_AVAILABLE]
    runs = prepare_study(request).runs.runs
    assert [run.state for run in runs] == ["to do", "to do"]
    runs[0].folder.path.mkdir(parents=True)
    runs[0].student.touch()
    assert [run.state for run in prepare_study(request).runs.runs] == ["over", "to do"]


def test_runs_are_scored_by_their_rule_for_the_cavity(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules: list[str] = []

    def evaluate_folder(*_: Any, resection_cavity: str, **__: Any) -> None:
        rules.append(resection_cavity)

    monkeypatch.setattr("MissingModalityLib.evaluation.evaluate.evaluate_folder", evaluate_folder)
    monkeypatch.setattr("MissingModalityLib.training.stage_students.export", lambda *_: None)
    folders = []
    for rule in ("background", "class"):
        request = StudyRequest(**asked(cases, tmp_path, settings=SETTINGS | {"resection_cavity": rule}))
        work = prepare_study(request)
        conduct._score(work, work.runs.runs[0], lambda event: None)
        folders.append(conduct.evaluation_folder(work, work.runs.runs[0]).name)
    assert rules == ["background", "class"] and len(set(folders)) == 2


def test_what_another_process_is_at_is_left_to_it_and_waited_for(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = prepare_study(StudyRequest(**asked(cases, tmp_path))).runs.runs
    at_work, done = {first.folder.path}, []
    monkeypatch.setattr(lock, "is_held", lambda folder: folder in at_work)
    monkeypatch.setattr(conduct, "train_run", lambda run, *_: done.append(run.folder.path))
    monkeypatch.setattr(conduct, "_score", lambda work, run, report: done.append("scored"))

    def wait(seconds: float) -> None:
        at_work.clear()
        first.folder.path.mkdir(parents=True)
        first.student.touch()

    monkeypatch.setattr(conduct, "sleep", wait)
    mm.study(**asked(cases, tmp_path), run=1)
    assert done == ["scored", second.folder.path, "scored"]


@pytest.mark.slow
def test_a_study_that_was_stopped_goes_on_to_the_same_table(
    conducted: tuple[Path, dict[str, Any]], cases: Path, tmp_path: Path
) -> None:
    seen: list[str] = []

    def stop(event: Event) -> None:
        seen.append(event.stage)
        if event.stage == "posttrain":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mm.study(**asked(cases, tmp_path), on_progress=stop)
    result = mm.study(**asked(cases, tmp_path))
    assert result["tables"] == conducted[1]["tables"]


def test_a_preset_that_takes_few_cases_trains_on_the_first_alone(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(sizes.SIZES["quick"], training_cases=1, test_cases=2)
    monkeypatch.setattr(sizes, "SIZES", {"quick": small})
    (division,) = prepare_study(StudyRequest(**asked(cases, tmp_path))).divisions
    assert (division.training, division.test) == (("patient_a",), ("patient_a", "patient_b"))


@pytest.mark.slow  # thirty trainings and fifteen evaluations
def test_all_of_table_4_is_trained_scored_and_drawn(tiny_cases: Path, tmp_path: Path) -> None:
    small = {"patch_size": [16, 16, 16], "num_workers": 0}
    result = mm.study(
        "table4", tiny_cases, tmp_path, "quick", test=tiny_cases, steps=3, settings=small, device="cpu"
    )
    head, *rows = result["tables"]["dice"]
    assert len(rows) == 5 * 3 and head[:4] == ["", "Dice WT", "Dice TC", "Dice ET"]
    assert all(0 <= float(cell) <= 100 for row in rows for cell in row[1:5])
    assert [row[0] for row in rows if row[5]] == [
        *("U-HVED", "U-HVED+AEM", "U-HVED+AEM+KD", "RobustSeg", "RobustSeg+AEM", "RobustSeg+AEM+KD"),
        *("RFNet", "RFNet+AEM", "RFNet+AEM+KD"),
    ]
    assert len(result["tests"]) == 5 * 2 and len(result["runs"]) == 5 * (1 + 2 + 3)
    assert (tmp_path / "table4-case" / "patient_a.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"name": "smal"}, "Did you mean small"),
        ({"preset": "tiny"}, "Unknown preset"),
        ({"preset": "paper"}, "Steps are those that the paper has"),
        ({"run": 7}, "the study has 2 runs, from 0 on"),
        ({"settings": {"epoch": 3}}, "Did you mean epochs"),
        ({"data_set": "BraTS"}, "Choose one of: a data set"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(
    changes: dict[str, Any], word: str, cases: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=word):
        mm.study(**asked(cases, tmp_path / "out", **changes))
    assert not (tmp_path / "out" / "runs").exists()


def test_a_file_in_place_of_the_folder_is_refused(cases: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CaseError, match="is a file, not a folder"):
        mm.study(**asked(cases, tmp_path / "file"))


@pytest.mark.slow  # starts two processes, half a minute
def test_processes_of_torchrun_share_each_run_and_write_one_table(cases: Path, tmp_path: Path) -> None:
    settings = [f"{key}={as_text(value)}" for key, value in flat(SETTINGS | {"batch_size": 2}).items()]
    places = ["--data", cases, "--test", cases, "--output", tmp_path]
    sizes = ["--preset", "quick", "--steps", 2, "--only", 1, "--device", "cpu"]
    command = ["-m", "MissingModalityLib", "study", "recipes", *places, *sizes]
    done = torchrun(*command, "--progress", "none", "--set", *settings)
    assert done.returncode == 0, done.stderr[:3000]
    assert done.stdout == "Run 1 of recipes is over.\n"
    (trained,) = (path for path in (tmp_path / "runs").iterdir() if list(path.glob("evaluation-*")))
    assert len(log(trained)) == 1
