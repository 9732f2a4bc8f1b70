"""A network share that answers slowly does not freeze a panel at every change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import slicer_standin

slowdisks = slicer_standin.load_module("MissingModalityPanelLib.slowdisks")


class Share:
    """Answers questions about paths after some seconds of a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.seconds = 0.0
        self.asked: list[str] = []

    def answer(self, path: str) -> bool:
        self.asked.append(path)
        self.now += self.seconds
        return True


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch) -> Share:
    share = Share()
    monkeypatch.setattr(slowdisks.time, "monotonic", lambda: share.now)
    monkeypatch.setattr(slowdisks.os.path, "isdir", share.answer)
    monkeypatch.setattr(slowdisks, "_kept", {})
    return share


def test_a_disk_that_answers_at_once_is_always_asked(share: Share) -> None:
    assert slowdisks.isFolder("here") and slowdisks.isFolder("here")
    assert share.asked == ["here", "here"]


def test_an_answer_that_took_long_is_kept_until_waiting_was_a_twentieth(share: Share) -> None:
    share.seconds = 30.0
    assert slowdisks.isFolder("gone")
    share.now += 590.0
    assert slowdisks.isFolder("gone") and share.asked == ["gone"]
    assert slowdisks.isFolder("another") and share.asked == ["gone", "another"]
    share.now += 11.0
    assert slowdisks.isFolder("gone") and share.asked[-1] == "gone"


def test_what_is_asked_is_what_the_disk_has(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert slowdisks.modified(str(file)) is None
    file.touch()
    assert slowdisks.modified(str(file)) == file.stat().st_mtime_ns
    assert slowdisks.isFile(str(file)) and not slowdisks.isFolder(str(file))
    assert slowdisks.isFolder(str(tmp_path)) and not slowdisks.isFile(str(tmp_path))


@pytest.mark.parametrize("path", ["", "x" * 100000, "a\0b"])
def test_what_no_system_takes_for_a_path_is_nothing(path: str) -> None:
    questions: list[Any] = [slowdisks.isFolder, slowdisks.isFile, slowdisks.modified]
    assert not any(question(path) for question in questions)
