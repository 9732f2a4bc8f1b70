"""A student file and a folder of cases in, the papers' table out."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import load_file

from calibrations import constant_calibration
from mask_scores import score_regions
from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.modalities import SUBSETS, Modality, subset_name
from MissingModalityLib.core.progress import Event
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation import attach
from MissingModalityLib.evaluation.attach import attach_evaluation
from MissingModalityLib.evaluation.averages import summarize
from MissingModalityLib.evaluation.calibration import FEWEST_PATIENTS
from MissingModalityLib.evaluation.estimate_scores import score_estimates
from MissingModalityLib.evaluation.evaluate import (
    evaluate_folder,
    read_evaluation,
)
from MissingModalityLib.evaluation.hd95_rules import HD95_RULES
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.evaluation.model_card import write_model_card
from MissingModalityLib.evaluation.rows_file import read_rows, rows_to_csv
from MissingModalityLib.evaluation.tables import markdown_table
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study, read_label, read_study
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.doubt import FEATURES
from MissingModalityLib.inference.student import Student
from MissingModalityLib.inference.weights import weights_sha256
from MissingModalityLib.networks import build
from small_cases import BOTH, write_shell_case
from small_networks import blind_student, tiny_student


@dataclass
class Evaluated:
    student: Path
    data: Path
    output: Path
    result: dict[str, Any]
    events: list[Event]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """A folder with a whole case, one of two modalities, one without label and one that is damaged."""
    root = tmp_path_factory.mktemp("evaluation")
    data = root / "data"
    write_shell_case(data / "BraTS2021_90001")
    write_shell_case(data / "BraTS2021_90002", BOTH, seed=1, enhancing=False)
    write_shell_case(data / "BraTS2021_90003", seed=2, label=False)
    damaged = write_shell_case(data / "BraTS2021_90004", seed=3) / "t1.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:400])
    student = root / "tiny.safetensors"
    tiny_student().save(student)
    events: list[Event] = []
    result = evaluate_folder(student, data, root / "new" / "output", device="cpu", on_progress=events.append)
    return Evaluated(student, data, root / "new" / "output", result, events)


def test_every_case_is_scored_on_the_subsets_it_allows(evaluated: Evaluated) -> None:
    rows = evaluated.result["rows"]
    subsets = {
        name: [row["subset"] for row in rows if row["case"] == name and row["region"] == "WT"]
        for name in ("BraTS2021_90001", "BraTS2021_90002")
    }
    assert subsets["BraTS2021_90001"] == [subset_name(subset) for subset in SUBSETS]
    assert subsets["BraTS2021_90002"] == ["T1ce", "FLAIR", "FLAIR+T1ce"]
    assert len(rows) == (15 + 3) * len(SCORED_REGIONS)
    counts = {entry["subset"]: entry["cases"] for entry in evaluated.result["subsets"]}
    assert [counts["T2"], counts["FLAIR"], counts["FLAIR+T1ce"]] == [1, 2, 2]


def test_unusable_cases_are_skipped_with_the_reason(evaluated: Evaluated) -> None:
    reasons = {entry["path"]: entry["reason"] for entry in evaluated.result["skipped"]}
    assert reasons.keys() == {"BraTS2021_90003", "BraTS2021_90004"}
    assert "no label" in reasons["BraTS2021_90003"]
    assert "t1.nii.gz" in reasons["BraTS2021_90004"]
    assert str(evaluated.data) not in json.dumps(evaluated.result)
    table = (evaluated.output / "table.md").read_text()
    assert "Skipped: BraTS2021_90003" in table
    assert "Skipped: BraTS2021_90004" in table


def test_files_and_result_agree(evaluated: Evaluated) -> None:
    assert sorted(path.name for path in evaluated.output.iterdir()) == [
        "cases.csv",
        "heatmap.png",
        "summary.json",
        "table.md",
    ]
    with (evaluated.output / "cases.csv").open() as file:
        head = next(csv.reader(file))
    assert head[:7] == ["case", "subset", "region", "dice", "hd95", "predicted", "reference"]
    assert head[7:9] == ["lesion_dice", "lesion_hd95"] and head[9 : -len(FEATURES)] == [
        *("sensitivity", "specificity", "precision", "iou", "surface_dice_1mm", "surface_dice_2mm"),
        *("lesions_found", "lesions_missed", "lesions_invented", "voxel_mm3", "ece", "brier", "presence"),
    ]
    assert tuple(head[-len(FEATURES) :]) == FEATURES
    assert read_evaluation(evaluated.output) == json.loads(json.dumps(evaluated.result))
    rows = read_rows(evaluated.output / "cases.csv")
    assert summarize(rows)["averages"] == evaluated.result["averages"]
    assert evaluated.result["weights_sha256"] == weights_sha256(Student.load(evaluated.student).network)
    assert "torch" in evaluated.result["versions"]


@pytest.mark.parametrize("half", [False, True])
def test_a_student_file_keeps_its_evaluation_and_its_precision(
    evaluated: Evaluated, tmp_path: Path, half: bool
) -> None:
    path = tmp_path / "tiny.safetensors"
    Student.load(evaluated.student).save(path, half=half)
    result = evaluate_folder(path, evaluated.data / "BraTS2021_90002", tmp_path / "scores", device="cpu")
    size, before = path.stat().st_size, load_file(path)
    entry = attach_evaluation(path, tmp_path / "scores")
    after = load_file(path)
    assert {name: value.dtype for name, value in after.items()} == {
        name: value.dtype for name, value in before.items()
    }
    assert (torch.float16 in {value.dtype for value in after.values()}) == half
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert size < path.stat().st_size < size + 8000
    card = Student.load(path).card
    assert card["evaluation"] == entry
    assert (entry["cases"], entry["hd95_rule"], entry["data"]) == (1, "penalty", "BraTS2021_90002")
    assert entry["date"] == result["date"] and "rows" not in entry
    assert [subset["subset"] for subset in entry["subsets"]] == ["T1ce", "FLAIR", "FLAIR+T1ce"]
    for found, expected in zip(entry["subsets"], result["subsets"], strict=True):
        assert found["dice"] == pytest.approx(expected["dice"], abs=5e-5)
        assert found["hd95"] == pytest.approx(expected["hd95"], abs=5e-3)
        assert found["dice"].keys() == set(SCORED_REGIONS) and found["dice_std"]["WT"] is None
    assert card["window"] == Student.load(evaluated.student).card["window"]


@pytest.mark.parametrize(("held_out", "stored"), [((), False), (("BraTS2021_90002",), True)])
def test_scores_on_cases_of_the_training_do_not_get_into_the_file(
    evaluated: Evaluated,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    held_out: tuple[str, ...],
    stored: bool,
) -> None:
    student = Student.load(evaluated.student)
    cases = {"BraTS2021_90002": "FLAIR+T1ce", "another": "T1"}
    student.card["training"] = {"cases": cases, "validation": list(held_out)}
    student.save(tmp_path / "s.safetensors")
    data = evaluated.data / "BraTS2021_90002"
    arguments = ["--student", tmp_path / "s.safetensors", "--data", data, "--output", tmp_path / "scores"]
    assert main(["evaluate", *map(str, arguments), "--store", "--device", "cpu", "--progress", "none"]) == 0
    assert ("evaluation" in read_card(tmp_path / "s.safetensors")) == stored
    warned = "Warning: the model was trained on BraTS2021_90002; scores on these flatter it, so none were"
    assert (warned in capsys.readouterr().out) != stored


@pytest.mark.parametrize(
    ("case", "training", "told"),
    [
        ("BraTS2021_90002", {}, True),
        ("BraTS2021_90002", {"voxels_sha256": {"BraTS2021_90002": ["of another patient"]}}, False),
        ("BraTS2021_90002", {"validation": ["BraTS2021_90002"]}, False),
        ("BraTS2021_90004", {}, False),  # cannot be read
        ("BraTS2021_90003", {}, False),  # has no label
    ],
)
def test_that_a_model_learned_from_a_case_is_told_before_any_is_scored(
    evaluated: Evaluated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
    training: dict[str, Any],
    told: bool,
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise CaseError("stopped before the first case")

    monkeypatch.setattr("MissingModalityLib.evaluation.evaluate.evaluate_folder", stop)
    tiny_student({"training": {"cases": {case: "FLAIR+T1ce"}, **training}}).save(tmp_path / "s.safetensors")
    typed = ["evaluate", "--student", str(tmp_path / "s.safetensors"), "--data", str(evaluated.data)]
    for store in ([], ["--store"]):
        assert main([*typed, "--output", str(tmp_path / "scores"), "--quiet", *store]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 + told and "stopped before" in lines[-1]
        if told:
            assert lines[0].startswith(f"Warning: the model was trained on {case}, which is to be scored.")
            assert ("none will be stored" in lines[0]) == bool(store)


def test_an_evaluation_of_other_weights_is_not_attached(evaluated: Evaluated, tmp_path: Path) -> None:
    path = tmp_path / "blind.safetensors"
    blind_student().save(path)
    before = path.read_bytes()
    with pytest.raises(CaseError, match=r"not one of blind\.safetensors.*other weights"):
        attach_evaluation(path, evaluated.output)
    with pytest.raises(CaseError, match="holds no evaluation"):
        attach_evaluation(path, tmp_path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "change", [{"window": [16, 40, 40]}, {"overlap": 0.25}, {"min_component_voxels": 9}], ids=str
)
def test_an_evaluation_made_with_another_way_of_predicting_is_not_attached(
    evaluated: Evaluated, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "tiny.safetensors"
    student = Student.load(evaluated.student)
    Student(student.network, {**student.card, **change}).save(path)
    before = path.read_bytes()
    with pytest.raises(CaseError, match=rf"not one of tiny\.safetensors as it is now.*{next(iter(change))}"):
        attach_evaluation(path, evaluated.output)
    assert path.read_bytes() == before
    older = Path(shutil.copytree(evaluated.output, tmp_path / "older")) / "summary.json"
    summary = json.loads(older.read_text())
    del summary["prediction"]
    older.write_text(json.dumps(summary))
    entry = attach_evaluation(path, older.parent)
    assert (entry["cases"], entry["left_out"]) == (1, 1), "one of the two lacks T1 and T2"


def test_a_cross_validation_counts_beside_the_students_own_evaluation(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    path = Path(shutil.copy(evaluated.student, tmp_path / "tiny.safetensors"))
    other = tmp_path / "other.safetensors"
    tiny_student(seed=4).save(other)
    write_shell_case(tmp_path / "data" / "BraTS2021_90005", seed=5)
    evaluate_folder(other, tmp_path / "data", tmp_path / "folds", device="cpu")
    entry = attach_evaluation(path, evaluated.output, [tmp_path / "folds"])
    assert (entry["cases"], entry["cross_validated"], entry["left_out"]) == (2, 1, 1)
    assert entry["weights_sha256"] == weights_sha256(Student.load(path).network)
    rows = [*evaluated.result["rows"], *read_evaluation(tmp_path / "folds")["rows"]]
    dice = [row["dice"] for row in rows if (row["subset"], row["region"]) == ("FLAIR", "WT")]
    assert len(dice) == 3, "of whom one lacks T1 and T2"
    flair = next(line for line in entry["subsets"] if line["subset"] == "FLAIR")
    assert flair["dice"]["WT"] == pytest.approx((dice[0] + dice[2]) / 2, abs=1e-4)
    assert "calibration" not in read_card(path), "three patients are too few"


def write_scores_of_several(evaluated: Evaluated, folder: Path, patients: range) -> None:
    """An evaluation of as many patients, all with the scores of the one that is whole."""
    shutil.copytree(evaluated.output, folder, dirs_exist_ok=True)
    rows = [row for row in read_rows(evaluated.output / "cases.csv") if row.case == "BraTS2021_90001"]
    summary = json.loads((evaluated.output / "summary.json").read_text())
    several = [replace(row, case=f"p{number:02}") for number in patients for row in rows]
    (folder / "cases.csv").write_text(rows_to_csv(several))
    voxels = {row.region: row.reference for row in rows if row.region in REGIONS}
    cases = [{"name": f"p{number:02}", "reference_voxels": voxels} for number in patients]
    (folder / "summary.json").write_text(json.dumps({**summary, "cases": cases, "scores_sha256": ""}))


def test_enough_patients_held_out_calibrate_the_student_and_none_it_learned_from_are_told(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    path, scores = tmp_path / "s.safetensors", tmp_path / "scores"
    student = Student.load(evaluated.student)
    student.card["training"] = {"cases": {"p00": "T2"}}
    student.save(path)

    def attach(patients: range) -> dict[str, Any] | None:
        write_scores_of_several(evaluated, scores, patients)
        attach_evaluation(path, evaluated.output, [scores])
        return read_card(path).get("calibration")

    before = path.read_bytes()
    with pytest.raises(CaseError, match=r"s\.safetensors was trained on p00; scores on these flatter it"):
        attach(range(FEWEST_PATIENTS + 1))
    with pytest.raises(CaseError, match="was trained on p00"):
        attach_evaluation(path, scores)
    assert path.read_bytes() == before
    assert attach(range(1, FEWEST_PATIENTS)) is None, "one too few"
    write_scores_of_several(evaluated, scores, range(1, FEWEST_PATIENTS + 1))
    attach_evaluation(path, scores)
    assert "calibration" not in read_card(path), "patients to report on choose nothing"
    found = attach(range(1, FEWEST_PATIENTS + 1))
    assert found is not None and found["patients"] == FEWEST_PATIENTS
    attach_evaluation(path, evaluated.output)
    assert read_card(path)["calibration"] == found, "which is as good as it was"


def test_scores_of_an_earlier_version_that_told_less_are_refused_as_a_cross_validation(
    evaluated: Evaluated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copy(evaluated.student, tmp_path / "tiny.safetensors"))
    write_scores_of_several(evaluated, tmp_path / "folds", range(FEWEST_PATIENTS))
    table = (tmp_path / "folds" / "cases.csv").read_text()
    (tmp_path / "folds" / "cases.csv").write_text(table.replace("steadiness", "by another name", 1))
    with pytest.raises(CaseError, match=r"folds': its scores are of an earlier version and lack steadiness"):
        attach_evaluation(path, evaluated.output, [tmp_path / "folds"])
    typed = ["evaluate", "--model", str(path), "--data", str(evaluated.data), "--store"]
    typed += ["--output", str(tmp_path / "scores"), "--cross-validation", str(tmp_path / "folds"), "--quiet"]
    assert main(typed) == 2 and "lack steadiness" in capsys.readouterr().err
    assert not (tmp_path / "scores").exists() and path.read_bytes() == evaluated.student.read_bytes()


def test_the_table_tells_estimates_by_the_calibration_that_is_stored_with_it(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.safetensors"
    tiny_student({"calibration": constant_calibration()}).save(path)
    write_scores_of_several(evaluated, tmp_path / "folds", range(FEWEST_PATIENTS))
    typed = ["evaluate", "--model", str(path), "--data", str(evaluated.data / "BraTS2021_90002")]
    typed += ["--output", str(tmp_path / "scores"), "--device", "cpu", "--progress", "none", "--store"]
    assert main([*typed, "--cross-validation", str(tmp_path / "folds")]) == 0
    stored, rows = read_card(path)["calibration"], read_rows(tmp_path / "scores" / "cases.csv")
    assert stored["patients"] == FEWEST_PATIENTS
    told = read_evaluation(tmp_path / "scores")["estimates"]
    assert told == score_estimates(rows, stored) != score_estimates(rows, constant_calibration())


def test_the_table_is_the_papers(evaluated: Evaluated) -> None:
    lines = markdown_table(evaluated.result).splitlines()
    assert lines[0].startswith(
        "| FLAIR | T1 | T1ce | T2 | Dice WT | Dice TC | Dice ET | Dice ET>=500 | HD95 WT |"
    )
    dots = [line.split(" | ")[:4] for line in lines[2:17]]
    assert [sum("●" in cell for cell in row) for row in dots] == [1] * 4 + [2] * 6 + [3] * 4 + [4]
    assert [cell[-1] for cell in dots[1]] == ["○", "○", "●", "○"]  # second line: T1ce alone
    assert lines[17].startswith("| **mean of 15** |")
    assert [line.split(" | ")[0] for line in lines[18:]] == [
        "| mean of 8 with FLAIR",
        "| mean of 8 with T1ce",
        "| mean of 7 without T1ce",
        "| mean of 4 with 1 sequence",
        "| mean of 6 with 2 sequences",
        "| mean of 4 with 3 sequences",
        "| mean of 1 with 4 sequences",
    ]
    table = (evaluated.output / "table.md").read_text()
    assert "image diagonal when exactly one of prediction and reference is empty" in table
    assert "ET: absent from the reference of 1 case;" in table
    assert re.search(r"More than a point of mean Dice is lost in \d+ of 150 ways", table)
    assert evaluated.result["estimates"] == {} and "own estimate" not in table, "it has no calibration"


def test_progress_counts_predictions(evaluated: Evaluated) -> None:
    windows = [event for event in evaluated.events if ", window " in event.message]
    assert {event.step for event in windows} == {0, 15}, "all subsets of a case are predicted together"
    steps = [event.step for event in evaluated.events if event not in windows]
    assert steps == list(range(1, 19))
    assert {event.total for event in evaluated.events} == {
        15 + 3 + 15
    }  # those of the damaged case never come
    assert evaluated.events[0].message == "BraTS2021_90001, window 1 of 1"
    assert "BraTS2021_90001, T2: WT" in evaluated.events[1].message


@pytest.mark.parametrize("subset", [(Modality.T2,), (Modality.FLAIR, Modality.T1)], ids=subset_name)
def test_a_subset_scores_as_if_its_volumes_were_all_there_is(
    evaluated: Evaluated, subset: tuple[Modality, ...]
) -> None:
    (case,) = find_cases(evaluated.data / "BraTS2021_90001").cases
    study = read_study(case)
    alone = Study(
        {modality: study.images[modality] for modality in subset},
        {modality: study.names[modality] for modality in subset},
    )
    prediction = Student.load(evaluated.student).predict(alone, device="cpu").labels
    label = read_label(case)
    expected = score_regions(
        sitk.GetArrayFromImage(prediction), sitk.GetArrayFromImage(label), label.GetSpacing()[::-1]
    )
    found = {
        row["region"]: row["dice"]
        for row in evaluated.result["rows"]
        if row["case"] == case.name and row["subset"] == subset_name(subset)
    }
    assert found == pytest.approx({region: score.dice for region, score in expected.items()})
    assert any(0.01 < value < 0.99 for value in found.values()), "an untrained student should be half right"


@pytest.mark.parametrize(("rule", "missed"), [("penalty", True), ("false_positive", False), ("zero", False)])
def test_a_student_that_finds_nothing_gets_what_the_rules_say(
    tmp_path: Path, rule: str, missed: bool
) -> None:
    write_shell_case(tmp_path / "data" / "BraTS2021_1", (Modality.T2,), enhancing=False)
    blind_student().save(tmp_path / "blind.safetensors")
    student, data, output = tmp_path / "blind.safetensors", tmp_path / "data", tmp_path / "out"
    result = evaluate_folder(student, data, output, "cpu", hd95_rule=rule, hd95_definition="pooled")
    assert f"('pooled'); empty regions score the {HD95_RULES[rule]}" in (output / "table.md").read_text()
    assert read_evaluation(output)["hd95_definition"] == result["hd95_definition"] == "pooled"
    diagonal = math.hypot(16 * 2, 34, 38) if missed else 0.0
    average = result["averages"]["all"]
    assert average["dice"] == pytest.approx({"WT": 0, "TC": 0, "ET": 1, "ET>=500": 1}, abs=1e-9)
    assert average["hd95"] == pytest.approx({"WT": diagonal, "TC": diagonal, "ET": 0, "ET>=500": 0})
    assert result["empty"]["WT"] == {"cases_without": 0, "missed": 1, "invented": 0}
    assert result["empty"]["ET"] == {"cases_without": 1, "missed": 0, "invented": 0}
    assert "with FLAIR" not in result["averages"]


def test_rows_tell_what_the_probabilities_told(evaluated: Evaluated) -> None:
    (case,) = find_cases(evaluated.data / "BraTS2021_90002").cases
    student, prepared = Student.load(evaluated.student), prepare(read_study(case))
    (result,) = student.results_of(prepared, [BOTH])
    np.testing.assert_array_equal(result.classes, student.classes(prepared))
    rows = {
        row["region"]: row["features"]
        for row in evaluated.result["rows"]
        if (row["case"], row["subset"]) == (case.name, subset_name(BOTH))
    }
    assert rows.pop("ET>=500") is None, "a region of the scores alone"
    assert rows == {region: pytest.approx(numbers) for region, numbers in result.features.items()}
    assert rows["WT"]["log_volume"] > 0


def test_the_table_has_lesion_wise_scores_beneath(evaluated: Evaluated) -> None:
    table = (evaluated.output / "table.md").read_text()
    assert table.count("| **mean of 15** |") == 2
    assert "| lesion-wise Dice WT |" in table and "as BraTS 2023 ranks" in table
    # an untrained student finds tumor all over the brain and some where there is none at all
    entry = evaluated.result["averages"]["all"]
    assert 0 < entry["lesion_dice"]["TC"] <= entry["dice"]["TC"]
    assert entry["lesion_hd95"]["ET"] > entry["hd95"]["ET"] > 0, "374 mm is more than these small images"


@pytest.mark.parametrize(
    "changes",
    [{"window": [16, 40, 40]}, {"overlap": 0.25}, {"mirror": [2]}, {"mirror_windows": [2]}],
    ids=str,
)
def test_a_cross_validation_of_models_that_decide_otherwise_is_refused(
    evaluated: Evaluated, tmp_path: Path, changes: dict[str, Any]
) -> None:
    path = Path(shutil.copy(evaluated.student, tmp_path / "tiny.safetensors"))
    tiny_student(changes, seed=4).save(tmp_path / "fold.safetensors")
    case = evaluated.data / "BraTS2021_90002"
    evaluate_folder(tmp_path / "fold.safetensors", case, tmp_path / "folds", device="cpu")
    before = path.read_bytes()
    fault = rf"'fold\.safetensors' was made with {next(iter(changes))} .*tiny\.safetensors has"
    with pytest.raises(CaseError, match=fault) as refused:
        attach_evaluation(path, evaluated.output, [tmp_path / "folds"])
    assert "None" not in str(refused.value)
    with pytest.raises(CaseError, match=fault):
        write_model_card(path, evaluated.result, tmp_path / "card.md", [read_evaluation(tmp_path / "folds")])
    assert path.read_bytes() == before and not (tmp_path / "card.md").exists()


@pytest.mark.parametrize("change", ["network.width", "recipe", "no recipe", "steps alone"])
def test_a_cross_validation_of_models_of_another_kind_is_refused(
    evaluated: Evaluated, tmp_path: Path, change: str
) -> None:
    path, fold, folds = tmp_path / "tiny.safetensors", tmp_path / "fold.safetensors", tmp_path / "folds"
    own = {"recipe": "aem-kd", "epochs_done": 300}
    student = Student.load(evaluated.student)
    Student(student.network, {**student.card, "training": own}).save(path)
    options = student.network.options | ({"width": 16} if change == "network.width" else {})
    recipe = {"recipe": {"recipe": "mst-kd"}, "no recipe": {}}.get(change, {"recipe": "aem-kd"})
    facts = {"window": student.card["window"], "training": {**recipe, "epochs_done": 3}}
    Student(build("segresnet", **options), facts).save(fold)
    evaluate_folder(fold, evaluated.data / "BraTS2021_90002", folds, device="cpu")
    if change in ("network.width", "recipe"):
        before = path.read_bytes()
        fault = rf"'fold\.safetensors' is one of models with {change} (16|mst-kd), and tiny\.safetensors has"
        with pytest.raises(CaseError, match=fault):
            attach_evaluation(path, evaluated.output, [folds])
        assert path.read_bytes() == before
        summary = json.loads((folds / "summary.json").read_text())
        del summary["model"]  # one of an earlier version
        (folds / "summary.json").write_text(json.dumps(summary))
    assert attach_evaluation(path, evaluated.output, [folds])["cases"] == 1


def test_a_choice_of_what_goes_without_saying_makes_no_difference(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.safetensors"
    same = {"blending": "gaussian", "min_enhancing_voxels": 0, "mirror": [], "mirror_windows": []}
    half = dict.fromkeys(("WT", "TC", "ET"), 0.5)
    student = Student.load(evaluated.student)
    Student(student.network, {**student.card, **same, "thresholds": half}).save(path)
    assert attach_evaluation(path, evaluated.output, [evaluated.output])["cases"] == 1


def test_a_model_that_cannot_be_written_to_is_refused_before_it_is_scored(
    evaluated: Evaluated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def read_only(dir: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(attach, "TemporaryFile", read_only)
    path = shutil.copy(evaluated.student, tmp_path / "tiny.safetensors")
    typed = ["evaluate", "--model", str(path), "--data", str(evaluated.data), "--store"]
    assert main([*typed, "--output", str(tmp_path / "scores"), "--progress", "none"]) == 2
    assert "Read-only file system" in capsys.readouterr().err and not (tmp_path / "scores").exists()


def by_method(name: str) -> dict[str, Any]:
    """What a card tells of a training of one stage."""
    return {"settings": {"stages": {"train": {"method": name}}}}


def test_a_model_gets_scores_of_a_cross_validation_beside_its_own_as_it_is_evaluated(
    evaluated: Evaluated, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.safetensors"
    tiny_student({"training": by_method("ensemble")}).save(path)
    case, fold = evaluated.data / "BraTS2021_90002", tmp_path / "fold.safetensors"
    write_shell_case(tmp_path / "data" / "BraTS2021_90005", BOTH, seed=5)
    for name, changes in (("alike", {}), ("unlike", {"overlap": 0.25})):
        tiny_student({**changes, "training": by_method("supervised")}, seed=4).save(fold)
        evaluate_folder(fold, tmp_path / "data", tmp_path / name, device="cpu")
    typed = ["evaluate", "--model", str(path), "--data", str(case), "--output", str(tmp_path / "scores")]
    typed += ["--device", "cpu", "--progress", "none", "--cross-validation"]
    assert main([*typed, str(tmp_path / "alike")]) == 2 and "Add --store" in capsys.readouterr().err
    assert main([*typed, str(tmp_path / "unlike"), "--store"]) == 2
    assert "was made with overlap 0.25" in capsys.readouterr().err and not (tmp_path / "scores").exists()
    for rule in (("--hd95-rule", "zero"), ("--hd95", "pooled")):
        assert main([*typed, str(tmp_path / "alike"), "--store", *rule]) == 2
        assert "different rules for HD95" in capsys.readouterr().err and not (tmp_path / "scores").exists()
    assert main([*typed, str(tmp_path / "alike"), "--store"]) == 0
    evaluation = read_card(path)["evaluation"]
    assert (evaluation["cases"], evaluation["cross_validated"]) == (2, 1)
    assert evaluation["other_methods"] == "supervised, not ensemble"
    assert "were trained by supervised, not ensemble as this one" in capsys.readouterr().out
    facts = [read_evaluation(tmp_path / name) for name in ("scores", "alike")]
    write_model_card(path, facts[0], tmp_path / "card.md", facts[1:])
    assert (
        "Their method was another one (supervised, not ensemble as here)"
        in (tmp_path / "card.md").read_text()
    )
    assert "other_methods" not in attach_evaluation(path, tmp_path / "scores")
