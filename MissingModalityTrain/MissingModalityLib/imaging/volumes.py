"""Reading, checking and writing single volumes, with an error that helps for each one that cannot be used."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from ..core.file_names import require_text
from ..core.files import atomic_write, image_suffix, sync
from ..core.words import counted
from ..runtime.limited_child import ChildUnavailable
from .byte_order import is_byte_swapped
from .child_reader import read_apart
from .float_voxels import check_count
from .grid import Grid
from .header_geometry import file_geometry
from .integrity import check_file
from .label_likeness import few_values, is_patchwork, is_smoothed_map
from .nifti_file import SUFFIXES as _NIFTI_SUFFIXES
from .nifti_file import readable_nifti
from .plausibility import LARGEST_VALUE, SMALLEST_RANGE, check_grid
from .process_switch import ProcessSwitch

WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")

MIN_VOXELS = 8
"""Fewest voxels along any direction: fewer slices are no volume a 3-D network can judge."""

_SCALARS = {
    sitk.sitkUInt8,
    sitk.sitkInt8,
    sitk.sitkUInt16,
    sitk.sitkInt16,
    sitk.sitkUInt32,
    sitk.sitkInt32,
    sitk.sitkUInt64,
    sitk.sitkInt64,
    sitk.sitkFloat32,
    sitk.sitkFloat64,
}
"""Pixel types with one gray value; ITK counts complex numbers and vectors of one as one component too."""

_READERS = {
    **dict.fromkeys(_NIFTI_SUFFIXES, "NiftiImageIO"),
    **dict.fromkeys((".mha", ".mhd"), "MetaImageIO"),
    **dict.fromkeys((".nrrd", ".nhdr"), "NrrdImageIO"),
}

_PERMISSIVE = "ITK_NIFTI_SFORM_PERMISSIVE"
"""Environment variable that ITK reads with every NIfTI header."""


def read_image(path: Path) -> sitk.Image:
    """Read a 3-D scalar volume.

    Orientation and spacing are what the header says, see :mod:`.header_geometry`: a header that claims
    another orientation than the voxels have looks like a correct one, so it is not corrected. Axes nearly at
    right angles are straightened, see :func:`.grid.straight_axes`. A fourth dimension of one entry is left
    out.

    Args:
        path: NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd) or NRRD file.

    Returns:
        The volume in its own pixel type; voxel values are not looked at (see :func:`check_volume`).

    Raises:
        ImageError: absent, a folder, empty, truncated, damaged, of another format, 4-D, colored, sheared,
            without spacing or with an impossible one, with a header that contradicts itself, or fewer than 8
            voxels along a direction.
    """
    return _read(Path(path), None)


def read_channel(path: Path, channel: int) -> sitk.Image:
    """Read one 3-D volume out of a 4-D file without keeping the others in memory.

    Args:
        path: 4-D scalar file, channels along the last direction.
        channel: from 0.

    Raises:
        ImageError: as :func:`read_image`; or the file is not 4-D or has no such channel.
    """
    return _read(Path(path), channel)


def read_here(
    path: Path,
    channel: int | None = None,
    limit: Callable[[int], AbstractContextManager[None]] = lambda stated: nullcontext(),
) -> sitk.Image:
    """Read a volume in this process; others go through :func:`read_image` and :func:`read_channel`.

    Args:
        path, channel: as there; no channel for a 3-D file.
        limit: of the bytes of voxels that the header states, 0 before these are known; held meanwhile.

    Raises:
        ImageError: as there.
    """
    with limit(0):
        stated = check_file(path)
    with limit(stated), _reader(path) as reader:
        _check_shape(_chosen_size(reader, channel, path), reader.GetNumberOfComponents(), str(path))
        return _placed(reader, path)


def _read(path: Path, channel: int | None) -> sitk.Image:
    """Read in a child process, or, where none can be started, in this one after a warning."""
    try:
        return read_apart(path, channel)
    except ChildUnavailable as error:
        warnings.warn(
            f"Volumes are read without limits of memory and time, for no process of their own can be started "
            f"({error}). A file made to do harm can end this program.",
            RuntimeWarning,
            stacklevel=2,
        )
        return read_here(path, channel)


def check_volume(image: sitk.Image, name: str) -> None:
    """Refuse a volume that no modality of a patient can look like.

    Args:
        image: the volume.
        name: file or node name, for messages.

    Raises:
        ImageError: not 3-D, colored, fewer than 8 voxels along a direction, NaN or infinite values, empty,
            beyond the range of float32, constant, of a wrong byte order, or a label map or mask: at most 10
            different values, patches of one whole number each, or plateaus with soft edges.
    """
    _check_shape(image.GetSize(), image.GetNumberOfComponentsPerPixel(), name)
    if image.GetPixelID() not in _SCALARS:
        raise ImageError(
            f"{name} holds {image.GetPixelIDTypeAsString()}s. Choose a volume with one gray value per voxel."
        )
    array = sitk.GetArrayViewFromImage(image)
    if array.dtype.kind == "f":
        check_count(name, array.size - int(np.isfinite(array).sum()), array.size)
    low, high = float(array.min()), float(array.max())
    if max(-low, high) > LARGEST_VALUE or 0 < high - low < SMALLEST_RANGE:
        raise ImageError(
            f"{name} holds values from {low:.3g} to {high:.3g}, a range beyond any scanner's. Find out what "
            "these numbers are, and export the volume again."
        )
    if low == high:
        what = "is empty: every voxel is 0" if low == 0 else f"is constant: every voxel is {low:g}"
        raise ImageError(f"{name} {what}. Choose a volume with an image in it.")
    values = few_values(array)
    if values is not None:
        listed = ", ".join(f"{value:g}" for value in values)
        raise ImageError(
            f"{name} looks like a label map or mask, not like an MRI volume: it holds only the values "
            f"{listed}. Choose the MRI volume that belongs to it."
        )
    if is_patchwork(array):
        raise ImageError(
            f"{name} looks like a label map, not like an MRI volume: nearly all of its voxels have the value "
            "of their neighbor. Choose the MRI volume that belongs to it."
        )
    if is_smoothed_map(array):
        raise ImageError(
            f"{name} looks like a mask, label map or probability map that was resampled or smoothed, not "
            "like an MRI volume: most of what is not background has one of a few values. Choose the MRI "
            "volume that belongs to it."
        )
    if is_byte_swapped(array):
        raise ImageError(
            f"{name} is noise as its header has it read, and an image with the bytes of each voxel in "
            "reverse: the header states the wrong byte order (endian). Correct it, or export the volume "
            "again."
        )


def write_image(image: sitk.Image, path: Path) -> None:
    """Write a volume under a temporary name in the same folder, then put it in place in one step.

    Args:
        image: any volume.
        path: .nii.gz, .nii, .mha or .nrrd; an existing file is replaced only by a complete new one.

    Raises:
        ImageError: the folder is absent or not writable, or the suffix is not one of the above.
    """
    with placing_image(image, path):
        pass


@contextmanager
def placing_image(image: sitk.Image, path: Path) -> Iterator[Path]:
    """:func:`write_image`, but the complete file is put in place only when the block ends well.

    For a file that must not be there without another one, which the block writes; it gets the path of the
    complete file before that.
    """
    path = Path(path)
    suffix = image_suffix(path)
    if suffix not in WRITABLE_SUFFIXES:
        raise ImageError(f"Cannot write {path}: end the name in one of {', '.join(WRITABLE_SUFFIXES)}.")
    require_text(path, ImageError, "Choose another folder or name.")
    if not path.parent.is_dir():
        raise ImageError(f"Cannot write {path}: the folder {path.parent} does not exist. Create it first.")
    if path.is_dir():
        raise ImageError(f"Cannot write {path}: a folder has that name. Choose another name.")
    try:
        with atomic_write(path) as temporary:
            temporary.touch()  # tells why a folder takes no file in one line, where ITK prints several
            with _warnings.hold():
                sitk.WriteImage(image, str(temporary), useCompression=suffix != ".nii")
            _require_whole(temporary)
            sync(temporary)
            yield temporary
    except (RuntimeError, OSError) as error:
        raise ImageError(
            f"Cannot write {path} ({_last_line(error)}). Check that the folder is writable and the disk is "
            "not full."
        ) from error


def _require_whole(path: Path) -> None:
    """Raise OSError where a file just written cannot be read: of a NIfTI on a full disk ITK says nothing."""
    try:
        check_file(path)
    except ImageError as error:
        raise OSError("what was written cannot be read again, as on a full disk") from error


@contextmanager
def _reader(path: Path) -> Iterator[sitk.ImageFileReader]:
    """A reader that knows the header of a complete file; what ITK raises inside becomes an ImageError."""
    reader = sitk.ImageFileReader()
    # not whichever of ITK's twenty readers likes the content: the file was checked as what its name says
    reader.SetImageIO(_READERS[image_suffix(path)])
    try:
        with _warnings.hold(), _permissive.hold(True), _readable(path) as file:
            reader.SetFileName(str(file))
            reader.ReadImageInformation()
            yield reader
    except RuntimeError as error:
        file_geometry(path)  # where the header is the reason, this says so in better words
        raise ImageError(
            f"{path} cannot be read ({_last_line(error)}). The file is damaged or not an image; copy it "
            "again from its source."
        ) from error


def _readable(path: Path) -> AbstractContextManager[Path]:
    """The file for ITK, which knows no NIfTI-2."""
    return readable_nifti(path) if image_suffix(path) in _NIFTI_SUFFIXES else nullcontext(path)


def _chosen_size(reader: sitk.ImageFileReader, channel: int | None, path: Path) -> tuple[int, ...]:
    """Size of the volume that is wanted, which the reader gives from now on."""
    size = reader.GetSize()
    if channel is None:
        return _extract(reader, 0) if len(size) == 4 and size[3] == 1 else size
    if len(size) != 4:
        raise ImageError(f"{path} has {len(size)} dimensions ({_times(size)}), but a 4-D file was expected.")
    if not 0 <= channel < size[3]:
        raise ImageError(f"{path} has {size[3]} channels, so there is no channel {channel} (counted from 0).")
    return _extract(reader, channel)


def _extract(reader: sitk.ImageFileReader, channel: int) -> tuple[int, ...]:
    """Make the reader give one volume of a 4-D file; its size."""
    size = reader.GetSize()[:3]
    reader.SetExtractSize([*size, 0])
    reader.SetExtractIndex([0, 0, 0, channel])
    return size


def _placed(reader: sitk.ImageFileReader, path: Path) -> sitk.Image:
    """The volume, where its header puts it."""
    geometry = file_geometry(path)
    origin = geometry.origin or (0.0, 0.0, 0.0)
    stated = Grid(reader.GetSize()[:3], geometry.spacing, origin, tuple(geometry.axes.ravel().tolist()))
    check_grid(stated, str(path))
    image = reader.Execute()
    if image.GetPixelID() not in _SCALARS:
        image = _scalar(image, str(path))
    grid = geometry.place(Grid.from_image(image))
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def _scalar(image: sitk.Image, name: str) -> sitk.Image:
    """The gray values of a list of one volume, which ITK reads as vectors of one component."""
    if "vector" not in image.GetPixelIDTypeAsString():
        raise ImageError(
            f"{name} holds {image.GetPixelIDTypeAsString()}s. Choose a volume with one gray value per voxel."
        )
    return sitk.VectorIndexSelectionCast(image, 0)


def _check_shape(size: Sequence[int], components: int, name: str) -> None:
    if components != 1:
        raise ImageError(
            f"{name} has {components} values per voxel (a color or vector volume). Choose a volume with one "
            "gray value per voxel."
        )
    if len(size) != 3:
        hint = (
            "Save the one volume that you mean as a 3-D file" if len(size) > 3 else "Choose the whole volume"
        )
        raise ImageError(f"{name} has {len(size)} dimensions ({_times(size)}) instead of 3. {hint}.")
    if min(size) < MIN_VOXELS:
        raise ImageError(
            f"{name} has only {counted(min(size), 'slice')} in one direction ({_times(size)}); at least "
            f"{MIN_VOXELS} are needed. Choose the whole volume, not single slices or a localizer."
        )


def _set_permissive(value: str | None) -> None:
    if value is None:
        os.environ.pop(_PERMISSIVE, None)
    else:
        os.environ[_PERMISSIVE] = value


# A user can do nothing about ITK's warnings, so they stay off the terminal.
_warnings = ProcessSwitch(
    read=sitk.ProcessObject.GetGlobalWarningDisplay,
    write=sitk.ProcessObject.SetGlobalWarningDisplay,
    changed=False,
)
# Lets ITK read the voxels of a NIfTI file whose axes are not quite at right angles; where these lie is then
# decided from the header, and sheared ones are refused.
_permissive = ProcessSwitch(read=lambda: os.environ.get(_PERMISSIVE), write=_set_permissive, changed="1")


def _times(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _last_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("sitk::ERROR: ") if lines else type(error).__name__
