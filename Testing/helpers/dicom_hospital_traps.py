"""Studies as makers and hospitals name them, and as networks and CDs deliver them; see :mod:`dicom_traps`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pydicom
from pydicom.fileset import FileSet
from pydicom.uid import HTJ2KLossless, RLELossless, generate_uid

from dicom_studies import HEADERS, Visit, enhanced, save, series, truncate
from dicom_traps import FLAIR, T1, T1CE, T2, Trap, slices, volume
from MissingModalityLib.core.modalities import Modality

_TIMES = {
    modality: {key: value for key, value in header.items() if key not in ("SeriesDescription",)}
    for modality, header in HEADERS.items()
}
_PLAIN = {key: value for key, value in _TIMES[T1CE].items() if not key.startswith("Contrast")}
"""Of T1 and T1ce alike, so that nothing but the description tells them apart."""

Entry = tuple[Modality, str] | tuple[Modality, str, Mapping[str, Any]]


def _day(*entries: Entry, **of_all: Any) -> Callable[[Path], None]:
    """Series in the order of acquisition: by whose times, description, and more of the header."""

    def write(folder: Path) -> None:
        for number, (modality, name, *more) in enumerate(entries, 1):
            times = _PLAIN if modality in (T1, T1CE) else _TIMES[modality]
            header = {**times, "SeriesDescription": name, "SpecificCharacterSet": "ISO_IR 192", **of_all}
            image = volume(modality, number)
            save(series(image, header | (more[0] if more else {}), number=number), folder / str(number))

    return write


def _nameless_twins(folder: Path) -> None:
    for number, modality in enumerate((FLAIR, T1, T1), 1):
        images = series(volume(modality, number), _TIMES[modality], number=number)
        for image in images:
            del image.SeriesNumber
        save(images, folder)


def _interrupted(folder: Path) -> None:
    paths = save(slices(FLAIR, 1), folder / "A")
    for path in paths[9:14]:
        truncate(path)
    for path in paths[14:]:
        path.write_bytes(b"")
    paths[13].rename(paths[13].with_suffix(".dcm.part"))
    save(slices(T1, 2), folder / "B")


def _index_of_more(folder: Path) -> None:
    files = FileSet()
    for number, modality in enumerate((FLAIR, T1), 1):
        for path in save(slices(modality, number), folder / "in"):
            files.add(path)
    files.write(folder / "cd")
    shutil.rmtree(folder / "in")
    for path in [path for path in sorted((folder / "cd").rglob("*")) if path.is_file()][-18:]:
        path.unlink()


def _unknown_compression(folder: Path) -> None:
    for path in save(slices(FLAIR), folder, RLELossless):
        image = pydicom.dcmread(path)
        image.file_meta.TransferSyntaxUID = HTJ2KLossless
        image.save_as(path)


def _water_and_fat(folder: Path) -> None:
    """The four images of a Dixon sequence under one UID."""
    for kind in ("OPP", "IN", "F", "W"):
        header = HEADERS[T1] | {
            "SeriesDescription": "t1_vibe_dixon",
            "ImageType": f"DERIVED\\PRIMARY\\DIXON\\{kind}",
        }
        images = series(volume(T1), header)
        for image in images:
            image.SOPInstanceUID = generate_uid()
        save(images, folder)


def _shuffled(folder: Path) -> None:
    data = enhanced(volume(FLAIR), HEADERS[FLAIR])
    frames = list(data.PerFrameFunctionalGroupsSequence)
    size = len(data.PixelData) // len(frames)
    order = sorted(range(len(frames)), key=lambda index: (index * 7) % len(frames))
    data.PerFrameFunctionalGroupsSequence = [frames[index] for index in order]
    data.PixelData = b"".join(data.PixelData[index * size : (index + 1) * size] for index in order)
    save([data], folder)


def _two_stacks(folder: Path) -> None:
    """Two directions under one UID and one number."""
    image = volume(FLAIR)
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    images = series(image, HEADERS[FLAIR])
    for one in images:
        one.SOPInstanceUID = generate_uid()
    save([*slices(FLAIR), *images], folder)


def _deep(folder: Path) -> None:
    save(
        slices(FLAIR, 1),
        folder / "Müller, Hans" / "MRT Schädel" / "2024 März" / "頭部" / "a b" / "1",
        suffix="",
    )
    save(slices(T1, 2), folder / "Müller, Hans" / "it's" / "#2", suffix=" (1)")


def _without_identity(folder: Path) -> None:
    images = slices(FLAIR, 1) + slices(T1, 2)
    for image in images:
        image.PatientID = image.PatientName = ""
        del image.StudyInstanceUID, image.StudyDate, image.FrameOfReferenceUID
    save(images, folder)


def _one_name(folder: Path) -> None:
    for patient in ("A1", "B2"):
        images = slices(FLAIR, 1, Visit(patient))
        for image in images:
            image.PatientName = "Mueller^Hans"
        save(images, folder)


def _pseudonyms(folder: Path) -> None:
    """Each series of one patient under another name, study, day and space."""
    for number, modality in enumerate((FLAIR, T1), 1):
        save(slices(modality, number, Visit(f"PSEUDONYM{number}", f"2024030{number}")), folder)


def _two_orders(folder: Path) -> None:
    """One session, half of it under a second Study Instance UID."""
    save(slices(FLAIR, 1), folder)
    images = slices(T1, 2)
    study = generate_uid(entropy_srcs=["second order"])
    for image in images:
        image.StudyInstanceUID = study
    save(images, folder)


def _in_parts(is_second: Callable[[int], bool]) -> Callable[[Path], None]:
    """A FLAIR of which some slices were sent as a second series."""

    def write(folder: Path) -> None:
        images = slices(FLAIR, 1)
        for index, image in enumerate(images):
            if is_second(index):
                image.SeriesInstanceUID = "1.2.3"
        save(images, folder)
        save(slices(T1, 3), folder)

    return write


def _a_date_each(folder: Path) -> None:
    """Dates that whoever removed the names has shifted series by series."""
    for number, modality in enumerate((FLAIR, T1), 1):
        images = slices(modality, number)
        for image in images:
            image.StudyDate = f"2024030{number}"
        save(images, folder)


def _decimal_commas(folder: Path) -> None:
    for path in save(slices(FLAIR, 1), folder):
        content = path.read_bytes()
        place = content.index(b"\x28\x00\x30\x00DS")  # Pixel Spacing
        end = place + 8 + content[place + 6]
        path.write_bytes(content[:place] + content[place:end].replace(b".", b",") + content[end:])


def _without_spacing(folder: Path) -> None:
    images = slices(FLAIR, 1)
    for image in images:
        image.PixelSpacing = [0, 0]
    save(images, folder)
    save(slices(T1, 2), folder)


_GRADIENT = {"ScanningSequence": "GR", "RepetitionTime": 8.0, "EchoTime": 3.0}

HOSPITAL_TRAPS: Mapping[str, Trap] = {
    "a pseudonym for each series": Trap(_pseudonyms, None, "PSEUDONYM1.*PSEUDONYM2.*by --one-visit"),
    "a pseudonym for each series, joined": Trap(
        _pseudonyms, "FLAIR+T1", "taken for one visit, as asked; .* 2 studies", ("--one-visit",)
    ),
    "Siemens": Trap(
        _day(
            *((T1, "t1_mprage_sag_p2_iso", _GRADIENT), (FLAIR, "FLAIR SPACE dark-fluid"), (T2, "t2_tse_tra")),
            *((T2, "DWI b1000"), (T2, "ADC"), (T2, "perfusion"), (T1, "t1_mprage_sag_p2_iso_Gd", _GRADIENT)),
            *((T1, "t1_mprage_sag_p2_iso_Gd_MPR_tra"), (T1, "t1_mprage_SUB"), (T1, "MRA TOF")),
        ),
        "FLAIR+T1ce+T1+T2",
        "T1ce: 't1_mprage_sag_p2_iso_Gd' .* rather than 't1_mprage_sag_p2_iso_Gd_MPR_tra'.*a reformat",
    ),
    "GE": Trap(
        _day(
            *((T1, "AX T1 PRE"), (T2, "Ax T2 PROPELLER FS"), (FLAIR, "CUBE T2 FLAIR FS"), (T1, "SWAN")),
            *((T1, "WATER: Ax LAVA-Flex +C", _GRADIENT), (T1, "OutPhase: Ax LAVA-Flex +C", _GRADIENT)),
        ),
        "FLAIR+T1ce+T1+T2",
        "T1ce: 'WATER: Ax LAVA-Flex",
    ),
    "Philips": Trap(
        _day(
            *((T1, "sT1W_3D_TFE"), (FLAIR, "vFLAIR SENSE"), (T2, "T2W_TSE_SPAIR"), (T2, "T2W_TSE")),
            *((T1, "T1W_3D_TFE_GADO"), (T1, "s3DI_MC_HR"), (T2, "dReg - DWI")),
        ),
        "FLAIR+T1ce+T1+T2",
        "T2: 'T2W_TSE' .*SPAIR.*fat-suppressed",
    ),
    "Canon": Trap(
        _day((T2, "FSE T2W AX"), (FLAIR, "FLAIR MPV"), (T1, "FSE T1W AX"), (T1, "CE T1"), (T1, "FSBB")),
        "FLAIR+T1ce+T1+T2",
        "T1ce: 'CE T1'",
    ),
    "United Imaging": Trap(
        _day((T2, "t2_fse_arms_tra"), (T1, "gre_fsp_3d_sag", _GRADIENT), (T1, "gre_fsp_3d_sag+C", _GRADIENT)),
        "T1ce+T1+T2",
    ),
    "German": Trap(
        _day(
            (T1, "T1 tra o. KM"),
            (T1, "T1 nach Kontrastmittelgabe"),
            (T1, "T1 Subtraktion"),
            (T1, "Übersicht"),
        ),
        "T1ce+T1",
        "T1ce: 'T1 nach",
    ),
    "French": Trap(
        _day((T1, "T1 sans injection"), (T2, "T2 écho de gradient"), (T1, "3D T1 injecté"), (T1, "repérage")),
        "T1ce+T1",
        "T1ce: '3D T1 inj",
    ),
    "Spanish": Trap(
        _day((T1, "T1 sin contraste"), (T2, "difusión"), (T1, "T1 con contraste"), (T1, "sustracción")),
        "T1ce+T1",
    ),
    "Japanese": Trap(
        _day((T1, "T1強調"), (T2, "T2強調画像"), (T2, "拡散強調"), (T1, "造影T1強調"), (T1, "位置決め")),
        "T1ce+T1+T2",
        "T1ce: '造影T1強調'",
    ),
    "known by times alone, after contrast": Trap(
        _day((T1, "T1 KM"), (T1, "unheard-of")), "T1ce", "T1ce: 'T1 KM' .*unheard-of.*less certain"
    ),
    "nameless twins": Trap(_nameless_twins, "FLAIR+T1", "at 10:18:00', .* rather than .* at 10:17:00"),
    "interrupted copy": Trap(
        _interrupted,
        "FLAIR+T1",
        r"9 files beside the images are empty or cut off.*\n.*shows 4\d% of the",
    ),
    "index of more files than there are": Trap(_index_of_more, "FLAIR"),
    "water and fat": Trap(_water_and_fat, "T1", "type 2 of 4"),
    "frames in any order": Trap(_shuffled, "FLAIR"),
    "two directions under one number": Trap(
        _two_stacks, "FLAIR", "stack 2 of 2.* rather than .*stack 1 of 2"
    ),
    "deep folders": Trap(_deep, "FLAIR+T1"),
    "without identity": Trap(_without_identity, "FLAIR+T1"),
    "one name, two patients": Trap(_one_name, None, "patient A1.*patient B2"),
    "one session, two orders": Trap(_two_orders, "FLAIR+T1", "2 studies .* are taken for one"),
    "one session, one of two orders": Trap(
        _two_orders, "T1", "", ("--study", generate_uid(entropy_srcs=["second order"]))
    ),
    "a series named": Trap(
        _day((T1, "T1"), (T2, "T2"), (T1, "unheard-of")),
        "T1ce+T1+T2",
        "T1ce: 'unheard-of' .*It was named for T1ce",
        ("--series", "T1ce=unheard-of", "T1=1"),
    ),
    "passes as two series": Trap(
        _in_parts(lambda index: index % 2 == 1), "FLAIR+T1", "of 2 series' .*18 slices of 3 mm"
    ),
    "portions as two series": Trap(
        _in_parts(lambda index: index >= 9), "FLAIR+T1", "of 2 series' .*18 slices of 3 mm"
    ),
    "a date for each series": Trap(_a_date_each, "FLAIR+T1"),
    "decimal commas": Trap(_decimal_commas, None, "numbers with commas, which DICOM does not allow"),
    "pixels without size": Trap(_without_spacing, "T1", "is not used: it does not state where"),
    "unknown compression": Trap(_unknown_compression, None, "No decoder here knows its compression"),
    "knee by the examination": Trap(
        _day((T1, "T1 sag"), (T2, "PD FS sag"), BodyPartExamined="", StudyDescription="MRT Knie rechts"),
        None,
        "another part of the body",
    ),
    "Japanese spine": Trap(
        _day((T2, "T2強調 矢状断"), BodyPartExamined="", StudyDescription="腰椎MRI"),
        None,
        "another part of the body",
    ),
}
