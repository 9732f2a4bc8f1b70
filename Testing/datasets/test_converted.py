"""Folders of dcm2niix under its default names: the best file of each sequence, the others with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.case import CaseListing
from MissingModalityLib.datasets.discovery import find_cases

FLAIR, T1CE, T1, T2 = Modality
TIME = "20240301101500"
TIRM, MPR, TSE = "brain_t2_tirm_tra_dark-fluid", "brain_t1_mpr_ns_sag_p2_iso", "brain_t2_tse_tra"


def found(folder: Path, names: Iterable[str]) -> CaseListing:
    for name in names:
        path = folder / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return find_cases(folder)


def chosen(listing: CaseListing) -> dict[Modality, str]:
    (case,) = listing.cases
    return {modality: image.path.name.partition(".")[0] for modality, image in case.images.items()}


def test_series_of_a_study_are_one_case_and_other_images_are_told(tmp_path: Path) -> None:
    listing = found(
        tmp_path / "P1",
        [
            *(f"{TIRM}_{TIME}_4", f"{MPR}_{TIME}_3", f"{TSE}_{TIME}_5", f"brain_t1_mpr_KM_{TIME}_9"),
            *(f"brain_ep2d_diff_{TIME}_6_ADC", f"brain_localizer_{TIME}_1_i00001", f"{TSE}_{TIME}_5_ph"),
        ],
    )
    (case,) = listing.cases
    assert (case.name, case.layout, case.label) == ("P1", "dcm2niix", None)
    assert chosen(listing) == {
        FLAIR: f"{TIRM}_{TIME}_4",
        T1CE: f"brain_t1_mpr_KM_{TIME}_9",
        T1: f"{MPR}_{TIME}_3",
        T2: f"{TSE}_{TIME}_5",
    }
    told = " ".join(case.beside)
    assert all(word in told for word in ("diff", "'localizer' in the name", "'_ph' in the name"))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"x_T2": 3, "x_T2_fs": 4}, {T2: "x_T2"}),
        ({"x_T2": 3, "y_T2": 4}, {T2: "y_T2"}),
        ({"x_FLAIR": 3, "x_FLAIR_MPR_cor": 4}, {FLAIR: "x_FLAIR"}),
        ({"T1_se": 2, "T1_KM": 5, "T1_mprage": 6}, {T1: "T1_se", T1CE: "T1_KM"}),
        ({"T1_se": 2, "perf_dsc": 5, "T1_mprage": 6}, {T1: "T1_se", T1CE: "T1_mprage"}),
        ({"T1_PC": 2, "x_T2": 5}, {T2: "x_T2"}),
    ],
)
def test_the_best_of_several_is_taken(
    names: dict[str, int], expected: dict[Modality, str], tmp_path: Path
) -> None:
    listing = found(tmp_path, [f"{name}_{TIME}_{series}" for name, series in names.items()])
    whole = {modality: f"{name}_{TIME}_{names[name]}" for modality, name in expected.items()}
    assert chosen(listing) == whole
    assert len(listing.skipped) == len(names) - len(expected)


def test_corrected_slices_are_taken_rather_than_uneven_ones_and_the_first_copy(tmp_path: Path) -> None:
    names = [f"{TSE}_{TIME}_5{suffix}" for suffix in ("", "_Tilt_1", "a")]
    assert chosen(found(tmp_path / "tilted", names)) == {T2: names[1]}
    assert chosen(found(tmp_path / "doubled", names[::2])) == {T2: names[0]}


def test_a_t1_run_again_after_others_is_left_to_the_user(tmp_path: Path) -> None:
    listing = found(tmp_path, [f"{MPR}_{TIME}_3", f"{TSE}_{TIME}_5", f"{MPR}_{TIME}_9"])
    assert chosen(listing) == {T1: f"{MPR}_{TIME}_3", T2: f"{TSE}_{TIME}_5"}
    (told,) = listing.cases[0].beside
    assert "run again, perhaps after contrast agent" in told
    again = tmp_path / f"{MPR}_{TIME}_9.nii.gz"
    again.rename(tmp_path / told.rpartition("call it ")[2].removesuffix("."))
    assert chosen(find_cases(tmp_path))[T1CE] == f"t1ce_{TIME}_9"


def test_each_time_in_a_folder_is_a_case_and_two_patients_of_one_time_are_refused(tmp_path: Path) -> None:
    names = [f"{TIRM}_{TIME}_4", f"{TSE}_20240901090000_5", f"{TIRM}_20240901090000_4"]
    later = found(tmp_path / "one", names)
    assert [case.name for case in later.cases] == [f"brain_{TIME}", "brain_20240901090000"]
    with pytest.raises(CaseError, match="both are series 4, so these are of several studies"):
        found(tmp_path / "two", [f"A_{TIRM}_{TIME}_4", f"B_{TIRM}_{TIME}_4"])


def test_names_of_other_layouts_stay_theirs(tmp_path: Path) -> None:
    listing = found(tmp_path, [f"x_{TIME}_4_flair", f"x_{TIME}_4_t1"])
    assert listing.cases[0].layout == "brats2021"
    assert listing.cases[0].subset == (FLAIR, T1)
