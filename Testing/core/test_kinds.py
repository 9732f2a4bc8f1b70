"""What public functions say of arguments of the wrong kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.kinds import checked, takes_known_names


@checked
def work(
    data: Path | str,
    count: int = 1,
    share: float = 0.5,
    names: Sequence[str] = (),
    folders: Mapping[str, Sequence[Path | str]] | None = None,
    anything: Any = None,
    tell: Callable[[str], None] | None = None,
    whole: bool = False,
) -> str:
    """Say that all fits."""
    return "done"


FITTING: dict[str, Any] = {
    "count": np.int64(3),
    "share": 1,
    "names": ["a", "b"],
    "folders": {"a": ["b", Path("c")]},
    "anything": object(),
    "tell": print,
    "whole": True,
}


@pytest.mark.parametrize("name", FITTING)
def test_what_fits_its_annotation_passes(name):
    assert work("cases", **{name: FITTING[name]}) == "done"


WRONG = {
    "data": (3, "data=3: give a path."),
    "count": ("4", "count='4': give a whole number."),
    "share": ("x", "share='x': give a number."),
    "names": ("train", "names='train': give a list of texts."),
    "folders": ({"a": "ev"}, "folders={'a': 'ev'}: give a dict of lists of paths or None."),
    "whole": (1, "whole=1: give True or False."),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_refused_with_its_name_and_the_kinds_it_may_have(name):
    value, message = WRONG[name]
    with pytest.raises(OptionError) as refused:
        work(**{"data": "cases", name: value})
    assert str(refused.value) == message


def test_true_is_no_whole_number():
    with pytest.raises(OptionError, match="count=True: give a whole number"):
        work("cases", count=True)


def test_a_checked_function_shows_its_own_signature_and_help():
    assert list(inspect.signature(work).parameters)[:2] == ["data", "count"]
    assert inspect.getdoc(work) == "Say that all fits."


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(OptionError, match=r"Unknown option 'cuont'\. Did you mean count"):
        work("cases", cuont=3)


def test_options_refuse_unknown_names_and_say_what_they_lack():
    @takes_known_names
    @dataclass(frozen=True)
    class Options:
        data: str
        output: str
        seed: int = 0

    assert Options("cases", output="run") == Options(data="cases", output="run", seed=0)
    with pytest.raises(OptionError, match=r"Unknown option 'sed'\. Did you mean seed"):
        Options("cases", "run", sed=1)
    with pytest.raises(OptionError, match="Give output too"):
        Options("cases", seed=1)


def test_a_student_may_be_given_by_the_word_of_help_and_messages() -> None:
    @checked
    def told(data: Path | str, student: Path | str | None = None) -> Any:
        return student

    assert told("cases", model="mine.safetensors") == told("cases", student="mine.safetensors")
    with pytest.raises(OptionError, match="student=3: give a path or None"):
        told("cases", model=3)
    with pytest.raises(OptionError, match="Unknown option 'model'"):
        told("cases", student="a", model="b")
