"""Where shapes of tumors come from: label maps of any patients, whose images are not needed."""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import IO

import numpy as np

from ..core.errors import CaseError, ImageError, LabelError, OptionError
from ..core.files import file_sha256, image_suffix, read_text
from ..core.labels import to_classes, with_cavity
from ..core.words import counted
from ..imaging.boxes import tightest_box
from ..imaging.cache import CachedCase
from ..imaging.grid import ORIENTATION
from ..imaging.plausibility import LARGEST_SPACING_MM

ATLAS_BRAIN_MM = ((4.0, 143.0), (39.0, 212.0), (51.0, 189.0))
"""Where brains lie in the volumes of BraTS, 155 x 240 x 240 mm along z, y, x, on the atlas SRI24.

Mean borders of four brains of BraTS 2021; each differs by up to 6 mm.
"""

LEAST_TUMOR_MM3 = 100.0
"""Smaller tumors are mostly stray voxels of a label map."""

_MOST_NAMES = 1 << 24
"""Bytes; names of ten thousand patients have a tenth of it."""

_MOST_OF_A_MAP = 1 << 29
"""Bytes; at 0.5 mm and with numbers of 8 bits, a head has a tenth of it."""

_LABEL_WORDS = ("seg", "label", "mask")


@dataclass(frozen=True)
class TumorShape:
    """The box around a tumor in a label map.

    Attributes:
        classes: (d, h, w) uint8, axes (z, y, x) of LPS.
        spacing: (z, y, x) in mm.
        start: center of its first voxel from the beginning of the brain's box, (z, y, x) in mm.
        brain: size of the brain's box, (z, y, x) in mm.
    """

    classes: np.ndarray
    spacing: tuple[float, ...]
    start: tuple[float, ...]
    brain: tuple[float, ...]


@dataclass(frozen=True)
class LabelMap:
    """A label map that is read when it is needed.

    Attributes:
        name: of the patient or file.
        read: returns the shape in it, or None where there is next to no tumor.
    """

    name: str
    read: Callable[[], TumorShape | None]


def of_cases(cases: Sequence[CachedCase]) -> list[LabelMap]:
    """The label maps of prepared cases, whose brain boxes are known."""
    return [LabelMap(case.name, partial(_of_case, case)) for case in cases]


def find_label_maps(source: Path, exclude: Sequence[str], convention: str) -> list[LabelMap]:
    """The label maps in a folder or an archive, sorted by name.

    The brain's place is not in a label map: volumes are taken to lie as those of BraTS do.

    Args:
        source: a folder with label files in it or in its subfolders; or a .npz with ``seg`` (N, X, Y, Z),
            axes as LPS, ``patient`` (N,) names and ``spacing`` (3,) in mm along X, Y, Z. Where names of files
            say seg, label or mask, the others are passed over.
        exclude: names not to use, or text files (.txt) that hold one in each line.
        convention: how the labels are numbered.

    Raises:
        CaseError: there is none, or all are excluded.
        OptionError: an excluded name is not there, or a text file of names cannot be read.
        ImageError: the archive cannot be read.
        LabelError: the archive holds a number that the convention does not know.
    """
    read = _in_archive if source.suffix == ".npz" else _in_folder
    # several may have one name, such as that of a visit, and an excluded name is that of all of them
    found = sorted(read(source, convention), key=attrgetter("name"))
    if not found:
        raise CaseError(
            f"{source}: no label map is there. Give a folder of label files (such as x_seg.nii.gz) or a "
            ".npz with the arrays seg, patient and spacing."
        )
    excluded = set(_names(exclude))
    unknown = sorted(excluded - {label_map.name for label_map in found})
    if unknown:
        raise OptionError(
            f"Setting grown.exclude names '{unknown[0]}', which is no label map of {source}. Names there "
            f"look like '{found[0].name}'. Correct the name, or take it off the list."
        )
    kept = [label_map for label_map in found if label_map.name not in excluded]
    if not kept:
        raise CaseError(f"{source}: all {len(found)} label maps are excluded. Exclude fewer.")
    return kept


def used_names(source: Path, exclude: Sequence[str]) -> set[str]:
    """Names of the label maps that :func:`find_label_maps` finds there, no voxel of which is read.

    Raises:
        Exception: of whatever kind, where the source or a list of names is none; its use will say why.
    """
    if source.suffix != ".npz":
        names = [label_map.name for label_map in _in_folder(source, "")]
    else:
        with zipfile.ZipFile(source) as archive:
            names, _ = _patients(archive)
    return set(names) - set(_names(exclude))


def source_state(source: str) -> list[list[str | float]]:
    """Names, sizes and times of the files in a folder, or of a file; empty for no source.

    Raises:
        CaseError: it does not exist.
    """
    if not source:
        return []
    path = Path(source)
    if not path.exists():
        raise CaseError(f"{path} does not exist. Give a folder of label maps or a .npz file.")
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [[str(file), file.stat().st_size, file.stat().st_mtime] for file in files if file.is_file()]


def files_sha256(source: str, exclude: Sequence[str]) -> dict[str, str]:
    """SHA-256 by path of what :func:`find_label_maps` reads: ``source``, and the text files of ``exclude``.

    Raises:
        CaseError: a label map cannot be read.
        OptionError: a text file of names cannot be read.
    """
    path, digest = Path(source), hashlib.sha256()
    try:
        for file in _label_files(path) if path.is_dir() else [path]:
            digest.update(file.relative_to(path).as_posix().encode(errors="surrogateescape"))
            digest.update(bytes.fromhex(file_sha256(file)))
    except OSError as error:
        raise CaseError(
            f"{error.filename or source}: cannot be read ({error.strerror or error}). Give a folder of label "
            "maps or a .npz file."
        ) from error
    found = {source: digest.hexdigest()}
    for entry in exclude:
        if entry.endswith(".txt"):
            names = "\n".join(sorted(set(_names([entry]))))
            found[entry] = hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()
    return found


def _of_case(case: CachedCase) -> TumorShape | None:
    label = case.label(tuple(slice(0, side) for side in case.shape))
    return _shape(label, (1.0,) * label.ndim, (0.0,) * label.ndim, tuple(map(float, label.shape)))


def _of_file(path: Path, convention: str) -> TumorShape | None:
    # loaded here: a training from prepared cases may have no SimpleITK, and label maps of cases need none
    import SimpleITK as sitk

    from ..imaging.volumes import read_image

    image = sitk.DICOMOrient(read_image(path), ORIENTATION)
    label = _classes(sitk.GetArrayFromImage(image), convention, str(path))
    return _on_atlas(label, tuple(reversed(image.GetSpacing())))


def _label_files(folder: Path) -> dict[Path, str]:
    """The files of label maps, each with its name without the ending."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and image_suffix(path)]
    names = {path: path.name[: -len(image_suffix(path))] for path in files}
    labels = [path for path in files if any(word in names[path].lower() for word in _LABEL_WORDS)]
    return {path: names[path] for path in labels or files}


def _in_folder(folder: Path, convention: str) -> Iterator[LabelMap]:
    for path, stem in _label_files(folder).items():
        # patient_seg.nii.gz is called patient, patient/seg.nii.gz too
        for word in _LABEL_WORDS:
            stem = stem.removesuffix(word).removesuffix(word.title())
        yield LabelMap(stem.strip("-_. ") or path.parent.name, partial(_of_file, path, convention))


def _in_archive(path: Path, convention: str) -> Iterator[LabelMap]:
    """Read map by map and cut to the tumors: whole, a few hundred maps are a gigabyte."""
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        with zipfile.ZipFile(path) as archive:
            names, spacing = _patients(archive)
            with archive.open("seg.npy") as file:
                size, kind = _array_header(file)
                if len(size) != 4 or size[0] != len(names) or kind.kind not in "iuf":
                    raise ValueError(
                        f"seg of shape {size} and {kind} does not fit {counted(len(names), 'patient')}"
                    )
                most = _stated_bytes("seg", size[1:], kind, _MOST_OF_A_MAP)
                for name in names:
                    label = np.frombuffer(file.read(most), kind).reshape(size[1:]).transpose(2, 1, 0)
                    shape = _on_atlas(label, tuple(reversed(spacing)))
                    if shape:
                        classes = _classes(shape.classes, convention, f"{path}: {name}")
                        shape = replace(shape, classes=classes)
                    yield LabelMap(name, partial(_same, shape))
    except LabelError:
        raise
    except Exception as error:  # zipfile and NumPy let errors of all kinds out
        raise ImageError(
            f"{path}: no archive of label maps ({error}). It needs the arrays seg (N, X, Y, Z), patient (N,) "
            "and spacing (3,)."
        ) from error


def _patients(archive: zipfile.ZipFile) -> tuple[list[str], list[float]]:
    """Names and the spacing of voxels, mm.

    Raises:
        ValueError: either is something else.
    """
    small = {}
    for name in ("patient", "spacing"):
        with archive.open(f"{name}.npy") as file:
            size, kind = _array_header(file)
            content = file.read(_stated_bytes(name, size, kind, _MOST_NAMES))
            small[name] = np.frombuffer(content, kind).reshape(size)
    names, spacing = small["patient"], small["spacing"]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ValueError(f"patient of shape {names.shape} and {names.dtype} holds no names")
    if spacing.shape != (3,) or spacing.dtype.kind not in "iuf" or not (spacing > 0).all():
        raise ValueError("spacing is not three positive numbers")
    if spacing.max() > LARGEST_SPACING_MM:
        raise ValueError(f"a spacing of {spacing.max():g} mm")
    return names.tolist(), spacing.tolist()


def _stated_bytes(name: str, size: Sequence[int], kind: np.dtype, most: int) -> int:
    """Bytes of an array by its header, before there is room for them.

    Raises:
        ValueError: none, or more than ``most``.
    """
    stated = math.prod(size) * kind.itemsize
    if min(size, default=0) < 1 or stated > most or kind.hasobject:
        raise ValueError(f"{name} of shape {size} and {kind}")
    return stated


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and kind of numbers of a .npy file, which then goes on with its values.

    Raises:
        ValueError: another version of the format, or values ordered by columns.
    """
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version of the format .npy than 1.0")
    size, by_columns, kind = np.lib.format.read_array_header_1_0(file)
    if by_columns and len(size) > 1:
        raise ValueError("an array that is ordered by columns")
    return size, kind


def _classes(values: np.ndarray, convention: str, source: str) -> np.ndarray:
    """Classes of a label map; a resection cavity is no part of the shape of a tumor."""
    return with_cavity(to_classes(values, convention, source), "background", source)


def _same(shape: TumorShape | None) -> TumorShape | None:
    return shape


def _on_atlas(label: np.ndarray, spacing: tuple[float, ...]) -> TumorShape | None:
    first = tuple(-low for low, _ in ATLAS_BRAIN_MM)
    return _shape(label, spacing, first, tuple(high - low for low, high in ATLAS_BRAIN_MM))


def _shape(
    label: np.ndarray, spacing: tuple[float, ...], first: tuple[float, ...], brain: tuple[float, ...]
) -> TumorShape | None:
    """The tumor of a label map whose first voxel lies at ``first`` mm from the brain's box."""
    if (label > 0).sum() * np.prod(spacing) < LEAST_TUMOR_MM3:
        return None
    box = tightest_box(label > 0)
    start = tuple(f + part.start * s for f, part, s in zip(first, box, spacing, strict=True))
    return TumorShape(np.ascontiguousarray(label[box]), spacing, start, brain)


def _names(exclude: Sequence[str]) -> Iterator[str]:
    for entry in exclude:
        if not entry.endswith(".txt"):
            yield entry
            continue
        try:
            lines = read_text(Path(entry)).splitlines()
        except (OSError, ValueError) as error:
            raise OptionError(
                f"Setting grown.exclude: {entry} cannot be read ({error}). Give a text file of names."
            ) from error
        yield from filter(None, map(str.strip, lines))
