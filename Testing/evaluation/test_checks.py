"""Scores that are read back can be scores, or the file is refused before anything is made of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.evaluation.comparison import compare_folders
from MissingModalityLib.evaluation.evaluate import read_evaluation
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.evaluation.row import Row
from MissingModalityLib.evaluation.rows_file import read_rows, rows_to_csv, scores_sha256
from MissingModalityLib.inference.doubt import FEATURES

SUBSETS = ((Modality.T2,), (Modality.FLAIR, Modality.T1CE))
REFERENCE = {"WT": 70, "TC": 50, "ET": 30}


def write_scores(folder: Path) -> Path:
    """A sound evaluation of three cases."""
    rows = [
        Row(
            case,
            subset,
            region,
            0.5,
            7.0,
            9,
            REFERENCE.get(region, 30),
            0.4,
            8.0,
            dict.fromkeys(FEATURES, 0.5),
        )
        for case in ("a", "b", "c")
        for subset in SUBSETS
        for region in SCORED_REGIONS
    ]
    folder.mkdir()
    (folder / "cases.csv").write_text(rows_to_csv(rows))
    cases = [{"name": case, "reference_voxels": REFERENCE} for case in ("a", "b", "c")]
    summary = {"student": "s.safetensors", "hd95_rule": "penalty", "cases": cases, "skipped": []}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_a_score_that_was_changed_since_is_refused_whatever_ends_the_lines(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores")
    summary = json.loads((scores / "summary.json").read_text())
    text = (scores / "cases.csv").read_text()
    (scores / "summary.json").write_text(json.dumps({**summary, "scores_sha256": scores_sha256(text)}))
    (scores / "cases.csv").write_bytes(text.replace("\n", "\r\n").encode())
    assert read_evaluation(scores)["rows"]
    change_row(scores, dice="0.9")
    with pytest.raises(CaseError, match=r"cases\.csv was changed after it was written"):
        read_evaluation(scores)
    with pytest.raises(CaseError, match=r"cases\.csv was changed after it was written"):
        compare_folders([scores])


def change_row(folder: Path, **cells: str) -> None:
    """Other cells in the third row."""
    path = folder / "cases.csv"
    with path.open(newline="") as file:
        records = list(csv.DictReader(file))
    records[2].update(cells)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, records[0])
        writer.writeheader()
        writer.writerows(records)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("dice", value) for value in ("nan", "inf", "7.5", "-0.1", "1.0001", "", "high", "1e400")),
        *(("hd95", value) for value in ("nan", "inf", "-1", "-inf", "", "1e999", "2001")),
        *(("lesion_dice", value) for value in ("nan", "2", "-1")),
        *(("lesion_hd95", value) for value in ("nan", "inf", "-3")),
        *(("predicted", value) for value in ("-1", "1.5", "nan", "", "1e3")),
        *(("reference", value) for value in ("-1", "many", "inf")),
        *((feature, value) for feature in FEATURES[:2] for value in ("nan", "inf")),
        *(("region", value) for value in ("", "wt", "NCR")),
        *(("subset", value) for value in ("", "T5", "FLAIR,T2")),
    ],
)
def test_a_cell_that_cannot_be_what_its_column_says_is_refused_with_its_line(
    column: str, value: str, tmp_path: Path
) -> None:
    folder = write_scores(tmp_path / "scores")
    change_row(folder, **{column: value})
    with pytest.raises(CaseError, match=r"cases\.csv is not a table of scores \(line 4: "):
        read_rows(folder / "cases.csv")


def drop_line(folder: Path) -> None:
    lines = (folder / "cases.csv").read_text().splitlines(keepends=True)
    (folder / "cases.csv").write_text("".join(lines[:5] + lines[6:]))


def repeat_line(folder: Path) -> None:
    lines = (folder / "cases.csv").read_text().splitlines(keepends=True)
    (folder / "cases.csv").write_text("".join([*lines, lines[3]]))


def only_head(folder: Path) -> None:
    (folder / "cases.csv").write_text((folder / "cases.csv").read_text().splitlines()[0])


def of_summary(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        summary = json.loads((folder / "summary.json").read_text())
        changed = change(summary)
        (folder / "summary.json").write_text(json.dumps(summary if changed is None else changed))

    return spoil


SPOILED = {
    "other labels in one row": lambda folder: change_row(folder, reference="71"),
    "a row is missing": drop_line,
    "a row stands twice": repeat_line,
    "no rows": only_head,
    "NUL bytes": lambda folder: (folder / "cases.csv").write_bytes(b"case,dice\n\0\0\0"),
    "other bytes": lambda folder: (folder / "cases.csv").write_bytes(b"\xff\xfe\x00"),
    "a cell without end": lambda folder: (folder / "cases.csv").write_text('case\n"' + "a" * 200_000),
    "a case less": of_summary(lambda summary: {**summary, "cases": summary["cases"][1:]}),
    "a case more": of_summary(lambda summary: summary["cases"].append(dict(summary["cases"][0], name="d"))),
    "other labels": of_summary(lambda summary: summary["cases"][0]["reference_voxels"].update(WT=71)),
    "cases of text": of_summary(lambda summary: {**summary, "cases": ["a"]}),
    "no rule": of_summary(lambda summary: summary.pop("hd95_rule") and summary),
    "another rule": of_summary(lambda summary: summary.update(hd95_rule="mine")),
    "no student": of_summary(lambda summary: summary.update(student=3)),
    "a model of text": of_summary(lambda summary: summary.update(model="segresnet")),
    "a model with options of text": of_summary(lambda summary: summary.update(model={"options": "width"})),
    "a prediction of text": of_summary(lambda summary: summary.update(prediction="overlap")),
    "a list": of_summary(lambda summary: [summary]),
    "a key twice": lambda folder: (folder / "summary.json").write_text(
        (folder / "summary.json").read_text().replace('"skipped"', '"hd95_rule": "zero", "skipped"')
    ),
    "deep brackets": lambda folder: (folder / "summary.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_no_whole_evaluation_is_refused_by_name(how: str, tmp_path: Path) -> None:
    folder = write_scores(tmp_path / "scores")
    assert len(read_evaluation(folder)["rows"]) == 3 * 2 * len(SCORED_REGIONS)
    SPOILED[how](folder)
    with pytest.raises(CaseError, match="scores"):
        read_evaluation(folder)


@pytest.mark.parametrize("cells", [{"dice": "nan"}, {"dice": "7.5"}, {"hd95": "inf"}, {"lesion_hd95": "-1"}])
def test_compare_writes_nothing_where_a_score_is_none(
    cells: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = write_scores(tmp_path / "one"), write_scores(tmp_path / "two")
    change_row(two, **cells)
    code = main(["compare", f"first={one}", f"second={two}", "--output", str(tmp_path / "out")])
    assert code == 2 and "two" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_comparison_that_json_cannot_hold_leaves_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "MissingModalityLib.evaluation.comparison.compare_evaluations"
    regions = {
        region: dict.fromkeys(("difference", "p_holm", "effect"), float("nan")) for region in SCORED_REGIONS
    }
    monkeypatch.setattr(module, lambda *_: {"cases": 3, "regions": regions, "note": ""})
    one, two = write_scores(tmp_path / "one"), write_scores(tmp_path / "two")
    with pytest.raises(ValueError, match="JSON"):
        compare_folders([one, two], tmp_path / "out")
    assert not (tmp_path / "out").exists()
