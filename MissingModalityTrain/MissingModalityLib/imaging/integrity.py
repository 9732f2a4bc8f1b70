"""Whether a volume's file is whole, before ITK reads it.

ITK reads a truncated NIfTI file without complaint and leaves the rest of the volume as it was in memory; of a
truncated MetaImage it prints to the terminal; and it makes room for whatever sizes a header states. So each
header is parsed here too, and held against the bytes that are there.
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import ImageError
from ..core.file_names import require_text
from ..core.files import IMAGE_SUFFIXES, image_suffix
from . import metaimage_file, nifti_file, nrrd_file

_MOST_NEIGHBORS = 6
"""Files that a message names: one case's volumes, label and a spare one."""

_GZIP_MAGIC = b"\x1f\x8b"

_CHECKS = {
    **dict.fromkeys(nifti_file.SUFFIXES, nifti_file.check_nifti),
    **dict.fromkeys(metaimage_file.SUFFIXES, metaimage_file.check_metaimage),
    **dict.fromkeys(nrrd_file.SUFFIXES, nrrd_file.check_nrrd),
}


def check_file(path: Path) -> int:
    """Refuse a path that is no complete volume file.

    Returns:
        Bytes of its voxels, uncompressed, as its header announces them.

    Raises:
        ImageError: absent (with what the folder holds instead), a folder or a device, of a path that is no
            text, not readable, empty, truncated, damaged, not of the format that its name claims, or its
            header announces more or less than is there.
    """
    if path.is_dir():
        raise ImageError(
            f"{path} is a folder, not a volume. Name one file; a folder of DICOM is given whole, by --dicom "
            "of the command 'segment' or mm.segment_dicom."
        )
    if not path.exists():
        if path.is_symlink():
            raise ImageError(f"{path} is a link to a file that is not there. Copy the file itself.")
        raise ImageError(f"{path} does not exist.{_suggestion(path)}")
    if not path.is_file():
        raise ImageError(f"{path} is a device or a pipe, not a file. Name a file.")
    require_text(path, ImageError, "Rename the file or the folders that it lies in.")
    suffix = image_suffix(path)
    if not suffix:
        raise ImageError(
            f"{path} is no volume by its name. Give a file ending in {', '.join(IMAGE_SUFFIXES)}."
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(len(_GZIP_MAGIC))
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error.strerror}). Check its permissions.") from error
    if size == 0:
        raise ImageError(f"{path} is an empty file (0 bytes). Copy it again from its source.")
    if suffix == ".nii" and start == _GZIP_MAGIC:
        raise ImageError(f"{path} is compressed but not named so. Rename it to {path.name}.gz.")
    return _CHECKS[suffix](path)


def _suggestion(path: Path) -> str:
    """What an absent file may have been meant to be."""
    parent = path.parent
    if not parent.is_dir():
        return f" Its folder {parent} does not exist either; check the path."
    stem = path.name[: len(path.name) - len(image_suffix(path))].lower()
    images = sorted(entry.name for entry in parent.iterdir() if image_suffix(entry) and entry.name[0] != ".")
    near = [name for name in images if stem and name.lower().startswith(stem)] or images
    if not near:
        return f" The folder {parent} holds no volume; check the path."
    more = ", ..." if len(near) > _MOST_NEIGHBORS else ""
    return f" The folder {parent} holds {', '.join(near[:_MOST_NEIGHBORS])}{more}."
