"""Progress events as people and parent processes see them."""

from __future__ import annotations

import json
import math
import sys

import pytest

from MissingModalityLib.core import progress as progress_module
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.progress import Event, progress_printer


def test_json_lines_come_back_as_the_same_events(capsys):
    events = [
        Event("Segmenting", 1, 8, "window 1"),
        Event("Training", 3, 0, "line\nbreak, µ", {"loss": 0.25, "dice": 1.0}),
    ]
    with progress_printer("json") as progress:
        for event in events:
            progress(event)
    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["event"] for record in records] == ["progress", "progress"]
    assert [Event.from_json(record) for record in records] == events
    assert err == ""


def test_nan_and_infinity_stay_valid_json():
    line = Event("Training", 1, 2, values={"loss": math.nan, "hd95": math.inf}).to_json()
    record = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert record["values"] == {"loss": None, "hd95": None}
    assert all(math.isnan(value) for value in Event.from_json(record).values.values())


def test_a_terminal_gets_a_bar_for_every_stage_on_stderr(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_printer("bar") as progress:
        progress(Event("Reading", 1, 1))
        for step in range(1, 5):
            progress(Event("Segmenting", step, 4, values={"loss": 0.5}))
    out, err = capsys.readouterr()
    assert out == ""
    assert "Reading: 100%" in err
    assert "Segmenting: 100%" in err
    assert "4/4" in err and "loss 0.5" in err


def test_what_is_no_terminal_gets_plain_lines_for_beginning_and_end_of_a_stage(capsys):
    with progress_printer("bar") as progress:
        progress(Event("Reading", 1, 1))
        for step in range(1, 5):
            progress(Event("train", step, 4, "epoch 1 of 1", {"loss": 0.5}))
        for case in (1, 2):
            progress(Event("train", 4, 4, f"validating case {case} of 2"))
    out, err = capsys.readouterr()
    assert out == "" and "\r" not in err
    lines = ["Reading 1/1", "train 1/4: epoch 1 of 1, loss 0.5", "train 4/4: epoch 1 of 1, loss 0.5"]
    assert err.splitlines() == lines


def test_a_long_stage_tells_on_plain_lines_that_it_is_alive(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "_LINES_S", 0.0)
    with progress_printer("bar") as progress:
        for step in range(3):
            progress(Event("prepare", step, 0, f"case {step}"))
    assert capsys.readouterr().err.splitlines() == [f"prepare {step}/?: case {step}" for step in range(3)]


def test_bar_is_closed_when_the_work_fails(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(ValueError), progress_printer("bar") as progress:
        progress(Event("Reading", 0, 3))
        raise ValueError
    assert capsys.readouterr().err.endswith("\n")


def test_none_prints_nothing(capsys):
    with progress_printer("none") as progress:
        progress(Event("Reading", 1, 1))
    assert capsys.readouterr() == ("", "")


def test_unknown_style_is_refused_with_the_choices():
    with pytest.raises(OptionError, match="bar, json, none"), progress_printer("dots"):
        pass
