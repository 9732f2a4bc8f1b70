"""Cases on disk: what is found in a folder, how it is called, what is left out, and how cases are split."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, combinations
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import SimpleITK as sitk

from layout_cases import (
    FLAIR,
    NAMES_2021,
    NAMES_2023,
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
from MissingModalityLib.core.errors import CaseError, ImageError, OptionError
from MissingModalityLib.core.modalities import MODALITIES, SUBSETS, Modality
from MissingModalityLib.datasets import discovery
from MissingModalityLib.datasets.case import Case, CaseListing, ImageFile
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.datasets.layout import LABEL, SuffixLayout
from MissingModalityLib.datasets.registry import all_layouts
from MissingModalityLib.datasets.splitting import source_of, split_cases, split_folds
from MissingModalityLib.imaging.reading import read_label, read_study


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
