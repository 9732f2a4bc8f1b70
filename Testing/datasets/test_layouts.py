"""Cases of each layout are read as the modalities and classes that they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from layout_cases import (
    FLAIR,
    NAMES_2021,
    NAMES_2023,
    SHAPE,
    T1,
    T1CE,
    T2,
    label,
    only_case,
    reasons,
    save,
    save_case,
    save_decathlon,
    volume,
)
from MissingModalityLib.core.errors import CaseError, ImageError, LabelError, OptionError
from MissingModalityLib.core.labels import RESECTION_CAVITY
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.datasets.case import Case
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.reading import read_label, read_study

NAMES_2015 = {FLAIR: "Flair", T1CE: "T1c", T1: "T1", T2: "T2"}


def save_smir_case(folder: Path, subset: Iterable[Modality] = MODALITIES) -> None:
    for number, modality in enumerate(subset):
        stem = f"VSD.Brain.XX.O.MR_{NAMES_2015[modality]}.{54512 + number}"
        save(folder / stem / f"{stem}.mha", volume(modality))
    stem = "VSD.Brain_3more.XX.O.OT.54517"
    save(folder / stem / f"{stem}.mha", label(1, 2, 3, 4))


def check_images(case: Case, subset: Iterable[Modality] = MODALITIES) -> None:
    study = read_study(case)
    assert list(study.images) == sorted(subset) == list(case.images)
    for modality, image in study.images.items():
        assert np.array_equal(sitk.GetArrayFromImage(image), volume(modality)), modality.title


def classes(case: Case) -> list[int]:
    """Class of each plane that `label` filled."""
    image = read_label(case)
    assert image.GetPixelID() == sitk.sitkUInt8
    array = sitk.GetArrayFromImage(image)
    assert not array[0].any()
    return [int(value) for value in array[1:5, 0, 0]]


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("HGG/Brats17_TCIA_001_1", "Brats17_TCIA_001_1_{}.nii.gz"),
        ("LGG/Brats18_2013_0_1", "Brats18_2013_0_1_{}.nii"),
        ("train/BraTS20_Training_001", "BraTS20_Training_001_{}.nii"),
        ("BraTS2021_00000", "BraTS2021_00000_{}.nii.gz"),
        ("FeTS2022_00000", "FeTS2022_00000_{}.nii.gz"),
        ("shared/brats_2013_pat0001_1", "{}.nii.gz"),
        ("somebody's own", "patient 7_{}.nii.gz"),
    ],
)
def test_names_of_2017_to_2021_read_with_enhancing_tumor_as_4(
    tmp_path: Path, folder: str, pattern: str
) -> None:
    save_case(tmp_path / folder, NAMES_2021, pattern, (1, 2, 4))
    case = only_case(tmp_path)
    check_images(case)
    assert case.convention == "brats2021"
    assert classes(case) == [1, 2, 3, 0]
    # challenges give a name to one visit alone; other names say where the case lies
    assert case.name == (f"{folder}__patient 7" if pattern.startswith("patient") else Path(folder).name)


@pytest.mark.parametrize(
    ("name", "convention", "values", "expected"),
    [
        ("BraTS-GLI-00000-000", "brats2023", (1, 2, 3), [1, 2, 3, 0]),
        ("BraTS-GLI-02061-100", "brats2024", (1, 2, 3, 4), [1, 2, 3, RESECTION_CAVITY]),
        ("BraTS-MET-00001-000", "brats2023", (1, 2, 3), [1, 2, 3, 0]),
        ("BraTS-SSA-00002-000", "brats2023", (1, 2, 3), [1, 2, 3, 0]),
        ("FeTS2024-00003", "brats2021", (1, 2, 4), [1, 2, 3, 0]),
        ("mine", "brats2023", (1, 2, 3), [1, 2, 3, 0]),
    ],
)
def test_names_since_2023_read_with_the_numbering_that_the_case_name_tells(
    tmp_path: Path, name: str, convention: str, values: tuple[int, ...], expected: list[int]
) -> None:
    save_case(tmp_path / name, NAMES_2023, f"{name}-{{}}.nii.gz", values)
    case = only_case(tmp_path)
    check_images(case)
    assert (case.name, case.convention) == (name, convention)
    assert classes(case) == expected


def test_capital_letters_and_float_labels_of_2023_are_read(tmp_path: Path) -> None:
    names = NAMES_2023 | {T2: "t2W"}
    save_case(tmp_path / "BraTS-GLI-00001-000", names, "BraTS-GLI-00001-000-{}.nii.gz")
    save(
        tmp_path / "BraTS-GLI-00001-000" / "BraTS-GLI-00001-000-seg.nii.gz", label(1, 2, 3).astype(np.float64)
    )
    case = only_case(tmp_path)
    check_images(case)
    assert classes(case) == [1, 2, 3, 0]


def test_fractional_label_value_is_an_error_that_names_file_and_value(tmp_path: Path) -> None:
    save_case(tmp_path, NAMES_2021, "x_{}.nii.gz", (1, 1.5), (FLAIR,))
    with pytest.raises(LabelError, match=r"x_seg\.nii\.gz.* 1\.5 "):
        read_label(only_case(tmp_path))


@pytest.mark.parametrize("subset", [MODALITIES, (T2, T1CE)])
def test_brats_2015_folders_are_read(tmp_path: Path, subset: tuple[Modality, ...]) -> None:
    save_smir_case(tmp_path / "HGG" / "brats_tcia_pat101_0001", subset)
    save_smir_case(tmp_path / "LGG" / "brats_2013_pat0001_1", subset)
    listing = find_cases(tmp_path)
    assert [case.name for case in listing.cases] == ["brats_2013_pat0001_1", "brats_tcia_pat101_0001"]
    for case in listing.cases:
        check_images(case, subset)
        assert (case.layout, case.convention) == ("brats2015", "brats2015")
        assert classes(case) == [1, 2, 1, 3]


def test_decathlon_channels_come_back_as_the_modalities_they_are(tmp_path: Path) -> None:
    save_decathlon(tmp_path / "Task01_BrainTumour")
    listing = find_cases(tmp_path)
    assert [case.name for case in listing.cases] == ["BRATS_001", "BRATS_002", "BRATS_485"]
    assert [case.label is None for case in listing.cases] == [False, True, True]
    assert not listing.skipped
    for case in listing.cases:
        check_images(case)
    assert classes(listing.cases[0]) == [2, 1, 3, 0]
    assert listing.cases[0].images[T1CE].channel == 2


def test_decathlon_order_follows_its_description_and_not_a_habit(tmp_path: Path) -> None:
    save_decathlon(tmp_path, (T2, T1CE, FLAIR))
    check_images(find_cases(tmp_path).cases[0], (FLAIR, T1CE, T2))


def test_decathlon_without_description_keeps_the_published_order_under_published_names(
    tmp_path: Path,
) -> None:
    save_decathlon(tmp_path)
    (tmp_path / "dataset.json").unlink()
    check_images(find_cases(tmp_path).cases[0])
    for path in tmp_path.glob("images*/*.nii.gz"):
        path.rename(path.with_name(f"other_{path.name}"))
    with pytest.raises(CaseError, match=r"no dataset\.json"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ('{"modality": {"0": "FLAIR", "1": "ADC"}}', "'ADC'"),
        ('{"modality": {"0": "T1", "1": "T1w"}}', "two channels for T1"),
        ('{"modality": {}', "does not name the channels"),
        ("{}", "does not name the channels"),
    ],
)
def test_decathlon_description_without_known_channels_is_the_reason_to_skip(
    tmp_path: Path, description: str, message: str
) -> None:
    save_decathlon(tmp_path)
    (tmp_path / "dataset.json").write_text(description)
    with pytest.raises(CaseError, match=message):
        find_cases(tmp_path)


def test_decathlon_labels_of_other_meaning_need_an_explicit_convention(tmp_path: Path) -> None:
    save_decathlon(tmp_path)
    description = json.loads((tmp_path / "dataset.json").read_text())
    description["labels"] = {"0": "background", "1": "necrosis", "2": "edema", "3": "enhancing"}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(LabelError, match="convention explicitly"):
        read_label(find_cases(tmp_path).cases[0])
    assert classes(find_cases(tmp_path, "brats2023").cases[0]) == [1, 2, 3, 0]


@pytest.mark.parametrize("described", [True, False], ids=["dataset.json", "no dataset.json"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_single_channels_of_nnunet_in_a_decathlon_folder_are_called_so(
    tmp_path: Path, suffix: str, described: bool
) -> None:
    for name in ("BRATS_001", "BRATS_002"):
        for channel, modality in enumerate(MODALITIES):
            save(tmp_path / "imagesTr" / f"{name}_{channel:04}{suffix}", volume(modality))
        save(tmp_path / "labelsTr" / f"{name}{suffix}", label(1, 2, 3))
    save(tmp_path / "imagesTs" / f"BRATS_485_0000{suffix}", volume(FLAIR))
    save_case(tmp_path / "other", NAMES_2021, "{}.nii.gz")
    if described:
        (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "FLAIR", "1": "T1w"}}')
    listing = find_cases(tmp_path)
    assert [case.name for case in listing.cases] == ["other"]
    found = reasons(listing)
    for name in ("BRATS_001_0000", "BRATS_002_0003", "BRATS_485_0000"):
        assert "single channel of nnU-Net" in found[name + suffix] and "_flair.nii.gz" in found[name + suffix]
    if described:
        assert "nnU-Net" in found["BRATS_001" + suffix]
    with pytest.raises(CaseError, match="single channel of nnU-Net"):
        find_cases(tmp_path / "imagesTr")


def test_four_digits_that_count_cases_are_no_channels(tmp_path: Path) -> None:
    save_decathlon(tmp_path)
    for folder, name in (("imagesTr", "BRATS_001"), ("imagesTr", "BRATS_002"), ("labelsTr", "BRATS_001")):
        path = tmp_path / folder / f"{name}.nii.gz"
        path.rename(path.with_name(f"{name.replace('_', '_0')}.nii.gz"))
    assert [case.name for case in find_cases(tmp_path).cases] == ["BRATS_0001", "BRATS_0002", "BRATS_485"]


def test_file_with_fewer_channels_than_described_is_named(tmp_path: Path) -> None:
    save_decathlon(tmp_path)
    save(tmp_path / "imagesTr" / "BRATS_001.nii.gz", volume(FLAIR))
    with pytest.raises(ImageError, match=r"BRATS_001\.nii\.gz has 3 dimensions"):
        read_study(find_cases(tmp_path).cases[0])


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("BraTS-PED-00001-000", NAMES_2023),  # numbered differently in 2023 and 2024
        ("BraTS-MEN-RT-0001-1", NAMES_2023),
        ("x", NAMES_2021 | {T2: "t2w"}),  # two styles
        ("x", NAMES_2021 | {T1CE: "t1gd"}),
        ("BraTS-GLI-00001-000", NAMES_2021),  # renamed, perhaps renumbered
        ("BraTS2021_00001", NAMES_2023),
    ],
)
def test_label_is_refused_where_names_do_not_tell_its_numbering(
    tmp_path: Path, name: str, names: dict[Modality, str]
) -> None:
    save_case(tmp_path / name, names, f"{name}_{{}}.nii.gz", (1, 2))
    case = only_case(tmp_path)
    check_images(case)
    with pytest.raises(LabelError, match=r"_seg\.nii\.gz.*brats2021"):
        read_label(case)
    assert classes(only_case(tmp_path, "msd")) == [2, 1, 0, 0]


@pytest.mark.parametrize(
    ("names", "value"), [(NAMES_2021, 3), (NAMES_2023, 4), (NAMES_2021, 7), (NAMES_2023, 255)]
)
def test_value_that_the_layout_does_not_know_is_an_error_and_not_a_guess(
    tmp_path: Path, names: dict[Modality, str], value: int
) -> None:
    save_case(tmp_path / "x", names, "x_{}.nii.gz", (1, 2, value))
    with pytest.raises(LabelError, match=rf"x_seg\.nii\.gz.* {value} "):
        read_label(only_case(tmp_path))


def test_explicit_convention_overrides_the_layout(tmp_path: Path) -> None:
    save_case(tmp_path / "x", NAMES_2021, "x_{}.nii.gz", (1, 2, 3))
    assert classes(only_case(tmp_path, "brats2023")) == [1, 2, 3, 0]
    with pytest.raises(OptionError, match="brats1999"):
        find_cases(tmp_path, "brats1999")


def test_label_keeps_its_own_geometry(tmp_path: Path) -> None:
    save_case(tmp_path / "x", NAMES_2021, "x_{}.nii.gz", (1, 2, 4))
    image = read_label(only_case(tmp_path))
    assert image.GetSpacing() == (1, 1, 2) and image.GetSize() == SHAPE[::-1]


def test_images_folder_of_the_decathlon_points_to_the_one_above(tmp_path: Path) -> None:
    save_decathlon(tmp_path)
    with pytest.raises(CaseError, match="folder above imagesTr"):
        find_cases(tmp_path / "imagesTr")
