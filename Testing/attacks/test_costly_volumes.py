"""Volumes that would keep a reader busy for minutes, or hand over other numbers than are written."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.volumes import read_image
from raw_volumes import DATA, metaimage, nifti, nrrd, voxels


def member(data: bytes, flags: int = 0, before: bytes = b"") -> bytes:
    """A gzip member with flags of its header and what these announce."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    end = struct.pack("<2I", zlib.crc32(data), len(data))
    return b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + before + body + end


def pieces(content: bytes, size: int, between: bytes = b"") -> bytes:
    """Members of so many bytes each."""
    return b"".join(member(content[at : at + size]) + between for at in range(0, len(content), size))


TEXT = " ".join(map(str, voxels().ravel()))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.nii.gz", pieces(nifti(), 64)),
        ("x.nii.gz", pieces(nifti(), 900) + bytes(40_000)),
        ("x.nii.gz", member(b"") * 900 + member(nifti())),
        ("x.nii.gz", member(nifti(), 0x0C, struct.pack("<H", 9) + bytes(9) + b"name\0")),
        ("x.nrrd", nrrd(b"abc" + DATA, {"byte skip": "3"})),
        ("x.nrrd", nrrd(gzip.compress(b"abc" + DATA), {"encoding": "gzip", "byte skip": "3"})),
        ("x.nrrd", nrrd(TEXT.replace(" ", ".0 ").encode(), {"encoding": "text", "type": "double"})),
    ],
)
def test_unusual_and_sound_volumes_are_read(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert np.array_equal(sitk.GetArrayFromImage(read_image(tmp_path / name)), voxels())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.nii.gz", member(b"") * 200_000 + member(nifti()), "tiny pieces"),
        ("x.nii.gz", member(nifti()) + member(b"") * 200_000, "tiny pieces"),
        ("x.nrrd", nrrd(member(b"") * 200_000, {"encoding": "gzip"}), "tiny pieces"),
        ("x.nii.gz", b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * 4_000_000, "truncated or damaged"),
        ("x.nii.gz", member(nifti(), flags=0xE0), "truncated or damaged"),
        ("x.nii.gz", member(nifti())[:-8] + bytes(8), "truncated or damaged"),
        # of what stands behind zeros ITK reads nothing, and leaves the voxels 0 without a word
        ("x.nii.gz", pieces(nifti(), 900, between=bytes(9)), "truncated or damaged"),
        ("x.nii.gz", pieces(nifti(), 900, between=bytes(40_000)), "truncated or damaged"),
        ("x.nrrd", nrrd(pieces(DATA, 900, between=b"\0"), {"encoding": "gzip"}), "truncated or damaged"),
        ("x.nii.gz", member(nifti()) + bytes(9) + member(b""), "other bytes after its end"),
        ("x.nii.gz", member(nifti()) + b"\x1f", "other bytes after its end"),
        ("x.nii.gz", member(nifti()[:900]) + b"and so on", "truncated or damaged"),
        (
            "x.nrrd",
            nrrd(gzip.compress(bytes(9)), {"encoding": "gzip", "byte skip": "999999999999"}),
            "byte skip",
        ),
        ("x.nrrd", nrrd(TEXT.replace("9", "40000", 1).encode(), {"encoding": "text"}), "-32768 to 32767"),
        ("x.nrrd", nrrd(TEXT.encode(), {"encoding": "text", "type": "uchar"}), "from 0 to 255"),
        (
            "x.nrrd",
            nrrd(TEXT.replace("9", "9.5", 1).encode(), {"encoding": "text"}),
            "no numbers of its type",
        ),
        ("x.nrrd", nrrd(DATA, {"encoding": "\x1b[2Jraw"}), r"\\x1b\[2jraw"),
        ("x.mha", metaimage(Offset="1e308 0 0"), "no place"),
        ("x.mha", metaimage(Offset="0 -100001 0"), "no place"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_costly_or_misread_volumes_are_refused(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


def test_a_voxel_that_two_pieces_share_is_looked_at(tmp_path: Path) -> None:
    values = voxels().astype("<f4")
    values[4, 5, 6] = np.nan
    content = pieces(nifti(values.tobytes(), datatype=16, bitpix=32), 901)
    (tmp_path / "x.nii.gz").write_bytes(content)
    with pytest.raises(ImageError, match="holds 1 voxel of NaN"):
        read_image(tmp_path / "x.nii.gz")


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").symlink_to(tmp_path / "absent.nii.gz")
    with pytest.raises(ImageError, match="is a link to a file that is not there"):
        read_image(tmp_path / "x.nii.gz")
