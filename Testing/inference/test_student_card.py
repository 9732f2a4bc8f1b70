"""Cards of student files: earlier ones are read, impossible ones refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from MissingModalityLib.core.errors import StudentError
from MissingModalityLib.inference.card import Card
from MissingModalityLib.inference.student import Student
from processes import environment
from small_networks import small_network


@pytest.fixture
def student() -> Student:
    network = small_network("segresnet")
    torch.nn.init.zeros_(list(network.parameters())[-1])  # a new one sees background only
    return Student(network, {"name": "tiny", "window": [32, 32, 32], "license": "CC0"})


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
    {"training": {"cases": ["a"]}},
    {"training": {"validation": 5}},
    {"training": {"voxels_sha256": {"a": "1"}}},
    {"training": {"learned_before": {"a": None}}},
    {"training": {"models_before": [{"file": "first.safetensors"}]}},
    {"training": {"steps": "many"}},
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
