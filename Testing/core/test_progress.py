"""Progress events as people and parent processes see them."""

from __future__ import annotations

import json
import math

import pytest

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


def test_bar_draws_every_stage_on_stderr_and_leaves_stdout_alone(capsys):
    with progress_printer("bar") as progress:
        progress(Event("Reading", 1, 1))
        for step in range(1, 5):
            progress(Event("Segmenting", step, 4, values={"loss": 0.5}))
    out, err = capsys.readouterr()
    assert out == ""
    assert "Reading: 100%" in err
    assert "Segmenting: 100%" in err
    assert "4/4" in err and "loss 0.5" in err


def test_bar_is_closed_when_the_work_fails(capsys):
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
