"""What a full disk leaves of evaluations and comparisons: all that was there, and nothing of what was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from full_disk import full_disk
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.datasets.published_splits import write_lists
from MissingModalityLib.evaluation.comparison import compare_folders
from MissingModalityLib.evaluation.evaluate import evaluate_folder, read_evaluation
from small_cases import BOTH, write_shell_case
from small_networks import blind_student, tiny_student

PICTURE_ALONE_IS_LARGER = 20_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_shell_case(folder / "BraTS2021_90002", BOTH, seed=1)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_an_evaluation_stays_what_it_was_where_another_finds_no_room(data: Path, tmp_path: Path) -> None:
    """The scores of the other one are kept apart, and it has them when there is room."""
    student, other = tmp_path / "s.safetensors", tmp_path / "other.safetensors"
    tiny_student().save(student)
    blind_student().save(other)
    output = tmp_path / "scores"
    evaluate_folder(student, data, output, device="cpu")
    before = contents(output)
    for folder in (output, tmp_path / "new"):
        with (
            pytest.raises(CaseError, match=rf"{folder.name}.*cannot be written .*free space"),
            full_disk(PICTURE_ALONE_IS_LARGER),
        ):
            evaluate_folder(other, data, folder, device="cpu")
    assert contents(output) == before and not contents(tmp_path / "new")
    assert read_evaluation(output)["student"] == "s.safetensors"
    told: list[str] = []
    evaluate_folder(
        other, data, tmp_path / "new", device="cpu", on_progress=lambda event: told.append(event.message)
    )
    assert told == ["BraTS2021_90002, scored before"] and not (tmp_path / "new" / "scored").exists()
    with pytest.raises(CaseError, match="cannot be written"), full_disk(PICTURE_ALONE_IS_LARGER):
        compare_folders({"one": [output], "same": [output]}, tmp_path / "comparison")
    assert not (tmp_path / "comparison").exists()


def test_lists_of_a_split_are_all_there_or_none(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="cannot be written"), full_disk(100):
        write_lists({"train": ["a"], "test": ["b" * 200]}, tmp_path / "lists")
    assert not list(tmp_path.iterdir())
