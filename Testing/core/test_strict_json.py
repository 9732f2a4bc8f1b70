"""JSON is read and written as its standard has it, by every file of the library."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

import MissingModalityLib
from MissingModalityLib.core import strict_json


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 1}', "'a' stands twice"),
        ('{"a": {"b": [{"c": 1, "d": 2, "c": 3}]}}', "'c' stands twice"),
        ('{"a": 1, "\\u0061": 2}', "'a' stands twice"),
        ("[NaN]", "NaN"),
        ('{"a": Infinity}', "Infinity"),
        ('{"a": [-Infinity]}', "-Infinity"),
        ("1e400", "beyond all floats"),
        ('{"a": -1e999}', "beyond all floats"),
        ("[" * 100_000, "too deep"),
        ('{"a":' * 100_000, "too deep"),
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting"),
        (b"\xff\xfe[\x001\x00]\x00", "utf-8"),
        ("1" * 5000, "digits"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_json_is_an_error_of_one_kind(text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        strict_json.loads(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], {"a": {"b": [math.nan]}}], ids=str)
def test_numbers_that_json_lacks_are_never_written(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        strict_json.dumps(value)


def test_sound_values_come_back() -> None:
    value = {"a": [1, 2.5, None, True, "ä"], "b": {"a": {}}}
    assert strict_json.loads(strict_json.dumps(value)) == value
    assert strict_json.loads(strict_json.dumps(value, indent=2).encode()) == value


def test_no_other_file_of_the_library_reads_or_writes_json_by_itself() -> None:
    library = Path(MissingModalityLib.__file__).parent
    users = [
        path for path in library.rglob("*.py") if re.search(r"^import json\b", path.read_text("utf-8"), re.M)
    ]
    assert [path.name for path in users] == ["strict_json.py"]
