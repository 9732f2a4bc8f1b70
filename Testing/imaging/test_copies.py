"""Copies of cases under other names, as the command ``cases`` tells them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from MissingModalityLib.__main__ import main
from MissingModalityLib.core import files
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging import copies
from small_cases import write_block_case

TOLD = "Cases 'a' and 'b' hold the same volume, so they are of one patient"


def copied(folder: Path, *names: str) -> Path:
    """Case ``a``, and ``b`` with these of its files; the other volumes are another patient's."""
    write_block_case(folder / "a", ("flair", "t1ce"))
    write_block_case(folder / "b", ("flair", "t1ce"), patient=1)
    for name in names:
        shutil.copy(folder / "a" / name, folder / "b" / name)
    return folder


@pytest.mark.parametrize(
    ("names", "told"),
    [((), []), (("seg.nii.gz",), []), (("t1ce.nii.gz",), [TOLD]), (("flair.nii.gz", "t1ce.nii.gz"), [TOLD])],
    ids=["none", "label alone", "one volume", "all volumes"],
)
def test_a_volume_under_two_names_is_told_once(
    names: tuple[str, ...], told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cases", str(copied(tmp_path, *names)), "--progress", "json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["result"]["warnings"]
    assert [warning.split(";")[0] for warning in warnings] == told


def test_files_of_different_sizes_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def reading(path: Path) -> str:
        read.append(path)
        return files.file_sha256(path)

    monkeypatch.setattr(copies, "file_sha256", reading)
    folder = copied(tmp_path, "flair.nii.gz")
    assert len(copies.copied_cases(find_cases(folder).cases)) == 1
    assert {path.name for path in read} == {"flair.nii.gz"} and len(read) == 2
