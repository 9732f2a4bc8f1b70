"""Students: one safe file, whole cases by sliding windows, missing modalities without influence."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
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
from MissingModalityLib.inference.card import Card, read_card
from MissingModalityLib.inference.sliding_window import RawPrediction, infer
from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks import build
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.output import Output
from processes import environment
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

    head, divisor = HEADS["regions"], 4

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


BAD_OPTIONS = [
    {"width": -8},
    {"width": 0},
    {"width": 7},
    {"width": 8.0},
    {"width": "eight"},
    {"width": None},
    {"width": 10**12},
    {"width": 16},
    {"blocks": 1},
    {"blocks": []},
    {"blocks": [1, 0]},
    {"blocks": [1] * 100},
    {"blocks": [[1], [1]]},
    {"blocks": [1, 10**9]},
    {"blocks": [16, 16, 16]},
    {"head": "voxels"},
    {"head": "classes"},
    {"head": ["regions"]},
    {"availability_channels": "maybe"},
    {"availability_channels": False},
    {"dropout": -1},
    {"dropout": 1e400},
    {"space_to_depth": 0},
    {"space_to_depth": 10**6},
    {"space_to_depth": 2},
    {"depth": 3},
    {"name": "rfnet"},
    {"": 1},
    {"filters": 8},
    {"self": 1},
]
"""Beside the rest of a small network's options."""

BAD_CARDS = [
    {"network": "os:system"},
    {"network": "../segresnet"},
    {"network": ""},
    {"network": "rfnet"},
    {"network": "rfnet", "options": {"width": 4, "classes": 6}},
    {"network": "mstkdnet", "options": {"num_heads": 0}},
    {"network": "mstkdnet", "options": {"heads": 5}},
    {"network": "mstkdnet", "options": {"position_grid": [0, 1, 1]}},
    {"network": "mstkdnet", "options": {"position_grid": [4096, 4096, 4096]}},
    {"network": "mstkdnet", "options": {"embedding_size": 4096, "num_layers": 48, "mlp_size": 16384}},
    {"network": "adamm", "options": {"graph_nodes": -1}},
    {"network": "adamm", "options": {"width": 256, "adapter_channels": 1024}},
    {"options": None},
    {"window": [32, 32]},
    {"window": [32, 32, 0]},
    {"window": [32, 32, True]},
    {"window": [32.0, 32.0, 32.0]},
    {"overlap": -0.1},
    {"overlap": float("nan")},
    {"overlap": True},
    {"min_component_voxels": -1},
    {"min_component_voxels": 1.5},
    {"min_component_voxels": 1, "smallest_island": 2},
    {"gate": "gently"},
    {"gate": ["soft"]},
    {"modalities": []},
    {"classes": 4},
    {"format_version": "1"},
    {"format_version": -1},
    {"license": 1},
    {"limits": "none"},
    {"training": ["a"]},
    {"network_package": None},
]


def save_with_card(student: Student, path: Path, change: dict) -> None:
    """The student with its weights and a card that says otherwise."""
    card = {key: value for key, value in {**student.card, **change}.items() if value is not ...}
    tensors = student.network.state_dict()
    save_file(tensors, path, {"missing_modality_student": json.dumps(card)})


@pytest.mark.parametrize("change", [*({"options": options} for options in BAD_OPTIONS), *BAD_CARDS], ids=str)
def test_a_card_that_cannot_be_true_is_refused_with_one_message(
    student: Student, tmp_path: Path, change: dict
) -> None:
    path = tmp_path / "s.safetensors"
    if "network" not in change and isinstance(change.get("options"), dict):
        change = {"options": {**student.network.options, **change["options"]}}
    save_with_card(student, path, change)
    with pytest.raises(StudentError, match=r"s\.safetensors"):
        Student.load(path)


def test_wrong_options_are_refused_before_memory_is_asked_for(
    student: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_with_card(student, tmp_path / "s.safetensors", {"options": {"width": 256, "blocks": [16] * 6}})
    asked = []

    def count(self: torch.nn.Conv3d) -> None:
        asked.append(0 if self.weight.is_meta else self.weight.nbytes)

    monkeypatch.setattr(torch.nn.Conv3d, "reset_parameters", count)
    with pytest.raises(StudentError, match="should be"):
        Student.load(tmp_path / "s.safetensors")
    assert len(asked) > 100 and not any(asked)


def test_a_card_of_an_earlier_version_is_read(student: Student, tmp_path: Path) -> None:
    options = {"filters": 8, "blocks": [1, 1], "flags": True, "head": "regions", "dropout": 0.0, "fold": 1}
    earlier = {"options": options, "smallest_island": 9, "min_component_voxels": ..., "network_package": ...}
    save_with_card(student, tmp_path / "s.safetensors", {**earlier, "gate": ..., "motto": "kept"})
    loaded = Student.load(tmp_path / "s.safetensors")
    assert loaded.card["min_component_voxels"] == 9 and loaded.card["motto"] == "kept"
    assert loaded.card["gate"] == "none" and loaded.card["network_package"] == ""
    assert loaded.card["options"] == loaded.network.options == student.network.options


def test_a_card_is_a_mapping_of_the_keys_that_are_there() -> None:
    card = Card("segresnet", {"width": 8})
    assert card == dict(card) and card != {**card, "window": [8, 8, 8]}
    assert "license" not in card and card.get("limits", ()) == ()
    card.update(license="CC0", motto="further keys too")
    assert card.license == card["license"] == "CC0" and {"license", "motto"} <= set(card)
    del card["license"], card["motto"]
    assert not {"license", "motto"} & set(card)


def test_given_facts_cannot_say_what_the_version_that_writes_the_file_fixes(
    student: Student, tmp_path: Path
) -> None:
    wrong = {"format_version": 7, "modalities": ["T1"], "classes": ["TUMOR"], "normalization": "none"}
    Student(student.network, wrong).save(tmp_path / "s.safetensors")
    loaded = Student.load(tmp_path / "s.safetensors").card
    assert {name: loaded[name] for name in wrong} == {name: student.card[name] for name in wrong}


def test_a_card_may_be_given_tuples(student: Student, tmp_path: Path) -> None:
    """The window is often a patch size, and the sizes of settings are tuples."""
    Student(student.network, {"window": (24, 24, 24), "limits": ("one",)}).save(tmp_path / "s.safetensors")
    loaded = Student.load(tmp_path / "s.safetensors").card
    assert loaded["window"] == [24, 24, 24] and loaded["limits"] == ["one"]


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("mm-deepnet", "'mm-deepnet', .*or register the network"),
        ("", "acn, adamm, .*gatedfusion, .*mstkdnet, .*rfnet"),
    ],
)
def test_an_absent_network_is_told_with_the_package_that_brings_it(
    student: Student, tmp_path: Path, package: str, words: str
) -> None:
    path = tmp_path / "s.safetensors"
    save_with_card(student, path, {"network": "deepnet", "network_package": package})
    with pytest.raises(StudentError, match=rf"s\.safetensors: its network 'deepnet' .*{words}"):
        Student.load(path)


def test_a_file_never_decides_what_is_imported(student: Student, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    for name in ("antigravity", "antigravity:geohash", "MissingModalityLib.cli.train:add"):
        save_with_card(student, path, {"network": name, "network_package": "antigravity"})
        with pytest.raises(StudentError, match="not installed"):
            Student.load(path)
    assert "antigravity" not in sys.modules


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


def test_the_card_is_read_where_nothing_is_installed(student: Student, tmp_path: Path) -> None:
    student.save(tmp_path / "s.safetensors")
    script = (
        "import sys\n"
        "for name in ('torch', 'safetensors', 'monai', 'scipy', 'yaml'): sys.modules[name] = None\n"
        "from MissingModalityLib.inference.card import read_card\n"
        "from MissingModalityLib.inference.expected_dice import expect\n"
        "print(read_card(sys.argv[1])['network'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "s.safetensors"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.stdout.strip() == "segresnet", done.stderr


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

    def watched(*arguments: Any, **options: Any) -> Any:
        asked.append({name: options[name] for name in ("window", "overlap", "mirror")})
        return infer(*arguments, **options)

    card = {**student.card, "window": [16, 24, 32], "overlap": 0.25, "mirror": [2]}
    changed = Student(student.network, card)
    changed._infer(prepare(study(Modality.T1)).image, np.eye(4, dtype=bool)[2], CPU, None, watched)
    assert asked == [{"window": [16, 24, 32], "overlap": 0.25, "mirror": [2]}]


def test_each_subset_is_gated_by_its_own_presence(student: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare(study(*Modality))
    shape = (2, student.network.head.channels, *whole.brain.shape)
    told = np.array([[0, 0, 0], [1, 1, 1]], np.float32)
    found = RawPrediction(np.full(shape, 0.9, np.float32), told)
    monkeypatch.setattr(Student, "_infer", lambda *_: found)
    student.card["gate"] = "hard"
    nothing, everything = student.classes_of(whole, [(Modality.T1,), (Modality.T2,)])
    assert not nothing.any() and everything.any()
