"""Formats of a run's files: what is written is read again, and what earlier versions wrote is read too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.synthesis.options import EARLIER_GROWING, GROWING
from MissingModalityLib.training.log import LogLine
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run_folder import RunFolder

RECORD = RunRecord(
    data="/cases",
    cases={"a": "FLAIR+T1ce", "b": "T1"},
    validation=("b",),
    plan=make_plan("aem-kd", settings={"epochs": 3, "exclude": ["c"]}),
    recipe="aem-kd",
    preset="paper",
    seed=7,
    seeding=2,
    growing=GROWING,
    convention="brats2021",
    initial="/first.safetensors",
    prepared="/prepared",
    left_out={"c": "excluded", "d": "no label"},
    versions={"torch": "2.9"},
    given_files={"/first.safetensors": "0f"},
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    RECORD.write(RunFolder(tmp_path / "run"))
    assert RunRecord.read(RunFolder(tmp_path / "run")) == RECORD
    assert set(RECORD.to_json()) == set(json.loads((tmp_path / "run" / "run.json").read_text()))


def test_a_record_of_an_earlier_version_lacks_keys(tmp_path: Path) -> None:
    content = RECORD.to_json()
    for name in ("seeding", "growing", "prepared", "left_out"):
        del content[name]
    (tmp_path / "run.json").write_text(json.dumps(content))
    record = RunRecord.read(RunFolder(tmp_path))
    assert (record.seeding, record.prepared, record.left_out) == (1, None, {})
    assert record.growing == EARLIER_GROWING
    assert record.plan == RECORD.plan and record.cases == RECORD.cases


def test_a_run_of_an_earlier_version_goes_on_as_it_began(tmp_path: Path) -> None:
    content = RECORD.to_json()
    stage = content["settings"]["stages"]["train"]
    del stage["case_order"]
    for name in ("ramp_epochs", "dropout", "equal_subsets", "clip_together", "dice"):
        del stage["joint"][name]
    (tmp_path / "run.json").write_text(json.dumps(content))
    read = RunRecord.read(RunFolder(tmp_path)).plan.stages
    joint = read["train"].joint
    assert read["train"].case_order == "per-epoch" and read["pretrain"].case_order == "endless"
    assert (joint.ramp_epochs, joint.dropout, joint.dice) == (0, "both", "mean")
    assert joint.equal_subsets and joint.clip_together and not joint.consistency


def test_a_record_whose_method_is_not_installed_asks_for_its_package(tmp_path: Path) -> None:
    content = RECORD.to_json()
    content["settings"]["stages"]["train"]["method"] = "tversky"
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(CaseError, match=r"method=tversky is unknown\..*install the packages"):
        RunRecord.read(RunFolder(tmp_path))


def test_a_rule_of_seeds_that_is_not_known_yet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**RECORD.to_json(), "seeding": 3}))
    with pytest.raises(CaseError, match=r"run\.json.*seeding=3.*version"):
        RunRecord.read(RunFolder(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("seed", value) for value in ("7", 7.0, True, None, 2**64, -(2**70))),
        *(("cases", ["a"]), ("validation", "b"), ("data", 3), ("convention", 5), ("fold", "0")),
        *(("voxels_sha256", []), ("left_out", {}), ("prepared", {})),
    ],
)
def test_a_record_with_a_value_of_another_kind_is_refused(tmp_path: Path, key: str, value: object) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**RECORD.to_json(), key: value}))
    with pytest.raises(CaseError, match=rf"run\.json.*{key}="):
        RunRecord.read(RunFolder(tmp_path))


def test_a_run_of_a_package_that_is_not_installed_says_so(tmp_path: Path) -> None:
    content = RECORD.to_json()
    content["settings"]["stages"]["train"]["method"] = "focal"
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(CaseError, match=r"method=focal.*install the packages"):
        RunRecord.read(RunFolder(tmp_path))


def test_a_line_of_the_log_is_read_as_it_was_written() -> None:
    line = LogLine(stage="train", epoch=2, learning_rate=0.1, loss={"total": 0.5}, waiting=0.0, seconds=3.5)
    assert LogLine.from_json(line.to_json()) == line
    assert list(json.loads(line.to_json())) == [
        "stage",
        "epoch",
        "learning_rate",
        "loss",
        "waiting",
        "seconds",
    ]
    scored = LogLine(stage="train", epoch=2, loss={}, seconds=1.0, dice={"FLAIR WT": 0.5, "mean": 0.5})
    assert LogLine.from_json(scored.to_json()) == scored


@pytest.mark.parametrize("text", ["", '{"stage": "train", "epo', "[1]", "3", '{"stage": "train"}'])
def test_what_is_no_whole_line_of_the_log_is_left_out(text: str) -> None:
    assert LogLine.from_json(text) is None
