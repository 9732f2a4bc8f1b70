"""Tables in the papers' layouts, from made-up scores."""

from __future__ import annotations

from dataclasses import replace

from MissingModalityLib.core.modalities import SUBSETS, subset_name
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.studies.grids import ALL, NOT_AVAILABLE, Scored, grid_of
from MissingModalityLib.studies.study import Row, Study, Training

ROWS = (Row("host", Training("rfnet"), "Host"), Row("absent", Training("x"), "Host"))
STUDY = Study("a table", "made up", ROWS, "a paper, Table 1", et_filtered=True)


def evaluation(dice: float, hd95: float = 4.0) -> dict:
    """An evaluation whose scores are alike for all subsets, but that T2 alone scores half."""

    def scores(part: float) -> dict:
        return {
            "dice": dict.fromkeys(SCORED_REGIONS, part * dice),
            "hd95": dict.fromkeys(SCORED_REGIONS, part * hd95),
        }

    names = list(map(subset_name, SUBSETS))
    return {
        "subsets": [{"subset": name, **scores(0.5 if name == "T2" else 1.0)} for name in names],
        "averages": {"all": scores(1.0)},
    }


SCORED = (
    Scored(ROWS[0], {ALL: [evaluation(0.8), evaluation(0.9)]}),
    Scored(ROWS[1], {}, NOT_AVAILABLE),
)


def printed(method: str, subset: str, region: str, metric: str) -> float | None:
    return 80.0 if (method, subset, metric) == ("Host", ALL, "dice") else None


def test_means_stand_beside_what_is_printed_with_spread_and_difference() -> None:
    head, host, absent = grid_of(STUDY, SCORED, printed, "dice")
    assert head[1:5] == ["Dice WT", "Dice TC", "Dice ET", "Dice ET>=500"]
    kinds = ("printed", "less printed")
    assert head[5:] == [f"{region} {kind}" for kind in kinds for region in ("WT", "TC", "ET")]
    assert host == ["host", *["85.00 ± 7.07"] * 4, *["80.00"] * 3, *["+5.00"] * 3]
    assert absent[1:5] == [NOT_AVAILABLE] * 4 and absent[5] == "80.00" and absent[8] == ""


def test_a_comparison_of_no_paper_has_no_printed_columns() -> None:
    head, host, _ = grid_of(replace(STUDY, source=""), SCORED, printed, "dice")
    assert len(head) == len(host) == 5


def test_a_cavity_has_a_column_that_stands_beside_nothing_printed() -> None:
    own = evaluation(0.5)
    for entry in (*own["subsets"], own["averages"]["all"]):
        entry["dice"]["RC"] = 0.25
    rows = (Scored(ROWS[0], {ALL: [own]}), Scored(ROWS[1], {ALL: [evaluation(0.5)]}))
    head, host, without = grid_of(STUDY, rows, printed, "dice")
    assert head[5] == "Dice RC" and "RC printed" not in head
    assert (host[5], without[5]) == ("25.00", "")


def test_subsets_are_lines_in_the_papers_order_and_averages_come_last() -> None:
    grid = grid_of(replace(STUDY, layout="subsets"), SCORED, printed, "dice")
    assert grid[0][:5] == ["FLAIR", "T1", "T1ce", "T2", "Dice WT host"]
    assert grid[1][:5] == ["○", "○", "○", "●", "42.50 ± 3.54"]
    assert [line[0] for line in grid[-3:]] == ["Average", "Average, printed", "Average less printed"]
    assert len(grid) == 1 + 15 + 3 and {len(line) for line in grid} == {4 + 2 * 4}
    filtered = 4 + 3 * 2  # ET as it is has no printed numbers, ET>=500 has
    assert grid[-2][4 + 2 * 2 : filtered] == ["", ""] and grid[-2][filtered:] == ["80.00", "80.00"]


def test_methods_are_lines_and_each_subset_can_have_a_network_of_its_own() -> None:
    own = Scored(
        Row("one-to-one", None, "One", by_subset=(("T2", Training("rfnet")),)), {"T2": [evaluation(0.6)]}
    )
    study = replace(STUDY, layout="methods", subsets=("T2", "T1"))
    grid = grid_of(study, (SCORED[0], own), lambda *asked: 40.0 if asked[1] == "T2" else None, "dice")
    assert grid[0] == ["", "", "T2", "T1"]
    assert grid[1] == ["Dice WT", "host", "42.50 ± 3.54", "85.00 ± 7.07"]
    assert grid[2][1:] == ["host, printed", "40.00", ""] and grid[3][1:] == ["host less printed", "+2.50", ""]
    assert grid[4][1:] == ["one-to-one", "30.00", ""]


def test_distances_are_in_millimeters_and_have_no_filtered_column() -> None:
    head, host, _ = grid_of(STUDY, SCORED, lambda *_: 3.0, "hd95")
    assert head[1:4] == ["HD95 WT", "HD95 TC", "HD95 ET"] and len(head) == 1 + 3 * 3
    assert host[1:] == [*["4.00 ± 0.00"] * 3, *["3.00"] * 3, *["+1.00"] * 3]
