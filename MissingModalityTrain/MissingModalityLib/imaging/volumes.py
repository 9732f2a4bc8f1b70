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
from ..core.files import atomic_write, image_suffix
from ..core.labels import MAX_LABEL_VALUES
from ..runtime.limited_child import ChildUnavailable
from .child_reader import read_apart
from .grid import RAS_TO_LPS, is_straight, nearest_orthonormal, straight_axes, unit_axes
from .integrity import check_file
from .nifti_file import nifti_matrix
from .process_switch import ProcessSwitch

WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")

MIN_VOXELS = 8
"""Fewest voxels along any direction: fewer slices are no volume a 3-D network can judge."""

_LOOK_AT = 100_000
"""Voxels of a volume that are looked at first."""

_SHEARED = (
    "the axes in its header are not at right angles (sheared volume). Resample it onto a regular grid first, "
    "for instance with Slicer's 'Resample Scalar/Vector/DWI Volume'."
)

_READERS = {
    ".nii": "NiftiImageIO",
    ".nii.gz": "NiftiImageIO",
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
}

_PERMISSIVE = "ITK_NIFTI_SFORM_PERMISSIVE"
"""Environment variable that ITK reads with every NIfTI header."""


def read_image(path: Path) -> sitk.Image:
    """Read a 3-D scalar volume.

    Orientation is what the header says: a header that claims another orientation than the voxels have looks
    like a correct one, so it is not corrected. Axes that are nearly at right angles are straightened, see
    :func:`.grid.straight_axes`.

    Args:
        path: NIfTI (.nii, .nii.gz), MetaImage (.mha, .mhd) or NRRD file.

    Returns:
        The volume in its own pixel type; voxel values are not looked at (see :func:`check_volume`).

    Raises:
        ImageError: absent, a folder, empty, truncated, damaged, of another format, 4-D, colored, sheared, or
            fewer than 8 voxels along a direction.
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
        path: of the file.
        channel: of a 4-D file; None for a 3-D one.
        limit: called with the bytes of voxels that the header states, once they are known to be there, and
            with 0 before; what it returns is held meanwhile.

    Raises:
        ImageError: as there.
    """
    with limit(0):
        stated = check_file(path)
    with limit(stated), _reader(path) as reader:
        if channel is None:
            _check_shape(reader.GetSize(), reader.GetNumberOfComponents(), str(path))
        else:
            _choose_channel(reader, channel, path)
        return _with_straight_axes(reader.Execute(), path)


def _read(path: Path, channel: int | None) -> sitk.Image:
    """Read in a child process, or, where none can be started, in this one after a warning."""
    try:
        return read_apart(path, channel)
    except ChildUnavailable as error:
        warnings.warn(
            f"Volumes are read without limits of memory and time, since no process of their own can be "
            f"started for it ({error}). A file made to do harm can end this program.",
            RuntimeWarning,
            stacklevel=2,
        )
        return read_here(path, channel)


def _choose_channel(reader: sitk.ImageFileReader, channel: int, path: Path) -> None:
    size = reader.GetSize()
    if len(size) != 4:
        raise ImageError(f"{path} has {len(size)} dimensions ({_times(size)}), but a 4-D file was expected.")
    if not 0 <= channel < size[3]:
        raise ImageError(f"{path} has {size[3]} channels, so there is no channel {channel} (counted from 0).")
    _check_shape(size[:3], reader.GetNumberOfComponents(), str(path))
    reader.SetExtractSize([*size[:3], 0])
    reader.SetExtractIndex([0, 0, 0, channel])


def check_volume(image: sitk.Image, name: str) -> None:
    """Refuse a volume that no modality of a patient can look like.

    Args:
        image: the volume.
        name: file or node name, for messages.

    Raises:
        ImageError: not 3-D, colored, fewer than 8 voxels along a direction, NaN or infinite values, empty,
            constant, or at most 10 different whole numbers (a label map or mask).
    """
    _check_shape(image.GetSize(), image.GetNumberOfComponentsPerPixel(), name)
    array = sitk.GetArrayViewFromImage(image)
    if array.dtype.kind == "f":
        _check_finite(array, name)
    low, high = array.min(), array.max()
    if low == high:
        what = "is empty: every voxel is 0" if low == 0 else f"is constant: every voxel is {low:g}"
        raise ImageError(f"{name} {what}. Choose a volume with an image in it.")
    values = _few_whole_values(array)
    if values is not None:
        listed = ", ".join(f"{value:g}" for value in values)
        raise ImageError(
            f"{name} looks like a label map or mask, not like an MRI volume: it holds only the values "
            f"{listed}. Choose the MRI volume that belongs to it."
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
def placing_image(image: sitk.Image, path: Path) -> Iterator[None]:
    """:func:`write_image`, but the complete file is put in place only when the block ends well.

    For a file that must not be there without another one, which the block writes.
    """
    path = Path(path)
    suffix = image_suffix(path)
    if suffix not in WRITABLE_SUFFIXES:
        raise ImageError(f"Cannot write {path}: end the name in one of {', '.join(WRITABLE_SUFFIXES)}.")
    if not path.parent.is_dir():
        raise ImageError(f"Cannot write {path}: the folder {path.parent} does not exist. Create it first.")
    if path.is_dir():
        raise ImageError(f"Cannot write {path}: a folder has that name. Choose another name.")
    try:
        with atomic_write(path) as temporary:
            with _warnings.hold():
                sitk.WriteImage(image, str(temporary), useCompression=suffix != ".nii")
            yield
    except (RuntimeError, OSError) as error:
        raise ImageError(
            f"Cannot write {path} ({_last_line(error)}). Check that the folder is writable and the disk is "
            "not full."
        ) from error


@contextmanager
def _reader(path: Path) -> Iterator[sitk.ImageFileReader]:
    """A reader that knows the header of a complete file; what ITK raises inside becomes an ImageError."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    # not whichever of ITK's twenty readers likes the content: the file was checked as what its name says
    reader.SetImageIO(_READERS[image_suffix(path)])
    try:
        with _warnings.hold(), _permissive.hold(_straightens(path)):
            reader.ReadImageInformation()
            yield reader
    except RuntimeError as error:
        if "orthonormal" in str(error):
            raise ImageError(f"{path}: {_SHEARED}") from error
        raise ImageError(
            f"{path} cannot be read ({_last_line(error)}). The file is damaged or not an image; copy it "
            "again from its source."
        ) from error


def _with_straight_axes(image: sitk.Image, path: Path) -> sitk.Image:
    """The image with straight axes where its file's are nearly so.

    Raises:
        ImageError: the axes are sheared.
    """
    axes = np.reshape(image.GetDirection(), (3, 3))
    if _is_inverted(axes, path):
        axes = unit_axes(nifti_matrix(path))
    straight = straight_axes(axes)
    if straight is None:
        raise ImageError(f"{path}: {_SHEARED}")
    image.SetDirection(straight.ravel().tolist())
    return image


def _is_inverted(axes: np.ndarray, path: Path) -> bool:
    """Whether these are the axes that ITK gives a NIfTI file whose sform it had to straighten.

    ITK 5.4 replaces a matrix U S V' in RAS by V U', the inverse of the nearest orthonormal one, U V'. That is
    right for axes along the patient's and far off for oblique ones.
    """
    matrix = nifti_matrix(path)
    if matrix is None or is_straight(unit_axes(matrix)):
        return False
    inverse = nearest_orthonormal(RAS_TO_LPS @ matrix).T
    return bool(np.abs(axes - RAS_TO_LPS @ inverse).max() < 1e-5)  # ITK computes in float32


def _straightens(path: Path) -> bool:
    matrix = nifti_matrix(path)
    return matrix is not None and straight_axes(unit_axes(matrix)) is not None


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
            f"{name} has only {min(size)} slices in one direction ({_times(size)}); at least {MIN_VOXELS} "
            "are needed. Choose the whole volume, not single slices or a localizer."
        )


def _check_finite(array: np.ndarray, name: str) -> None:
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise ImageError(
            f"{name} holds {bad} voxels that are NaN or infinite ({100 * bad / array.size:.3g} % of it). "
            "Replace them (usually by 0, outside the brain) or export the volume again."
        )


def _few_whole_values(array: np.ndarray) -> np.ndarray | None:
    """The values of an array that holds at most MAX_LABEL_VALUES different whole numbers, else None."""
    # np.unique sorts, which takes long for a whole volume; a part already tells an image from a mask
    for part in (array.reshape(-1)[:: max(1, array.size // _LOOK_AT)], array):
        values = np.unique(part)
        if len(values) > MAX_LABEL_VALUES or (values != np.round(values)).any():
            return None
    return values


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
# Lets ITK replace a nearly orthonormal NIfTI matrix by the nearest orthonormal one. It would do so with any
# sheared matrix, so it is on for files only whose matrix was looked at before.
_permissive = ProcessSwitch(read=lambda: os.environ.get(_PERMISSIVE), write=_set_permissive, changed="1")


def _times(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].removeprefix("sitk::ERROR: ") if lines else type(error).__name__
