"""Where the students lie that this user has trained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from MissingModalityLib.inference.locations import user_models


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", "home/.local/share/MissingModality/models"),
        ("darwin", "home/Library/Application Support/MissingModality/models"),
        ("win32", "local/MissingModality/models"),
    ],
)
def test_each_system_has_its_place_and_nothing_is_made(
    platform: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MISSINGMODALITY_MODELS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(sys, "platform", platform)
    assert user_models() == tmp_path / expected
    assert not list(tmp_path.iterdir())


def test_the_environment_names_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MISSINGMODALITY_MODELS", str(tmp_path))
    assert user_models() == tmp_path
