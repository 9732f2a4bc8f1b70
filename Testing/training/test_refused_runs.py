"""A run that is refused leaves nothing behind."""

from __future__ import annotations

import pytest

import MissingModalityLib as mm
from MissingModalityLib.training import run
from MissingModalityLib.training.run_folder import RunFolder, leaving_nothing
from small_cases import write_block_cases
from tiny_run import TINY


def refuse(*_: object) -> None:
    raise mm.MissingModalityError("refused late")


def refused(data, output) -> None:
    with pytest.raises(mm.MissingModalityError, match="refused late"):
        mm.train(data, output, settings=TINY, device="cpu")


def test_neither_folders_nor_lock_nor_prepared_cases_stay(tmp_path, monkeypatch):
    cases = write_block_cases(tmp_path / "cases")
    monkeypatch.setattr(run, "stage_cases", refuse)
    refused(cases, tmp_path / "runs" / "first")
    assert [path.name for path in tmp_path.iterdir()] == ["cases"]


def test_what_was_in_the_folder_before_stays(tmp_path, monkeypatch):
    cases, output = write_block_cases(tmp_path / "cases"), tmp_path / "run"
    (output / "prepared").mkdir(parents=True)
    (output / "notes.txt").write_text("mine")
    monkeypatch.setattr(run, "stage_cases", refuse)
    refused(cases, output)
    assert sorted(path.name for path in output.iterdir()) == ["notes.txt", "prepared"]
    assert any((output / "prepared").iterdir())  # a folder that was there may be shared with others


def test_one_case_alone_is_refused_for_synthesis_before_it_is_prepared(tmp_path, monkeypatch):
    cases = write_block_cases(tmp_path / "cases")
    settings = {"exclude": "patient_b,patient_c"}
    monkeypatch.setattr(run, "prepare_run_cases", lambda *_: pytest.fail("was prepared"))
    with pytest.raises(mm.MissingModalityError, match="at least two labeled cases"):
        mm.train(cases, tmp_path / "run", recipe="aem-kd", preset="quick", settings=settings, device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("made_late", [False, True])
def test_a_refused_cross_validation_leaves_nothing(tmp_path, monkeypatch, made_late):
    cases = write_block_cases(tmp_path / "cases")
    if made_late:
        monkeypatch.setattr(run, "stage_cases", refuse)
    with pytest.raises(mm.MissingModalityError, match="refused late" if made_late else "folds=4 cannot"):
        mm.train(cases, tmp_path / "run", settings=TINY, folds=2 if made_late else 4, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["cases"]


def test_prepared_cases_stay_where_one_fold_has_begun(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(mm.MissingModalityError), leaving_nothing(folder):
        for made in (folder.prepared, folder.path / "fold0"):
            made.mkdir(parents=True)
        (folder.path / "fold0" / "run.json").touch()
        refuse()
    assert folder.prepared.exists()
