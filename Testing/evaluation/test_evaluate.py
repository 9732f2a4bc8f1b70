"""A student file and a folder of cases in, the papers' table out."""

from __future__ import annotations

import csv
import json
import math
import shutil
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import load_file

from mask_scores import score_regions
from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.modalities import SUBSETS, Modality, subset_name
from MissingModalityLib.core.progress import Event
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.attach import attach_evaluation, summary_of
from MissingModalityLib.evaluation.averages import summarize
from MissingModalityLib.evaluation.calibration import FEWEST_PATIENTS
from MissingModalityLib.evaluation.evaluate import (
    evaluate_folder,
    read_evaluation,
)
from MissingModalityLib.evaluation.hd95_rules import HD95_RULES
from MissingModalityLib.evaluation.heatmap import draw_heatmap, line_names
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.evaluation.row import Row
from MissingModalityLib.evaluation.rows_file import read_rows, rows_to_csv
from MissingModalityLib.evaluation.tables import markdown_table, notes
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study, read_label, read_study
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.doubt import FEATURES
from MissingModalityLib.inference.student import Student
from MissingModalityLib.inference.weights import weights_sha256
from small_cases import BOTH, write_shell_case
from small_networks import telling_student, tiny_student


def blind_student() -> Student:
    """Answers background everywhere."""
    student = tiny_student()
    with torch.no_grad():
        bias = list(student.network.parameters())[-1]
        assert bias.shape == (3,)
        bias.fill_(-1e4)
    return student


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


def test_the_card_tells_what_a_further_sequence_brings_to_the_same_cases() -> None:
    def rows(case: str, **dice: float) -> list[dict[str, Any]]:
        return [
            {"case": case, "subset": name.replace("_", "+"), "region": region, "dice": value}
            | {"hd95": 1.0, "predicted": 7, "reference": 7}
            for name, value in dice.items()
            for region in SCORED_REGIONS
        ]

    scored = [
        *rows("a", FLAIR=0.5, T1ce=0.2, FLAIR_T1ce=0.7),
        *rows("b", FLAIR=0.3, T1ce=0.4, FLAIR_T1ce=0.6),
        *rows("easy", FLAIR=1.0),
    ]
    summary = summary_of(
        [
            {**dict.fromkeys(("data", "date", "device", "hd95_rule"), ""), "skipped": [], "rows": scored}
            | {"cases": [{"name": name} for name in ("a", "b", "easy")]}
        ]
    )
    assert (summary["cases"], summary["left_out"]) == (2, 1)
    told = {(gain["subset"], gain["added"]): gain for gain in summary["gains"]}
    assert set(told) == {("FLAIR", "T1ce"), ("T1ce", "FLAIR")}
    assert told["FLAIR", "T1ce"]["cases"] == 2, "the easy case lacks T1ce"
    assert told["FLAIR", "T1ce"]["before"] == {"WT": 0.4, "TC": 0.4, "ET": 0.4}
    assert told["FLAIR", "T1ce"]["after"] == {"WT": 0.65, "TC": 0.65, "ET": 0.65}
    assert told["T1ce", "FLAIR"]["before"]["WT"] == pytest.approx(0.3)


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


def test_enough_patients_held_out_calibrate_the_student_but_for_those_it_learned_from(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    path, scores = tmp_path / "s.safetensors", tmp_path / "scores"
    student = Student.load(evaluated.student)
    student.card["training"] = {"cases": {"p00": "T2"}}
    student.save(path)
    shutil.copytree(evaluated.output, scores)
    rows, summary = read_rows(scores / "cases.csv"), json.loads((scores / "summary.json").read_text())

    def attach(patients: int) -> dict[str, Any] | None:
        several = [replace(row, case=f"p{number:02}") for number in range(patients) for row in rows[:60]]
        (scores / "cases.csv").write_text(rows_to_csv(several))
        voxels = {row.region: row.reference for row in rows[:60] if row.region in REGIONS}
        cases = [{"name": f"p{number:02}", "reference_voxels": voxels} for number in range(patients)]
        (scores / "summary.json").write_text(json.dumps({**summary, "cases": cases, "scores_sha256": ""}))
        attach_evaluation(path, evaluated.output, [scores])
        return read_card(path).get("calibration")

    assert attach(FEWEST_PATIENTS) is None, "it learned from one of them"
    found = attach(FEWEST_PATIENTS + 1)
    assert found is not None and found["patients"] == FEWEST_PATIENTS
    attach_evaluation(path, scores)
    assert "calibration" not in read_card(path), "patients to report on choose nothing"


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


def test_a_label_stored_in_another_orientation_scores_the_same(tmp_path: Path) -> None:
    for name, orientation in (("BraTS2021_1", "LPS"), ("BraTS2021_2", "RAS"), ("BraTS2021_3", "PIR")):
        write_shell_case(tmp_path / "data" / name, BOTH, orientation=orientation)
    tiny_student().save(tmp_path / "tiny.safetensors")
    result = evaluate_folder(tmp_path / "tiny.safetensors", tmp_path / "data", tmp_path / "out", device="cpu")
    scores = [
        [(row["dice"], row["hd95"]) for row in result["rows"] if row["case"] == f"BraTS2021_{n}"]
        for n in (1, 2, 3)
    ]
    assert scores[0] == scores[1] == scores[2]


def test_a_list_names_the_cases_to_score(tmp_path: Path) -> None:
    for name in ("BraTS2021_1", "BraTS2021_2"):
        write_shell_case(tmp_path / "data" / name, (Modality.T2,))
    tiny_student().save(tmp_path / "tiny.safetensors")
    (tmp_path / "test.txt").write_text("HG_BraTS2021_2\n")
    asked = ["evaluate", "--model", tmp_path / "tiny.safetensors", "--data", tmp_path / "data"]
    asked += ["--cases", tmp_path / "test.txt", "--device", "cpu", "--quiet", "--output"]
    assert main([*map(str, asked), str(tmp_path / "out")]) == 0
    summary = read_evaluation(tmp_path / "out")
    assert [case["name"] for case in summary["cases"]] == ["BraTS2021_2"] and not summary["skipped"]
    (tmp_path / "test.txt").write_text("BraTS2021_2\nBraTS2021_3\n")
    assert main([*map(str, asked), str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


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


def test_averages_weigh_subsets_equally_however_many_cases_each_has() -> None:
    def rows(case: str, subset: tuple[Modality, ...], value: float) -> list[Row]:
        return [Row(case, subset, region, value, 10 * value, 7, 7) for region in SCORED_REGIONS]

    flair, t2 = (Modality.FLAIR,), (Modality.T2,)
    summary = summarize([*rows("a", flair, 0.2), *rows("b", flair, 0.4), *rows("a", t2, 0.9)])
    assert [(entry["subset"], entry["cases"]) for entry in summary["subsets"]] == [("T2", 1), ("FLAIR", 2)]
    assert summary["subsets"][1]["dice"]["WT"] == pytest.approx(0.3)
    assert summary["averages"]["all"]["dice"]["WT"] == pytest.approx(0.6)
    assert summary["averages"]["all"]["hd95"]["ET"] == pytest.approx(6.0)
    assert summary["averages"]["with FLAIR"]["dice"]["TC"] == pytest.approx(0.3)
    assert summary["subsets"][0]["dice_std"]["WT"] is None, "one case has no spread"
    assert summary["subsets"][1]["dice_std"]["WT"] == pytest.approx(0.1 * math.sqrt(2))
    assert summary["subsets"][1]["hd95_std"]["ET>=500"] == pytest.approx(math.sqrt(2))
    # over cases of each case's own mean: a has 0.2 and 0.9, b has 0.4
    assert summary["averages"]["all"]["dice_std"]["TC"] == pytest.approx(0.15 / math.sqrt(2))
    table = markdown_table(summary).splitlines()
    assert "| 90.0 | 90.0 |" in table[2] and "| 30.0 ± 14.1 |" in table[3]
    assert "| 60.0 ± 10.6 |" in table[4]
    assert "| 9.0 | 9.0 |" in table[2] and "| 3.0 ± 1.4 |" in table[3], "distances are in mm, not in %"


@pytest.mark.parametrize("value", [0.0, 0.6, 1.0])
def test_the_heat_map_shows_dice_on_one_scale_from_0_to_1(tmp_path: Path, value: float) -> None:
    rows = [Row("a", subset, region, value, 1, 7, 7) for subset in SUBSETS for region in SCORED_REGIONS]
    draw_heatmap({"student": "s", "data": "d", "cases": [{}], **summarize(rows)}, tmp_path / "map.png")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "map.png")))[..., :3].reshape(-1, 3)
    colors, counts = np.unique(picture[picture.min(1) < 255], axis=0, return_counts=True)
    assert colors[counts.argmax()].tolist() == list(matplotlib.colormaps["cividis"](value, bytes=True)[:3])


def test_lines_of_other_patients_say_of_how_many_they_are() -> None:
    everything = product("ab", SUBSETS, SCORED_REGIONS)
    rows = [Row(case, subset, region, 1, 1, 7, 7) for case, subset, region in everything]
    assert line_names(summarize(rows)["subsets"])[0] == "T2"
    assert not any("Lines are over" in line for line in notes(summary_of_rows(rows)).splitlines())
    fewer = [row for row in rows if (row.case, row.subset) != ("b", SUBSETS[0])]
    assert line_names(summarize(fewer)["subsets"])[:2] == ["T2 (n = 1)", "T1ce (n = 2)"]
    assert "Lines are over 1 to 2 cases" in notes(summary_of_rows(fewer))


def summary_of_rows(rows: list[Row]) -> dict[str, Any]:
    return {"hd95_rule": "penalty", "skipped": [], **summarize(rows)}


def test_rows_survive_the_csv(tmp_path: Path) -> None:
    rows = [
        Row('a "name", with commas', BOTH, "ET>=500", 1 / 3, 0.1 + 0.2, 0, 12),
        Row("b", SUBSETS[-1], "WT", 1e-11, 373.1, 1, 0, 0.0, 374.0, {name: 1 / 7 for name in FEATURES}),
    ]
    (tmp_path / "cases.csv").write_text(rows_to_csv(rows))
    assert read_rows(tmp_path / "cases.csv") == rows


def test_rows_of_earlier_versions_are_still_read(tmp_path: Path) -> None:
    text = "case,subset,region,dice,hd95,predicted,reference\na,T2,WT,0.5,7.0,12,13\n"
    (tmp_path / "cases.csv").write_text(text)
    (row,) = read_rows(tmp_path / "cases.csv")
    assert row == Row("a", (Modality.T2,), "WT", 0.5, 7.0, 12, 13)
    assert (
        "lesion_dice" not in summarize([replace(row, region=region) for region in SCORED_REGIONS])["averages"]
    )


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


def test_nothing_to_score_is_an_error_and_leaves_no_files(tmp_path: Path) -> None:
    write_shell_case(tmp_path / "data" / "BraTS2021_1", BOTH, label=False)
    tiny_student().save(tmp_path / "tiny.safetensors")
    with pytest.raises(CaseError, match=r"BraTS2021_1: no label"):
        evaluate_folder(tmp_path / "tiny.safetensors", tmp_path / "data", tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_an_unknown_rule_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="best"):
        evaluate_folder(tmp_path / "none", tmp_path, tmp_path / "out", hd95_rule="best")
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path: Path) -> None:
    tiny_student().save(tmp_path / "tiny.safetensors")
    with pytest.raises(CaseError, match=r"tiny\.safetensors"):
        evaluate_folder(tmp_path / "tiny.safetensors", tmp_path, tmp_path / "tiny.safetensors", device="cpu")


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_without_an_evaluation_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(CaseError, match="evaluation"):
        read_evaluation(tmp_path)


def test_a_network_that_tells_presence_is_judged_by_it_and_its_probabilities_everywhere(
    tmp_path: Path,
) -> None:
    write_shell_case(tmp_path / "data" / "BraTS2021_1", (Modality.T2,))
    write_shell_case(tmp_path / "data" / "BraTS2021_2", (Modality.T2,), seed=1, enhancing=False)
    telling_student().save(tmp_path / "telling.safetensors")
    chosen = ["presence_auc", "ece", "brier"]
    output = tmp_path / "out"
    result = evaluate_folder(
        tmp_path / "telling.safetensors", tmp_path / "data", output, "cpu", metrics=chosen
    )
    assert result["averages"]["all"]["presence_auc"] == pytest.approx(
        {"WT": None, "TC": None, "ET": 0.5, "ET>=500": None}
    )
    row = next(row for row in result["rows"] if row["region"] == "ET")
    assert row["presence"] == pytest.approx(1 / (1 + math.exp(-0.1)), abs=1e-3)
    assert 0 < row["brier"] < 1 and row["brier"] <= row["ece"] <= 1, "it is nearly sure of all voxels"
    assert "| Presence AUC WT |" in (output / "table.md").read_text()
    assert read_evaluation(output) == json.loads(json.dumps(result))
