"""Studies as they come from scanners, archives and CDs, with what goes wrong on the way.

Each either ends in segments or is refused in one sentence; :data:`TRAPS` says which.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from dicom_studies import (
    ADC,
    FIELD_MAP,
    HEADERS,
    Visit,
    displace,
    enhanced,
    localizer,
    save,
    series,
    tilted,
    truncate,
    write_study,
)
from MissingModalityLib.core.modalities import Modality
from small_patient import brain_volume

FLAIR, T1CE, T1, T2 = Modality
ALL = "FLAIR+T1ce+T1+T2"
_GRIDS = {
    FLAIR: {"size": (26, 24, 18), "spacing": (2.0, 2.0, 3.0)},
    T1CE: {"size": (32, 30, 26), "spacing": (1.6, 1.6, 2.0), "origin": (1.0, -1.0, 0.5)},
    T1: {"size": (26, 24, 18), "spacing": (2.0, 2.0, 3.0), "origin": (0.5, 0.0, 1.0)},
    T2: {"size": (28, 26, 14), "spacing": (1.8, 1.8, 4.0)},
}
"""Each sequence has its own."""

Slices = list[Dataset]


@dataclass(frozen=True)
class Trap:
    """A study, and what is to come of it.

    Attributes:
        write: makes the folder's content.
        modalities: that are segmented; None where it is refused.
        told: found in the warnings and the choice, or in the refusal.
        options: of the command beside the folder.
    """

    write: Callable[[Path], None]
    modalities: str | None
    told: str = ""
    options: tuple[str, ...] = ()


def volume(modality: Modality, seed: int = 0) -> sitk.Image:
    """A brain on the grid of its sequence."""
    return sitk.Cast(brain_volume(10 * seed + int(modality), **_GRIDS[modality]), sitk.sitkInt16)


def volumes(*modalities: Modality, seed: int = 0) -> dict[Modality, sitk.Image]:
    """Of the given sequences, of all where none is given."""
    return {modality: volume(modality, seed) for modality in modalities or Modality}


def slices(modality: Modality, number: int = 1, visit: Visit | None = None, **how: Any) -> Slices:
    """A series as it should be."""
    return series(volume(modality), HEADERS[modality], visit, number, **how)


def _written(syntax: Any) -> Callable[[Path], None]:
    return lambda folder: write_study(volumes(), folder, syntax=syntax) and None


def _changed(change: Callable[[Slices], Iterable[Dataset]], modality: Modality = FLAIR) -> Any:
    """One series changed, and a sound T1 beside it."""

    def write(folder: Path) -> None:
        save(change(slices(modality, 1)), folder / "A")
        save(slices(T1, 2), folder / "B")

    return write


def _alone(change: Callable[[Slices], Iterable[Dataset]]) -> Callable[[Path], None]:
    return lambda folder: save(change(slices(FLAIR)), folder) and None


def _cd(folder: Path) -> None:
    for number, modality in enumerate(HEADERS, 1):
        save(
            slices(modality, number),
            folder / "DICOM" / "PA000000" / "ST000000" / f"SE{number:06d}",
            suffix="",
        )
    (folder / "AUTORUN.INF").write_text("[autorun]\nopen=viewer.exe\n")
    (folder / "VIEWER.EXE").write_bytes(b"MZ" + bytes(500))
    (folder / "README.TXT").write_text("Images of one patient.")


def _dicomdir(folder: Path) -> None:
    files = FileSet()
    for number, modality in enumerate(HEADERS, 1):
        for path in save(slices(modality, number), folder / "in"):
            files.add(path)
    files.write(folder / "cd")
    shutil.rmtree(folder / "in")


def _index_alone(folder: Path) -> None:
    _dicomdir(folder)
    for path in (folder / "cd").iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def _enhanced(folder: Path) -> None:
    save([enhanced(volume(m), HEADERS[m], number=n) for n, m in enumerate(HEADERS, 1)], folder)


def _distractors(folder: Path) -> None:
    write_study(volumes(), folder)
    cube = sitk.Cast(brain_volume(size=(24, 24, 24)), sitk.sitkInt16)
    save(localizer(cube), folder / "loc")
    save(series(volume(FLAIR, 3), FIELD_MAP, number=91), folder / "fm")
    save(series(volume(FLAIR, 4), ADC, number=92), folder / "adc")


def _candidates(folder: Path) -> None:
    write_study(volumes(), folder)
    coarse = sitk.Cast(brain_volume(7, size=(26, 24, 9), spacing=(2.0, 2.0, 6.0)), sitk.sitkInt16)
    save(
        series(coarse, HEADERS[FLAIR] | {"SeriesDescription": "t2_flair_tra_quick"}, number=20), folder / "x"
    )


def _reformat(folder: Path) -> None:
    write_study(volumes(), folder)
    header = {"SeriesDescription": "t2_flair_MPR_cor", "ImageType": ["DERIVED", "SECONDARY", "MPR"]}
    image = sitk.PermuteAxes(volume(FLAIR), (0, 2, 1))
    save(series(image, HEADERS[FLAIR] | header, number=21), folder / "mpr")


def _nameless(folder: Path) -> None:
    for number, modality in enumerate(HEADERS, 1):
        header = HEADERS[modality] | {"SeriesDescription": ""}
        save(series(volume(modality), header, number=number), folder)


def _two(first: Visit, second: Visit) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for seed, visit in enumerate((first, second)):
            for number, (modality, image) in enumerate(volumes(FLAIR, T1, seed=seed).items(), 1):
                save(series(image, HEADERS[modality], visit, number), folder)  # all in one folder

    return write


def _truncated(folder: Path) -> None:
    truncate(save(slices(FLAIR, 1), folder / "A")[7])
    save(slices(T1, 2), folder / "B")


def _all_truncated(folder: Path) -> None:
    for path in save(slices(FLAIR), folder):
        truncate(path, 0.3)


def _broken_pixels(folder: Path) -> None:
    """Compressed pixels that no decoder can read, in one of two FLAIR series."""
    for path in save(slices(FLAIR, 1), folder / "A", RLELossless):
        content = bytearray(path.read_bytes())
        content[-200:-60] = bytes(140)
        path.write_bytes(content)
    save(slices(T1, 2), folder / "B")


def _double_file(folder: Path) -> None:
    paths = save(slices(FLAIR), folder / "A")
    shutil.copy(paths[3], folder / "A" / "copy of 4.dcm")
    save(slices(T1, 2), folder / "B")


def _double_image(data: Slices) -> Slices:
    again = copy.deepcopy(data[5])
    again.SOPInstanceUID = generate_uid()
    return [*data, again]


def _without(*indices: int) -> Callable[[Slices], Slices]:
    return lambda data: [one for index, one in enumerate(data) if index not in indices]


def _uneven(data: Slices) -> Slices:
    shifts = np.random.default_rng(0).uniform(-0.35, 0.35, len(data))
    return list(displace(data, [0, *shifts[1:-1], 0]))


def _reversed(data: Slices) -> Slices:
    for number, one in enumerate(reversed(data), 1):
        one.InstanceNumber = number
    return data


def _as(changes: Mapping[str, Any]) -> Callable[[Slices], Slices]:
    def change(data: Slices) -> Slices:
        for one in data:
            for keyword, value in changes.items():
                if value is None:
                    delattr(one, keyword)
                else:
                    setattr(one, keyword, value)
        return data

    return change


def _color(data: Slices) -> Slices:
    for one in data:
        one.SOPClassUID = SecondaryCaptureImageStorage
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PlanarConfiguration = 3, "RGB", 0
        one.BitsAllocated = one.BitsStored = 8
        one.HighBit, one.PixelRepresentation = 7, 0
        one.PixelData = bytes(3 * one.Rows * one.Columns)
    return data


def _echoes(data: Slices) -> Slices:
    """Two echoes in one series: proton density beside T2."""
    late = copy.deepcopy(data)
    for index, one in enumerate(late):
        one.EchoTime, one.EchoNumbers = 12.0, 1
        one.SOPInstanceUID = generate_uid()
        one.InstanceNumber = 100 + index
    return [*data, *late]


def _perfusion(data: Slices) -> Slices:
    times = []
    for number in range(8):
        for one in copy.deepcopy(data[:9]):
            one.SOPInstanceUID, one.AcquisitionNumber = generate_uid(), number + 1
            times.append(one)
    return times


def _junk(folder: Path) -> None:
    (folder / "report.pdf").write_bytes(b"%PDF-1.4 " + bytes(300))
    (folder / "DICOM").write_bytes(b"no image")
    (folder / "empty.dcm").touch()


def _one_of_another(folder: Path) -> None:
    """A slice of another patient among those of the study, as a careless copy leaves it."""
    write_study(volumes(), folder)
    save(slices(FLAIR, 1, Visit("OTHER"))[5:6], folder / "S01")


def _sagittal(data: Slices) -> Slices:
    image = volume(FLAIR)
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    return series(image, HEADERS[FLAIR] | {"SeriesDescription": "t2_space_da-fl_sag_p2_iso"})


_FIRST, _LATER = Visit(), Visit(date="20240601")
_OTHER = Visit("PHANTOM2", "20231105", "GE MEDICAL SYSTEMS")

TRAPS: Mapping[str, Trap] = {
    "plain": Trap(lambda folder: write_study(volumes(), folder) and None, ALL),
    "implicit": Trap(_written(ImplicitVRLittleEndian), ALL),
    "big endian": Trap(_written(ExplicitVRBigEndian), ALL),
    "deflated": Trap(_written(DeflatedExplicitVRLittleEndian), ALL),
    "RLE": Trap(_written(RLELossless), ALL),
    "JPEG lossless": Trap(_written(JPEGLosslessSV1), ALL),
    "JPEG 2000": Trap(_written(JPEG2000Lossless), ALL),
    "CD without suffixes": Trap(_cd, ALL),
    "CD with index": Trap(_dicomdir, ALL),
    "enhanced multi-frame": Trap(_enhanced, ALL),
    "distractors": Trap(_distractors, ALL),
    "several candidates": Trap(_candidates, ALL, "rather than 't2_flair_tra_quick'"),
    "reformat beside the original": Trap(_reformat, ALL, "MPR_cor' .*a reformat"),
    "without descriptions": Trap(_nameless, ALL),
    "numbered backwards": Trap(_changed(_reversed), "FLAIR+T1"),
    "sagittal": Trap(_changed(_sagittal), "FLAIR+T1"),
    "copied file": Trap(_double_file, "FLAIR+T1"),
    "doubled slice": Trap(_changed(_double_image), "FLAIR+T1", "there twice|is left out|FLAIR"),
    "missing slice": Trap(_changed(_without(6)), "FLAIR+T1", "1 slice is missing and made up"),
    "truncated file": Trap(_truncated, "FLAIR+T1", "1 slice is missing and made up"),
    "uneven": Trap(_changed(_uneven), "FLAIR+T1", "resampled to every 3 mm"),
    "tilted": Trap(_changed(lambda data: list(tilted(data, 15))), "T1"),
    "scaled": Trap(lambda folder: save(slices(FLAIR, slope=0.25, intercept=-512), folder) and None, "FLAIR"),
    "two echoes": Trap(_changed(_echoes, T2), "T1+T2"),
    # perfusion is taken with contrast agent, so what follows shows it
    "perfusion before": Trap(
        _changed(lambda data: _as({"SeriesDescription": "ep2d_perf"})(_perfusion(data))), "T1ce"
    ),
    "pixels broken in one": Trap(_broken_pixels, "T1", "was left out.*cannot be read"),
    "pixels broken in the one named": Trap(_broken_pixels, None, "cannot be read", ("--series", "FLAIR=1")),
    "slice of another patient": Trap(_one_of_another, ALL),
    "two patients, one named": Trap(_two(_FIRST, _OTHER), "FLAIR+T1", "", ("--patient", "PHANTOM2")),
    "two visits, one named": Trap(_two(_FIRST, _LATER), "FLAIR+T1", "", ("--study", "2024-06-01")),
    "two patients": Trap(_two(_FIRST, _OTHER), None, "PHANTOM1.*PHANTOM2.*--patient"),
    "two visits": Trap(_two(_FIRST, _LATER), None, "2024-03-01.*2024-06-01.*--study"),
    "unknown patient": Trap(
        lambda folder: write_study(volumes(T1), folder) and None, None, "no patient 'X'", ("--patient", "X")
    ),
    "localizer alone": Trap(
        lambda folder: save(localizer(volume(FLAIR)), folder) and None, None, "localizer"
    ),
    "maps alone": Trap(
        lambda folder: save(series(volume(FLAIR), ADC), folder) and None, None, "is a map or image computed"
    ),
    "half of the slices missing": Trap(_alone(_without(3, 4, 5, 6, 9, 10, 12)), None, "slices are missing"),
    "few slices": Trap(_alone(lambda data: data[:6]), None, "only 6 slices"),
    "tilted alone": Trap(_alone(lambda data: list(tilted(data, 15))), None, "displaced sideways"),
    "without positions": Trap(
        _alone(_as({"ImagePositionPatient": None})), None, "does not state where its slices lie"
    ),
    "CT": Trap(_alone(_as({"Modality": "CT", "SOPClassUID": CTImageStorage})), None, "is CT and not MR"),
    "color captures": Trap(_alone(_color), None, "in color"),
    "all truncated": Trap(_all_truncated, None, "No DICOM image found.*damaged"),
    "index alone": Trap(_index_alone, None, "No DICOM image found"),
    "no DICOM": Trap(_junk, None, "No DICOM image found"),
    "empty folder": Trap(lambda folder: None, None, "No DICOM image found.*empty"),
}
