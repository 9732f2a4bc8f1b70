"""The labels of a folder as a whole: one numbering, some tumor, and the resection cavity."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import LabelError
from MissingModalityLib.core.labels import IGNORED, RESECTION_CAVITY, TumorClass
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.evaluate import evaluate_folder, read_evaluation
from MissingModalityLib.imaging.cache import cache_case
from MissingModalityLib.imaging.folder_labels import folder_warnings
from MissingModalityLib.imaging.prepared_folder import prepare_cases
from MissingModalityLib.synthesis.preview import preview
from MissingModalityLib.synthesis.write import synthesize
from MissingModalityLib.training.run import train
from small_patient import brain_volume
from tiny_run import TINY

SUFFIXES = [".nii.gz", ".mha", ".nrrd"]
OF_2021 = ("flair", "t1ce", "t1", "t2", "seg")
OF_2023 = ("t2f", "t1c", "t1n", "t2w", "seg")


def write_case(
    folder: Path,
    name: str,
    values: tuple[float, ...],
    suffix: str = ".nii.gz",
    names: tuple[str, ...] = OF_2021,
) -> None:
    """A case of all sequences whose label has a block of every value; the place of the first is the brain."""
    (folder / name).mkdir(parents=True)
    separator = "-" if names is OF_2023 else "_"
    first = 100 * sum(name.encode())  # cases of the same voxels would be one patient
    images = {end: brain_volume(first + seed, spacing=(1.0, 1.0, 1.0)) for seed, end in enumerate(names[:-1])}
    array = np.zeros(sitk.GetArrayViewFromImage(images[names[0]]).shape, np.float32)
    for number, value in enumerate(values):
        array[9:12, 9:13, 7 + 3 * number : 10 + 3 * number] = value
    images[names[-1]] = sitk.GetImageFromArray(array)
    for end, image in images.items():
        sitk.WriteImage(image, str(folder / name / f"{name}{separator}{end}{suffix}"))


def of_evaluation(data: Path, output: Path, student: Path, **options: Any) -> Mapping[str, Any]:
    return evaluate_folder(student, data, output, device="cpu", **options)


def of_preparation(data: Path, output: Path, student: Path, **options: Any) -> Mapping[str, Any]:
    return prepare_cases(data, output, **options)


def of_training(data: Path, output: Path, student: Path, **options: Any) -> Mapping[str, Any]:
    settings = {**TINY, "epochs": 1, "iterations_per_epoch": 1, "validation_subsets": "FLAIR"}
    run = train(data, output, settings=settings, device="cpu", **options)
    return json.loads((run / "run.json").read_text())


def of_synthesis(data: Path, output: Path, student: Path, **options: Any) -> Mapping[str, Any]:
    return synthesize(data, output, factor=2, method="mixup", **options)


def of_preview(data: Path, output: Path, student: Path, **options: Any) -> Mapping[str, Any]:
    return preview(data, output, "clinic_a", "clinic_b", **options)


READERS = [of_evaluation, of_preparation, of_training, of_synthesis, of_preview]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of the smallest kind as a student file."""
    import torch

    from MissingModalityLib.inference.student import Student
    from MissingModalityLib.networks import build
    from small_networks import SMALLEST

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("student") / "s.safetensors"
    Student(build("segresnet", **SMALLEST["segresnet"]), {"window": [16, 16, 16]}).save(path)
    return path


@pytest.mark.parametrize("read", READERS)
def test_two_numberings_in_one_folder_are_refused_before_anything_is_written(
    read: Callable[..., Any], student: Path, tmp_path: Path
) -> None:
    write_case(tmp_path / "data", "clinic_a", (1, 2, 3))
    write_case(tmp_path / "data", "clinic_b", (1, 2, 4))
    with pytest.raises(LabelError) as caught:
        read(tmp_path / "data", tmp_path / "output", student)
    text = str(caught.value)
    assert "clinic_a_seg.nii.gz (case clinic_a) holds the value 3" in text
    assert "clinic_b_seg.nii.gz (case clinic_b) the value 4" in text and "--convention" in text
    # the lock of a run stays in its folder when the run ends, however it does
    assert {path.name for path in tmp_path.rglob("output/**/*") if path.is_file()} <= {"run.lock"}
    read(tmp_path / "data", tmp_path / "output", student, convention="brats2024")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("names", "first", "second"),
    [(OF_2021, (2, 4), (3,)), (OF_2021, (4,), (1, 2, 3, 4)), (OF_2023, (1, 3), (2, 4))],
)
def test_numberings_are_told_apart_in_every_format(
    suffix: str, names: tuple[str, ...], first: tuple[int, ...], second: tuple[int, ...], tmp_path: Path
) -> None:
    write_case(tmp_path / "data", "a", first, suffix, names)
    write_case(tmp_path / "data", "b", second, suffix, names)
    with pytest.raises(LabelError, match=r"numbered in two ways.* \(case b\).* \(case a\)"):
        prepare_cases(tmp_path / "data", tmp_path / "output")


@pytest.mark.parametrize("second", [(1, 2), (), (1, 2, 255), (1, 2, 7), (1, 2, 3.9999998)])
def test_one_numbering_with_a_mistake_in_one_file_is_used(second: tuple[float, ...], tmp_path: Path) -> None:
    write_case(tmp_path / "data", "a", (1, 2, 4))
    write_case(tmp_path / "data", "b", second)
    assert "a" in prepare_cases(tmp_path / "data", tmp_path / "output")["cases"]


def test_numbering_is_judged_against_cases_that_were_prepared_before(tmp_path: Path) -> None:
    write_case(tmp_path / "data", "a", (1, 2, 4))
    prepare_cases(tmp_path / "data", tmp_path / "output")
    write_case(tmp_path / "data", "b", (1, 2, 3))
    with pytest.raises(LabelError, match="two ways"):
        prepare_cases(tmp_path / "data", tmp_path / "output")


@pytest.mark.parametrize("read", [of_evaluation, of_preparation, of_training])
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((), "No tumor in any label"),
        ((1, 2), r"No enhancing tumor (ET) in any label of 2 cases"),
        ((2, 4), r"No necrotic core (NCR) in any label of 2 cases"),
        ((1, 2, 4), None),
    ],
)
def test_folders_without_tumor_or_without_a_class_are_told(
    read: Callable[..., Any], values: tuple[int, ...], told: str | None, student: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_case(tmp_path / "data", name, values)
    warnings = read(tmp_path / "data", tmp_path / "output", student).get("warnings", [])
    texts = [entry["warning"] for entry in warnings]
    assert [told in text for text in texts] == [True] if told else not texts


@pytest.mark.parametrize("command", ["prepare", "evaluate", "train"])
def test_the_command_line_tells_warnings_and_what_was_skipped(
    command: str, student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_case(tmp_path / "data", "a", (1, 2))
    write_case(tmp_path / "data", "b", (1, 2, 7))
    settings = {**TINY, "epochs": 1, "iterations_per_epoch": 1, "validation_fraction": 0}
    extra = {
        "prepare": [],
        "evaluate": ["--student", student, "--device", "cpu"],
        "train": [
            "--device",
            "cpu",
            "--set",
            *(f"{key}={value}" for key, value in settings.items() if key != "network"),
            *(f"network.{key}={value}" for key, value in settings["network"].items()),
        ],
    }[command]
    places = ["--data", tmp_path / "data", "--output", tmp_path / "output", "--progress", "none"]
    assert main([command, *map(str, [*places, *extra])]) == 0
    said = capsys.readouterr().out
    assert "Warning: No enhancing tumor (ET)" in said
    assert command == "train" or "skipped b: " in said


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        *(("background", TumorClass.BACKGROUND), ("ignore", IGNORED), ("core", TumorClass.NCR)),
        ("class", RESECTION_CAVITY),
    ],
)
def test_a_cavity_is_kept_in_the_cache_and_counts_as_the_rule_says(
    rule: str, number: int, tmp_path: Path
) -> None:
    write_case(tmp_path / "data", "BraTS-GLI-00001-100", (1, 2, 3, 4), names=OF_2023)
    (case,) = find_cases(tmp_path / "data").cases
    cached = replace(cache_case(case, tmp_path / "prepared"), cavity_rule=rule)
    assert cached.cavity_voxels == 36
    with cached.open() as file:
        cavity = file.get_tensor("label") == RESECTION_CAVITY
    assert cavity.sum() == 36
    assert (cached.load().label[cavity] == number).all()
    assert (cached.label(tuple(slice(0, side) for side in cached.shape))[cavity] == number).all()
    assert cache_case(case, tmp_path / "prepared").cavity_voxels == 36  # read again from the file
    assert any(f"resection_cavity={rule}" in entry["warning"] for entry in folder_warnings([cached]))


@pytest.mark.parametrize("rule", ["background", "ignore", "core", "refuse", "class"])
def test_scores_count_the_cavity_as_the_rule_says(rule: str, student: Path, tmp_path: Path) -> None:
    write_case(tmp_path / "data", "BraTS-GLI-00001-100", (1, 2, 3, 4), names=OF_2023)
    write_case(tmp_path / "data", "BraTS-GLI-00002-100", (1, 2, 3), names=OF_2023)
    result = of_evaluation(tmp_path / "data", tmp_path / "output", student, resection_cavity=rule)
    assert result["resection_cavity"] == rule
    core = {case["name"][-6:-4]: case["reference_voxels"]["TC"] for case in result["cases"]}
    if rule == "refuse":
        assert list(core) == ["02"] and "resection_cavity=refuse" in result["skipped"][0]["reason"]
    else:
        assert core == {"01": 108 if rule == "core" else 72, "02": 72}
        assert any("in 1 of 2 cases" in entry["warning"] for entry in result["warnings"])
    scored = {row["region"]: row["reference"] for row in result["rows"] if row["case"][-6:-4] == "01"}
    assert scored.get("RC") == (36 if rule == "class" else None)
    table = (tmp_path / "output" / "table.md").read_text()
    assert ("Dice RC" in table) == (rule == "class") == ("RC" in result["averages"]["all"]["dice"])
    assert read_evaluation(tmp_path / "output")


@pytest.mark.parametrize("rule", ["ignore", "core", "refuse", "class"])
def test_a_run_reads_cavities_by_its_setting(rule: str, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_case(
            tmp_path / "data", f"BraTS-GLI-0000{number}-100", (1, 2, 3, 4)[: 5 - number], names=OF_2023
        )
    settings = {**TINY, "epochs": 1, "iterations_per_epoch": 1, "resection_cavity": rule}
    run = train(tmp_path / "data", tmp_path / "run", settings=settings, device="cpu")
    record = json.loads((run / "run.json").read_text())
    assert record["settings"]["resection_cavity"] == rule
    head = record["settings"]["network_options"].get("head", "regions")
    assert head == ("regions+cavity" if rule == "class" else "regions")
    left_out = [entry["name"] for entry in record["left_out"] if "resection_cavity=refuse" in entry["reason"]]
    assert left_out == (["BraTS-GLI-00001-100"] if rule == "refuse" else [])
