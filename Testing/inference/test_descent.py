"""What a model descends from: steps of all runs together, and never more certainty than the files give."""

from __future__ import annotations

import pytest

from MissingModalityLib.inference.descent import (
    BEGAN,
    TAUGHT,
    all_before,
    are_models_before,
    named,
    steps_in_all,
    steps_of,
)

TWO_STAGES = {
    "settings": {
        "stages": {
            "pretrain": {"epochs": 4, "iterations_per_epoch": 10},
            "train": {"epochs": 9, "iterations_per_epoch": 100},
        }
    },
    "stage": "train",
    "epochs_done": 3,
}


def entry(use: str, steps: int | None, **more: object) -> dict:
    return {"stage": "train", "use": use, "file": "m", "weights_sha256": "1", "steps": steps, **more}


def test_steps_are_those_of_the_stages_that_a_model_has_gone_through() -> None:
    assert steps_of(TWO_STAGES) == 4 * 10 + 3 * 100
    assert steps_of({**TWO_STAGES, "stage": "pretrain", "epochs_done": 4}) == 40
    # what was counted is surer than what the last settings would have made
    assert steps_of({**TWO_STAGES, "steps": 77}) == 77


@pytest.mark.parametrize(
    "training",
    [
        {},
        {**TWO_STAGES, "stage": "posttrain"},
        {**TWO_STAGES, "epochs_done": None},
        {**TWO_STAGES, "settings": {"stages": 5}},
        {**TWO_STAGES, "settings": {"stages": {"train": {"iterations_per_epoch": "many"}}}},
        {**TWO_STAGES, "settings": {"stages": {"train": {"iterations_per_epoch": -1}}}},
    ],
)
def test_a_card_that_does_not_tell_its_steps_has_none(training: dict) -> None:
    assert steps_of(training) is None


def test_steps_in_all_follow_what_was_begun_with_and_not_what_taught() -> None:
    first = entry(BEGAN, 5, models_before=[])
    second = entry(BEGAN, 30, models_before=[first, entry(TAUGHT, 7000)])
    assert steps_in_all(200, [entry(TAUGHT, 1000, models_before=[]), second]) == (235, True)
    assert steps_in_all(200, []) == (200, True)
    unknown = (None, [entry(BEGAN, 5)], [entry(BEGAN, None, models_before=[])])
    assert [steps_in_all(200, before) for before in unknown] == [(200, False), (205, False), (200, False)]
    assert steps_in_all(None, []) == (0, False)


def test_every_model_before_is_told_with_whose_it_was() -> None:
    first = {**entry(BEGAN, 5), "file": "first"}
    second = {**entry(BEGAN, 30, models_before=[first]), "file": "second"}
    teacher = {**entry(TAUGHT, 1), "file": "teacher"}
    found = [(whose, one["file"]) for whose, one in all_before([second, teacher])]
    assert found == [("this model", "second"), ("this model", "teacher"), ("second", "first")]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/runs/fold0/train.safetensors", "fold0/train.safetensors"),
        (r"C:\Users\me\fold0\train.safetensors", "fold0/train.safetensors"),
        ("/m.safetensors", "m.safetensors"),
        ("runs/width24/fold0/train.safetensors", "runs/width24/fold0/train.safetensors"),
    ],
)
def test_a_model_is_named_without_where_on_a_computer_it_lay(path: str, name: str) -> None:
    assert named(path, TAUGHT, None) == {"use": TAUGHT, "file": name, "weights_sha256": None}


@pytest.mark.parametrize(
    "change",
    [
        {"use": "copied"},
        {"file": None},
        {"stage": 1},
        {"weights_sha256": 1},
        {"steps": "5"},
        {"steps": True},
        {"cases": "a"},
        {"cases": [1]},
        {"models_before": {}},
        {"models_before": [5]},
    ],
    ids=str,
)
def test_what_a_file_says_is_of_the_kinds_that_it_is_read_as(change: dict) -> None:
    whole = entry(BEGAN, 5, cases=["a"], models_before=[entry(TAUGHT, None)])
    assert are_models_before([whole]) and are_models_before([])
    assert not are_models_before([{**whole, **change}])
