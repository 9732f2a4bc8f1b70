"""Rows of scores and what is made of them: averages, lines of the table, files that are read again."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.modalities import SUBSETS, Modality
from MissingModalityLib.evaluation.attach import summary_of
from MissingModalityLib.evaluation.averages import summarize
from MissingModalityLib.evaluation.evaluate import (
    evaluate_folder,
    read_evaluation,
)
from MissingModalityLib.evaluation.heatmap import draw_heatmap, line_names
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.evaluation.row import Row
from MissingModalityLib.evaluation.rows_file import read_rows, rows_to_csv
from MissingModalityLib.evaluation.tables import markdown_table, notes
from MissingModalityLib.inference.doubt import FEATURES
from small_cases import BOTH, write_shell_case
from small_networks import telling_student, tiny_student


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
    with pytest.raises(OptionError, match=r"cases names 'BraTS2021_3', which is no case .*Did you mean"):
        evaluate_folder(
            tmp_path / "tiny.safetensors",
            tmp_path / "data",
            tmp_path / "none",
            cases=["BraTS2021_2", "BraTS2021_3"],
        )


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
