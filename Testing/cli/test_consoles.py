"""A console that lacks a letter of a path shows it escaped; work that is done ends with 0."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from processes import environment


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "ascii:strict", "latin-1"])
@pytest.mark.parametrize("name", ["脳腫瘍", "Łódź"])
def test_any_name_is_printed(encoding: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / f"{name}_flair.nii.gz").touch()
    done = subprocess.run(
        [sys.executable, "-m", "MissingModalityLib", "cases", str(folder)],
        capture_output=True,
        env={**environment(), "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"1 case in" in done.stdout and b"\\u" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text_is_printed(tmp_path: Path) -> None:
    folder = tmp_path / "x\udcff"
    folder.mkdir()
    (folder / "flair.nii.gz").touch()
    done = subprocess.run(
        [sys.executable, "-m", "MissingModalityLib", "cases", str(folder)],
        capture_output=True,
        env={**environment(), "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert done.returncode == 0 and b"udcff" in done.stdout, done.stderr
