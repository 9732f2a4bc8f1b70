"""Evaluations side by side: known p values and effect sizes, spreads over seeds, and what is no fair pair."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.modalities import SUBSETS, Modality, Subset
from MissingModalityLib.evaluation.comparison import compare_folders
from MissingModalityLib.evaluation.evaluate import read_evaluation
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.evaluation.pooling import pool_evaluations
from MissingModalityLib.evaluation.row import Row
from MissingModalityLib.evaluation.rows_file import rows_to_csv
from MissingModalityLib.evaluation.significance import compare_evaluations, holm

TWO: Sequence[Subset] = ((Modality.T2,), (Modality.FLAIR, Modality.T1CE))


def write_scores(
    folder: Path,
    scores: Mapping[str, float | Sequence[float]],
    subsets: Sequence[Subset] = TWO,
    rule: str = "penalty",
    voxels: int = 700,
    cavity: float | None = None,
    **facts: str,
) -> Path:
    """An evaluation folder: per case the Dice of every region and subset, or one per region.

    Without a fourth one, small findings of ET change nothing. ``cavity`` is the Dice of RC in every case.
    """
    rows, cases = [], []
    for case, values in scores.items():
        by_region = (
            list(values) if np.size(values) == len(SCORED_REGIONS) else np.broadcast_to(values, 3).tolist()
        )
        by_region += by_region[-1:] * (len(SCORED_REGIONS) - len(by_region))
        rows += [
            Row(case, subset, region, value, 10 - 10 * value, 600, voxels)
            for subset in subsets
            for region, value in zip(SCORED_REGIONS, by_region, strict=True)
        ]
        labels = dict.fromkeys(("WT", "TC", "ET"), voxels)
        if cavity is not None:
            rows += [Row(case, subset, "RC", cavity, 10 - 10 * cavity, 600, voxels) for subset in subsets]
            labels["RC"] = voxels
        cases.append({"name": case, "reference_voxels": labels})
    folder.mkdir(parents=True)
    (folder / "cases.csv").write_text(rows_to_csv(rows))
    summary = {"student": f"{folder.name}.safetensors", "hd95_rule": rule, "cases": cases, "skipped": []}
    (folder / "summary.json").write_text(json.dumps({**summary, **facts}))
    return folder


def by_case(values: Sequence[float | Sequence[float]]) -> dict[str, Any]:
    return {f"case{number:03}": value for number, value in enumerate(values)}


@pytest.fixture
def compare(tmp_path: Path):
    """`compare(first, second)` tests two lists of scores, one per case."""

    def run(first: Sequence[Any], second: Sequence[Any], **how: Any) -> dict[str, Any]:
        one = read_evaluation(write_scores(tmp_path / "one", by_case(first)))
        two = read_evaluation(write_scores(tmp_path / "two", by_case(second)))
        return compare_evaluations([one], [two], **how)

    return run


@pytest.mark.parametrize(
    ("cases", "p", "possible"), [(5, 0.0625, False), (6, 0.03125, False), (7, 2**-6, True)]
)
def test_few_cases_are_said_to_prove_nothing(compare, cases: int, p: float, possible: bool) -> None:
    better = np.linspace(0.6, 0.9, cases)
    result = compare(better, better - np.linspace(0.01, 0.05, cases))
    assert result["cases"] == cases and result["smallest_p"] == p
    for region in ("WT", "TC", "ET"):
        found = result["regions"][region]
        assert found["p"] == pytest.approx(p) and found["p_holm"] == pytest.approx(3 * p)
        assert found["effect"] == 1 and found["difference"] == pytest.approx(0.03)
    assert (result["note"] == "") == possible
    if cases == 5:
        assert "smallest two-sided p is 0.0625" in result["note"]
        assert "no difference, however large" in result["note"]


def test_effect_size_is_the_rank_sums_difference(compare) -> None:
    # ranks of |0.3|, |-0.1|, |0.2| are 3, 1, 2: (3 + 2 - 1) / 6
    result = compare([0.8, 0.4, 0.7], [0.5, 0.5, 0.5])["regions"]["TC"]
    assert result["effect"] == pytest.approx(4 / 6)
    assert result["p"] == pytest.approx(0.5)  # 2 of 8 sign patterns sum to 5 or more of 6, two-sided


def test_swapping_the_sides_changes_only_the_signs(compare, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    first, second = rng.uniform(0.3, 0.9, (2, 12, 3))
    forward = compare(first.tolist(), second.tolist())["regions"]
    one, two = (read_evaluation(tmp_path / name) for name in ("one", "two"))
    backward = compare_evaluations([two], [one])["regions"]
    for region, result in forward.items():
        assert backward[region]["p"] == pytest.approx(result["p"])
        assert backward[region]["effect"] == pytest.approx(-result["effect"])
        assert backward[region]["difference"] == pytest.approx(-result["difference"])
    assert len({result["p"] for result in forward.values()}) == 3


def test_both_columns_of_enhancing_tumor_are_tested_each_with_the_other_regions(compare) -> None:
    steps = np.linspace(0.01, 0.05, 8)
    better = np.stack([0.5 + 0 * steps, 0.5 + 0 * steps, 0.5 + 0 * steps, 0.5 + steps], 1)
    result = compare(better.tolist(), [0.5] * 8)["regions"]
    assert list(result) == list(SCORED_REGIONS)
    assert result["ET"]["p_holm"] == result["WT"]["p_holm"] == 1
    assert result["ET>=500"]["p_holm"] == pytest.approx(3 * 2**-7)


def test_the_same_scores_are_no_difference(compare) -> None:
    result = compare([0.1, 0.7, 0.7], [0.1, 0.7, 0.7])["regions"]["ET"]
    assert result == {"difference": 0, "p": 1, "p_holm": 1, "effect": 0, "different": 0}


def test_old_evaluations_are_directed_and_never_put_beside_pooled_ones(tmp_path: Path) -> None:
    old = write_scores(tmp_path / "old", by_case([0.5, 0.6]))
    new = write_scores(tmp_path / "new", by_case([0.5, 0.6]), hd95_definition="directed")
    pooled = write_scores(tmp_path / "pooled", by_case([0.5, 0.6]), hd95_definition="pooled")
    compared = compare_folders([old, new])
    assert compared["hd95_definition"] == "directed"
    assert "the larger of the two directed 95th percentiles ('directed')" in compared["markdown"]
    assert "both directions together ('pooled')" in compare_folders([pooled])["markdown"]
    with pytest.raises(CaseError, match=r"'directed' and 'pooled'.*one definition"):
        compare_folders([old, pooled])
    with pytest.raises(CaseError, match="directed and pooled"):
        pool_evaluations([read_evaluation(path) for path in (old, pooled)])
    with pytest.raises(CaseError, match="hd95_definition is 'mean'"):
        read_evaluation(write_scores(tmp_path / "other", by_case([0.5]), hd95_definition="mean"))


def test_scores_without_the_resection_cavity_are_never_put_beside_those_with_it(tmp_path: Path) -> None:
    rules = ("background", "class", "ignore")
    folders = {
        rule: write_scores(tmp_path / rule, by_case([0.5, 0.6]), resection_cavity=rule) for rule in rules
    }
    old = write_scores(tmp_path / "old", by_case([0.5, 0.6]))  # from before there was a choice
    compare_folders([old, folders["background"], folders["class"]])
    compare_folders({"two seeds": [folders["ignore"]]})
    for other in (old, folders["class"]):
        with pytest.raises(CaseError, match=r"'ignore' and '\w+'.*one --resection-cavity"):
            compare_folders([folders["ignore"], other])
        with pytest.raises(CaseError, match=r"rules for a resection cavity, .* and ignore"):
            pool_evaluations([read_evaluation(path) for path in (other, folders["ignore"])])


def test_distances_are_compared_too(compare) -> None:
    result = compare([0.8, 0.9], [0.5, 0.5], metric="hd95")
    assert result["regions"]["WT"]["difference"] == pytest.approx(-3.5)
    assert result["regions"]["WT"]["effect"] == -1


def test_holm_corrects_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6, 0.01]) == pytest.approx([1, 1, 0.03])
    assert holm([]) == []


def test_only_common_subsets_count(tmp_path: Path) -> None:
    scores = by_case([0.5, 0.6, 0.7])
    one = read_evaluation(write_scores(tmp_path / "one", scores))
    two = read_evaluation(write_scores(tmp_path / "two", scores, subsets=SUBSETS))
    for row in two["rows"]:
        if row["subset"] not in ("T2", "FLAIR+T1ce"):
            row["dice"] = 0.0
    assert compare_evaluations([one], [two])["regions"]["WT"]["different"] == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": by_case([0.5, 0.5, 0.5])}, r"1 case in one only \(case002\)"),
        ({"voxels": 701}, "labels of case000, case001 differ"),
        ({"rule": "zero"}, "'penalty' and 'zero'"),
        ({"subsets": [(Modality.T1,)]}, "share no subset"),
    ],
    ids=["cases", "labels", "rule", "subsets"],
)
def test_unlike_evaluations_are_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    scores = {"scores": by_case([0.5, 0.5])}
    folders = [
        write_scores(tmp_path / "one", **scores),
        write_scores(tmp_path / "two", **{**scores, **changed}),
    ]
    with pytest.raises(CaseError, match=message):
        compare_folders(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_table_has_a_line_per_name_with_spread_over_seeds(tmp_path: Path) -> None:
    seeds = {"baseline": (0.50, 0.60), "aem, signed": (0.70, 0.72)}
    groups = {
        name: [
            write_scores(tmp_path / name / str(seed), by_case([value, value]))
            for seed, value in enumerate(values)
        ]
        for name, values in seeds.items()
    }
    result = compare_folders(groups, tmp_path / "out")
    assert (tmp_path / "out" / "comparison.md").read_text() == result["markdown"]
    assert (tmp_path / "out" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    stored = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert stored == {name: value for name, value in result.items() if name != "markdown"}
    head, _, first, second = result["markdown"].splitlines()[:4]
    assert head.startswith("|  | seeds | Dice WT | Dice TC | Dice ET | Dice ET>=500 | Dice WT with FLAIR |")
    assert "Dice TC with T1ce | Dice ET with T1ce | HD95 WT | HD95 TC | HD95 ET |" in head
    assert first.startswith("| baseline | 2 | 55.0 ± 7.1 | 55.0 ± 7.1 |")
    assert second.startswith("| aem, signed | 2 | 71.0 ± 1.4 |") and second.endswith("| 2.9 ± 0.1 |")
    assert len({line.count("|") for line in (head, first, second)}) == 1
    (test,) = result["tests"]
    assert (test["name"], test["against"], test["cases"]) == ("aem, signed", "baseline", 2)
    assert test["regions"]["TC"]["difference"] == pytest.approx(0.16)
    assert "| aem, signed less baseline | 2 | +16.0 | 1 | +1.00 |" in result["markdown"]
    assert "With 2 cases the smallest two-sided p is 0.5" in result["markdown"]
    assert "rule 'penalty'" in result["markdown"]


def test_every_subset_has_a_line_in_which_the_systems_stand_side_by_side(tmp_path: Path) -> None:
    folders = {
        "baseline": [
            write_scores(tmp_path / name, {"a": value}) for name, value in (("b1", 0.2), ("b2", 0.4))
        ],
        "ours": [write_scores(tmp_path / "o", {"a": (0.5, 0.6, 0.7)}, [*TWO, (Modality.T1,)])],
    }
    result = compare_folders(folders)
    assert result["lines"][0]["subsets"]["T2"]["dice"] == pytest.approx({"WT": 0.3, "TC": 0.3, "ET": 0.3})
    columns = [f"{region} {name}" for region in ("WT", "TC", "ET") for name in folders]
    for title, first, second in (
        ("Dice", "30.0", ("50.0", "60.0", "70.0")),
        ("HD95", "7.0", ("5.0", "4.0", "3.0")),
    ):
        lines = result["markdown"].splitlines()
        head = lines.index(
            f"| FLAIR | T1 | T1ce | T2 | {' | '.join(f'{title} {name}' for name in columns)} |"
        )
        cells = " | ".join(f"{first} | {value}" for value in second)
        expected = [f"| {dots} | {cells} |" for dots in ("○ | ○ | ○ | ●", "● | ○ | ● | ○")]
        assert lines[head + 2 : head + 5] == [*expected, ""], "T1 alone is not in both"


def test_a_cavity_has_columns_which_stay_empty_for_who_has_not_scored_it(tmp_path: Path) -> None:
    better = by_case(np.linspace(0.6, 0.9, 8))
    folders = {
        "baseline": [write_scores(tmp_path / "b", by_case([0.5] * 8), cavity=0.2)],
        "ours": [write_scores(tmp_path / "o", better, cavity=0.3)],
        "blind": [write_scores(tmp_path / "n", better)],
    }
    result = compare_folders(folders, tmp_path / "out")
    head, _, baseline, ours, blind = (line.split(" | ") for line in result["markdown"].splitlines()[:5])
    columns = [head.index("Dice RC"), len(head) - 1]
    assert head[-1] == "HD95 RC |"
    assert [[line[column].rstrip(" |") for column in columns] for line in (baseline, ours, blind)] == [
        ["20.0", "8.0"],
        ["30.0", "7.0"],
        ["", ""],
    ]
    with_cavity, without = (test["regions"] for test in result["tests"])
    assert with_cavity["RC"]["p_holm"] == with_cavity["WT"]["p_holm"] == pytest.approx(4 * 2**-7)
    assert "RC" not in without and without["WT"]["p_holm"] == pytest.approx(3 * 2**-7)
    assert "Dice RC baseline | Dice RC ours |" in result["markdown"]
    assert "Dice RC blind" not in result["markdown"]
    other = write_scores(tmp_path / "other", better, cavity=0.3)
    labels = (other / "summary.json").read_text().replace('"RC": 700', '"RC": 650')
    (other / "summary.json").write_text(labels)
    with pytest.raises(CaseError, match="do not tell of the same labels"):
        compare_folders([other])


def test_groups_average_the_subsets_they_name(tmp_path: Path) -> None:
    folder = write_scores(tmp_path / "one", by_case([0.5]), subsets=SUBSETS)
    lines = (folder / "cases.csv").read_text().replace("FLAIR,WT,0.5", "FLAIR,WT,0.9").splitlines()
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    (line,) = compare_folders([folder])["lines"]
    means = {(score["metric"], score["subsets"], score["region"]): score["mean"] for score in line["scores"]}
    assert means["dice", "with FLAIR", "WT"] == pytest.approx((7 * 0.5 + 0.9) / 8)
    assert means["dice", "all", "WT"] == pytest.approx((14 * 0.5 + 0.9) / 15)
    assert means["dice", "with T1ce", "TC"] == pytest.approx(0.5)
    assert all(score["spread"] is None for score in line["scores"])


def test_a_group_that_no_case_allows_stays_empty(tmp_path: Path) -> None:
    folder = write_scores(tmp_path / "one", by_case([0.5]), subsets=[(Modality.T1,)])
    line = compare_folders([folder])["markdown"].splitlines()[2]
    assert line.split(" | ")[6:9] == ["", "", ""]


def test_folders_of_one_name_are_called_by_their_parents(tmp_path: Path) -> None:
    folders = [write_scores(tmp_path / run / "evaluation", by_case([0.5])) for run in ("a", "b")]
    assert [line["name"] for line in compare_folders(folders)["lines"]] == ["a/evaluation", "b/evaluation"]
    with pytest.raises(OptionError, match="same name"):
        compare_folders([folders[0], folders[0]])


@pytest.mark.parametrize("folders", [[], {}, {"empty": []}])
def test_nothing_to_compare_is_refused(folders: Any) -> None:
    with pytest.raises(OptionError, match="Nothing to compare"):
        compare_folders(folders)


def test_an_unknown_metric_is_refused(compare) -> None:
    with pytest.raises(OptionError, match="dice, hd95"):
        compare([0.5], [0.5], metric="iou")


def test_a_folder_without_an_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"nowhere.*holds no evaluation"):
        compare_folders([tmp_path / "nowhere"])


def test_lines_that_share_subsets_with_the_first_alone_are_compared_and_pictured(tmp_path: Path) -> None:
    first, second = (Modality.FLAIR,), (Modality.T1,)
    scores = by_case([0.5, 0.6, 0.7])
    folders = [
        write_scores(tmp_path / name, scores, subsets)
        for name, subsets in (("both", (first, second)), ("flair", (first,)), ("t1", (second,)))
    ]
    result = compare_folders(folders, tmp_path / "comparison")
    assert (tmp_path / "comparison" / "comparison.png").is_file()
    assert "both of 6 predictions from 2 subsets, flair of 3 predictions from 1 subset," in result["uneven"]
    assert f"- {result['uneven']}\n" in result["markdown"]
    assert compare_folders(folders[:1])["uneven"] == ""
