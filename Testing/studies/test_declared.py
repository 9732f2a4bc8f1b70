"""What the studies declare: published settings, shared trainings, printed numbers for every row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.networks.registry import NETWORKS
from MissingModalityLib.studies.aem_kd import aem, aem_kd
from MissingModalityLib.studies.cost import runs_without_data
from MissingModalityLib.studies.printed import printed_numbers
from MissingModalityLib.studies.registry import STUDIES, data_set_named, study_named
from MissingModalityLib.studies.runs import is_available
from MissingModalityLib.studies.sizes import SIZES, plan_of, rows_of, steps_of
from MissingModalityLib.studies.study import Row, Training

LAYOUTS = {"means", "subsets", "methods"}
PAPER, QUICK = SIZES["paper"], SIZES["quick"]


def folders(name: str) -> set[str]:
    return {run.folder.path.name for run in runs_without_data(STUDIES[name], PAPER, 1)}


@pytest.mark.parametrize("preset", ["paper", "light"])
def test_every_study_can_be_planned(preset: str) -> None:
    for study in STUDIES.values():
        runs = runs_without_data(study, SIZES[preset], 1)
        assert runs and study.layout in LAYOUTS
        before: set = set()
        for run in runs:  # whatever a run begins with stands before it
            assert run.after is None or run.after.folder.path in before
            before.add(run.folder.path)
        names = {row.name for row in rows_of(study, SIZES[preset])}
        assert len(names) == len(rows_of(study, SIZES[preset]))
        assert {row.base for row in study.rows} <= names | {""}


def test_printed_numbers_are_there_for_every_row_of_a_paper() -> None:
    for study in STUDIES.values():
        for data in study.data if study.source else ():
            look_up = printed_numbers(study.source, data.name)
            for row in study.rows:
                for metric in study.metrics:
                    for subset in study.subsets or ("",):
                        assert look_up(row.printed, subset, "WT", metric) is not None, (study.name, row.name)
    table4 = printed_numbers("AEM+KD paper, Table 4", "BRATS2020")
    assert [table4("RFNet+AEM+KD", "", region, "dice") for region in ("WT", "TC", "ET")] == [
        *(88.36, 79.86, 66.67)
    ]


def test_the_headline_is_trained_as_published() -> None:
    pretrain, train, posttrain = (plan_of(part, PAPER, 3, {}) for part in aem_kd("rfnet").chain())
    assert pretrain.stages["pretrain"].synthesis.factor == 8
    assert [plan.stages[name].epochs for plan, name in ((train, "train"), (posttrain, "posttrain"))] == [
        *(300, 900)
    ]
    assert {plan.validation_fraction for plan in (pretrain, train, posttrain)} == {0}
    assert posttrain.stages["posttrain"].method == "distillation"


def test_tables_share_the_trainings_that_are_alike() -> None:
    assert folders("table5") == folders("table4")
    assert len(folders("table4")) == 3 * 4
    # x8 and the baseline of Table 7; KD 900 of Table 10
    assert len(folders("table7") & folders("table4")) == 3
    assert len(folders("table10") & folders("table4")) == 3 * 3
    assert len(folders("table8") - folders("table4")) == 1


@pytest.mark.parametrize("preset", ["light", "quick"])
def test_rows_of_the_smaller_presets_take_equally_many_steps(preset: str) -> None:
    size = SIZES[preset]
    for training in (Training("rfnet"), aem("rfnet"), aem_kd("rfnet")):
        parts = training.chain()
        assert sum(steps_of(plan_of(part, size, len(parts), {})) for part in parts) == size.steps
    hosts = {row.training.network for row in rows_of(STUDIES["table4"], size)}
    assert hosts == {"uhved", "robustseg", "rfnet", "uhemis", "segresnet"}
    assert {row.training.network for row in rows_of(STUDIES["table4"], PAPER)} == hosts - {
        *("uhemis", "segresnet")
    }


def test_hosts_are_scored_in_windows_that_are_larger_than_their_crops() -> None:
    assert SIZES["light"].card_of("rfnet") == {"overlap": 0.1, "window": [80, 96, 80]}
    assert SIZES["light"].card_of("mmformer") == {"overlap": 0.1} and PAPER.card_of("rfnet") == {}


def test_the_study_of_synthesis_is_one_of_equal_steps_with_and_without_distillation() -> None:
    rows = {row.name: row for row in STUDIES["synthesis"].rows}
    assert {row.base for row in rows.values()} == {"", "SegResNet"}
    for name, method in (("+AEM+KD", "aem"), ("+grown+KD", "grown")):
        first, *_, last = rows[name].training.chain()
        assert dict(first.settings) == {"synthesis.method": method, "synthesis.factor": 4}
        assert last.stage == "posttrain" and last.after == rows[name.removesuffix("+KD")].training


def test_a_row_whose_network_is_not_there_is_known_before_it_is_trained() -> None:
    assert not is_available(Row("of tomorrow", Training("no_such_network")))
    assert not is_available(Row("of tomorrow", Training("rfnet", after=Training("no_such_network"))))
    assert is_available(Row("of today", aem_kd("rfnet")))
    study = STUDIES["mst-table1"]
    trained = {run.training.network for run in runs_without_data(study, QUICK, 1)}
    assert trained == {row.training.network for row in study.rows} & set(NETWORKS)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="Did you mean table4"):
        study_named("table-4")
    with pytest.raises(OptionError, match="Choose one of: BraTS2024, FeTS2024"):
        data_set_named(STUDIES["mst-table4"], "brats")
    assert data_set_named(STUDIES["mst-table4"], "fets2024").splits == ("fets2024",)
    with pytest.raises(OptionError, match="is of no data set"):
        data_set_named(STUDIES["recipes"], "BraTS2024")


def test_further_settings_and_another_length_change_what_a_run_is() -> None:
    study = replace(STUDIES["recipes"], rows=STUDIES["recipes"].rows[:1])
    (run,) = runs_without_data(study, QUICK, 1)
    (longer,) = runs_without_data(study, replace(QUICK, steps=2 * QUICK.steps), 1)
    assert run.folder.path != longer.folder.path and longer.steps == 2 * run.steps
