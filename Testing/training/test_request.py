"""All that can be asked of a training is one value, which knows its command line both ways."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import MissingModalityLib as mm
from MissingModalityLib.__main__ import build_parser
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.training.request import TrainRequest

WHOLE = TrainRequest(
    data="my cases",
    output="run",
    recipe="aem-kd",
    network="rfnet",
    preset="quick",
    stages=["train", "posttrain"],
    settings={"epochs": "2", "train.learning_rate": "0.1"},
    config="plan.yaml",
    initial="first.safetensors",
    resume=True,
    restart="posttrain",
    seed=3,
    device="cuda:1",
    convention="brats2021",
    prepared="prepared",
    folds=3,
    fold=1,
    cases="training.txt",
    validation_cases="validation.txt",
    accept_changes=True,
    track=["tensorboard", "mlflow"],
)


def parsed(request: TrainRequest) -> TrainRequest:
    return TrainRequest.from_options(build_parser().parse_args(request.to_arguments()))


@pytest.mark.parametrize(
    "request_", [WHOLE, TrainRequest("cases", "run"), TrainRequest(None, "run", resume=True)]
)
def test_a_request_comes_back_from_its_command_line(request_: TrainRequest) -> None:
    assert parsed(request_) == request_


def test_every_field_but_those_given_is_as_the_command_line_has_it() -> None:
    given = build_parser().parse_args(["train", "--data", "cases", "--output", "run"])
    assert TrainRequest.from_options(given) == TrainRequest("cases", "run")
    for item in fields(TrainRequest):
        assert getattr(WHOLE, item.name) != item.default, f"{item.name} is not tried above"


def test_nested_settings_and_values_become_texts() -> None:
    settings = {"patch_size": (64, 64, 96), "train": {"epochs": 7}, "learning_rate": 1e-5}
    arguments = TrainRequest("cases", "run", settings=settings).to_arguments()
    assert arguments[arguments.index("--set") + 1 :][:3] == [
        "patch_size=64,64,96",
        "train.epochs=7",
        "learning_rate=1e-05",
    ]


def test_the_public_function_takes_what_a_request_has() -> None:
    own = inspect.signature(TrainRequest).parameters
    shown = dict(inspect.signature(mm.train).parameters)
    assert shown.pop("on_progress").default is None
    assert {name: value.default for name, value in shown.items()} == {
        name: value.default for name, value in own.items()
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", 3),
        ("output", None),
        ("recipe", None),
        ("device", 0),
        ("device", None),
        ("stages", "train"),
        ("settings", "epochs=2"),
        ("resume", "yes"),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_named(name: str, value: Any, tmp_path: Path) -> None:
    arguments = {"data": "cases", "output": tmp_path / "run", name: value}
    with pytest.raises(OptionError, match=f"^{name}={value!r}: give "):
        mm.train(**arguments)
    assert not (tmp_path / "run").exists()


def test_a_whole_plan_has_no_command_line() -> None:
    with pytest.raises(OptionError, match="no whole plan"):
        TrainRequest("cases", "run", settings=mm.make_plan()).to_arguments()


@pytest.mark.parametrize("with_file", [False, True])
def test_settings_may_have_earlier_names_with_and_without_a_file(with_file: bool, tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("workers: 2\n")
    request = TrainRequest("cases", "run", settings={"batch": "3"}, config=config if with_file else None)
    (settings,) = request.plan()[0].stages.values()
    assert settings.batch_size == 3 and (settings.num_workers == 2 or not with_file)
