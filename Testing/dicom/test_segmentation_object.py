"""Label maps as DICOM segmentation objects: what another reader finds in the file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")

import dicom_studies  # noqa: E402 - needs pydicom
from MissingModalityLib.core.errors import ImageError, OptionError  # noqa: E402
from MissingModalityLib.core.labels import TUMOR_CLASSES, TumorClass  # noqa: E402
from MissingModalityLib.core.modalities import Modality  # noqa: E402
from MissingModalityLib.core.segments import REGION_SEGMENTS, SEGMENTS  # noqa: E402
from MissingModalityLib.dicom import segmentation_object  # noqa: E402
from MissingModalityLib.dicom.segmentation_object import Algorithm, write_dicom_seg  # noqa: E402

FLAIR = dicom_studies.HEADERS[Modality.FLAIR]
TRANSVERSE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
DOWNWARD = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def volume(direction: tuple[float, ...] = dicom_studies.OBLIQUE) -> sitk.Image:
    values = np.random.default_rng(3).integers(0, 900, (9, 14, 12)).astype(np.int16)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.9, 1.1, 3.3))
    image.SetOrigin((-31.234567, 12.5, 7.77))
    image.SetDirection(direction)
    return image


def labels_on(image: sitk.Image) -> sitk.Image:
    """All classes, in two lesions with empty slices before, between and behind them."""
    classes = np.zeros(image.GetSize()[::-1], np.uint8)
    classes[1:5, 3:10, 2:9] = TumorClass.ED
    classes[2:4, 4:8, 3:7] = TumorClass.ET
    classes[3, 5:7, 4:6] = TumorClass.NCR
    classes[7, 1, 1:3] = TumorClass.ED
    labels = sitk.GetImageFromArray(classes)
    labels.CopyInformation(image)
    return labels


def stored(path: Path, labels: sitk.Image) -> np.ndarray:
    """The segments (z, y, x, segment) that highdicom finds on the voxels of a label map."""
    axes = np.reshape(labels.GetDirection(), (3, 3)) * labels.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes[:, ::-1], labels.GetOrigin()
    grid = highdicom.VolumeGeometry(affine, labels.GetSize()[::-1], "PATIENT")
    found = highdicom.seg.segread(path).get_volume(allow_missing_positions=True)
    return found.match_geometry(grid, tol=1e-3).array


def expected(labels: sitk.Image, regions: bool = False) -> np.ndarray:
    classes = sitk.GetArrayFromImage(labels)
    segments = (*SEGMENTS, *(REGION_SEGMENTS if regions else ()))
    return np.stack([np.isin(classes, segment.classes) for segment in segments], axis=-1)


@pytest.mark.parametrize("direction", [TRANSVERSE, DOWNWARD, SAGITTAL, dicom_studies.OBLIQUE])
def test_another_reader_finds_the_same_voxels_at_the_same_places(
    direction: tuple[float, ...], tmp_path: Path
) -> None:
    image = volume(direction)
    files = dicom_studies.save(dicom_studies.series(image, FLAIR)[::-1], tmp_path / "series")
    labels = labels_on(image)
    write_dicom_seg(labels, files, tmp_path / "tumor.dcm", regions=True)
    np.testing.assert_array_equal(stored(tmp_path / "tumor.dcm", labels), expected(labels, regions=True))


def test_an_enhanced_multi_frame_file_is_a_series_too(tmp_path: Path) -> None:
    image = volume()
    files = dicom_studies.save([dicom_studies.enhanced(image, FLAIR)], tmp_path / "series")
    labels = labels_on(image)
    write_dicom_seg(labels, files, tmp_path / "tumor.dcm")
    np.testing.assert_array_equal(stored(tmp_path / "tumor.dcm", labels), expected(labels))
    frame = pydicom.dcmread(tmp_path / "tumor.dcm").PerFrameFunctionalGroupsSequence[0]
    (origin,) = frame.DerivationImageSequence[0].SourceImageSequence
    assert origin.ReferencedSOPInstanceUID == pydicom.dcmread(files[0]).SOPInstanceUID
    assert origin.ReferencedFrameNumber == 4  # the first segment, NCR, has voxels on slice 3 alone


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Path], sitk.Image, Path]]:
    """Files of a series, labels on its slices, and the object that was made of both."""
    folder = tmp_path_factory.mktemp("written")
    image = volume()
    files = dicom_studies.save(dicom_studies.series(image, FLAIR, number=4), folder / "series")
    labels = labels_on(image)
    algorithm = Algorithm("9.8.7", {"student": "tiny", "sequences": "FLAIR"})
    write_dicom_seg(labels, files, folder / "tumor.dcm", algorithm=algorithm)
    yield files, labels, folder / "tumor.dcm"


def test_every_frame_names_the_slice_it_was_found_on(written: tuple[list[Path], sitk.Image, Path]) -> None:
    files, labels, path = written
    slices = {str(header.SOPInstanceUID): header for header in map(pydicom.dcmread, files)}
    frames = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    assert len(frames) == np.count_nonzero(expected(labels).any(axis=(1, 2)))
    for frame in frames:
        (origin,) = frame.DerivationImageSequence[0].SourceImageSequence
        place = slices[origin.ReferencedSOPInstanceUID].ImagePositionPatient
        assert frame.PlanePositionSequence[0].ImagePositionPatient == place
        assert origin.SpatialLocationsPreserved == "YES"


def test_patient_study_and_space_are_those_of_the_series(
    written: tuple[list[Path], sitk.Image, Path],
) -> None:
    files, _, path = written
    source, result = pydicom.dcmread(files[0]), pydicom.dcmread(path)
    for keyword in (
        "PatientID",
        "PatientName",
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "StudyDescription",
        "FrameOfReferenceUID",
    ):
        assert result[keyword].value == source[keyword].value, keyword
    assert result.SeriesInstanceUID != source.SeriesInstanceUID
    assert result.SeriesDescription == "Brain tumor segmentation"
    assert result.SeriesNumber == 1004


def test_segments_carry_names_codes_colors_and_what_made_them(
    written: tuple[list[Path], sitk.Image, Path],
) -> None:
    descriptions = highdicom.seg.segread(written[2]).SegmentSequence
    assert [entry.SegmentLabel for entry in descriptions] == [segment.name for segment in SEGMENTS]
    for entry, segment in zip(descriptions, SEGMENTS, strict=True):
        for sequence, code in (
            (entry.SegmentedPropertyCategoryCodeSequence, segment.property_category),
            (entry.SegmentedPropertyTypeCodeSequence, segment.property_type),
            (entry.AnatomicRegionSequence, ("SCT", "12738006", "Brain")),
        ):
            stored_code = sequence[0]
            assert tuple(code) == (
                stored_code.CodingSchemeDesignator,
                stored_code.CodeValue,
                stored_code.CodeMeaning,
            )
        assert entry.SegmentAlgorithmType == "AUTOMATIC"
        (algorithm,) = entry.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("MissingModality", "9.8.7")
        assert algorithm.AlgorithmParameters == "student=tiny,sequences=FLAIR"
        color = highdicom.color.CIELabColor.from_dicom_value(entry.RecommendedDisplayCIELabValue)
        assert color.to_rgb() == pytest.approx(segment.color, abs=1)


def test_required_attributes_of_the_segmentation_object_are_there(
    written: tuple[list[Path], sitk.Image, Path],
) -> None:
    from highdicom._standard_utils import check_required_attributes, get_iod_module_map

    result = pydicom.dcmread(written[2])
    modules = [entry["key"] for entry in get_iod_module_map()["segmentation"] if entry["usage"] == "M"]
    assert {"patient", "general-study", "segmentation-image"} <= set(modules)
    # a functional group stands with all frames or with each, where the check wants it in both places
    for module in (*(name for name in modules if "functional-groups" not in name), "frame-of-reference"):
        check_required_attributes(result, module)  # raises what is absent, sequences and their items included
    shared = result.SharedFunctionalGroupsSequence[0]
    assert "PixelMeasuresSequence" in shared and "PlaneOrientationSequence" in shared
    for frame in result.PerFrameFunctionalGroupsSequence:
        assert "PlanePositionSequence" in frame and "SegmentIdentificationSequence" in frame


@pytest.mark.parametrize("kept", [(), (TumorClass.ED,)], ids=["no tumor", "one class"])
def test_segments_without_voxels_stay_in_the_object(
    kept: tuple[TumorClass, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = volume()
    files = dicom_studies.save(dicom_studies.series(image, FLAIR), tmp_path / "series")
    labels = labels_on(image)
    for absent in set(TUMOR_CLASSES) - set(kept):
        labels = sitk.Cast(labels * sitk.Cast(labels != int(absent), sitk.sitkUInt8), sitk.sitkUInt8)
    with caplog.at_level(logging.WARNING):
        write_dicom_seg(labels, files, tmp_path / "tumor.dcm")
    np.testing.assert_array_equal(stored(tmp_path / "tumor.dcm", labels), expected(labels))
    assert highdicom.seg.segread(tmp_path / "tumor.dcm").number_of_segments == len(SEGMENTS)
    assert not caplog.records


def preserved(path: Path) -> set[str]:
    """What the frames say of the slices that they name: whether these have the same voxels."""
    frames = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    named = [frame.DerivationImageSequence[0] for frame in frames if frame.get("DerivationImageSequence")]
    return {entry.SourceImageSequence[0].SpatialLocationsPreserved for entry in named}


@pytest.mark.parametrize(
    ("change", "said"),
    [("nothing", {"YES"}), ("spacing", {"NO"}), ("origin", set()), ("direction", set()), ("gap", set())],
)
def test_segments_beside_the_slices_keep_their_own_place(change: str, said: set[str], tmp_path: Path) -> None:
    image = volume()
    slices = dicom_studies.series(image, FLAIR)
    labels = labels_on(image)
    if change == "spacing":
        labels.SetSpacing((0.9, 1.0, 3.3))
    if change == "origin":
        labels.SetOrigin((-30.5, 12.5, 7.77))
    if change == "direction":
        labels.SetDirection(TRANSVERSE)
    if change == "gap":
        del slices[1]
    files = dicom_studies.save(slices, tmp_path / "series")
    write_dicom_seg(labels, files, tmp_path / "tumor.dcm")
    np.testing.assert_array_equal(stored(tmp_path / "tumor.dcm", labels), expected(labels))
    assert preserved(tmp_path / "tumor.dcm") == said


@pytest.mark.parametrize("own", [("SeriesInstanceUID",), ("StudyInstanceUID", "SeriesInstanceUID")])
@pytest.mark.parametrize("parts", [2, 9], ids=["two passes", "each slice"])
def test_slices_of_several_series_are_referred_to_where_they_are_filed(
    parts: int, own: tuple[str, ...], tmp_path: Path
) -> None:
    image = volume()
    slices = dicom_studies.series(image, FLAIR)
    for index, data in enumerate(slices):
        for keyword in own if index % parts else ():
            setattr(data, keyword, f"1.2.{3 + index % parts}.{own.index(keyword)}")
    filed = {data.SOPInstanceUID: (data.StudyInstanceUID, data.SeriesInstanceUID) for data in slices}
    files = dicom_studies.save(slices, tmp_path / "series")
    labels = labels_on(image)
    write_dicom_seg(labels, files, tmp_path / "tumor.dcm")
    np.testing.assert_array_equal(stored(tmp_path / "tumor.dcm", labels), expected(labels))
    assert preserved(tmp_path / "tumor.dcm") == {"YES"}
    result = pydicom.dcmread(tmp_path / "tumor.dcm")
    assert result.StudyInstanceUID == slices[0].StudyInstanceUID
    assert found_series(result) == filed


def found_series(result: pydicom.Dataset) -> dict[str, tuple[str, str]]:
    """Study and series of each image that an object refers to, by SOP Instance UID."""
    studies = {result.StudyInstanceUID: result.ReferencedSeriesSequence}
    for other in result.get("StudiesContainingOtherReferencedInstancesSequence", ()):
        studies[other.StudyInstanceUID] = other.ReferencedSeriesSequence
    return {
        image.ReferencedSOPInstanceUID: (study, series.SeriesInstanceUID)
        for study, listed in studies.items()
        for series in listed
        for image in series.ReferencedInstanceSequence
    }


def test_scrubbed_headers_with_absent_or_odd_values_are_referred_to_as_they_are(tmp_path: Path) -> None:
    image = volume()
    slices = dicom_studies.series(image, FLAIR)
    with pydicom.config.disable_value_validation():
        for data in slices:
            del data.PatientID, data.StudyID, data.StudyTime, data.SeriesNumber
            data.PatientBirthDate = "removed"
            data.PatientName = "Müller^Ärztin"
    files = dicom_studies.save(slices, tmp_path / "series")
    labels = labels_on(image)
    write_dicom_seg(labels, files, tmp_path / "tumor.dcm")
    np.testing.assert_array_equal(stored(tmp_path / "tumor.dcm", labels), expected(labels))
    result = pydicom.dcmread(tmp_path / "tumor.dcm")
    assert str(result.PatientName) == "Müller^Ärztin"
    assert result.PatientBirthDate == "removed" and not result.PatientID


def test_a_series_that_nothing_can_refer_to_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    image = volume()
    slices = dicom_studies.series(image, FLAIR)
    del slices[0].FrameOfReferenceUID
    files = dicom_studies.save(slices, tmp_path / "series")
    with pytest.raises(ImageError, match=r"IM0001\.dcm lacks FrameOfReferenceUID"):
        write_dicom_seg(labels_on(image), files, tmp_path / "tumor.dcm")


def test_files_that_are_no_dicom_are_refused_by_name(tmp_path: Path) -> None:
    image = volume()
    files = dicom_studies.save(dicom_studies.series(image, FLAIR), tmp_path / "series")
    files[2].write_bytes(b"\0" * 500)
    with pytest.raises(ImageError, match=r"IM0003\.dcm"):
        write_dicom_seg(labels_on(image), files, tmp_path / "tumor.dcm")


def test_an_older_file_stays_where_the_new_one_cannot_be_made(
    tmp_path: Path, written: tuple[list[Path], sitk.Image, Path]
) -> None:
    files, labels, _ = written
    (tmp_path / "tumor.dcm").write_text("before")
    with (
        pytest.raises(RuntimeError),
        segmentation_object.placing_dicom_seg(labels, files, tmp_path / "tumor.dcm"),
    ):
        raise RuntimeError
    assert (tmp_path / "tumor.dcm").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_absent_packages_are_named_with_the_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmentation_object.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"needs pydicom and highdicom.*missing-modality\[dicom\]"):
        segmentation_object.require_highdicom()


def types_in(path: Path) -> dict[str, str]:
    return {entry.TrackingID: entry.SegmentAlgorithmType for entry in pydicom.dcmread(path).SegmentSequence}


def test_segments_that_a_person_has_corrected_are_called_semiautomatic(
    tmp_path: Path, written: tuple[list[Path], sitk.Image, Path]
) -> None:
    files, labels, automatic = written
    assert set(types_in(automatic).values()) == {"AUTOMATIC"}
    assert pydicom.dcmread(automatic).ContentDescription == "Made automatically, for research only"
    path = tmp_path / "tumor.dcm"
    write_dicom_seg(labels, [str(file) for file in files], str(path), regions=True, corrected=["ED"])
    parts = {"NCR": "AUTOMATIC", "ED": "SEMIAUTOMATIC", "ET": "AUTOMATIC"}
    assert types_in(path) == {**parts, "WT": "SEMIAUTOMATIC", "TC": "AUTOMATIC"}
    assert "corrected by hand" in pydicom.dcmread(path).ContentDescription
    with pytest.raises(OptionError, match="Unknown segment 'edema'"):
        write_dicom_seg(labels, files, path, corrected=["edema"])


def test_segments_that_belong_to_no_series_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="belongs to a series"):
        write_dicom_seg(sitk.Image(8, 8, 8, sitk.sitkUInt8), [], tmp_path / "x.dcm")
