"""Volumes written as DICOM studies, with headers as scanners write them.

A series is a list of data sets, one a slice, until :func:`save` writes it: a test that needs a damaged one
takes slices out, doubles or changes them before. Attributes: DICOM PS3.3 A.4 (MR Image), A.36 (Enhanced MR
Image), C.7.6.16 (functional groups).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

from MissingModalityLib.core.modalities import Modality

OBLIQUE = (
    *(math.cos(0.2), -math.sin(0.2) * math.cos(0.1), math.sin(0.2) * math.sin(0.1)),
    *(math.sin(0.2), math.cos(0.2) * math.cos(0.1), -math.cos(0.2) * math.sin(0.1)),
    *(0.0, math.sin(0.1), math.cos(0.1)),
)
"""Voxel axes turned about two of the patient's axes, as a direction of ITK."""

_SPIN_ECHO = {"ScanningSequence": "SE", "SequenceVariant": "SK", "MRAcquisitionType": "2D"}
HEADERS: Mapping[Modality, Mapping[str, Any]] = {  # in the order of acquisition
    Modality.FLAIR: {
        **_SPIN_ECHO,
        "SeriesDescription": "t2_tirm_tra_dark-fluid_5mm",
        "ScanningSequence": ["SE", "IR"],
        "RepetitionTime": 9000.0,
        "EchoTime": 93.0,
        "InversionTime": 2500.0,
    },
    Modality.T2: {
        **_SPIN_ECHO,
        "SeriesDescription": "t2_tse_tra_5mm",
        "RepetitionTime": 5000.0,
        "EchoTime": 100.0,
        "EchoTrainLength": 15,
    },
    Modality.T1: {
        **_SPIN_ECHO,
        "SeriesDescription": "t1_se_tra",
        "RepetitionTime": 500.0,
        "EchoTime": 9.0,
    },
    Modality.T1CE: {
        **_SPIN_ECHO,
        "SeriesDescription": "t1_se_tra_KM",
        "RepetitionTime": 500.0,
        "EchoTime": 9.0,
        "ContrastBolusAgent": "Gadovist",
        "ContrastBolusVolume": 7.5,
    },
}
LOCALIZER = {
    "SeriesDescription": "localizer",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"],
    "ScanningSequence": "GR",
    "RepetitionTime": 8.6,
    "EchoTime": 4.0,
}
FIELD_MAP = {
    "SeriesDescription": "gre_field_mapping",
    "ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"],
    "ScanningSequence": "GR",
    "RepetitionTime": 400.0,
    "EchoTime": 7.38,
}
ADC = {
    "SeriesDescription": "ep2d_diff_3scan_trace_p2_ADC",
    "ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND", "NORM"],
    "ScanningSequence": "EP",
    "RepetitionTime": 6600.0,
    "EchoTime": 89.0,
}


@dataclass(frozen=True)
class Visit:
    """One examination of one patient.

    Attributes:
        patient: ID and name.
        date: YYYYMMDD.
        maker: of the scanner.
    """

    patient: str = "PHANTOM1"
    date: str = "20240301"
    maker: str = "SIEMENS"

    @property
    def study_uid(self) -> str:
        """The same for the same visit."""
        return generate_uid(entropy_srcs=["study", self.patient, self.date])

    @property
    def frame_uid(self) -> str:
        """Of the patient's space; all series of a visit share it."""
        return generate_uid(entropy_srcs=["frame", self.patient, self.date])


def series(
    image: sitk.Image,
    header: Mapping[str, Any],
    visit: Visit | None = None,
    number: int = 1,
    slope: float = 1.0,
    intercept: float = 0.0,
) -> list[Dataset]:
    """A volume as slices of a classic MR series.

    Args:
        image: 3-D, of whole numbers after scaling; stored signed or unsigned as its own numbers are.
        header: of the sequence, by DICOM keyword.
        visit: whose; of one patient by default.
        number: of the series in the study.
        slope, intercept: ``value = slope * stored + intercept``.
    """
    visit = visit or Visit()
    array = sitk.GetArrayFromImage(image)
    stored = np.rint((array - intercept) / slope).astype(_stored_kind(array, intercept))
    series_uid = generate_uid(entropy_srcs=["series", visit.study_uid, str(number)])
    slices = []
    for index, plane in enumerate(stored):
        data = _common(visit, header, series_uid, number)
        data.SOPClassUID = MRImageStorage
        data.SOPInstanceUID = generate_uid(entropy_srcs=[series_uid, str(index)])
        data.InstanceNumber = index + 1
        data.ImagePositionPatient = _decimals(image.TransformIndexToPhysicalPoint((0, 0, index)))
        data.ImageOrientationPatient = _decimals(_orientation(image))
        x, y, z = image.GetSpacing()
        data.PixelSpacing = _decimals((y, x))
        data.SliceThickness, data.SpacingBetweenSlices = _decimals((z, z))
        data.RescaleSlope, data.RescaleIntercept = _decimals((slope, intercept))
        _put_pixels(data, plane)
        slices.append(data)
    return slices


def enhanced(
    image: sitk.Image, header: Mapping[str, Any], visit: Visit | None = None, number: int = 1
) -> Dataset:
    """A volume as one Enhanced MR Image, its geometry in functional groups; see :func:`series`."""
    visit = visit or Visit()
    series_uid = generate_uid(entropy_srcs=["enhanced", visit.study_uid, str(number)])
    data = _common(visit, header, series_uid, number)
    data.SOPClassUID = EnhancedMRImageStorage
    data.SOPInstanceUID = generate_uid(entropy_srcs=[series_uid, "0"])
    data.InstanceNumber = 1
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    x, y, z = image.GetSpacing()
    shared = Dataset()
    shared.PixelMeasuresSequence = [
        _item(PixelSpacing=_decimals((y, x)), SliceThickness=z, SpacingBetweenSlices=z)
    ]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=_decimals(_orientation(image)))]
    shared.PixelValueTransformationSequence = [
        _item(RescaleSlope=1.0, RescaleIntercept=0.0, RescaleType="US")
    ]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[
                _item(ImagePositionPatient=_decimals(image.TransformIndexToPhysicalPoint((0, 0, index))))
            ],
            FrameContentSequence=[_item(StackID="1", InStackPositionNumber=index + 1)],
        )
        for index in range(image.GetDepth())
    ]
    array = sitk.GetArrayFromImage(image)
    data.NumberOfFrames = len(array)
    _put_pixels(data, array)
    return data


def save(
    slices: Iterable[Dataset], folder: Path, syntax: UID = ExplicitVRLittleEndian, suffix: str = ".dcm"
) -> list[Path]:
    """Write data sets as files ``IM0001.dcm``, numbered on after those that are there.

    Args:
        slices: data sets of one or several series.
        folder: made if absent.
        syntax: transfer syntax; uncompressed ones, RLE, lossless JPEG, JPEG-LS and JPEG 2000 are known here.
        suffix: of the names, nothing for media.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = len(list(folder.iterdir())) + 1
    paths = []
    for index, data in enumerate(slices):
        path = folder / f"IM{first + index:04d}{suffix}"
        written = _encoded(data, syntax, path)
        written.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_study(
    volumes: Mapping[Modality, sitk.Image], folder: Path, visit: Visit | None = None, **how: Any
) -> Path:
    """Volumes of a patient in a folder a series, as one acquires them; ``how`` as in :func:`save`."""
    acquired = [modality for modality in HEADERS if modality in volumes]
    for number, modality in enumerate(acquired, 1):
        slices = series(volumes[modality], HEADERS[modality], visit, number)
        save(slices, folder / f"S{number:02d}", **how)
    return folder


def localizer(image: sitk.Image, visit: Visit | None = None, number: int = 90) -> list[Dataset]:
    """Three slices through the middle of a volume, one across each of the patient's axes."""
    slices = []
    for axes in ((0, 1, 2), (1, 2, 0), (0, 2, 1)):
        turned = sitk.PermuteAxes(image, axes)
        slices.append(series(turned, LOCALIZER, visit, number)[turned.GetDepth() // 2])
    for index, data in enumerate(slices):
        data.InstanceNumber = index + 1
        data.SOPInstanceUID = generate_uid(entropy_srcs=[data.SeriesInstanceUID, "plane", str(index)])
    return slices


def tilted(slices: Sequence[Dataset], degrees: float) -> Sequence[Dataset]:
    """Slices displaced along their columns as by a tilted scanner; the pixels stay."""
    column = np.array(slices[0].ImageOrientationPatient[3:], float)
    first = np.array(slices[0].ImagePositionPatient, float)
    for data in slices:
        place = np.array(data.ImagePositionPatient, float)
        place += column * math.tan(math.radians(degrees)) * np.linalg.norm(place - first)
        data.ImagePositionPatient = _decimals(place)
    return slices


def displace(slices: Sequence[Dataset], along_mm: Sequence[float]) -> Sequence[Dataset]:
    """Move slices along their normal."""
    row, column = np.reshape(np.array(slices[0].ImageOrientationPatient, float), (2, 3))
    for data, step in zip(slices, along_mm, strict=True):
        data.ImagePositionPatient = _decimals(
            np.array(data.ImagePositionPatient, float) + step * np.cross(row, column)
        )
    return slices


def truncate(path: Path, share: float = 0.5) -> None:
    """Cut a file off."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def _common(visit: Visit, header: Mapping[str, Any], series_uid: str, number: int) -> Dataset:
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 100"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"]
    data.Modality = "MR"
    data.Manufacturer = visit.maker
    data.PatientID, data.PatientName = visit.patient, f"{visit.patient}^Synthetic"
    data.StudyInstanceUID, data.SeriesInstanceUID = visit.study_uid, series_uid
    data.FrameOfReferenceUID = visit.frame_uid
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = visit.date
    data.StudyTime = "101500"
    data.SeriesTime = data.AcquisitionTime = f"10{15 + number % 40:02d}00"
    data.StudyID, data.StudyDescription = "1", "MR Head"
    data.BodyPartExamined, data.PatientPosition = "HEAD", "HFS"
    data.SeriesNumber = data.AcquisitionNumber = number
    for keyword, value in header.items():
        setattr(data, keyword, value)
    block = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", bytes(range(256)))  # what only the maker's programs read
    return data


def _stored_kind(array: np.ndarray, intercept: float) -> type[np.integer]:
    return np.uint16 if array.dtype.kind == "u" or intercept < 0 else np.int16


def _put_pixels(data: Dataset, stored: np.ndarray) -> None:
    kind = stored.dtype if stored.dtype.itemsize == 2 else np.dtype(np.int16)
    data.Rows, data.Columns = stored.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = int(kind.kind == "i")
    data.PixelData = np.ascontiguousarray(stored, kind).tobytes()
    data["PixelData"].VR = "OW"


def _encoded(data: Dataset, syntax: UID, path: Path) -> Dataset:
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax in (RLELossless, JPEGLSLossless):
        data.compress(syntax, generate_instance_uid=False)
    elif syntax in (JPEGLosslessSV1, JPEG2000Lossless):
        data.PixelData = _fragment(data, "JPEG" if syntax == JPEGLosslessSV1 else "JPEG2000", path)
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = syntax
    else:
        if not syntax.is_little_endian:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        data.file_meta.TransferSyntaxUID = syntax
    return data


def _fragment(data: Dataset, compressor: str, path: Path) -> bytes:
    """The encapsulated pixels of a slice, compressed by GDCM."""
    kind = "<i2" if data.PixelRepresentation else "<u2"
    plane = np.frombuffer(data.PixelData, kind).reshape(1, data.Rows, data.Columns)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(plane))
    return pydicom.dcmread(path).PixelData


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _orientation(image: sitk.Image) -> tuple[float, ...]:
    axes = np.reshape(image.GetDirection(), (3, 3))
    return (*axes[:, 0], *axes[:, 1])


def _decimals(values: Iterable[float]) -> list[str]:
    """As decimal strings, which have at most 16 letters."""
    return [format_number_as_ds(float(value)) for value in values]
