"""Label maps of other programs: found by name, read by their numbers, scored as a student's results are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import CaseError, ImageError, LabelError, OptionError
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.case import Case, ImageFile
from MissingModalityLib.evaluation.comparison import compare_folders
from MissingModalityLib.evaluation.foreign import evaluate_predictions
from MissingModalityLib.evaluation.label_maps import find_label_maps
from small_cases import BOTH, write_shell_case

FIRST, SECOND = "BraTS2021_90001", "BraTS2021_90002"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case with all sequences and one with FLAIR and T1ce."""
    folder = tmp_path_factory.mktemp("foreign") / "data"
    write_shell_case(folder / FIRST)
    write_shell_case(folder / SECOND, BOTH, seed=1)
    return folder


def predicted(data: Path, case: str, numbers: tuple[int, ...] = (0, 1, 2, 4), shift: int = 0) -> sitk.Image:
    """The case's own label moved along x, its 0, 1, 2 and 4 written as other numbers."""
    label = sitk.ReadImage(str(data / case / "seg.nii.gz"))
    array = np.roll(sitk.GetArrayFromImage(label), shift, 2)
    numbered = np.select([array == value for value in (1, 2, 4)], numbers[1:])
    image = sitk.GetImageFromArray(numbered.astype(np.uint8))
    image.CopyInformation(label)
    return image


def write(image: sitk.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def dice(result: dict, case: str, subset: str, region: str = "ET") -> float:
    rows = [
        row for row in result["rows"] if (row["case"], row["subset"], row["region"]) == (case, subset, region)
    ]
    return rows[0]["dice"]


def test_maps_in_folders_of_subsets_are_scored_and_missing_ones_told(data: Path, tmp_path: Path) -> None:
    maps = tmp_path / "other"
    write(predicted(data, FIRST), maps / "T2" / f"{FIRST}.nii.gz")
    for case in (FIRST, SECOND):
        write(predicted(data, case, shift=1), maps / "t1c_flair" / f"{case}_pred.nii.gz")
    write(predicted(data, FIRST), maps / "T1" / "BraTS2021_9000.nii.gz")
    write(predicted(data, FIRST), maps / "loose.nii.gz")
    write(predicted(data, SECOND), maps / "T2" / SECOND / "seg.nii.gz")
    result = evaluate_predictions(maps, data, tmp_path / "out", metrics=["dice", "sensitivity"])
    assert dice(result, FIRST, "T2") == pytest.approx(1)
    assert 0.1 < dice(result, SECOND, "FLAIR+T1ce") < 0.95
    assert (result["student"], result["prediction"]) == ("other", {"labels": "brats2021"})
    assert {entry["path"]: entry["reason"] for entry in result["skipped"]} == {
        "T1/BraTS2021_9000.nii.gz": "label map of no case that is scored",
        "loose.nii.gz": "not in a folder that is called like a subset",
        f"T2/{SECOND}/seg.nii.gz": f"case {SECOND} has no T2",
        FIRST: "no label map of it from T1",
    }
    table = (tmp_path / "out" / "table.md").read_text()
    assert f"Skipped: {FIRST}: no label map of it from T1" in table and "Sensitivity WT" in table
    assert "Lines are over 1 to 2 cases" in table and "of label maps, a prediction" in table


def test_a_folder_of_maps_from_all_sequences_is_compared_like_any_evaluation(
    data: Path, tmp_path: Path
) -> None:
    for name, shift in (("near", 1), ("far", 3)):
        for case in (FIRST, SECOND):
            write(predicted(data, case, shift=shift), tmp_path / name / case / "labels.nii.gz")
        arguments = ["evaluate", "--predictions", tmp_path / name, "--data", data, "--quiet"]
        assert main([*map(str, arguments), "--output", str(tmp_path / f"of-{name}")]) == 0
    compared = compare_folders([tmp_path / "of-near", tmp_path / "of-far"])
    near, far = (line["scores"][0]["mean"] for line in compared["lines"])
    assert 1 > near > far and compared["tests"][0]["regions"]["WT"]["effect"] == -1
    assert {row: set(line["subsets"]) for row, line in enumerate(compared["lines"])} == {
        0: {"FLAIR+T1ce", "FLAIR+T1ce+T1+T2"},
        1: {"FLAIR+T1ce", "FLAIR+T1ce+T1+T2"},
    }


@pytest.mark.parametrize(
    ("numbers", "labels", "expected"),
    [
        ((0, 1, 2, 4), None, 1),
        ((0, 2, 1, 3), "msd", 1),
        ((0, 1, 2, 3), "brats2023", 1),
        ((0, 1, 2, 3), "msd", 1),
    ],
)
def test_maps_are_read_as_they_are_numbered(
    data: Path, tmp_path: Path, numbers: tuple[int, ...], labels: str | None, expected: float
) -> None:
    write(predicted(data, FIRST, numbers), tmp_path / "maps" / f"{FIRST}.nii.gz")
    result = evaluate_predictions(tmp_path / "maps", data, tmp_path / "out", labels)
    everything = "FLAIR+T1ce+T1+T2"
    assert dice(result, FIRST, everything) == pytest.approx(expected)
    right = labels is None or numbers != (0, 1, 2, 3) or labels == "brats2023"
    assert (dice(result, FIRST, everything, "TC") > 0.99) == right, "necrosis and edema change places"
    assert {entry["path"]: entry["reason"] for entry in result["skipped"]} == {SECOND: "no label map of it"}


def test_a_map_that_cannot_be_read_costs_its_case_alone(data: Path, tmp_path: Path, capsys) -> None:
    write(predicted(data, FIRST), tmp_path / "maps" / f"{FIRST}.nii.gz")
    (tmp_path / "maps" / f"{SECOND}.nii.gz").write_bytes(b"no image")
    command = ["evaluate", "--predictions", tmp_path / "maps", "--data", data, "--output", tmp_path / "out"]
    assert main([*map(str, command), "--quiet"]) == 0
    said = capsys.readouterr().err
    assert said.startswith(f"Warning: skipped {SECOND}: ") and said.count("\n") == 1
    (tmp_path / "maps" / f"{FIRST}.nii.gz").unlink()
    with pytest.raises(ImageError, match=SECOND):
        evaluate_predictions(tmp_path / "maps", data, tmp_path / "none")


def test_numbers_that_mean_different_things_are_refused(data: Path, tmp_path: Path) -> None:
    write(predicted(data, FIRST, (0, 1, 2, 3)), tmp_path / "maps" / f"{FIRST}.nii.gz")
    with pytest.raises(
        LabelError, match=r"values 0, 1, 2, 3 do not tell.*--prediction-labels.*brats2023.*msd"
    ):
        evaluate_predictions(tmp_path / "maps", data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_maps_on_another_grid_are_resampled_and_told_and_those_that_lie_elsewhere_refused(
    data: Path, tmp_path: Path
) -> None:
    image = predicted(data, FIRST)
    fine = sitk.Expand(image, [2, 2, 2], sitk.sitkNearestNeighbor)
    write(fine, tmp_path / "maps" / "T2" / f"{FIRST}.nii.gz")
    result = evaluate_predictions(tmp_path / "maps", data, tmp_path / "out")
    assert dice(result, FIRST, "T2", "WT") > 0.9
    told = [entry["warning"] for entry in result["warnings"] if entry["case"] == FIRST]
    assert any(f"{FIRST}.nii.gz has a grid of its own and was resampled" in text for text in told)
    image.SetOrigin((0.0, 0.0, 0.0))  # as written without the volume's header
    write(image, tmp_path / "lost" / f"{FIRST}.nii.gz")
    with pytest.raises(CaseError, match="does not lie where the case's volume lies"):
        evaluate_predictions(tmp_path / "lost", data, tmp_path / "none")


@pytest.mark.parametrize("order", ["RAS", "SLP"])
def test_maps_whose_axes_are_stored_in_another_order_are_read_as_they_lie(
    data: Path, tmp_path: Path, order: str
) -> None:
    write(sitk.DICOMOrient(predicted(data, FIRST), order), tmp_path / "maps" / "T2" / f"{FIRST}.nii.gz")
    result = evaluate_predictions(tmp_path / "maps", data, tmp_path / "out")
    assert dice(result, FIRST, "T2") == 1
    assert not [entry for entry in result["warnings"] if "resampled" in entry["warning"]]


def test_maps_of_as_many_voxels_that_lie_a_little_apart_are_refused(data: Path, tmp_path: Path) -> None:
    image = predicted(data, FIRST)
    image.SetOrigin(
        [value + 0.5 * step for value, step in zip(image.GetOrigin(), image.GetSpacing(), strict=True)]
    )
    write(image, tmp_path / "maps" / f"{FIRST}.nii.gz")
    with pytest.raises(CaseError, match=r"does not lie where .* as many voxels, .* puts it 1\.2 mm away"):
        evaluate_predictions(tmp_path / "maps", data, tmp_path / "none")


def test_values_that_no_numbering_has_are_told_with_their_file(data: Path, tmp_path: Path) -> None:
    write(predicted(data, FIRST), tmp_path / "maps" / f"{FIRST}.nii.gz")
    write(predicted(data, SECOND, (0, 1, 3, 9)), tmp_path / "maps" / f"{SECOND}.nii.gz")
    with pytest.raises(
        LabelError, match=rf"\(3 in {SECOND}\.nii\.gz, 9 in {SECOND}\.nii\.gz\)\. No numbering .* remove"
    ):
        evaluate_predictions(tmp_path / "maps", data, tmp_path / "out")


def test_classes_that_no_map_holds_are_told(data: Path, tmp_path: Path) -> None:
    told = {}
    for name, numbers in (("whole", (0, 1, 1, 1)), ("right", (0, 1, 2, 4))):
        write(predicted(data, FIRST, numbers), tmp_path / name / f"{FIRST}.nii.gz")
        result = evaluate_predictions(tmp_path / name, data, tmp_path / f"of-{name}")
        told[name] = [entry["warning"] for entry in result["warnings"] if not entry["case"]]
    assert [text.partition(",")[0] for text in told["whole"]] == [
        "No label map holds ED",
        "No label map holds ET",
    ]
    assert not told["right"] and "numbered as 'brats2021'" in told["whole"][0]


def case(name: str) -> Case:
    images = {modality: ImageFile(Path(name, modality.name)) for modality in MODALITIES}
    return Case(name, Path(name), "brats", images, Path(name, "seg"), "brats2021")


def found(folder: Path, *files: str) -> dict[str, list[str]]:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    maps = find_label_maps(folder, [case("p1"), case("p1_2"), case("p12")])
    return {name: [path.name for path in of.values()] for name, of in maps.files.items()}


def test_the_longest_name_of_a_case_wins(tmp_path: Path) -> None:
    assert found(tmp_path, "p1_seg.nii.gz", "p1_2.nii", "P12-x.mha", "p123.nii.gz") == {
        "p1": ["p1_seg.nii.gz"],
        "p1_2": ["p1_2.nii"],
        "p12": ["P12-x.mha"],
    }


def test_two_maps_of_a_case_and_folders_without_any_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"p1\.nii\.gz and p1_b\.nii\.gz are label maps of case p1"):
        found(tmp_path / "two", "p1.nii.gz", "p1_b.nii.gz")
    with pytest.raises(CaseError, match=r"no label map of any of 3 cases, such as p1\.nii\.gz"):
        found(tmp_path / "none", "x.nii.gz")
    with pytest.raises(CaseError, match="no such folder"):
        find_label_maps(tmp_path / "absent", [case("p1")])


def test_folders_are_known_by_the_words_of_any_data_set(tmp_path: Path) -> None:
    for name in ("t1c-t2w", "T1n+t2f", "all"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p1.nii.gz").touch()
    maps = find_label_maps(tmp_path, [case("p1")])
    assert set(maps.files["p1"]) == {
        (Modality.T1CE, Modality.T2),
        (Modality.FLAIR, Modality.T1),
        MODALITIES,
    }


def test_what_is_of_models_and_what_is_of_maps_is_not_mixed(tmp_path: Path, capsys) -> None:
    maps = ["evaluate", "--predictions", "maps", "--data", "d", "--output", "o"]
    for arguments, text in (
        ([*maps, "--model", "m"], "--model"),
        ([*maps, "--store"], "--store"),
        (["evaluate", "--data", "d", "--output", "o", "--prediction-labels", "msd"], "--predictions"),
    ):
        assert main(arguments) == 2 and text in capsys.readouterr().err
    with pytest.raises(OptionError, match="sensitivity"):
        evaluate_predictions("maps", "d", "o", metrics=["sens"])
