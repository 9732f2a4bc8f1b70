"""Tumors cut from donors, each computed once and kept in a file that is read box by box.

A file holds ``values`` (C, d, h, w) float16, the intensities T in channel order with zeros for what the donor
lacks, and ``label`` (d, h, w) uint8. float16 as in the prepared-case cache, and for the same reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ..core import strict_json
from ..core.errors import CaseError, ImageError
from ..core.modalities import MODALITIES, Modality
from ..imaging.boxes import Box, tightest_box
from ..imaging.cache import CachedCase, stored, write_arrays
from .error_map import error_map, tumor_part
from .midsagittal_plane import Plane, find_plane
from .options import SynthesisOptions

# part of every file's name: raised whenever the content changes, so that files are made anew
VERSION = 1


@dataclass(frozen=True)
class CachedTumor:
    """A donor's tumor on disk.

    Attributes:
        donor: the case that it was cut from.
        path: its safetensors file.
        start: first voxel (z, y, x) of its box in the donor's brain box.
        shape: (d, h, w) of its box.
        plane: the donor's mid-sagittal plane; None where no mirror image was needed.
    """

    donor: CachedCase
    path: Path
    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    plane: Plane | None

    @property
    def box(self) -> Box:
        """All of it, in its own voxels."""
        return tuple(slice(0, size) for size in self.shape)

    def values(self, part: Box) -> Tensor:
        """Intensities T of a part of the box: (C, d, h, w) float32 in channel order.

        Raises:
            CaseError: the file has gone or is damaged.
        """
        return torch.from_numpy(self._read("values", (slice(None), *part)).astype(np.float32))

    def label(self, part: Box) -> Tensor:
        """Classes of a part of the box: (d, h, w) uint8.

        Raises:
            CaseError: the file has gone or is damaged.
        """
        return torch.from_numpy(self._read("label", part))

    def donor_error_map(
        self, difference: str, box: Box | None = None, modalities: Sequence[Modality] = MODALITIES
    ) -> np.ndarray:
        """D_B (Eq. 2) of the donor's whole brain, which the cached tumor is a part of.

        Args:
            difference: as in :class:`SynthesisOptions`.
            box: part of the donor's grid; None for all of it.
            modalities: in this order.

        Returns:
            (C, d, h, w) float32.
        """
        image, _ = self.donor.crop((0, 0, 0), self.donor.shape)
        channels = torch.from_numpy(image[list(modalities)])
        return error_map(channels, self.plane, box, difference).numpy()

    def _read(self, name: str, part: tuple[slice, ...]) -> np.ndarray:
        try:
            with safe_open(self.path, "np") as file:
                return file.get_slice(name)[part]
        except (SafetensorError, OSError) as error:
            raise CaseError(
                f"{self.path}: the tumor of case '{self.donor.name}' can no longer be read ({error}). Start "
                "the same job again, which cuts it anew."
            ) from error


def tumor_folder(prepared: Path) -> Path:
    """Where cut tumors lie, in the folder of the prepared cases that they are cut from."""
    return prepared / "tumors"


def cache_tumor(donor: CachedCase, folder: Path, options: SynthesisOptions) -> CachedTumor:
    """Cut a donor's tumor into ``folder``, unless an up-to-date file is already there.

    Several processes may do so at once; they write the same.

    Args:
        donor: a case with tumor.
        folder: made if needed.
        options: ``difference`` and ``feather_mm`` are read.

    Raises:
        CaseError: the donor has no tumor, or the folder cannot be written to.
    """
    path = folder / f"{donor.name}-{_digest(donor, options)}.safetensors"
    cached = _open(donor, path)
    if cached:
        return cached
    write_arrays(path, *_cut(donor, options))
    return _open(donor, path)


def feather(label: np.ndarray, width: float) -> np.ndarray:
    """Weights that rise from the tumor's border to 1 over ``width`` voxels inside it; (d, h, w) float32."""
    # the frame makes the edge of the box a border too: the box is tight, so the tumor ends there
    depth = distance_transform_edt(np.pad(label > 0, 1))[1:-1, 1:-1, 1:-1]
    return np.minimum(1, depth / (width + 1)).astype(np.float32)


def _cut(donor: CachedCase, options: SynthesisOptions) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and header of a tumor's file."""
    image, classes = map(torch.from_numpy, donor.crop((0, 0, 0), donor.shape))
    box = tightest_box(classes.numpy() > 0)
    if box is None:
        raise CaseError(f"Case '{donor.name}' has no tumor in its label, so it cannot give one away.")
    present = image[list(donor.subset)]
    plane = None if options.difference == "none" else plane_of(donor, present)
    label = classes[box].numpy()
    values = np.zeros((len(MODALITIES), *label.shape), np.float32)
    values[list(donor.subset)] = tumor_part(present, classes, plane, box, options.difference)
    if options.feather_mm:
        values *= feather(label, options.feather_mm)  # voxels of prepared cases are 1 mm wide
    header = {
        "start": strict_json.dumps([part.start for part in box]),
        "plane": strict_json.dumps(plane and asdict(plane)),
    }
    return {"values": values.astype(np.float16), "label": label}, header


def plane_of(donor: CachedCase, present: Tensor) -> Plane:
    """The mid-sagittal plane of a case, from the sequences that it has.

    Raises:
        CaseError: there is none that could be found.
    """
    try:
        return find_plane(present)
    except ImageError as error:
        raise CaseError(
            f"Case '{donor.name}' has no plane of symmetry that could be found. {error}"
        ) from error


def _open(donor: CachedCase, path: Path) -> CachedTumor | None:
    """The cached tumor, or None when the file is absent or damaged."""
    found = stored(path)
    if found is None:
        return None
    header, shape = found
    plane = strict_json.loads(header["plane"])
    if plane is not None:
        plane = Plane(tuple(plane["normal"]), plane["offset"])
    return CachedTumor(donor, path, tuple(strict_json.loads(header["start"])), shape, plane)


def _digest(donor: CachedCase, options: SynthesisOptions) -> str:
    """Differs between donors, versions of their files, the options read here, and versions of this code."""
    with donor.open() as file:
        fingerprint = file.metadata()["fingerprint"]
    known = [VERSION, fingerprint, options.difference, options.feather_mm]
    if donor.apart and donor.non_enhancing_voxels:
        known.append("non-enhancing core apart")
    text = strict_json.dumps(known)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
