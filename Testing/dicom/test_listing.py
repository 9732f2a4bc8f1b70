"""Patients, studies and series in folders as PACS and CDs hand them over."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_headers import AXIAL, SAGITTAL, SEQUENCES, enhanced, save, slices
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.dicom.choosing import choose
from MissingModalityLib.dicom.listing import find_studies
from MissingModalityLib.dicom.series import Series, SeriesKind
from MissingModalityLib.dicom.visits import only_visit

COMPUTED = {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}
OTHERS = {
    SeriesKind.LOCALIZER: {"SeriesDescription": "3-plane loc"},
    SeriesKind.MAP: {"SeriesDescription": "T2 axial"} | COMPUTED,
    SeriesKind.PROJECTION: {"SeriesDescription": "MIP T1"},
    SeriesKind.OTHER_SEQUENCE: {"SeriesDescription": "ep2d_diff_trace"},
    SeriesKind.CAPTURE: {"SeriesDescription": "T1 report", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
    SeriesKind.SEGMENTATION: {"Modality": "SEG", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"},
    SeriesKind.DOCUMENT: {"Modality": "SR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"},
    SeriesKind.NOT_MR: {"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
}


def only(folder: Path) -> tuple[Series, ...]:
    """The series of the only study in a folder."""
    (study,) = find_studies(folder).studies
    return study.series


def test_every_file_is_found_however_deep_it_lies_and_whatever_its_name(tmp_path: Path) -> None:
    images = slices(count=24, **SEQUENCES["T2"])
    save(images[:12], tmp_path / "DICOM" / "PA000001" / "ST000001")
    save(images[12:], tmp_path / "export.2" / "more")
    (series,) = only(tmp_path)
    assert (series.modality, series.size, series.plane) == (Modality.T2, (4, 4, 24), "axial")
    assert series.spacing == (0.9, 0.9, 5.0) and series.problem is None and series.gap is None
    assert [image.position[2] for image in series.slices] == [5.0 * index for index in range(24)]


def test_patients_and_dates_are_told_apart_in_one_folder(tmp_path: Path) -> None:
    for patient, date in (("P1", "20240301"), ("P1", "20240601"), ("P2", "20240301")):
        header = {"PatientID": patient, "StudyDate": date, "StudyInstanceUID": f"1.2.{date}.{patient[1]}"}
        save(slices(count=8, **SEQUENCES["T1"], **header), tmp_path)
    found = [(study.patient, study.date, len(study.series)) for study in find_studies(tmp_path).studies]
    assert found == [("P1", "2024-03-01", 1), ("P1", "2024-06-01", 1), ("P2", "2024-03-01", 1)]


SPACE = {"FrameOfReferenceUID": "1.2.9"}


def test_a_session_that_was_filed_under_two_studies_is_one(tmp_path: Path) -> None:
    save(slices(1, **SEQUENCES["FLAIR"], **SPACE), tmp_path)
    save(slices(2, **SEQUENCES["T1"], **SPACE, StudyInstanceUID="1.2.3"), tmp_path)
    listing = find_studies(tmp_path)
    (study,) = listing.studies
    assert [one.number for one in study.series] == [1, 2]
    told = choose(study).sentences[0]
    assert told.startswith("2 studies (1.2.3, ") and "--study UID takes one of them alone" in told
    for uid, number in ((study.uid, 2), (*study.further_uids, 1)):
        alone = only_visit(listing, study=uid)
        assert [one.number for one in alone.series] == [number] and alone.uid == uid
        assert "taken for one" not in choose(alone).sentences[0]
    assert only_visit(listing, study="2024-03-01") is study


@pytest.mark.parametrize(
    "second",
    [
        {"FrameOfReferenceUID": "1.2.8"},
        {"FrameOfReferenceUID": ""},
        {"StudyDate": "20240302"},
        {"PatientID": "P2"},
        {"PatientName": "Other"},
    ],
)
def test_studies_of_another_space_day_or_patient_stay_apart(tmp_path: Path, second: dict[str, str]) -> None:
    save(slices(1, **SEQUENCES["FLAIR"], **SPACE), tmp_path)
    save(slices(2, **{**SEQUENCES["T1"], **SPACE, "StudyInstanceUID": "1.2.3", **second}), tmp_path)
    assert len(find_studies(tmp_path).studies) == 2


def test_series_of_other_pseudonyms_are_one_visit_where_the_user_says_so(tmp_path: Path) -> None:
    for number, name in enumerate(("FLAIR", "T1"), 1):
        own = {
            "PatientID": f"A{number}",
            "StudyInstanceUID": f"1.2.{number}",
            "StudyDate": f"2024030{number}",
        }
        save(slices(number, **SEQUENCES[name], **own), tmp_path)
    with pytest.raises(CaseError, match=r"patient A1, .*; patient A2, .* join them by --one-visit\.$"):
        only_visit(find_studies(tmp_path))
    visit = only_visit(find_studies(tmp_path, one_visit=True))
    assert [one.number for one in visit.series] == [1, 2]
    assert "All series of the folder are taken for one visit, as asked" in choose(visit).sentences[0]


def test_patients_with_a_sequence_in_common_are_not_taken_for_pseudonyms(tmp_path: Path) -> None:
    for patient in ("A", "B"):
        save(slices(count=8, PatientID=patient, **SEQUENCES["T1"]), tmp_path / patient)
    with pytest.raises(CaseError) as refused:
        only_visit(find_studies(tmp_path))
    assert "--one-visit" not in str(refused.value)


def test_studies_without_patient_or_date_are_not_joined(tmp_path: Path) -> None:
    for nobody in ({"PatientID": "", "PatientName": ""}, {"StudyDate": ""}):
        for number, uid in enumerate(("1.2.3", "1.2.4"), 1):
            save(slices(number, **{**SPACE, **nobody, "StudyInstanceUID": uid}), tmp_path / str(nobody))
        assert len(find_studies(tmp_path / str(nobody)).studies) == 2


def test_a_session_whose_series_were_given_dates_of_their_own_is_one(tmp_path: Path) -> None:
    for number, name in enumerate(("FLAIR", "T1"), 1):
        save(slices(number, **SEQUENCES[name], **SPACE, StudyDate=f"2024030{number}"), tmp_path)
    assert [one.number for one in only(tmp_path)] == [1, 2]


def test_a_file_without_preamble_is_read(tmp_path: Path) -> None:
    for path in save(slices(count=8, **SEQUENCES["T2"]), tmp_path):
        path.write_bytes(path.read_bytes()[132:])
    assert only(tmp_path)[0].modality is Modality.T2


def test_images_that_share_one_uid_but_no_place_are_all_kept(tmp_path: Path) -> None:
    images = slices(**SEQUENCES["T2"])
    for image in images:
        image.SOPInstanceUID = "1.2.3"
    save(images, tmp_path)
    assert only(tmp_path)[0].size[2] == 12


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"axes": SAGITTAL}, "stack 2 of 2"),
        ({"PixelSpacing": [0.5, 0.5]}, "size 2 of 2"),
        ({"EchoTime": 110}, "echo 2 of 2"),
        ({"ImageType": ["DERIVED", "PRIMARY", "M"]}, "type 2 of 2"),
        ({"AcquisitionNumber": 2, "SeriesTime": "110000"}, "run 2 of 2"),
    ],
)
def test_several_volumes_in_one_series_are_divided(tmp_path: Path, second: dict, told: str) -> None:
    header = SEQUENCES["T2"] | {"AcquisitionNumber": 1}
    save(slices(count=10, **header), tmp_path / "1")
    images = slices(**{"count": 9, **header, **second})
    for index, image in enumerate(images):
        image.SOPInstanceUID = f"1.2.3.{index}"
    save(images, tmp_path / "2")
    first, other = only(tmp_path)
    assert (first.size[2], other.size[2]) == (10, 9)
    assert first.uid == other.uid and other.description.endswith(told)
    assert first.modality is other.modality is Modality.T2


def test_slices_that_were_given_a_series_each_are_one_series_again(tmp_path: Path) -> None:
    for number, name in enumerate(("T1", "T2"), 1):
        for index, image in enumerate(images := slices(number, **SEQUENCES[name])):
            image.SeriesInstanceUID = f"1.2.{number}.{index}"
        save(images, tmp_path)
    save(slices(3, count=1, SeriesDescription="T2"), tmp_path)
    found = [(one.number, one.modality, one.size[2]) for one in only(tmp_path)]
    assert found == [(1, Modality.T1, 12), (2, Modality.T2, 12), (3, None, 1)]


def test_a_series_over_time_is_one_entry_that_is_not_used(tmp_path: Path) -> None:
    for time in range(6):
        images = slices(count=8, SeriesDescription="unnamed", TemporalPositionIdentifier=time)
        for index, image in enumerate(images):
            image.SOPInstanceUID = f"1.2.{time}.{index}"
        save(images, tmp_path)
    (series,) = only(tmp_path)
    assert series.kind is SeriesKind.TIME_SERIES and "6 images at one place" in series.problem


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_input_is_told_with_the_reason(tmp_path: Path, kind: SeriesKind) -> None:
    save(slices(count=9, **OTHERS[kind]), tmp_path)
    (series,) = only(tmp_path)
    assert series.kind is kind and series.problem and series.modality is None


@pytest.mark.parametrize(
    "header",
    [
        {"BodyPartExamined": "LSPINE"},
        {"ProtocolName": "KNIE rechts"},
        {"StudyDescription": "MRT_der_LWS"},
        {"SeriesDescription": "t1 sag Schulter"},
        {"SeriesDescription": "T2 SAG CERV"},
        {"StudyDescription": "RM rachide lombare"},
        {"StudyDescription": "腰椎MRI", "SpecificCharacterSet": "ISO_IR 192"},
        {"StudyDescription": "Épaule gauche"},
        {"BodyPartExamined": "PHANTOM"},
    ],
)
def test_another_part_of_the_body_is_told(tmp_path: Path, header: dict) -> None:
    save(slices(count=9, **(SEQUENCES["T1"] | header)), tmp_path)
    (series,) = only(tmp_path)
    assert "another part of the body" in series.problem and series.modality is None


@pytest.mark.parametrize(
    "name",
    [
        "MR Brain and cervical spine, lumbar",
        "Neuro^Kopf HWS",
        "Tête et rachis",
        "IRM cerveau",
        "hippocampus",
        "",
    ],
)
def test_an_examination_that_names_the_head_shows_it(tmp_path: Path, name: str) -> None:
    save(slices(count=9, **(SEQUENCES["T1"] | {"StudyDescription": name})), tmp_path)
    assert only(tmp_path)[0].problem is None


def test_color_images_and_few_slices_are_no_input(tmp_path: Path) -> None:
    header = SEQUENCES["T1"] | {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PixelData": bytes(96),
    }
    save(slices(1, count=9, **header), tmp_path)
    save(slices(2, count=3, **SEQUENCES["T1"]), tmp_path)
    color, few = only(tmp_path)
    assert "color" in color.problem and few.problem == "has only 3 slices"


def test_missing_uneven_and_displaced_slices_are_told(tmp_path: Path) -> None:
    whole = slices(1, **SEQUENCES["T2"])
    uneven, tilted = slices(2, **SEQUENCES["T2"]), slices(3, **SEQUENCES["T2"])
    for index, image in enumerate(uneven[6:]):
        image.ImagePositionPatient = [0, 0, 30 + 6.7 * index]
    for index, image in enumerate(tilted):
        image.ImagePositionPatient = [0, index * 1.0, index * 5.0]
    for images in (whole[:7] + whole[9:], uneven, tilted):
        save(images, tmp_path)
    missing, *unfit = only(tmp_path)
    assert missing.gap == "2 slices are missing, at first after slice 7 of 10." and missing.problem is None
    assert "unevenly spaced" in unfit[0].problem and "sideways by up to 11.0 mm" in unfit[1].problem
    told = choose(find_studies(tmp_path).studies[0]).sentences
    assert sum("is not used: it makes no even volume" in sentence for sentence in told) == 2


def test_series_of_one_name_and_number_are_told_apart(tmp_path: Path) -> None:
    for number, time in enumerate(("101500", "103000")):
        images = slices(number, count=8, SeriesNumber=None, SeriesDescription="", AcquisitionTime=time)
        save(images, tmp_path / "named by time")
        for image in images:
            image.AcquisitionTime, image.SeriesNumber = "", 5
        save(images, tmp_path / "counted")
    assert [one.title for one in only(tmp_path / "named by time")] == [
        "'without a description, at 10:15:00'",
        "'without a description, at 10:30:00'",
    ]
    assert [one.title for one in only(tmp_path / "counted")] == [
        "'without a description, 1 of 2' (series 5)",
        "'without a description, 2 of 2' (series 5)",
    ]


def test_frames_of_an_enhanced_file_are_placed_and_divided_by_their_own_groups(tmp_path: Path) -> None:
    header = {"SeriesDescription": "pd+t2_tse_tra", "RepetitionTime": 4000}
    first = slices(count=10, EchoTime=12, **header)
    save([enhanced([first, slices(count=10, EchoTime=98, **header)])], tmp_path)
    density, weighted = only(tmp_path)
    assert density.problem and weighted.modality is Modality.T2 and weighted.spacing == (0.9, 0.9, 5.0)
    assert [image.frame for image in weighted.slices] == list(range(10, 20)) and len(weighted.files) == 1


def test_the_plane_is_that_of_the_slice_normal(tmp_path: Path) -> None:
    tilted = (1, 0, 0, 0, 0.94, -0.342)
    for number, axes in enumerate((AXIAL, SAGITTAL, (1, 0, 0, 0, 0, -1), tilted), 1):
        save(slices(number, axes=axes, **SEQUENCES["T1"]), tmp_path)
    assert [series.plane for series in only(tmp_path)] == ["axial", "sagittal", "coronal", "axial"]


def test_a_series_whose_axes_are_at_no_right_angle_is_no_volume(tmp_path: Path) -> None:
    save(slices(ImageOrientationPatient=[1, 0, 0, 0.3, 0.9, 0], **SEQUENCES["T2"]), tmp_path)
    assert only(tmp_path)[0].problem == "does not state where its slices lie"


def test_control_characters_of_a_description_do_not_reach_a_terminal(tmp_path: Path) -> None:
    save(slices(count=8, SeriesDescription="T2 \x1b[31mred"), tmp_path)
    assert only(tmp_path)[0].description == "T2 [31mred"
