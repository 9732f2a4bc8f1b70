"""Numbers as papers print them stand beside one's own, marked and never tested."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.labels import REGIONS
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.evaluation.comparison import compare_folders
from MissingModalityLib.evaluation.metrics import SCORED_REGIONS
from MissingModalityLib.evaluation.printed import printed_table, printed_tables
from MissingModalityLib.evaluation.row import Row
from MissingModalityLib.evaluation.rows_file import rows_to_csv
from MissingModalityLib.studies import report
from MissingModalityLib.studies.aem_kd import BRATS2020
from MissingModalityLib.studies.registry import STUDIES


def write_scores(folder: Path) -> Path:
    """An evaluation of one case."""
    rows = [Row("a", (Modality.T2,), region, 0.5, 5.0, 9, 70) for region in SCORED_REGIONS]
    folder.mkdir()
    (folder / "cases.csv").write_text(rows_to_csv(rows))
    cases = [{"name": "a", "reference_voxels": dict.fromkeys(REGIONS, 70)}]
    summary = {"student": folder.name, "hd95_rule": "penalty", "cases": cases, "skipped": []}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_the_headline_is_as_the_paper_has_it() -> None:
    table = printed_table("aem-kd-table-4")
    assert (table.source, table.data) == ("AEM+KD paper, Table 4", "BRATS2020")
    best = table.lines["RFNet+AEM+KD"]
    assert best == pytest.approx({("dice", "WT"): 0.8836, ("dice", "TC"): 0.7986, ("dice", "ET"): 0.6667})
    distances = printed_table("mst-kdnet-table-4-fets2024")
    assert distances.lines["MST-KDNet"]["hd95", "WT"] == 5.9 and "--hd95 pooled" in distances.protocol


def test_every_table_has_shares_and_distances_that_can_be() -> None:
    for name, table in printed_tables().items():
        assert table.lines, name
        for values in table.lines.values():
            assert {region for _, region in values} == set(REGIONS), name
            for (metric, _), value in values.items():
                assert 0.2 < value < 1 if metric == "dice" else 1 < value < 100, (name, metric, value)


def test_numbers_that_two_tables_print_for_different_data_are_told_to_be_a_slip() -> None:
    tables = printed_tables().values()
    shared = {
        (one.source, method)
        for one, other in permutations(tables, 2)
        if one.data != other.data
        for method in one.lines.keys() & other.lines.keys()
        if sum(other.lines[method].get(key) == value for key, value in one.lines[method].items()) > 1
    }
    assert {method for _, method in shared} == {"HeMIS"}
    told = [table.protocol for table in tables if "slip" in table.protocol]
    assert len(told) == 1 and "TC and ET of HeMIS" in told[0] and "'ET>=500'" in told[0]
    notes = report._notes(STUDIES["table2"], STUDIES["table2"].data[0], (), (), False)
    assert any("TC and ET of HeMIS" in note for note in notes)
    assert not any("slip" in note for note in report._notes(STUDIES["table1"], BRATS2020, (), (), True))


def test_printed_rows_stand_below_the_tested_ones(tmp_path: Path) -> None:
    folders = [write_scores(tmp_path / name) for name in ("own", "other")]
    compared = compare_folders(folders, tmp_path / "out", "aem-kd-table-4")
    lines = compared["markdown"].splitlines()
    assert "| RFNet+AEM+KD | printed | 88.4 | 79.9 | 66.7 |  |  |  |  |  |  |  |" in lines
    assert lines.index("| other | 1 | 50.0 | 50.0 | 50.0 | 50.0 |  |  |  | 5.0 | 5.0 | 5.0 |") == 3
    assert any("AEM+KD paper, Table 4" in line and "not tested" in line for line in lines)
    assert [test["name"] for test in compared["tests"]] == ["other"]
    stored = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert stored["printed"]["data"] == "BRATS2020" and len(stored["lines"]) == 2
    assert compare_folders(folders)["printed"] is None


def test_an_unknown_table_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(OptionError, match="mean aem-kd-table-4"):
        compare_folders({}, published="aemkd-table-4")
