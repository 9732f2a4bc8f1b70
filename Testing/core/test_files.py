"""Files that are whole or not there, one by one and several together."""

from __future__ import annotations

from pathlib import Path

import pytest

from full_disk import full_disk
from MissingModalityLib.core.files import leaving_no_empty_folder, written_together


def test_files_of_use_together_are_all_replaced(tmp_path: Path) -> None:
    paths = [tmp_path / "scores.csv", tmp_path / "summary.json"]
    paths[0].write_text("old")
    with written_together(*paths) as temporaries:
        for number, temporary in enumerate(temporaries):
            temporary.write_text(f"new {number}")
        assert paths[0].read_text() == "old" and not paths[1].exists()
    assert [path.read_text() for path in paths] == ["new 0", "new 1"]
    assert sorted(tmp_path.iterdir()) == paths


def test_where_one_of_them_finds_no_room_none_is_replaced(tmp_path: Path) -> None:
    paths = [tmp_path / "scores.csv", tmp_path / "summary.json"]
    paths[0].write_text("old")
    with pytest.raises(OSError, match="too large"), full_disk(1000), written_together(*paths) as temporaries:
        temporaries[0].write_text("new")
        temporaries[1].write_text("x" * 2000)
    assert paths[0].read_text() == "old" and list(tmp_path.iterdir()) == [paths[0]]


def test_one_that_was_never_written_keeps_the_others_back(tmp_path: Path) -> None:
    paths = [tmp_path / "scores.csv", tmp_path / "summary.json"]
    with pytest.raises(FileNotFoundError), written_together(*paths) as temporaries:
        temporaries[0].write_text("new")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_made_for_nothing_goes_after_ctrl_c_too(tmp_path: Path) -> None:
    made = tmp_path / "new" / "folder"
    with pytest.raises(KeyboardInterrupt), leaving_no_empty_folder(made):
        made.mkdir(parents=True)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
