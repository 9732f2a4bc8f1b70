"""Students: one safe file, whole cases by sliding windows, missing modalities without influence."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import save_file
from torch import nn

from MissingModalityLib.core.errors import OptionError, StudentError
from MissingModalityLib.core.modalities import SUBSETS, Modality
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference import sliding_window as inference
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.sliding_window import RawPrediction, infer
from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks import build
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.output import Output
from small_networks import small_network
from small_patient import brain_volume
from subsets import with_modalities

CPU = torch.device("cpu")


def study(*modalities: Modality) -> Study:
    return Study({m: brain_volume(int(m)) for m in modalities}, {m: m.title for m in modalities})


@pytest.fixture
def student() -> Student:
    network = small_network("segresnet")
    torch.nn.init.zeros_(list(network.parameters())[-1])  # a new one sees background only
    return Student(network, {"name": "tiny", "window": [32, 32, 32], "license": "CC0"})


class Ramp(nn.Module):
    """A stand-in whose logits are its input, so that blending can be checked against the input itself."""

    head, divisor, reads_place = HEADS["regions"], 4, False

    def __init__(self) -> None:
        super().__init__()
        self.windows: list[torch.Size] = []

    def forward(self, image: torch.Tensor, available: torch.Tensor) -> Output:
        self.windows.append(image.shape)
        return Output(image[:, :3])


def test_a_saved_student_predicts_the_same(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path / "s.safetensors")
    loaded = Student.load(tmp_path / "s.safetensors")
    assert loaded.card == student.card
    first, second = (s.predict(study(Modality.T1, Modality.FLAIR), "cpu").labels for s in (student, loaded))
    assert (sitk.GetArrayFromImage(first) == sitk.GetArrayFromImage(second)).all()
    assert sitk.GetArrayFromImage(first).any()


def test_others_may_read_the_file_as_far_as_the_user_lets_them(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path / "s.safetensors")
    (tmp_path / "plain").touch()
    assert (tmp_path / "s.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_half_precision_halves_the_file_and_loads_as_float32(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path / "full.safetensors")
    student.save(tmp_path / "half.safetensors", half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    half = Student.load(tmp_path / "half.safetensors").network.state_dict()
    for name, value in student.network.state_dict().items():
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], value, rtol=1e-3, atol=1e-6)


def test_the_result_lies_on_the_first_volumes_own_grid(student: Student) -> None:
    t2 = brain_volume(0, size=(30, 28, 12), spacing=(1.5, 1.5, 4.0), origin=(-3.0, 2.0, 1.0))
    prediction = student.predict(
        Study({Modality.T2: t2, **study(Modality.T1).images}, dict.fromkeys(Modality, "v")), "cpu"
    )
    for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(prediction.labels, get)() == getattr(t2, get)()
    assert prediction.labels.GetPixelID() == sitk.sitkUInt8
    assert prediction.subset == (Modality.T1, Modality.T2)
    assert prediction.device == "cpu" and prediction.seconds > 0


def test_all_fifteen_subsets_run_and_stay_inside_the_brain(student: Student) -> None:
    whole = prepare(study(*Modality))
    for subset in SUBSETS:
        classes = student.classes(with_modalities(whole, subset), CPU)
        assert classes.shape == whole.brain.shape and classes.dtype == np.uint8
        assert classes.max() <= 3 and not classes[~whole.brain].any()


@pytest.mark.parametrize("garbage", [np.nan, np.inf, 1e9])
def test_what_a_missing_channel_holds_changes_nothing(student: Student, garbage: float) -> None:
    prepared = prepare(study(Modality.FLAIR, Modality.T2))
    expected = student.probabilities(prepared, CPU)
    prepared.image[[Modality.T1CE, Modality.T1]] = garbage
    np.testing.assert_array_equal(student.probabilities(prepared, CPU), expected)


def test_windows_blend_back_to_the_whole_and_empty_ones_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "cpu_has_bfloat16", lambda: False)
    ramp = Ramp()
    image = np.zeros((4, 48, 20, 20), np.float32)
    image[:, :14] = np.random.default_rng(0).normal(size=(4, 14, 20, 20))
    result = infer(ramp, image, np.array([True] * 4), window=(16, 16, 16), overlap=0.5, device=CPU)
    result = result.probabilities
    brain = (image != 0).any(axis=0)
    # inside the brain every window agrees, so blending must return the network's own answer
    only = brain.copy()
    only[8:] = False
    np.testing.assert_allclose(result[:, only], 1 / (1 + np.exp(-image[:3][:, only])), atol=1e-5)
    assert not result[:, 24:].any()
    assert len(ramp.windows) == 2 * 2 * 2, "two of five rows of windows hold brain"


class Counting(Ramp):
    """Answers each window with its number."""

    def forward(self, image: torch.Tensor, available: torch.Tensor) -> Output:
        self.windows.append(image.shape)
        return Output(torch.full_like(image[:, :3], len(self.windows)))


def test_windows_are_weighted_around_their_middle_or_all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "cpu_has_bfloat16", lambda: False)
    how = {"window": (16, 16, 16), "overlap": 0.5, "device": CPU}
    image, everything = np.ones((4, 24, 16, 16), np.float32), np.array([True] * 4)
    first, second = 1 / (1 + np.exp(-np.array([1.0, 2.0])))
    along = infer(Counting(), image, everything, **how, blending="mean").probabilities[0, :, 8, 8]
    np.testing.assert_allclose(along, [first] * 8 + [(first + second) / 2] * 8 + [second] * 8, rtol=1e-5)
    along = infer(Counting(), image, everything, **how).probabilities[0, 8:16, 8, 8]
    assert first < along[0] < along[-1] < second


def test_volumes_smaller_than_a_window_get_one_that_fits() -> None:
    ramp = Ramp()
    image = np.random.default_rng(0).normal(size=(4, 10, 21, 9)).astype(np.float32)
    result = infer(ramp, image, np.array([True] * 4), window=(64, 64, 64), overlap=0.5, device=CPU)
    assert result.probabilities.shape == (3, 10, 21, 9)
    assert [tuple(shape[2:]) for shape in ramp.windows] == [(12, 24, 12)]


def test_progress_counts_the_windows_to_the_end(student: Student) -> None:
    events = []
    student.card["window"], student.card["overlap"] = [16, 16, 16], 0.5
    student.predict(study(Modality.T1), "cpu", events.append)
    steps = [(event.step, event.total) for event in events if event.stage == "segment"]
    assert [step for step, _ in steps] == list(range(1, len(steps) + 1))
    assert {total for _, total in steps} == {len(steps)}


def test_regions_nest_and_classes_follow_the_largest_probability() -> None:
    regions = np.array([[0.9, 0.9, 0.9, 0.1], [0.2, 0.8, 0.8, 0.2], [0.1, 0.4, 0.7, 0.3]])[:, :, None, None]
    assert HEADS["regions"].class_map(regions).ravel().tolist() == [2, 1, 3, 0]
    classes = np.array([[0.4, 0.1], [0.3, 0.2], [0.2, 0.3], [0.1, 0.4]])[:, :, None, None]
    assert HEADS["classes"].class_map(classes).ravel().tolist() == [0, 3]


def test_the_card_tells_how_to_use_the_student(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path / "s.safetensors")
    card = read_card(tmp_path / "s.safetensors")
    assert card["modalities"] == ["FLAIR", "T1CE", "T1", "T2"]
    assert card["classes"] == ["BACKGROUND", "NCR", "ED", "ET"]
    assert (card["network"], card["spacing_mm"], card["orientation"]) == ("segresnet", 1.0, "LPS")


def spoil(path: Path, how: str) -> None:
    whole = path.read_bytes()
    if how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    elif how == "other safetensors":
        save_file({"weight": torch.zeros(3)}, path)
    elif how == "absent":
        path.unlink()
    else:
        header, tensors = Student.load(path).card, Student.load(path).network.state_dict()
        changes = {
            "newer format": {"format_version": 99},
            "other order": {"modalities": ["T1", "T1CE", "FLAIR", "T2"]},
            "unknown network": {"network": "unet"},
            "other options": {"options": {"filters": 16}},
            "list of options": {"options": [1]},
            "network of a list": {"network": ["segresnet"]},
            "window of text": {"window": "80"},
            "window off the grid": {"window": [31, 31, 31]},
            "full overlap": {"overlap": 1.0},
        }
        texts = {"broken header": "{", "header of a list": "[1]", "empty header": "{}"}
        text = texts.get(how) or json.dumps({**header, **changes[how]})
        save_file(tensors, path, {"missing_modality_student": text})


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "empty",
        "pickle",
        "other safetensors",
        "absent",
        "newer format",
        "other order",
        "unknown network",
        "other options",
        "broken header",
        "header of a list",
        "empty header",
        "list of options",
        "network of a list",
        "window of text",
        "window off the grid",
        "full overlap",
    ],
)
def test_a_wrong_file_is_refused_by_name(student: Student, tmp_path: Path, how: str) -> None:
    path = tmp_path / "s.safetensors"
    student.save(path)
    spoil(path, how)
    with pytest.raises(StudentError, match=r"s\.safetensors"):
        Student.load(path)


def test_a_network_of_six_classes_is_no_student() -> None:
    with pytest.raises(StudentError, match="6 classes"):
        Student(build("rfnet", width=4, classes=6))


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=tmp_path.name):
        Student.load(tmp_path)


def test_saving_into_no_folder_is_refused_and_leaves_nothing(student: Student, tmp_path: Path) -> None:
    with pytest.raises(StudentError, match="existing folder"):
        student.save(tmp_path / "no" / "s.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_not_there_is_refused(student: Student) -> None:
    with pytest.raises(OptionError, match="cuda:97"):
        student.predict(study(Modality.T1), "cuda:97")


@pytest.mark.parametrize("how", ["truncated", "absent", "newer format", "other order", "broken header"])
def test_the_card_alone_of_a_wrong_file_is_refused_by_name(
    student: Student, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "s.safetensors"
    student.save(path)
    spoil(path, how)
    with pytest.raises(StudentError, match=r"s\.safetensors"):
        read_card(path)


def test_a_student_drops_nothing_at_random() -> None:
    network = small_network("segresnet", dropout=0.5).train()
    student, whole = Student(network, {"window": [40, 40, 40]}), prepare(study(Modality.T1))
    assert not network.training
    np.testing.assert_array_equal(student.probabilities(whole, CPU), student.probabilities(whole, CPU))


def test_windows_are_as_the_card_says(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    names = ("window", "overlap", "mirror", "mirror_windows")

    def watched(*arguments: Any, **options: Any) -> Any:
        asked.append({name: options[name] for name in names})
        return infer(*arguments, **options)

    how = {"window": [16, 24, 32], "overlap": 0.25, "mirror": [2], "mirror_windows": [0, 1]}
    card = {**student.card, **how}
    changed = Student(student.network, card)
    changed._infer(prepare(study(Modality.T1)).image, np.eye(4, dtype=bool)[2], CPU, None, watched)
    assert asked == [how]


def test_each_subset_is_gated_by_its_own_presence(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare(study(*Modality))
    shape = (2, student.network.head.channels, *whole.brain.shape)
    told = np.array([[0, 0, 0], [1, 1, 1]], np.float32)
    found = RawPrediction(np.full(shape, 0.9, np.float32), told)
    monkeypatch.setattr(Student, "_infer", lambda *_: found)
    student.card["gate"] = "hard"
    nothing, everything = student.classes_of(whole, [(Modality.T1,), (Modality.T2,)])
    assert not nothing.any() and everything.any()
