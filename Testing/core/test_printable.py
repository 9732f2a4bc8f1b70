"""Whatever names and headers hold, a message is one line in which nothing steers the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("flair\u202eiin.zg", r"flair\u202eiin.zg"),
        ("\x9b2J", r"\x9b2J"),
        ("脳 Łódź e\u0301 'x' \\n", "脳 Łódź e\u0301 'x' \\n"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown == str(ImageError(text))


def test_lines_of_a_summary_and_of_a_list_stay() -> None:
    assert printable("a\nb\r\n", lines=True) == "a\nb\\r\n"
    assert str(ImageError("None of:\n  a\x1b\n  b\nc")) == "None of:\n  a\\x1b\n  b\\nc"


def test_a_folder_that_is_called_like_a_command_is_named_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a\n\x1b[2Jb"
    assert main(["cases", str(path)]) == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and r"a\n\x1b[2Jb" in said and "\x1b" not in said
    (path / "case").mkdir(parents=True)
    (path / "case" / "flair.nii.gz").touch()
    assert main(["cases", str(path)]) == 0
    said = capfd.readouterr().out
    assert r"\x1b[2Jb" in said and "\x1b" not in said
