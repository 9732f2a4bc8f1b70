"""A console that lacks a letter of a path shows it escaped; work that is done ends with 0."""

from __future__ import annotations

import os
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


@pytest.mark.skipif(sys.platform == "win32", reason="there such pipes break in another way")
@pytest.mark.parametrize("arguments", [("train", "--help-settings"), ("cases", ".")])
def test_a_reader_that_has_gone_ends_the_command_in_silence(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "case_flair.nii.gz").touch()
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "MissingModalityLib", *arguments],
        stdout=write,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=tmp_path,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
