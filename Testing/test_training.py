"""Training on small real files: subsets of what a case has, resuming to the same bits, clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from MissingModalityLib.cache import cache_case
from MissingModalityLib.cases import find_cases
from MissingModalityLib.errors import CaseError, MissingModalityError, OptionError, StudentError
from MissingModalityLib.modalities import SUBSETS, Modality, subset_of
from MissingModalityLib.student import Student, read_card
from MissingModalityLib.training.augmentation import Augmentation
from MissingModalityLib.training.run import export, train
from MissingModalityLib.training.samples import Samples, choose_crop
from MissingModalityLib.training.settings import RECIPES, Settings, from_json, resolve, to_json
from MissingModalityLib.training.validation import named_subsets
from test_cache import write_case

ALL = ("flair", "t1ce", "t1", "t2")
TINY = {
    "epochs": "3",
    "iterations": "2",
    "batch": "1",
    "crop": "16",
    "validate_every": "3",
    "network.filters": "8",
    "network.blocks": "(1, 1)",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labelled cases, one of which lacks modalities, and one without label."""
    folder = tmp_path_factory.mktemp("data")
    write_case(folder / "patient_a", ALL)
    write_case(folder / "patient_b", ALL)
    write_case(folder / "patient_c", ("flair", "t1ce"))
    write_case(folder / "patient_d", ALL, label=False)
    return folder


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoint.pt", weights_only=True)["network"]


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_logs_and_exports_a_student(recipe: str, data: Path, tmp_path: Path) -> None:
    settings = {key: value for key, value in TINY.items() if not key.startswith("network")}
    if recipe == "segresnet":
        settings = TINY
    train(data, tmp_path / "run", recipe, settings=settings)
    lines = log(tmp_path / "run")
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert all(np.isfinite(line["loss"]["total"]) for line in lines)
    assert 0 <= lines[-1]["dice"]["mean"] <= 1 and "dice" not in lines[0]
    assert lines[0]["learning_rate"] > lines[1]["learning_rate"] > lines[2]["learning_rate"]
    path = export(tmp_path / "run", tmp_path / "student.safetensors", {"license": "CC0"})
    card = read_card(path)
    assert card["training"]["epochs_done"] == 3 and card["license"] == "CC0"
    assert "patient_d" not in card["training"]["cases"]
    assert Student.load(path).network.name == RECIPES[recipe].network


def test_a_killed_and_resumed_run_ends_with_the_same_bits(data: Path, tmp_path: Path) -> None:
    settings = {**TINY, "average": "0.9", "network.dropout": "0.2"}
    train(data, tmp_path / "whole", seed=3, settings=settings)
    events = []

    def stop_in_the_second_epoch(event) -> None:
        events.append(event)
        if event.stage == "train" and event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut", seed=3, settings=settings, progress=stop_in_the_second_epoch)
    assert len(log(tmp_path / "cut")) == 1
    train(data, tmp_path / "cut", resume=True)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    losses = [[line["loss"] for line in log(tmp_path / name)] for name in ("whole", "cut")]
    assert losses[0] == losses[1]
    for name in ("whole", "cut"):
        export(tmp_path / name, tmp_path / f"{name}.safetensors")
    twins = [Student.load(tmp_path / f"{name}.safetensors").network.state_dict() for name in ("whole", "cut")]
    assert_same(*twins)


def test_a_process_killed_at_any_moment_leaves_a_run_that_resumes(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = [f"{key}={value}" for key, value in {**TINY, "epochs": "200"}.items()]
    command = [sys.executable, "-m", "MissingModalityLib", "train", "--data", data, "--output", run]
    process = subprocess.Popen([*map(str, command), "--progress", "none", "--set", *arguments])
    deadline = time.monotonic() + 120
    while not (run / "log.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = len(log(run))
    assert done >= 1
    train(data, run, resume=True, settings={"epochs": str(done + 2)})
    assert [line["epoch"] for line in log(run)][-1] == done + 2


def test_the_seed_decides_the_result(data: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(data, tmp_path / name, seed=seed, settings={**TINY, "epochs": "1", "validation": "0"})
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert any(
        not torch.equal(value, weights(tmp_path / "c")[name])
        for name, value in weights(tmp_path / "a").items()
    )


def test_the_running_average_is_what_is_exported(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", settings={**TINY, "average": "0.9"})
    export(tmp_path / "run", tmp_path / "student.safetensors")
    exported = Student.load(tmp_path / "student.safetensors").network.state_dict()
    assert any(
        (value - exported[name]).abs().max() > 1e-3 for name, value in weights(tmp_path / "run").items()
    )


@pytest.fixture
def cached(data: Path, tmp_path: Path) -> dict:
    found = find_cases(data).cases
    return {case.name: cache_case(case, tmp_path / "prepared") for case in found if case.label}


def test_subsets_are_drawn_evenly_from_what_a_case_has(cached: dict) -> None:
    random = np.random.default_rng(0)
    for name, expected in (
        ("patient_a", set(SUBSETS)),
        (
            "patient_c",
            {(Modality.FLAIR,), (Modality.T1CE,), (Modality.FLAIR, Modality.T1CE)},
        ),
    ):
        case = cached[name]
        tumor = case.tumor_voxels()
        drawn = Counter(
            choose_crop(case, tumor, Settings(crop=(16, 16, 16)), random).subset for _ in range(1500)
        )
        assert set(drawn) == expected
        assert max(drawn.values()) < 1.5 * 1500 / len(expected)


def test_foreground_crops_hold_tumor_and_stay_in_the_brain(cached: dict) -> None:
    case, random = cached["patient_a"], np.random.default_rng(0)
    tumor = case.tumor_voxels()
    settings = Settings(crop=(8, 8, 8), foreground=1.0)
    for _ in range(50):
        start = choose_crop(case, tumor, settings, random).start
        assert all(0 <= s <= side - 8 for s, side in zip(start, case.shape, strict=True))
        assert case.crop(start, (8, 8, 8))[1].any()


def test_a_crop_larger_than_the_brain_holds_all_of_it(cached: dict) -> None:
    case, random = cached["patient_a"], np.random.default_rng(0)
    for foreground in (0.0, 1.0):
        settings = Settings(crop=(40, 40, 40), foreground=foreground)
        for _ in range(10):
            start = choose_crop(case, case.tumor_voxels(), settings, random).start
            assert all(s <= 0 and s + 40 >= side for s, side in zip(start, case.shape, strict=True))


def test_samples_can_be_replayed_and_keep_missing_channels_empty(cached: dict) -> None:
    settings = Settings(crop=(16, 16, 16), iterations=4, batch=1, augmentation="strong")
    cases = list(cached.values())
    first, again = (Samples(cases, settings, seed=5, epoch=2) for _ in range(2))
    other = Samples(cases, settings, seed=5, epoch=3)
    for index in range(4):
        sample, twin = first[index], again[index]
        for key, value in sample.items():
            np.testing.assert_array_equal(value, twin[key])
        assert sample["image"].shape == (4, 16, 16, 16) and sample["image"].dtype == np.float32
        assert not sample["image"][~sample["present"]].any()
        assert set(subset_of(sample["available"])) <= set(subset_of(sample["present"]))
    assert any(not np.array_equal(first[i]["image"], other[i]["image"]) for i in range(4))


@pytest.mark.parametrize("level", ["none", "paper", "strong"])
def test_augmentation_keeps_air_empty_and_labels_whole(level: str) -> None:
    random = np.random.default_rng(0)
    image = random.normal(size=(4, 24, 24, 24)).astype(np.float32)
    image[:, :6] = 0
    image[2] = 0
    label = np.zeros((24, 24, 24), np.uint8)
    label[10:18, 8:16, 8:16] = 3
    label[12:16, 10:14, 10:14] = 1
    augment, changed = Augmentation(level), 0
    for seed in range(12):
        moved, target = augment(image, label, seed)
        assert moved.shape == image.shape and moved.dtype == np.float32 and np.isfinite(moved).all()
        assert not moved[2].any(), "a missing channel stays empty"
        assert target.dtype == np.uint8 and set(np.unique(target)) <= {0, 1, 3}
        assert int(target.sum()) == pytest.approx(int(label.sum()), rel=0.6)
        changed += not np.array_equal(moved, image)
    assert changed == (0 if level == "none" else 12)


def test_flips_move_image_and_label_together() -> None:
    image = np.zeros((4, 16, 16, 16), np.float32)
    image[:, 3:7, 9:13, 2:6] = 5.0
    label = (image[0] > 0).astype(np.uint8)
    for seed in range(10):
        moved, target = Augmentation("paper")(image, label, seed)
        inside = moved[0][target > 0]
        assert inside.mean() > 2.0 and abs(moved[0][target == 0]).mean() < 0.1


def test_validation_subsets_are_found_by_name_in_any_order() -> None:
    subsets = named_subsets(["t1ce+flair", "T2", "nonsense"])
    assert set(subsets) == {(Modality.T2,), (Modality.FLAIR, Modality.T1CE)}


def test_settings_are_checked_and_survive_json() -> None:
    settings = resolve(
        "segresnet", "quick", {"crop": "64", "network.filters": "16", "subsets": "T2,FLAIR+T1", "batch": "3"}
    )
    assert settings.crop == (64, 64, 64) and settings.network["filters"] == 16 and settings.batch == 3
    assert settings.subsets == ("T2", "FLAIR+T1")
    assert from_json(json.loads(json.dumps(to_json(settings)))) == settings


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ({"epoch": "3"}, "epoch"),
        ({"epochs": "many"}, "epochs"),
        ({"epochs": "0"}, "epochs"),
        ({"batch": "1.5"}, "batch"),
        ({"foreground": "2"}, "foreground"),
        ({"augmentation": "wild"}, "augmentation"),
        ({"network": "8"}, "network"),
        ({"crop": "20"}, "crop"),
        ({"network.filters": "7"}, "filters"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_left(
    override: dict[str, str], word: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=word):
        train(data, tmp_path / "run", settings={"network.blocks": "(1, 1, 1, 1)", **override})
    assert not (tmp_path / "run").exists()


def test_misuse_of_folders_is_refused(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", settings={**TINY, "epochs": "1"})
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(CaseError, match="already holds a training run"):
        train(data, tmp_path / "run", settings=TINY)
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before
    with pytest.raises(CaseError, match="no training run"):
        train(data, tmp_path / "other", resume=True)
    with pytest.raises(CaseError, match="no training run"):
        export(tmp_path / "other", tmp_path / "student.safetensors")
    with pytest.raises(OptionError, match="safetensors"):
        export(tmp_path / "run", tmp_path / "student.nii")
    with pytest.raises(MissingModalityError, match="absent"):
        train(tmp_path / "absent", tmp_path / "run2")
    (tmp_path / "run" / "checkpoint.pt").write_bytes(before[: len(before) // 2])
    with pytest.raises(StudentError, match="damaged"):
        export(tmp_path / "run", tmp_path / "student.safetensors")
    assert not (tmp_path / "student.safetensors").exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_data_without_labels_cannot_train(tmp_path: Path) -> None:
    write_case(tmp_path / "data" / "patient", label=False)
    with pytest.raises(CaseError, match="no case with a label"):
        train(tmp_path / "data", tmp_path / "run")
