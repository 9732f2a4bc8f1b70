"""Files that are whole or not there, one by one and several together."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from full_disk import full_disk
from MissingModalityLib.core.files import leaving_no_empty_folder, write_text, written_together


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


@pytest.mark.skipif(sys.platform == "win32", reason="opens no folders")
@pytest.mark.parametrize("knows_folders", [True, False])
def test_a_new_name_is_on_the_disk_when_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_folders: bool
) -> None:
    path, synced, sync = tmp_path / "scores.csv", [], os.fsync

    def fsync(number: int) -> None:
        state = os.fstat(number)
        synced.append((os.path.samestat(state, tmp_path.stat()), path.exists()))
        if stat.S_ISDIR(state.st_mode) and not knows_folders:
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(number)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text("new", path)
    assert synced == [(False, False), (True, True)], "the file before it takes its place, the folder after"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_was_made_for_nothing_goes_after_ctrl_c_too(tmp_path: Path) -> None:
    made = tmp_path / "new" / "folder"
    with pytest.raises(KeyboardInterrupt), leaving_no_empty_folder(made):
        made.mkdir(parents=True)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
