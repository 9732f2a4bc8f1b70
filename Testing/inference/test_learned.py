"""What a student learned from is known by the voxels, under whatever name; by name in older files."""

from __future__ import annotations

from pathlib import Path

import pytest

from MissingModalityLib.evaluation.known_cases import trained_on
from MissingModalityLib.inference.learned import Learned, learned_by
from small_networks import tiny_student

TRAINING = {
    "cases": {"a": "FLAIR+T1", "b": "T1", "held": "T1"},
    "validation": ["held"],
    "voxels_sha256": {"a": ["1", "2"], "b": ["3"], "held": ["4"]},
}
OLD = {key: value for key, value in TRAINING.items() if key != "voxels_sha256"}


@pytest.mark.parametrize(
    ("name", "content", "seen"),
    [
        ("renamed", {"FLAIR": "1"}, True),
        ("renamed", {"T2": "9", "T1": "3"}, True),
        ("a", {"FLAIR": "1", "T1": "2"}, True),
        ("a", {"FLAIR": "8", "T1": "9"}, False),  # another patient of that name
        ("held", {"T1": "4"}, False),
        ("renamed", {"T1": "5"}, False),
        ("a", None, True),  # an evaluation of an earlier version
        ("renamed", {}, False),
        ("renamed", {"T1": "5", "label": "1"}, False),
    ],
)
def test_a_case_is_known_by_its_volumes(name: str, content: dict | None, seen: bool) -> None:
    assert Learned(TRAINING).has(name, content) is seen


@pytest.mark.parametrize(("name", "seen"), [("a", True), ("held", False), ("renamed", False)])
def test_a_card_without_hashes_knows_names(name: str, seen: bool) -> None:
    assert Learned(OLD).has(name, {"FLAIR": "1"}) is seen
    assert not Learned(None).has(name, {"FLAIR": "1"})


def test_a_patient_that_was_trained_on_under_another_name_is_warned_of(tmp_path: Path) -> None:
    tiny_student({"training": TRAINING}).save(tmp_path / "student.safetensors")
    scored = [
        {"name": "copy", "voxels_sha256": {"FLAIR": "2"}},
        {"name": "b", "voxels_sha256": {"T1": "7"}},
        {"name": "held", "voxels_sha256": {"T1": "4"}},
        {"name": "a"},
    ]
    assert trained_on(tmp_path / "student.safetensors", {"cases": scored}) == ["copy", "a"]


def test_what_models_before_it_learned_from_is_known_too(tmp_path: Path) -> None:
    later = {"cases": {"held": "T1"}, "validation": ["held"], "learned_before": Learned(TRAINING).cases}
    assert Learned(later).has("renamed", {"FLAIR": "1"}) and not Learned(later).has("a", {"FLAIR": "8"})
    assert not Learned(later).has("held", {"T1": "4"})
    by_name = Learned({"learned_before": Learned(OLD).cases})
    assert by_name.has("a", {"FLAIR": "8"}) and not by_name.has("held", {"T1": "4"})
    for name, training in (("first", TRAINING), ("second", later)):
        tiny_student({"training": training}).save(tmp_path / f"{name}.safetensors")
    models = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    assert learned_by(models) == {"a": ["1", "2"], "b": ["3"]} and learned_by([]) == {}
