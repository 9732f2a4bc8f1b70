"""The prepared-case cache: one safetensors file per case, read crop by crop from the memory-mapped file.

A file holds ``image`` (n, D, H, W) float16, the n available modalities in channel order; ``label`` (D, H, W)
uint8, with the resection cavity as a number of its own, and the non-enhancing core where labels tell it; and
``tumor`` (m, 4) int16, a sample of tumor voxels
as (class, z, y, x) to center crops on. float16 halves what a crop reads; its error on z-scores is below
0.004, far under the noise of MRI.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..core import strict_json
from ..core.checksum import check_checksum, with_checksum
from ..core.errors import CaseError, ImageError
from ..core.files import atomic_write, explain_write_errors
from ..core.labels import (
    NON_ENHANCING,
    RESECTION_CAVITY,
    TumorClass,
    convention,
    merged,
    with_cavity,
)
from ..core.modalities import MODALITIES, Modality, Subset
from ..datasets.prepared import LAYOUT, SUFFIX
from .boxes import Box, shared_part
from .file_facts import file_facts
from .grid import SPACING_MM, Grid
from .half_precision import write_single
from .prepared import VERSION, Prepared
from .tumor_sample import sample_tumor

if TYPE_CHECKING:
    from ..datasets.case import Case


@dataclass(frozen=True)
class CachedCase:
    """A prepared and labeled case on disk.

    Attributes:
        name: the case's name.
        path: its safetensors file.
        subset: the modalities that it really has.
        shape: (D, H, W) of its brain box.
        cavity_voxels: of 1 mm³, in the resection cavity.
        non_enhancing_voxels: of 1 mm³, in the non-enhancing core, where labels tell it from necrosis.
        apart: whether it is read as :data:`.labels.NON_ENHANCING`; else as necrosis.
        cavity_rule: what the cavity counts as where the label is read, of :data:`.labels.CAVITY_RULES`.
        warnings: what the user should know about its files, one sentence each.
        content: SHA-256 of the voxels that it was made of, by name of the sequence and "label", and further
            hashes, see :func:`.content.identity`; empty for files of earlier versions.
    """

    name: str
    path: Path
    subset: Subset
    shape: tuple[int, int, int]
    cavity_voxels: int = 0
    cavity_rule: str = "background"
    warnings: tuple[str, ...] = ()
    content: Mapping[str, str] = field(default_factory=dict)
    non_enhancing_voxels: int = 0
    apart: bool = False

    def crop(self, start: Iterable[int], size: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Read a box; whatever lies outside the brain box is 0.

        Args:
            start: first voxel (z, y, x), may be negative.
            size: (d, h, w).

        Returns:
            image (C, d, h, w) float32 with zeros in missing channels, label (d, h, w) uint8.

        Raises:
            CaseError: the file has gone or is damaged.
            LabelError: it has a resection cavity, and the rule refuses it.
        """
        size = tuple(size)
        image = np.zeros((len(MODALITIES), *size), np.float32)
        label = np.zeros(size, np.uint8)
        shared = shared_part(tuple(start), size, self.shape)
        if shared is None:
            return image, label
        inside, target = shared
        with self.open() as file:
            write_single(image, self.subset, target, file.get_slice("image")[(slice(None), *inside)])
            label[target] = self._ruled(file.get_slice("label")[inside])
        return image, label

    def label(self, box: Box) -> np.ndarray:
        """(d, h, w) uint8 classes of a box inside the case, the resection cavity as the rule says.

        Raises:
            CaseError, LabelError: as :meth:`crop`.
        """
        with self.open() as file:
            return self._ruled(file.get_slice("label")[box])

    def _ruled(self, label: np.ndarray) -> np.ndarray:
        if self.non_enhancing_voxels and not self.apart:
            label = merged(label)
        return with_cavity(label, self.cavity_rule, f"Case '{self.name}'") if self.cavity_voxels else label

    @property
    def ignores(self) -> bool:
        """Whether some of its voxels are read as :data:`.labels.IGNORED`."""
        return self.cavity_voxels > 0 and self.cavity_rule == "ignore"

    def tumor_classes(self) -> set[TumorClass]:
        """The tumor classes that it has at least one voxel of."""
        return set(map(TumorClass, np.unique(self.tumor_voxels()[:, 0]).tolist()))

    def tumor_voxels(self) -> np.ndarray:
        """(m, 4) int16 rows (class, z, y, x); empty when the case has no tumor."""
        with self.open() as file:
            return file.get_tensor("tumor")

    @contextmanager
    def open(self) -> Iterator[safe_open]:
        """The file, memory-mapped, for reading parts of its arrays or its metadata.

        Raises:
            CaseError: it has gone or is no longer whole.
        """
        try:
            with safe_open(self.path, "np") as file:
                yield file
        except (SafetensorError, OSError) as error:
            raise CaseError(
                f"{self.path}: the prepared case '{self.name}' can no longer be read ({error}). Resume the "
                "run, which prepares it again."
            ) from error

    def load(self) -> Prepared:
        """The case in memory, as :func:`.preparation.prepare` returned it; the reference grid is the box.

        What is scored on it knows no non-enhancing core.
        """
        image, label = self.crop((0, 0, 0), self.shape)
        label = merged(label)
        grid = Grid(
            tuple(reversed(self.shape)), (SPACING_MM,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel().tolist())
        )
        return Prepared(image, np.isin(MODALITIES, self.subset), (image != 0).any(axis=0), label, grid, grid)


def up_to_date(case: Case, folder: Path) -> CachedCase | None:
    """What :func:`cache_case` would find in ``folder`` and keep.

    Raises:
        CaseError: a file of the case has gone.
    """
    return _open(folder / f"{case.name}{SUFFIX}", fingerprint(case))


def cache_case(case: Case, folder: Path) -> CachedCase:
    """Prepare a labeled case into ``folder``, unless an up-to-date file is already there.

    A case of a folder of prepared ones is taken from there, as it is.

    Raises:
        CaseError: the case has no label, or the folder cannot be written to.
        ImageError, LabelError: a file of it has gone or cannot be used.
    """
    if case.layout == LAYOUT:
        return _taken(case)
    path = folder / f"{case.name}{SUFFIX}"
    own = fingerprint(case)
    cached = _open(path, own)
    if cached:
        return cached
    # loaded here: they bring SimpleITK, which a training from prepared cases does without
    from .content import identity
    from .preparation import prepare
    from .reading import read_label, read_study

    label = read_label(case, apart=True)
    if label is None:
        raise CaseError(
            f"{case.folder}: case '{case.name}' has no label, without which nothing is learned from it or "
            "judged on it. Add one, or leave the case out."
        )
    study = read_study(case)
    prepared = prepare(study, label, str(case.label))
    image, content = prepared.image[prepared.available], identity(study.images, label)
    return write_case(
        path, case.name, own, prepared.subset, image, prepared.label, prepared.warnings, content
    )


def write_case(
    path: Path,
    name: str,
    fingerprint: str,
    subset: Subset,
    image: np.ndarray,
    label: np.ndarray,
    warnings: tuple[str, ...] = (),
    content: Mapping[str, str] | None = None,
) -> CachedCase:
    """Write the file of a prepared case.

    Args:
        path: of the file; its folder is made if needed.
        name: of the case.
        fingerprint: changes whenever what the case is made of changes.
        subset: its modalities, in channel order.
        image: (n, D, H, W) float32, as of :class:`.prepared.Prepared`, of these modalities alone.
        label: (D, H, W) uint8 classes, and :data:`.labels.RESECTION_CAVITY`.
        warnings: kept with it.
        content: as of :class:`CachedCase`.

    Raises:
        CaseError: it cannot be written.
    """
    cavity, apart = (int((label == number).sum()) for number in (RESECTION_CAVITY, NON_ENHANCING))
    arrays = {"image": image.astype(np.float16), "label": label, "tumor": sample_tumor(label)}
    header = {
        "fingerprint": fingerprint,
        "case": name,
        "subset": strict_json.dumps([modality.name for modality in subset]),
        "preparation": str(VERSION),
    }
    # only where there is something to tell, so that other files stay as they were, to the bit
    header |= {"cavity_voxels": str(cavity)} if cavity else {}
    header |= {"non_enhancing_voxels": str(apart)} if apart else {}
    header |= {"warnings": strict_json.dumps(warnings)} if warnings else {}
    header |= {"voxels_sha256": strict_json.dumps(dict(content))} if content else {}
    write_arrays(path, arrays, header)
    facts = {"warnings": warnings, "content": content or {}, "non_enhancing_voxels": apart}
    return CachedCase(name, path, subset, label.shape, cavity, **facts)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], header: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all; its folder is made if needed.

    Raises:
        CaseError: it cannot be written.
    """
    # safetensors takes an array's memory as it lies, whatever its strides
    content = with_checksum(
        save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, header)
    )
    remedy = "Free some space and start again, or choose a folder you can write to."
    with explain_write_errors(path, remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)


def fingerprint(case: Case) -> str:
    """Changes whenever what an input file holds or the preparation changes; where a file lies does not count.

    Raises:
        ImageError: a file is gone.
    """
    files = [image.path for image in case.images.values()] + [case.label]
    try:
        # as they lie: unpacking them would take ten times as long
        facts = {path: file_facts(path)["sha256"] for path in files if path is not None}
    except OSError as error:
        raise ImageError(
            f"{error.filename}: a file of case '{case.name}' can no longer be read ({error.strerror}). Put "
            "it back, or leave the case out."
        ) from error
    roles = [(modality.name, image.channel, facts[image.path]) for modality, image in case.images.items()]
    known = [VERSION, roles, facts.get(case.label), case.convention]
    if case.convention and RESECTION_CAVITY in convention(case.convention).to_class.values():
        known.append("resection cavity kept")  # which earlier files of these data sets have as background
    text = strict_json.dumps(known)
    return hashlib.sha256(text.encode()).hexdigest()


def _taken(case: Case) -> CachedCase:
    """A case of which only the prepared file is there, as it is.

    Raises:
        CaseError: the file is damaged, or of another version of the preparation.
    """
    found = _open(case.label)
    if found is None:
        raise CaseError(
            f"{case.label}: the prepared case '{case.name}' is damaged, or another version of the library "
            f"prepared it (its preparation should be {VERSION}). Prepare it again from its volumes."
        )
    return found


def stored(path: Path) -> tuple[dict[str, str], tuple[int, ...]] | None:
    """Header of a file that :func:`write_arrays` wrote and shape of its label; None if absent or damaged."""
    if not path.exists():
        return None
    try:
        check_checksum(path)
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
            shape = tuple(file.get_slice("label").get_shape())
    except (SafetensorError, OSError, ValueError):
        return None
    return header, shape


def _open(path: Path, fingerprint: str | None = None) -> CachedCase | None:
    """The cached case; None when the file is absent, damaged, or of another version or other input."""
    found = stored(path)
    if found is None:
        return None
    header, shape = found
    # files of earlier versions of the library do not tell; the second preparation wrote them
    if header.get("preparation", "2") != str(VERSION) or "case" not in header:
        return None
    if fingerprint is not None and header.get("fingerprint") != fingerprint:
        return None
    try:
        subset = tuple(Modality[name] for name in strict_json.loads(header["subset"]))
        warnings = tuple(strict_json.loads(header.get("warnings", "[]")))
        cavity, apart = (int(header.get(f"{name}_voxels", 0)) for name in ("cavity", "non_enhancing"))
        content = dict(strict_json.loads(header.get("voxels_sha256", "{}")))
    except (ValueError, TypeError, KeyError):  # damaged in this very place
        return None
    if min(cavity, apart) < 0 or not _has_arrays(path, subset, shape):
        return None
    facts = {"warnings": warnings, "content": content, "non_enhancing_voxels": apart}
    return CachedCase(header["case"], path, subset, shape, cavity, **facts)


def _has_arrays(path: Path, subset: tuple[Modality, ...], shape: tuple[int, ...]) -> bool:
    """Whether a file holds the arrays that its header tells of."""
    arrays = {"image": ("F16", [len(subset), *shape]), "label": ("U8", list(shape))}
    try:
        with safe_open(path, "np") as file:
            parts = {name: file.get_slice(name) for name in arrays}
    except (SafetensorError, OSError):
        return False
    found = {name: (part.get_dtype(), part.get_shape()) for name, part in parts.items()}
    return found == arrays and list(subset) == sorted(set(subset))
