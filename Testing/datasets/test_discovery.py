"""Cases on disk: every layout that people have, the numbering of its labels, and what is left out and why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain, combinations
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import CaseError, ImageError, LabelError, OptionError
from MissingModalityLib.core.labels import RESECTION_CAVITY
from MissingModalityLib.core.modalities import MODALITIES, SUBSETS, Modality
from MissingModalityLib.datasets import discovery
from MissingModalityLib.datasets.case import Case, CaseListing, ImageFile
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.datasets.layout import LABEL, SuffixLayout
from MissingModalityLib.datasets.registry import all_layouts
from MissingModalityLib.datasets.splitting import source_of, split_cases, split_folds
from MissingModalityLib.imaging.reading import read_label, read_study

FLAIR, T1CE, T1, T2 = MODALITIES
SHAPE = (9, 10, 11)  # z, y, x
LEVEL = {FLAIR: 1000, T1CE: 2000, T1: 3000, T2: 4000}
NAMES_2021 = {FLAIR: "flair", T1CE: "t1ce", T1: "t1", T2: "t2"}
NAMES_2023 = {FLAIR: "t2f", T1CE: "t1c", T1: "t1n", T2: "t2w"}
NAMES_2015 = {FLAIR: "Flair", T1CE: "T1c", T1: "T1", T2: "T2"}


def volume(modality: Modality) -> np.ndarray:
    """Noise around a level that tells the modality."""
    return (np.random.default_rng(modality).integers(0, 500, SHAPE) + LEVEL[modality]).astype(np.int16)


def label(*values: float) -> np.ndarray:
    """A map that holds 0 and each of the values in one plane of its own."""
    array = np.zeros(SHAPE, np.float32 if any(value % 1 for value in values) else np.uint8)
    for plane, value in enumerate(values):
        array[plane + 1] = value
    return array


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1, 1, 2))
    sitk.WriteImage(image, str(path))
    return path


def save_case(
    folder: Path,
    names: dict[Modality, str],
    pattern: str,
    values: Iterable[float] = (),
    subset: Iterable[Modality] = MODALITIES,
) -> None:
    for modality in subset:
        save(folder / pattern.format(names[modality]), volume(modality))
    if values:
        save(folder / pattern.format("seg"), label(*values))


def save_smir_case(folder: Path, subset: Iterable[Modality] = MODALITIES) -> None:
    for number, modality in enumerate(subset):
        stem = f"VSD.Brain.XX.O.MR_{NAMES_2015[modality]}.{54512 + number}"
        save(folder / stem / f"{stem}.mha", volume(modality))
    stem = "VSD.Brain_3more.XX.O.OT.54517"
    save(folder / stem / f"{stem}.mha", label(1, 2, 3, 4))


def save_decathlon(root: Path, order: tuple[Modality, ...] = (FLAIR, T1, T1CE, T2)) -> None:
    titles = {FLAIR: "FLAIR", T1: "T1w", T1CE: "t1gd", T2: "T2w"}
    for folder, name in (("imagesTr", "BRATS_001"), ("imagesTr", "BRATS_002"), ("imagesTs", "BRATS_485")):
        parts = [sitk.GetImageFromArray(volume(modality)) for modality in order]
        (root / folder).mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.JoinSeries(parts), str(root / folder / f"{name}.nii.gz"))
    save(root / "labelsTr" / "BRATS_001.nii.gz", label(1, 2, 3))
    description = {
        "modality": {str(index): titles[modality] for index, modality in enumerate(order)},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
    }
    (root / "dataset.json").write_text(json.dumps(description))


def only_case(folder: Path, convention: str | None = None) -> Case:
    (case,) = find_cases(folder, convention).cases
    return case


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


def reasons(listing: CaseListing) -> dict[str, str]:
    return {entry.path.name: entry.reason for entry in listing.skipped}


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


def test_all_fifteen_subsets_are_found_in_channel_order(tmp_path: Path) -> None:
    for number, subset in enumerate(SUBSETS):
        save_case(tmp_path / f"case{number:02}", NAMES_2021, "{}.nii.gz", subset=reversed(subset))
    listing = find_cases(tmp_path)
    assert [case.subset for case in listing.cases] == list(SUBSETS)
    assert all(case.label is None and read_label(case) is None for case in listing.cases)


def test_cases_side_by_side_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    for visit in ("BraTS-GLI-00005-000", "BraTS-GLI-00005-100"):
        save_case(tmp_path, NAMES_2023, f"{visit}-{{}}.nii.gz", (1, 2, 3), (FLAIR, T1))
    listing = find_cases(tmp_path)
    assert [case.convention for case in listing.cases] == ["brats2023", "brats2024"]
    assert {case.patient for case in listing.cases} == {"BraTS-GLI-00005"}


def test_one_case_folder_is_a_listing_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_case(tmp_path / "case7", NAMES_2021, "{}.nii.gz")
    assert only_case(tmp_path / "case7").name == "case7"
    monkeypatch.chdir(tmp_path / "case7")
    assert only_case(Path(".")).name == "case7"


def test_cases_of_equal_name_get_names_of_their_own(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save_case(tmp_path / split / "A", NAMES_2021, "{}.nii.gz", subset=(FLAIR,))
    assert [case.name for case in find_cases(tmp_path).cases] == ["test__A", "train__A"]


def test_folders_named_like_the_files_inside_them_are_looked_through(tmp_path: Path) -> None:
    for name in ("flair", "t1"):
        file = f"Brats18_1_1_{name}.nii"
        save(tmp_path / "Brats18_1_1" / file / file, volume(FLAIR))
    assert only_case(tmp_path).subset == (FLAIR, T1)


def test_every_other_file_is_reported_with_a_reason(tmp_path: Path) -> None:
    case = tmp_path / "BraTS20_Training_001"
    save_case(case, NAMES_2021, "BraTS20_Training_001_{}.nii", (1, 2, 4), (FLAIR, T1))
    (case / "._BraTS20_Training_001_t2.nii").write_bytes(b"\0\5\x16\7")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "x_flair.nii").write_bytes(b"\0\5\x16\7")
    (case / ".DS_Store").touch()
    (tmp_path / "survival.csv").touch()
    (tmp_path / "all.zip").touch()
    for name in ("brainmask.nii.gz", "BraTS20_Training_001_flair_n4.nii", "n4_flair.nii", "W39_Segm.nii"):
        save(case / name, volume(FLAIR))
    save(case / "BraTS20_Training_001.seg.nrrd", label(1))
    save(tmp_path / "orphan" / "seg.nii.gz", label(1))
    listing = find_cases(tmp_path)
    assert [case.subset for case in listing.cases] == [(FLAIR, T1)]
    found = reasons(listing)
    assert "macOS" in found["._BraTS20_Training_001_t2.nii"] and "macOS" in found["x_flair.nii"]
    assert "hidden" in found[".DS_Store"]
    assert "not a volume" in found["survival.csv"] and "unpack it" in found["all.zip"]
    assert "not needed" in found["brainmask.nii.gz"]
    assert "derived" in found["BraTS20_Training_001_flair_n4.nii"] and "derived" in found["n4_flair.nii"]
    assert "no known layout" in found["W39_Segm.nii"]
    assert "without any volume" in found["seg.nii.gz"]
    assert "segmentation of Slicer" in found["BraTS20_Training_001.seg.nrrd"]
    assert len(found) == 11
    text = listing.describe()
    assert all(name in text for name in found)
    assert "FLAIR+T1: 1" in text and "labels numbered as in brats2021: 1" in text


@pytest.mark.parametrize("second", ["x_flair.nii", "x-t2f.nii.gz", "x_FLAIR.nrrd", "x_fLaIr.mha"])
def test_two_files_for_one_modality_leave_the_case_out_naming_both(tmp_path: Path, second: str) -> None:
    save_case(tmp_path / "x", NAMES_2021, "x_{}.nii.gz")
    save(tmp_path / "x" / second, volume(FLAIR))
    with pytest.raises(CaseError) as caught:
        find_cases(tmp_path)
    assert "x_flair.nii.gz" in str(caught.value) and second in str(caught.value)
    save_case(tmp_path / "y", NAMES_2021, "y_{}.nii.gz")
    listing = find_cases(tmp_path)
    assert [case.name for case in listing.cases] == ["y"]
    assert len(listing.skipped) == 5 and "keep one" in listing.skipped[0].reason


def test_folder_names_and_prefixes_meet_in_one_case(tmp_path: Path) -> None:
    save(tmp_path / "p1" / "p1_flair.nii.gz", volume(FLAIR))
    save(tmp_path / "p1" / "t1.nii.gz", volume(T1))
    save(tmp_path / "p1" / "p1_seg.nii.gz", label(4))
    assert only_case(tmp_path).subset == (FLAIR, T1)
    assert only_case(tmp_path).label is not None


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


def test_study_names_its_files_for_messages(tmp_path: Path) -> None:
    save_case(tmp_path / "x", NAMES_2021, "x_{}.nii.gz", subset=(T2,))
    assert read_study(only_case(tmp_path)).names[T2].endswith("x_t2.nii.gz")
    save_decathlon(tmp_path / "msd")
    names = read_study(find_cases(tmp_path / "msd").cases[0]).names
    assert names[T1CE].endswith("BRATS_001.nii.gz (channel 2)")


def test_damaged_volume_of_a_case_is_named(tmp_path: Path) -> None:
    save_case(tmp_path / "x", NAMES_2021, "x_{}.nii.gz")
    (tmp_path / "x" / "x_t1.nii.gz").write_text("no image")
    with pytest.raises(ImageError, match=r"x_t1\.nii\.gz"):
        read_study(only_case(tmp_path))


def test_unusable_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="empty"):
        find_cases(tmp_path)
    with pytest.raises(CaseError, match=r"nowhere does not exist"):
        find_cases(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CaseError, match=r"not a folder"):
        find_cases(tmp_path / "notes.txt")
    with pytest.raises(CaseError, match=r"(?s)No case found.*notes\.txt"):
        find_cases(tmp_path)


def test_images_folder_of_the_decathlon_points_to_the_one_above(tmp_path: Path) -> None:
    save_decathlon(tmp_path)
    with pytest.raises(CaseError, match="folder above imagesTr"):
        find_cases(tmp_path / "imagesTr")


def test_links_that_lead_back_do_not_repeat_cases(tmp_path: Path) -> None:
    save_case(tmp_path / "data" / "x", NAMES_2021, "x_{}.nii.gz", subset=(FLAIR,))
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data", target_is_directory=True)
    assert only_case(tmp_path).name == "data__x"


def some_cases(names: Iterable[str]) -> list[Case]:
    return [Case(name, Path(name), "brats2023", {FLAIR: ImageFile(Path(name))}) for name in names]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_split_depends_on_names_and_seed_only(seed: int) -> None:
    cases = some_cases(f"case{number:02}" for number in range(20))
    training, validation = split_cases(cases, 0.25, seed)
    assert (training, validation) == split_cases(cases[::-1], 0.25, seed)
    assert len(validation) == 5
    assert sorted(case.name for case in chain(training, validation)) == [case.name for case in cases]


def test_split_changes_with_the_seed() -> None:
    cases = some_cases(f"case{number:02}" for number in range(20))
    sides = [split_cases(cases, 0.25, seed)[1] for seed in range(4)]
    assert all(one != other for one, other in combinations(sides, 2))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("form", ["BraTS-GLI-{:05}-{:03}", "brats_tcia_pat{:03}_{:04}"])
def test_visits_of_one_patient_stay_on_one_side(seed: int, form: str) -> None:
    cases = some_cases(form.format(patient, visit) for patient in range(6) for visit in range(3))
    training, validation = split_cases(cases, 0.3, seed)
    assert len(validation) == 6
    assert not {case.patient for case in training} & {case.patient for case in validation}


def test_split_never_empties_a_side_unasked() -> None:
    cases = some_cases(("a", "b", "c"))
    assert split_cases(cases, 0.0, 0) == (tuple(cases), ())
    assert [len(side) for side in split_cases(cases, 0.01, 0)] == [2, 1]
    assert [len(side) for side in split_cases(cases, 0.99, 0)] == [1, 2]
    assert [len(side) for side in split_cases(cases[:1], 0.5, 0)] == [1, 0]
    assert [len(side) for side in split_cases(some_cases("abcdefghi"), 0.3, 0)] == [6, 3], "2.7 rounded"
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(OptionError, match="fraction"):
            split_cases(cases, fraction, 0)


def test_shared_cases_are_all_found(shared: Path) -> None:
    listing = find_cases(shared / "data" / "cases")
    by_name = {case.name: case for case in listing.cases}
    assert len(by_name) >= 17
    assert {case.convention for case in listing.cases} == {"brats2021"}
    assert by_name["brats_2013_pat0001_1"].subset == (FLAIR, T1CE)
    assert by_name["BraTS2021_00000"].subset == MODALITIES
    assert {entry.path.name for entry in listing.skipped} == {"brainmask.nii.gz"}
    reader = sitk.ImageFileReader()
    for file in chain.from_iterable(case.images.values() for case in listing.cases):
        reader.SetFileName(str(file.path))
        reader.ReadImageInformation()
        assert reader.GetDimension() == 3


@pytest.mark.parametrize(
    ("name", "held"), [("BraTS2021_00019", {0, 1, 2, 3}), ("BraTS2021_01484", {0, 1, 2})]
)
def test_shared_case_is_read_whole(real_case, name: str, held: set[int]) -> None:
    case = only_case(real_case(name))
    study = read_study(case)
    assert {image.GetSize() for image in study.images.values()} == {(240, 240, 155)}
    image = read_label(case)
    assert set(np.unique(sitk.GetArrayViewFromImage(image)).tolist()) == held
    assert image.GetOrigin() == study.images[FLAIR].GetOrigin()


def test_cases_with_a_label_are_told_from_what_is_left_out(tmp_path: Path) -> None:
    save_case(tmp_path / "a", NAMES_2021, "a_{}.nii.gz", (0, 1), (FLAIR,))
    save_case(tmp_path / "b", NAMES_2021, "b_{}.nii.gz", (0, 1), (FLAIR,))
    (tmp_path / "b" / "b_seg.nii.gz").unlink()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    labeled, left_out = find_cases(tmp_path).labeled()
    assert [case.name for case in labeled] == ["a"]
    assert list(left_out) == ["b", "b/notes.txt"] and left_out["b"] == "no label"
    assert find_cases(tmp_path / "a").labeled()[1] == {}


class Tumors(SuffixLayout):
    endings: ClassVar = {"tumor": LABEL, "t2": Modality.T2}


def test_layout_of_another_package_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "all_layouts", lambda: {"tumors": Tumors(), **all_layouts()})
    for name in ("a_t2", "a_tumor", "b_t2", "b_seg"):
        (tmp_path / f"{name}.nii.gz").touch()
    first, second = find_cases(tmp_path).cases
    assert (first.name, first.layout, first.label) == ("a", "tumors", tmp_path / "a_tumor.nii.gz")
    assert (second.name, second.layout, second.label) == ("b", "brats2021", tmp_path / "b_seg.nii.gz")


def test_case_that_no_layout_explains_whole_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "all_layouts", lambda: {"tumors": Tumors(), **all_layouts()})
    for name in ("a_flair", "a_tumor", "b_t2"):
        (tmp_path / f"{name}.nii.gz").touch()
    listing = find_cases(tmp_path)
    assert [case.name for case in listing.cases] == ["b"]
    assert set(reasons(listing).values()) == {"case a left out, because no layout fits all of its files"}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("BraTS2021_00003", "BraTS2021"),
        ("BraTS20_Training_001", "BraTS20_Training"),
        ("Brats18_CBICA_ALU_1", "Brats18_CBICA"),
        ("BraTS-GLI-00005-100", "BraTS_GLI"),
        ("anna", "anna"),
    ],
)
def test_a_source_is_the_first_parts_of_a_name(name: str, source: str) -> None:
    assert source_of(name) == source


@pytest.mark.parametrize("seed", range(4))
def test_folds_share_every_source_alike_and_no_patient(seed: int) -> None:
    names = [f"BraTS2021_{number:05}" for number in range(7)]
    names += [f"Brats18_CBICA_{letter}_1" for letter in "ABCDE"]
    names += [f"BraTS-GLI-{number:05}-10{visit}" for number in range(4) for visit in range(2)]
    cases = [Case(name, Path(name), "brats", {}) for name in names]
    folds = split_folds(cases, 3, seed)
    assert folds == split_folds(cases[::-1], 3, seed)
    assert sorted(case.name for fold in folds for case in fold) == sorted(names)
    patients = [{case.patient for case in fold} for fold in folds]
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
    for source in ("BraTS2021", "Brats18_CBICA", "BraTS_GLI"):
        counts = [sum(source_of(patient) == source for patient in fold) for fold in patients]
        assert max(counts) - min(counts) <= 1
    assert max(map(len, patients)) - min(map(len, patients)) <= 1


def touched(folder: Path, *names: str) -> CaseListing:
    folder.mkdir()
    for name in names:
        (folder / f"{name}.nii.gz").touch()
    return find_cases(folder)


def test_files_numbered_by_series_are_one_case_and_numbered_patients_are_not(tmp_path: Path) -> None:
    (case,) = touched(tmp_path / "Miller", "3_T1", "4_FLAIR", "5_T2", "11_DWI_ADC").cases
    assert (case.name, list(case.images)) == ("Miller", [FLAIR, T1, T2])
    assert case.beside[0].startswith("11_DWI_ADC.nii.gz beside it was skipped")
    assert len(touched(tmp_path / "all", "1_FLAIR", "1_T1", "2_FLAIR").cases) == 2
    assert len(touched(tmp_path / "labeled", "1_FLAIR", "2_seg", "3_T1").cases) == 2


def test_a_t2_flair_belongs_to_the_case_of_its_other_volumes(tmp_path: Path) -> None:
    (case,) = touched(tmp_path / "Miller", "T1", "T2", "T2_FLAIR").cases
    assert list(case.images) == [FLAIR, T1, T2]


@pytest.mark.parametrize("name", ["T1_to_FLAIR", "P1_T1_2_FLAIR", "T1_FLAIR"])
def test_a_name_that_ends_in_another_sequence_makes_no_volume_of_that_one(tmp_path: Path, name: str) -> None:
    listing = touched(tmp_path / "Miller", "T2", name)
    (case,) = listing.cases
    assert list(case.images) == [T2]
    assert "by its name; rename it" in reasons(listing)[f"{name}.nii.gz"]
