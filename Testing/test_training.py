"""Training on small real files: subsets of what a case has, resuming to the same bits, clear refusals."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from MissingModalityLib.cache import cache_case
from MissingModalityLib.cases import find_cases, read_study
from MissingModalityLib.errors import CaseError, MissingModalityError, OptionError, StudentError
from MissingModalityLib.modalities import SUBSETS, Modality, subset_of
from MissingModalityLib.networks import build
from MissingModalityLib.progress import Event
from MissingModalityLib.student import Student, read_card
from MissingModalityLib.training import loop
from MissingModalityLib.training.augmentation import Augmentation
from MissingModalityLib.training.run import export, train
from MissingModalityLib.training.samples import Samples, choose_crop
from MissingModalityLib.training.settings import (
    RECIPES,
    Settings,
    describe_settings,
    from_json,
    named_subsets,
    resolve,
    to_json,
)
from MissingModalityLib.training.validation import validate
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


@pytest.fixture(scope="module")
def short_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch, to be copied."""
    return train(data, tmp_path_factory.mktemp("short") / "run", settings={**TINY, "epochs": "1"})


@pytest.fixture
def run(short_run: Path, tmp_path: Path) -> Path:
    """A run of one epoch of one's own."""
    return Path(shutil.copytree(short_run, tmp_path / "run"))


def record(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())


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


@pytest.mark.parametrize("written", [True, False], ids=["after", "before"])
def test_a_run_killed_around_its_last_checkpoint_is_logged_and_validated(
    written: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**TINY, "epochs": "2"}
    train(data, tmp_path / "whole", settings=settings)
    write = loop.write_checkpoint

    def killed(folder: Path, state: dict) -> None:
        if written or state["epoch"] < 2:
            write(folder, state)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "write_checkpoint", killed)
        train(data, tmp_path / "cut", settings=settings)
    train(data, tmp_path / "cut", resume=True)
    whole, cut = ([{**line, "seconds": 0} for line in log(tmp_path / name)] for name in ("whole", "cut"))
    assert cut == whole and "dice" in cut[-1]
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_a_process_killed_at_any_moment_leaves_a_run_that_resumes(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = [f"{key}={value}" for key, value in {**TINY, "epochs": "200"}.items()]
    command = [sys.executable, "-m", "MissingModalityLib", "train", "--data", data, "--output", run]
    process = subprocess.Popen([*map(str, command), "--progress", "none", "--set", *arguments])
    deadline = time.monotonic() + 120
    while not (run / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = torch.load(run / "checkpoint.pt", weights_only=True)["epoch"]
    train(data, run, resume=True, settings={"epochs": str(done + 2)})
    assert [line["epoch"] for line in log(run)] == list(range(1, done + 3))


def test_a_half_written_line_of_the_log_does_not_stop_a_resume(data: Path, run: Path) -> None:
    whole = (run / "log.jsonl").read_text()
    (run / "log.jsonl").write_text(whole + whole[: len(whole) // 2])
    train(data, run, resume=True, settings={"epochs": "2"})
    assert [line["epoch"] for line in log(run)] == [1, 2]


def test_settings_given_when_resuming_are_those_of_the_run_from_then_on(
    data: Path, run: Path, tmp_path: Path
) -> None:
    train(data, run, resume=True, settings={"epochs": "2", "learning_rate": "0.0005"})
    assert record(run)["settings"]["epochs"] == 2 and record(run)["settings"]["learning_rate"] == 0.0005
    card = read_card(export(run, tmp_path / "student.safetensors"))
    assert card["training"]["settings"]["epochs"] == card["training"]["epochs_done"] == 2
    before = (run / "checkpoint.pt").read_bytes()
    train(data, run, resume=True)
    assert (run / "checkpoint.pt").read_bytes() == before and len(log(run)) == 2


def test_a_run_resumes_on_data_that_moved(data: Path, run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(data, tmp_path / "moved"))
    train(moved, run, resume=True, settings={"epochs": "2"})
    assert record(run)["data"] == str(moved.resolve())
    train(None, run, resume=True, settings={"epochs": "3"})
    assert record(run)["data"] == str(moved.resolve()) and len(log(run)) == 3
    shutil.rmtree(moved / "patient_b")
    with pytest.raises(CaseError, match=r"'patient_b'.*is not there"):
        train(None, run, resume=True)
    with pytest.raises(CaseError, match="absent"):
        train(tmp_path / "absent", run, resume=True)
    assert record(run)["data"] == str(moved.resolve())


@pytest.mark.parametrize(
    "override", [{"exclude": "patient_a"}, {"validation": "0"}, {"network.filters": "16"}], ids=str
)
def test_what_decides_cases_and_weights_cannot_change_when_resuming(
    override: dict[str, str], data: Path, run: Path
) -> None:
    before = record(run)
    with pytest.raises(OptionError, match="fixed by the run"):
        train(data, run, resume=True, settings=override)
    assert record(run) == before
    train(data, run, resume=True, settings=TINY | {"epochs": "1", "validation": "0.1"})


def test_a_checkpoint_that_does_not_fit_is_refused_by_the_name_of_its_run(data: Path, run: Path) -> None:
    before = record(run)
    with pytest.raises(OptionError, match=rf"{run}.*averaged"):
        train(data, run, resume=True, settings={"average": "0.9"})
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    other = build("segresnet", filters=16, blocks=(1, 1)).state_dict()
    torch.save({**state, "network": other}, run / "checkpoint.pt")
    with pytest.raises(OptionError, match=rf"{run}.*does not fit"):
        train(data, run, resume=True, settings={"epochs": "2"})
    assert record(run) == before and len(log(run)) == 1


def test_a_run_tells_what_it_leaves_out(data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data, tmp_path / "data"))
    (folder / "patient_a" / "notes.txt").write_text("an odd file")
    events: list[Event] = []
    settings = {**TINY, "epochs": "1", "exclude": "patient_b,patient_c"}
    train(folder, tmp_path / "run", settings=settings, progress=events.append)
    left_out = {entry["name"]: entry["reason"] for entry in record(tmp_path / "run")["left_out"]}
    assert left_out["patient_b"] == left_out["patient_c"] == "excluded"
    assert left_out["patient_d"] == "no label" and left_out.keys() >= {"patient_a/notes.txt"}
    (message,) = [e.message for e in events if e.stage == "prepare" and "left out" in e.message]
    assert "left out 2 (excluded): patient_b, patient_c" in message
    assert "left out 1 (no label): patient_d" in message
    assert "no validation, because all cases are of one patient" in message
    assert record(tmp_path / "run")["validation"] == []


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
        brain = image
        if augment.spatial:
            augment.spatial.set_random_state(seed=seed)
            brain = np.asarray(augment.spatial({"image": image, "label": label[None]})["image"])
        np.testing.assert_array_equal(moved != 0, brain != 0, "intensities change inside the brain only")
        assert 0.1 < (moved[0] == 0).mean() < 0.5, "the air is a quarter of the crop before it moves"
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


def test_validation_scores_what_the_exported_student_predicts(cached: dict) -> None:
    network = build("segresnet", filters=8, blocks=(1, 1))
    last = network.body.conv_final[-1].conv
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 10)  # everything is tumor, in the air around the brain too
    case = cached["patient_a"]
    brain, tumor = case.whole().brain, case.whole().label > 0
    scores = validate(network, [case], SUBSETS[-1:], (16, 16, 16), torch.device("cpu"))
    assert not brain.all()
    expected = 2 * (brain & tumor).sum() / (brain.sum() + tumor.sum())
    assert scores["FLAIR+T1ce+T1+T2 WT"] == pytest.approx(expected, rel=1e-6)


def test_validation_subsets_are_found_by_name_in_any_order() -> None:
    assert set(named_subsets(["t1ce+flair", "T2"])) == {(Modality.T2,), (Modality.FLAIR, Modality.T1CE)}


def test_unknown_subsets_and_cases_are_named_beside_the_known_ones(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'nonsense'.*FLAIR\+T1ce") as caught:
        resolve("segresnet", "quick", {"subsets": "T2,nonsense"})
    assert "'T2'" not in str(caught.value)
    with pytest.raises(OptionError, match=r"'patient_z'.*patient_a, patient_b, patient_c, patient_d"):
        train(data, tmp_path / "run", settings={"exclude": "patient_a,patient_z"})
    assert not (tmp_path / "run").exists()


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
        ({"subsets": "T7"}, "T7"),
        ({"subsets": "(1, 2)"}, "subsets"),
        ({"crop": "(16, 16, 16.5)"}, "crop"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_left(
    override: dict[str, str], word: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=word):
        train(data, tmp_path / "run", settings={"network.blocks": "(1, 1, 1, 1)", **override})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ({"epochs": "0"}, "1 or more"),
        ({"weight_decay": "-1"}, "0 or more"),
        ({"clip": "-1"}, "0 or more"),
        ({"average": "1"}, "0 to less than 1"),
        ({"foreground": "1.5"}, "0 to 1"),
        ({"learning_rate": "0"}, "more than 0"),
        ({"precision": "half"}, "one of auto, float32, bfloat16, float16"),
        ({"crop": "4"}, "three whole numbers of 8 or more"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_answered_with_its_range(override: dict[str, str], allowed: str) -> None:
    with pytest.raises(OptionError, match=rf"{next(iter(override))}=.*Allowed: {allowed}\."):
        resolve("segresnet", "quick", override)


def test_a_network_of_other_classes_is_refused_before_it_trains(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"network\.classes=5"):
        train(data, tmp_path / "run", "rfnet", settings={"network.classes": "5"})
    assert not (tmp_path / "run").exists()


def test_settings_describe_themselves_without_loading_torch() -> None:
    code = (
        "import sys; from MissingModalityLib.training.settings import describe_settings as d; print(d()); "
        "assert not {'torch', 'monai', 'numpy'} & sys.modules.keys()"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert text.strip() == describe_settings()
    for name in to_json(Settings()):
        assert f"  {name} = " in text
    assert "epochs = 4 (quick), 300 (paper)\n" in text and "Allowed: 1 or more." in text
    assert "iterations = 10 (quick), 250 (segresnet paper), 150 (rfnet paper)\n" in text
    words = " ".join(text.split())
    for recipe, option in (("segresnet", "dropout"), ("rfnet", "width")):
        assert option in inspect.signature(type(build(recipe))).parameters
    options = [name for name in inspect.signature(type(build("segresnet"))).parameters]
    assert f"{', '.join(options)} for segresnet; width for rfnet" in words


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
    assert not list(tmp_path.rglob(".*")), "no temporary file is left"


def test_data_without_labels_cannot_train(tmp_path: Path) -> None:
    write_case(tmp_path / "data" / "patient", label=False)
    with pytest.raises(CaseError, match="no case with a label"):
        train(tmp_path / "data", tmp_path / "run")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_on_cuda_resumes_and_its_student_predicts(data: Path, tmp_path: Path) -> None:
    settings = {**TINY, "epochs": "2", "validate_every": "1", "average": "0.9"}
    train(data, tmp_path / "run", device="cuda", settings=settings)
    train(data, tmp_path / "run", device="cuda", settings={"epochs": "4"}, resume=True)
    assert [line["epoch"] for line in log(tmp_path / "run")] == [1, 2, 3, 4]
    assert all(np.isfinite(line["loss"]["total"]) for line in log(tmp_path / "run"))
    student = Student.load(export(tmp_path / "run", tmp_path / "student.safetensors"))
    case = find_cases(data).cases[0]
    prediction = student.predict(read_study(case), device="cuda")
    assert prediction.device.startswith("cuda") and len(prediction.subset) == 4
