"""Series written as DICOM files whose pixels nobody looks at, to be found and told apart by their headers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

AXIAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)

SEQUENCES: dict[str, dict[str, Any]] = {
    "FLAIR": {"SeriesDescription": "t2_tirm_tra_dark-fluid", "EchoTime": 93, "RepetitionTime": 9000},
    "T1CE": {"SeriesDescription": "t1_se_tra_KM", "EchoTime": 9, "RepetitionTime": 500},
    "T1": {"SeriesDescription": "t1_se_tra", "EchoTime": 9, "RepetitionTime": 500},
    "T2": {"SeriesDescription": "t2_tse_tra", "EchoTime": 100, "RepetitionTime": 5000},
}


def slices(
    number: int = 1, count: int = 12, step: float = 5.0, axes: Any = AXIAL, **header: Any
) -> list[Dataset]:
    """A volume of ``count`` slices ``step`` mm apart; ``header`` adds or replaces attributes of each.

    By default of one patient and study, with UIDs that follow from the numbers.
    """
    normal = np.cross(axes[:3], axes[3:])
    made = []
    for index in range(count):
        data = Dataset()
        data.SOPClassUID, data.Modality = MRImageStorage, "MR"
        data.PatientID, data.PatientName, data.StudyDate = "P1", "Phantom", "20240301"
        data.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
        data.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(number)])
        data.SeriesNumber, data.InstanceNumber = number, index + 1
        data.ImageType, data.ScanningSequence = ["ORIGINAL", "PRIMARY", "M"], "SE"
        data.AcquisitionTime = f"10{number:02d}00"
        data.ImageOrientationPatient = list(axes)
        data.ImagePositionPatient = [float(value) for value in np.round(normal * index * step, 4)]
        data.PixelSpacing, data.SliceThickness = [0.9, 0.9], step
        data.Rows, data.Columns, data.SamplesPerPixel = 4, 4, 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.PixelData = bytes(32)
        for keyword, value in header.items():
            setattr(data, keyword, value)
        named = [str(data.get(key)) for key in ("StudyInstanceUID", "SeriesInstanceUID", "EchoTime")]
        data.SOPInstanceUID = generate_uid(entropy_srcs=[*named, str(data.ImageType), str(axes), str(index)])
        made.append(data)
    return made


def enhanced(volumes: Iterable[list[Dataset]]) -> Dataset:
    """One multi-frame file of several volumes, each frame with its place, echo time and kind."""
    frames = [data for volume in volumes for data in volume]
    data = pydicom.dataset.Dataset(frames[0])
    data.SOPClassUID, data.SOPInstanceUID = EnhancedMRImageStorage, generate_uid(entropy_srcs=["enhanced"])
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(frames[0], "PixelSpacing", "SliceThickness")]
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for frame in frames:
        group = Dataset()
        group.PlanePositionSequence = [_item(frame, "ImagePositionPatient")]
        group.PlaneOrientationSequence = [_item(frame, "ImageOrientationPatient")]
        echo, kind = Dataset(), Dataset()
        echo.EffectiveEchoTime, kind.FrameType = float(frame.EchoTime), frame.ImageType
        group.MREchoSequence, group.MRImageFrameTypeSequence = [echo], [kind]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "EchoTime"):
        delattr(data, keyword)
    data.NumberOfFrames, data.PixelData = len(frames), bytes(32 * len(frames))
    return data


def _item(data: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        setattr(item, keyword, data.get(keyword))
    return item


def save(images: Iterable[Dataset], folder: Path) -> list[Path]:
    """One file for each, without a suffix, as CDs have them."""
    folder.mkdir(parents=True, exist_ok=True)
    first = len(list(folder.iterdir()))
    paths = []
    for index, data in enumerate(images, first):
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        paths.append(folder / f"IM{index:05d}")
        pydicom.dcmwrite(paths[-1], data, enforce_file_format=True)
    return paths
