"""A student whose file says what is not so, or whose weights are no numbers, never says "no tumor"."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from MissingModalityLib.core.errors import OptionError, StudentError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.grid import ORIENTATION, SPACING_MM
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference.card import FIXED, Card, read_card
from MissingModalityLib.inference.student import Student
from MissingModalityLib.inference.weights import weights_sha256
from MissingModalityLib.inference.windows import check_windows, count_windows
from small_networks import small_network, telling_student, tiny_student
from small_patient import brain_volume

KEY = "missing_modality_student"
FIRST = "body.convInit.conv.weight"

Tensors = dict[str, torch.Tensor]
Change = Callable[[Tensors], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("students") / "sound.safetensors"
    tiny_student().save(path)
    return path


def rewritten(sound: Path, path: Path, text: Callable[[dict[str, Any]], str] = json.dumps) -> Path:
    """A copy of a student with its card in other words."""
    save_file(load_file(sound), path, {KEY: text(dict(read_card(sound)))})
    return path


def with_header(sound: Path, path: Path, change: Callable[[str], str]) -> Path:
    """A copy of a file whose header's own text is changed."""
    content = sound.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = change(content[8 : 8 + length].decode()).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    return path


def refused(path: Path, words: str = "") -> None:
    with pytest.raises(StudentError, match=rf"(?s){path.name}.*{words}"):
        Student.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"spacing_mm": 2.0},
        {"spacing_mm": 0.999},
        {"spacing_mm": True},
        {"orientation": "RAS"},
        {"orientation": "lps"},
        {"orientation": ""},
        {"normalization": "min-max"},
        {"normalization": "z-score"},
        {"classes": ["BACKGROUND", "ED", "NCR", "ET"]},
        {"classes": ["BACKGROUND", "NCR", "ED"]},
        {"classes": []},
        {"modalities": ["T1CE", "FLAIR", "T1", "T2"]},
        {"format_version": True},
        {"format_version": 1.0},
        {"format_version": 2},
        {"head": "classes"},
        {"head": "sigmoids"},
        {"network_package": "another-package"},
        {"options": {"width": "8"}},
        {"options": {"availability_channels": "true"}},
        {"options": {"dropout": "0"}},
        {"min_component_voxels": 10**9},
        {"min_enhancing_voxels": 10**9},
        {"window": [10**9, 32, 32]},
        {"window": [16, 16, 16], "overlap": 0.99},
        {"window": [8, 8, 8], "overlap": 0.9},
        {"window": [4, 4, 4], "overlap": 0.25},
        {"window": [80, 80, 80], "overlap": 0.95},
        {"evaluation": {"subsets": [{"subset": "T2", "cases": 4, "dice": {"WT": 7.5, "TC": 1, "ET": 1}}]}},
        {"evaluation": {"subsets": [{"subset": "T2", "cases": 4, "dice": {"WT": 0.5}}]}},
        {"evaluation": {"subsets": [{"subset": "T9", "cases": 4, "dice": {"WT": 1, "TC": 1, "ET": 1}}]}},
        {"evaluation": {"gains": [{"subset": "T2", "added": "T5", "cases": 1}]}},
        {"evaluation": {"subsets": 3}},
    ],
    ids=str,
)
def test_a_card_that_contradicts_what_is_done_is_refused(
    sound: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    def text(card: dict[str, Any]) -> str:
        options = {**card["options"], **change.get("options", {})}
        return json.dumps({**card, **change, "options": options})

    refused(rewritten(sound, tmp_path / "s.safetensors", text))


def test_what_every_student_is_written_with_is_what_preparation_does() -> None:
    facts = Card("segresnet", {})
    assert (facts["spacing_mm"], facts["orientation"]) == (SPACING_MM, ORIENTATION)
    assert {"modalities", "classes", "normalization", "format_version"} < set(FIXED)


@pytest.mark.parametrize(
    "twice",
    ['"window": [40, 40, 40]', '"window": [32, 32, 32]', '"overlap": 0.5', '"further": 1, "further": 2'],
)
def test_a_key_given_twice_in_the_card_is_refused(sound: Path, tmp_path: Path, twice: str) -> None:
    path = rewritten(sound, tmp_path / "s.safetensors", lambda card: f"{json.dumps(card)[:-1]}, {twice}}}")
    refused(path, "stands twice")


def test_a_key_given_twice_within_the_cards_options_is_refused(sound: Path, tmp_path: Path) -> None:
    def text(card: dict[str, Any]) -> str:
        return json.dumps(card).replace('"width": 8', '"width": 16, "width": 8')

    refused(rewritten(sound, tmp_path / "s.safetensors", text), "'width' stands twice")


def test_names_given_twice_in_the_files_header_are_refused(sound: Path, tmp_path: Path) -> None:
    for twice in (
        f'"{FIRST}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}},',
        '"__metadata__":{},',
        '"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},' * 2,
    ):
        path = with_header(sound, tmp_path / "s.safetensors", lambda text, t=twice: "{" + t + text[1:])
        refused(path, "stands twice")


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, '{"network":' + "[" * 50_000])
def test_brackets_without_end_are_refused(sound: Path, tmp_path: Path, deep: str) -> None:
    refused(with_header(sound, tmp_path / "s.safetensors", lambda _: deep))
    refused(rewritten(sound, tmp_path / "t.safetensors", lambda _: deep), "too deep")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
@pytest.mark.parametrize("key", ["overlap", "smoothing_mm", "motto"])
def test_a_number_that_json_lacks_is_refused_anywhere_in_the_card(
    sound: Path, tmp_path: Path, number: str, key: str
) -> None:
    def text(card: dict[str, Any]) -> str:
        return json.dumps({**card, key: "HERE"}).replace('"HERE"', number)

    refused(rewritten(sound, tmp_path / "s.safetensors", text))


def spoiled(change: Change, sound: Path, path: Path) -> Path:
    tensors = load_file(sound)
    change(tensors)
    save_file(tensors, path, {KEY: json.dumps(dict(read_card(sound)))})
    return path


def put(value: float, everywhere: bool = False) -> Change:
    def change(tensors: Tensors) -> None:
        tensors[FIRST] = tensors[FIRST].double()
        tensors[FIRST].view(-1)[: None if everywhere else 1] = value

    return change


def as_kind(kind: torch.dtype, name: str | None = None) -> Change:
    def change(tensors: Tensors) -> None:
        for key in [name] if name else list(tensors):
            tensors[key] = tensors[key].to(kind)

    return change


@pytest.mark.parametrize(
    "change",
    [
        put(np.nan),
        put(np.inf),
        put(-np.inf),
        put(1e300),  # a float64 that no float32 holds
        put(np.nan, everywhere=True),
        as_kind(torch.int32),
        as_kind(torch.int8, FIRST),
        as_kind(torch.bool, FIRST),
        as_kind(torch.uint8, FIRST),
    ],
)
def test_weights_that_are_no_numbers_or_no_weights_are_refused_when_loaded(
    change: Change, sound: Path, tmp_path: Path
) -> None:
    refused(spoiled(change, sound, tmp_path / "s.safetensors"), "convInit|conv")


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_weights_of_another_precision_are_read(kind: torch.dtype, sound: Path, tmp_path: Path) -> None:
    loaded = Student.load(spoiled(as_kind(kind), sound, tmp_path / "s.safetensors"))
    assert {value.dtype for value in loaded.network.state_dict().values()} == {torch.float32}


def test_a_whole_number_among_the_weights_stays_one(tmp_path: Path) -> None:
    network = small_network("mstkdnet", norm="batch")
    Student(network, {"window": [32] * 3}).save(tmp_path / "sound.safetensors")
    counts = [name for name in network.state_dict() if name.endswith("num_batches_tracked")]
    assert counts and Student.load(tmp_path / "sound.safetensors")
    refused(
        spoiled(
            as_kind(torch.float32, counts[0]), tmp_path / "sound.safetensors", tmp_path / "s.safetensors"
        ),
        "num_batches_tracked",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("half", [True, False])
def test_weights_that_are_no_numbers_are_never_written(value: float, half: bool, tmp_path: Path) -> None:
    student = tiny_student()
    next(student.network.parameters()).data.view(-1)[3] = value
    with pytest.raises(StudentError, match=r"s\.safetensors.*NaN or infinity"):
        student.save(tmp_path / "s.safetensors", half=half)
    assert not list(tmp_path.iterdir())


def test_a_weight_too_large_for_half_precision_keeps_its_own(tmp_path: Path) -> None:
    student = tiny_student()
    next(student.network.parameters()).data.view(-1)[3] = 1e5
    student.save(tmp_path / "s.safetensors", half=True)
    found = load_file(tmp_path / "s.safetensors")
    assert sorted({value.dtype for value in found.values()}, key=str) == [torch.float16, torch.float32]
    assert next(Student.load(tmp_path / "s.safetensors").network.parameters()).view(-1)[3] == 1e5


def study() -> Study:
    return Study({Modality.FLAIR: brain_volume(1, size=(12, 12, 12))}, {Modality.FLAIR: "flair.nii"})


def answering(value: float) -> Student:
    student = tiny_student()
    list(student.network.parameters())[-1].data.fill_(value)
    return student


def nan_presence() -> Student:
    student = telling_student()
    student.network.presence[-1].bias.data.fill_(np.nan)
    return student


def overflowing() -> Student:
    """Weights that are numbers, whose sums are none."""
    student = tiny_student()
    for parameter in student.network.parameters():
        parameter.data.fill_(1e38)
    return student


@pytest.mark.parametrize(
    "make",
    [
        lambda: answering(np.nan),
        lambda: answering(np.inf),
        lambda: answering(-np.inf),
        nan_presence,
        overflowing,
    ],
    ids=["nan", "inf", "-inf", "presence", "overflow"],
)
def test_an_answer_that_is_no_number_ends_the_prediction(make: Callable[[], Student]) -> None:
    with pytest.raises(StudentError, match="no finite numbers"):
        make().predict(study(), "cpu")


def test_the_file_of_a_student_without_an_answer_is_named(tmp_path: Path) -> None:
    overflowing().save(tmp_path / "huge.safetensors")
    with pytest.raises(StudentError, match=r"huge\.safetensors: .*no finite numbers"):
        Student.load(tmp_path / "huge.safetensors").predict(study(), "cpu")


@pytest.mark.parametrize(
    ("window", "overlap"),
    [
        ((8, 8, 8), 0.5),
        ((16, 16, 16), 0.75),
        ((80, 80, 80), 0.75),
        ((128, 128, 128), 0.5),
        ((512, 512, 512), 0.9),
    ],
)
def test_windows_that_a_training_can_ask_for_are_taken(window: tuple[int, ...], overlap: float) -> None:
    check_windows(window, overlap)


def test_windows_are_counted_as_they_are_visited() -> None:
    assert count_windows((48, 20, 20), (16, 16, 16), 0.5) == 5 * 2 * 2
    assert count_windows((10, 21, 9), (64, 64, 64), 0.5) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_facts_that_json_lacks_are_refused_and_leave_no_file(value: Any, tmp_path: Path) -> None:
    student = tiny_student({"motto": value})
    with pytest.raises(OptionError, match="JSON"):
        student.save(tmp_path / "s.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_student_with_a_changed_weight_is_refused(sound: Path, tmp_path: Path) -> None:
    content = bytearray(sound.read_bytes())
    content[-7] ^= 1  # the last digit of a number's fraction, which stays finite
    path = tmp_path / "changed.safetensors"
    path.write_bytes(content)
    refused(path, "not those that were written")


def test_an_old_file_whose_weights_are_not_those_that_were_evaluated_is_refused(tmp_path: Path) -> None:
    student = tiny_student()
    student.card["evaluation"] = {"weights_sha256": weights_sha256(student.network)}
    student.save(tmp_path / "new.safetensors")
    tensors = load_file(tmp_path / "new.safetensors")
    path = tmp_path / "old.safetensors"
    save_file(tensors, path, {KEY: student.card.to_json()})
    Student.load(path)
    tensors[FIRST].view(-1)[5] += 1e-3
    save_file(tensors, path, {KEY: student.card.to_json()})
    refused(path, "others than those that the evaluation in its card is of")


def test_a_copy_in_half_precision_of_an_evaluated_student_is_a_student(tmp_path: Path) -> None:
    student = tiny_student()
    student.card["evaluation"] = {"weights_sha256": weights_sha256(student.network)}
    student.save(tmp_path / "half.safetensors", half=True)
    Student.load(tmp_path / "half.safetensors")
