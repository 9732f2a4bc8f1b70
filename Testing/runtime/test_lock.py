"""A folder that is held by a file which goes at the end."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pytest

from MissingModalityLib.runtime import lock


def test_the_file_is_there_as_long_as_the_folder_is_held(tmp_path: Path) -> None:
    path = tmp_path / "passing.lock"
    with pytest.raises(ZeroDivisionError), lock.held_by_a_passing_file(path, "busy in"):
        assert path.exists()
        raise ZeroDivisionError
    assert not path.exists()


def test_a_file_that_was_removed_before_it_could_be_taken_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has held it, and ends between our opening and our taking it."""
    path, take, asked = tmp_path / "passing.lock", lock._take_soon, []

    def removed_meanwhile(file: IO[bytes]) -> bool:
        asked.append(file)
        if len(asked) == 1:
            path.unlink()
        return take(file)

    monkeypatch.setattr(lock, "_take_soon", removed_meanwhile)
    with lock.held_by_a_passing_file(path, "busy in"):
        assert path.exists() and len(asked) == 2
