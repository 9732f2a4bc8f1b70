"""Volume files that lie about themselves: one message each, and what is sound is read.

Every entry can be run by its name: ``pytest Testing/attacks -k "nrrd-giant"``.
"""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.volumes import read_image
from raw_volumes import DATA, SHAPE, Attack, metaimage, nifti, nifti2, nrrd, packed_nifti, voxels

GIANT = "2000 2000 2000"
LARGE = "700 700 700"  # within the bound of values
TEXT = " ".join(map(str, voxels().ravel())).encode()
ZLIB, GZIP = zlib.compress(DATA), gzip.compress(DATA)
MEGABYTES = bytes(3 << 20)
HALF = len(DATA) // 2
CUBE = (3, 700, 700, 700, 1, 1, 1, 1)
OUTSIDE = "outside the header's folder"
SLICES = {f"s{number}.raw": part.tobytes() for number, part in enumerate(voxels())}
LISTED = "".join(f"{name}\n" for name in SLICES).encode()


def one(name: str, content: bytes, message: str = "", suffix: str = "") -> Attack:
    """An attack of one file; its name begins with the format."""
    kinds = {"nifti": "nii", "packed": "nii.gz", "metaimage": "mha", "nrrd": "nrrd"}
    return Attack(name, {f"x.{suffix or kinds[name.partition('-')[0]]}": content}, message)


NIFTI = [
    one("nifti-sound", nifti()),
    one("nifti-big-endian", nifti(voxels().astype(">i2").tobytes(), order=">")),
    one("nifti-extension", nifti(bytes(16) + DATA, vox_offset=368.0)),
    one("packed-two-members", gzip.compress(nifti()[:900]) + gzip.compress(nifti()[900:])),
    one("packed-padded-with-zeros", packed_nifti() + bytes(512)),
    one("nifti-giant", nifti(b"", dim=(3, 2000, 2000, 2000, 1, 1, 1, 1)), "2000x2000x2000"),
    one("packed-giant", packed_nifti(b"", dim=(3, 2000, 2000, 2000, 1, 1, 1, 1)), "2000x2000x2000"),
    one("packed-giant-in-seven", packed_nifti(b"", dim=(7, *[32767] * 7)), "more than"),
    one("packed-large", packed_nifti(b"", dim=CUBE), "truncated"),
    one("packed-bitpix-zero", packed_nifti(b"", bitpix=0, dim=CUBE), "bitpix says 0"),
    one("nifti-bitpix-hides-truncation", nifti(DATA[:HALF], bitpix=8), "bitpix says 8"),
    one("packed-bitpix-negative", packed_nifti(bitpix=-16), "bitpix says -16"),
    one("nifti-bitpix-too-large", nifti(DATA * 2, bitpix=32), "bitpix says 32"),
    one("nifti-truncated", nifti(DATA[:-1]), "truncated"),
    one("packed-truncated-inside", packed_nifti(DATA[:-1]), "truncated"),
    one("packed-cut-off", packed_nifti()[:-20], "truncated or damaged"),
    one("packed-wrong-checksum", packed_nifti()[:-8] + bytes(8), "truncated or damaged"),
    one("packed-one-byte-more", packed_nifti() + b"x", "other bytes after its end"),
    one("packed-text-after-its-end", packed_nifti() + b"appended" * 100, "other bytes after its end"),
    one("packed-surplus", packed_nifti(DATA + MEGABYTES), "far more than"),
    one("packed-bomb", packed_nifti(DATA + bytes(1 << 28)), "far more than"),
    one("nifti-surplus", nifti(DATA + MEGABYTES), "far more than"),
    one("nifti-offset-zero", nifti(vox_offset=0.0), "begin at byte 0"),
    one("packed-offset-zero", packed_nifti(vox_offset=0.0), "begin at byte 0"),
    one("nifti-offset-348", nifti(vox_offset=348.0), "begin at byte 348"),
    one("packed-offset-nan", packed_nifti(vox_offset=float("nan")), "begin at byte nan"),
    one("nifti-offset-infinite", nifti(vox_offset=float("-inf")), "begin at byte -inf"),
    one("nifti-offset-negative", nifti(vox_offset=-352.0), "begin at byte -352"),
    one("nifti-offset-broken", nifti(vox_offset=352.5), "begin at byte 352.5"),
    one("nifti-offset-beyond", nifti(vox_offset=1e9), "truncated"),
    one("packed-offset-huge", packed_nifti(vox_offset=3e38), "truncated"),
    one("nifti-dimension-zero", nifti(dim=(3, 11, 0, 9, 1, 1, 1, 1)), "11x0x9"),
    one("nifti-dimension-negative", nifti(dim=(3, -11, 10, -9, 1, 1, 1, 1)), "-11x10x-9"),
    one("nifti-no-dimensions", nifti(dim=(0, *[1] * 7)), "0 dimensions"),
    one("nifti-nine-dimensions", nifti(dim=(9, *[1] * 7)), "9 dimensions"),
    one("nifti-datatype-zero", nifti(datatype=0, bitpix=0), "datatype 0"),
    one("nifti-datatype-bits", nifti(datatype=1, bitpix=1), "datatype 1"),
    one("nifti-datatype-unknown", nifti(datatype=-77), "datatype -77"),
    one("nifti-second-version", nifti2()),
    one("packed-second-version", gzip.compress(nifti2(bytes(32) + DATA, vox_offset=576))),
    one("nifti-second-big-endian", nifti2(voxels().astype(">i2").tobytes(), ">")),
    one("nifti-second-of-first", nifti(bytes(4000), sizeof_hdr=540), "begins like NIfTI-2, but .* damaged"),
    one("nifti-second-as-text", nifti2(magic=b"n+2\0\n\x1a\n\0"), "NIfTI-2, but its header is damaged"),
    one("nifti-second-only-a-header", nifti2(b"")[:400], "damaged or cut off"),
    one("nifti-second-pair", nifti2(magic=b"ni2\0\r\n\x1a\n"), "a pair"),
    one("nifti-second-truncated", nifti2(DATA[:-1]), "truncated"),
    one("nifti-second-giant", nifti2(b"", dim=(3, 2000, 2000, 2000, 1, 1, 1, 1)), "2000x2000x2000"),
    one("nifti-second-endless", nifti2(dim=(3, 1 << 40, 10, 9, 1, 1, 1, 1)), "room for numbers up to 32767"),
    one("nifti-second-offset", nifti2(vox_offset=352), "begin at byte 352"),
    one("nifti-second-offset-negative", nifti2(vox_offset=-(1 << 60)), "begin at byte -115"),
    one("nifti-second-scaled-beyond", nifti2(scl_slope=1e300), "scales the voxels by inf"),
    one("nifti-second-spacing-zero", nifti2(pixdim=(1, 2, 2, 0, 1, 1, 1, 1)), "spacing of 2, 2, 0"),
    one("nifti-second-two-spacings", nifti2(pixdim=(1, 1, 1, 1, 1, 1, 1, 1)), "contradicts itself"),
    one("nifti-pair", nifti(magic=b"ni1\0"), "a pair"),
    one("nifti-analyze", nifti(magic=bytes(4)), "ANALYZE"),
    one("nifti-only-a-header", nifti(b"")[:348], "truncated"),
    one("nifti-short", nifti()[:300], "no NIfTI image"),
    one("nifti-dicom", bytes(128) + b"DICM" + bytes(800), "no NIfTI image"),
    one("packed-twice", gzip.compress(packed_nifti()), "no NIfTI image"),
    one("packed-bzip2", bz2.compress(nifti()), "no NIfTI image"),
    one("packed-nrrd", nrrd(), "no NIfTI image"),
]

METAIMAGE = [
    one("metaimage-sound", metaimage()),
    one("metaimage-colons", metaimage(b"").replace(b" = ", b": ") + DATA),
    one("metaimage-zlib", metaimage(ZLIB, CompressedData="True", CompressedDataSize=str(len(ZLIB)))),
    one("metaimage-gzip", metaimage(GZIP, CompressedData="True", CompressedDataSize=str(len(GZIP)))),
    one("metaimage-last-bytes", metaimage(HeaderSize="-1")),
    one("metaimage-giant", metaimage(DimSize=GIANT), "2000x2000x2000"),
    one("metaimage-giant-text", metaimage(DimSize=GIANT, BinaryData="False"), "2000x2000x2000"),
    one("metaimage-large", metaimage(DimSize=LARGE), "truncated"),
    one("metaimage-large-text", metaimage(TEXT, DimSize=LARGE, BinaryData="False"), "as text"),
    one("metaimage-text", metaimage(TEXT, BinaryData="False"), "as text"),
    one("metaimage-text-by-default", metaimage(TEXT, BinaryData=None), "as text"),
    one("metaimage-many-channels", metaimage(ElementNumberOfChannels="999999999"), "more than"),
    one("metaimage-negative-channels", metaimage(ElementNumberOfChannels="-1"), "no volume"),
    one("metaimage-truncated", metaimage(DATA[:-1]), "truncated"),
    one("metaimage-surplus", metaimage(DATA + MEGABYTES), "far more than"),
    one(
        "metaimage-no-compressed-size",
        metaimage(ZLIB, CompressedData="True"),
        "lacks CompressedDataSize.*Save the volume again",
    ),
    one(
        "metaimage-compressed-size-zero",
        metaimage(ZLIB, CompressedData="True", CompressedDataSize="0"),
        "lacks CompressedDataSize",
    ),
    one(
        "metaimage-compressed-size-negative",
        metaimage(ZLIB, CompressedData="True", CompressedDataSize="-5"),
        "lacks CompressedDataSize",
    ),
    one(
        "metaimage-compressed-size-giant",
        metaimage(ZLIB, CompressedData="True", CompressedDataSize="99999999999"),
        "truncated",
    ),
    one(
        "metaimage-compressed-size-short",
        metaimage(ZLIB, CompressedData="True", CompressedDataSize=str(len(ZLIB) - 9)),
        "ends early",
    ),
    one(
        "metaimage-compressed-size-long",
        metaimage(ZLIB + b"1234", CompressedData="True", CompressedDataSize=str(len(ZLIB) + 4)),
        "other bytes after its end",
    ),
    one(
        "metaimage-bomb",
        (lambda packed: metaimage(packed, CompressedData="True", CompressedDataSize=str(len(packed))))(
            zlib.compress(bytes(1 << 28))
        ),
        "far more than",
    ),
    one("metaimage-header-size", metaimage(HeaderSize="5"), "HeaderSize"),
    one("metaimage-header-size-negative", metaimage(HeaderSize="-7"), "HeaderSize"),
    one("metaimage-underscore", metaimage(DimSize="1_1 10 9"), "no whole number"),
    one("metaimage-float-size", metaimage(DimSize="11.0 10 9"), "no whole number"),
    one("metaimage-endless-number", metaimage(DimSize="1" * 5000), "no whole number"),
    one(
        "metaimage-fourth-spacing-zero",
        metaimage(NDims="4", DimSize="11 10 9 1", ElementSpacing="2 2 2 0"),
        "2, 2, 2, 0 mm .* positive number",
    ),
    one("metaimage-two-sizes", metaimage(DimSize="11 10"), "NDims"),
    one("metaimage-no-size", metaimage(DimSize=None), "DimSize"),
    one("metaimage-no-type", metaimage(ElementType=None), "ElementType"),
    one("metaimage-string", metaimage(ElementType="MET_STRING"), "STRING"),
    one("metaimage-tube", metaimage(ObjectType="Tube"), "ObjectType"),
    one("metaimage-size-twice", metaimage().replace(b"NDims", b"DimSize = 9 9 9\nNDims"), "twice"),
    one("metaimage-carriage-return", metaimage(Comment="a\rDimSize = 1 1 1"), "carriage return"),
    one("metaimage-no-end", metaimage(b"", ElementDataFile=None), "ElementDataFile"),
    one("metaimage-long-header", metaimage(Comment="x" * 100_000), "ElementDataFile"),
    Attack("metaimage-detached", {"x.mhd": metaimage(b"", ElementDataFile="x.raw"), "x.raw": DATA}),
    Attack("metaimage-below", {"x.mhd": metaimage(b"", ElementDataFile="a/x.raw"), "a/x.raw": DATA}),
    Attack("metaimage-list", {"x.mhd": metaimage(LISTED, ElementDataFile="LIST"), **SLICES}),
    Attack("metaimage-pattern", {"x.mhd": metaimage(b"", ElementDataFile="s%d.raw 0 8 1"), **SLICES}),
    Attack(
        "metaimage-list-of-two",
        {"x.mhd": metaimage(b"a.raw\nb.raw\n", ElementDataFile="LIST"), "a.raw": DATA, "b.raw": DATA},
        "one data file for each slice",
    ),
    Attack(
        "metaimage-list-truncated",
        {"x.mhd": metaimage(LISTED, ElementDataFile="LIST"), **SLICES, "s4.raw": b"12"},
        r"s4\.raw is truncated",
    ),
    Attack(
        "metaimage-list-outside", {"x.mhd": metaimage(b"/dev/zero\n" * 9, ElementDataFile="LIST")}, OUTSIDE
    ),
    Attack("metaimage-pattern-outside", {"x.mhd": metaimage(b"", ElementDataFile="/etc/s%d 0 8 1")}, OUTSIDE),
    Attack(
        "metaimage-pattern-of-strings", {"x.mhd": metaimage(b"", ElementDataFile="%s%n 0 8 1")}, "pattern"
    ),
    Attack(
        "metaimage-pattern-endless",
        {"x.mhd": metaimage(b"", ElementDataFile="s%d 0 999999999999 1")},
        "too many",
    ),
    Attack("metaimage-absolute", {"x.mhd": metaimage(b"", ElementDataFile="/etc/hostname")}, OUTSIDE),
    Attack(
        "metaimage-parent", {"a/x.mhd": metaimage(b"", ElementDataFile="../x.raw"), "x.raw": DATA}, OUTSIDE
    ),
    Attack("metaimage-backslash", {"x.mhd": metaimage(b"", ElementDataFile="..\\x.raw")}, OUTSIDE),
    Attack("metaimage-drive", {"x.mhd": metaimage(b"", ElementDataFile="C:x.raw")}, OUTSIDE),
    Attack(
        "metaimage-link-outside",
        {"x.mhd": metaimage(b"", ElementDataFile="x.raw")},
        OUTSIDE,
        {"x.raw": "/etc/hostname"},
    ),
    Attack("metaimage-folder", {"x.mhd": metaimage(b"", ElementDataFile="a"), "a/b": b""}, "no regular file"),
]

NRRD = [
    one("nrrd-sound", nrrd()),
    one("nrrd-carriage-returns", nrrd(b"").replace(b"\n", b"\r\n") + DATA),
    one("nrrd-gzip", nrrd(GZIP, {"encoding": "gzip"})),
    one("nrrd-two-members", nrrd(gzip.compress(DATA[:99]) + gzip.compress(DATA[99:]), {"encoding": "gz"})),
    one("nrrd-text", nrrd(TEXT, {"encoding": "ascii"})),
    one("nrrd-hexadecimal", nrrd(DATA.hex().encode(), {"encoding": "hex"})),
    one("nrrd-byte-skip", nrrd(b"abc" + DATA, {"byte skip": "3"})),
    one("nrrd-last-bytes", nrrd(b"abc" + DATA, {"byte skip": "-1"})),
    one("nrrd-line-skip", nrrd(b"ab\ncd\n" + DATA, {"line skip": "2"})),
    *(
        one(f"nrrd-{what}-{encoding}", nrrd(b"", {"sizes": sizes, "encoding": encoding}), message)
        for what, sizes, message in (("giant", GIANT, "2000x2000x2000"), ("large", LARGE, "truncated|holds"))
        for encoding in ("raw", "gzip", "ascii", "hex")
    ),
    one("nrrd-giant-type", nrrd(b"", {"type": "double", "sizes": "600 700 800"}), "truncated"),
    one("nrrd-block", nrrd(DATA, {"type": "block", "block size": "2"}), "block"),
    one("nrrd-bzip2", nrrd(bz2.compress(DATA), {"encoding": "bzip2"}), "encoding 'bzip2'"),
    one("nrrd-unknown-encoding", nrrd(DATA, {"encoding": "zrl"}), "encoding 'zrl'"),
    one("nrrd-truncated", nrrd(DATA[:-1]), "truncated"),
    one("nrrd-truncated-by-skip", nrrd(DATA, {"byte skip": "1"}), "truncated"),
    one("nrrd-truncated-lines", nrrd(DATA, {"line skip": "99999"}), "truncated"),
    one("nrrd-truncated-text", nrrd(TEXT[:-9], {"encoding": "ascii"}), "numbers where"),
    one("nrrd-text-of-words", nrrd(b"one " * 990, {"encoding": "ascii"}), "no numbers"),
    one("nrrd-text-too-long", nrrd(TEXT + b" 1", {"encoding": "ascii"}), "more numbers"),
    one("nrrd-text-without-spaces", nrrd(b"1" * 3000, {"encoding": "ascii"}), "no numbers"),
    one("nrrd-truncated-hexadecimal", nrrd(DATA.hex().encode()[:-2], {"encoding": "hex"}), "truncated"),
    one("nrrd-hexadecimal-of-words", nrrd(b"xyz " * 2000, {"encoding": "hex"}), "damaged"),
    one("nrrd-truncated-gzip", nrrd(GZIP[:-9], {"encoding": "gzip"}), "truncated or damaged"),
    one("nrrd-short-gzip", nrrd(gzip.compress(DATA[:-2]), {"encoding": "gzip"}), "truncated"),
    one("nrrd-no-gzip", nrrd(DATA, {"encoding": "gzip"}), "truncated or damaged"),
    one("nrrd-wrong-checksum", nrrd(GZIP[:-8] + bytes(8), {"encoding": "gzip"}), "truncated or damaged"),
    one("nrrd-bytes-after-gzip", nrrd(GZIP + b"x", {"encoding": "gzip"}), "other bytes after its end"),
    one("nrrd-bomb", nrrd(gzip.compress(bytes(1 << 28)), {"encoding": "gzip"}), "far more than"),
    one("nrrd-surplus", nrrd(DATA + MEGABYTES), "far more than"),
    one("nrrd-sizes-twice", nrrd().replace(b"endian", b"sizes: 9 9 9\nendian"), "sizes"),
    one("nrrd-sizes-of-words", nrrd(DATA, {"sizes": "11 x 9"}), "no whole number"),
    one("nrrd-sizes-negative", nrrd(DATA, {"sizes": "-11 10 -9"}), "no volume"),
    one("nrrd-two-sizes", nrrd(DATA, {"sizes": "11 10"}), "dimensions"),
    one("nrrd-no-sizes", nrrd(DATA, {"sizes": None}), "sizes"),
    one("nrrd-no-type", nrrd(DATA, {"type": None}), "type"),
    one("nrrd-no-encoding", nrrd(DATA, {"encoding": None}), "encoding"),
    one("nrrd-skip-negative", nrrd(DATA, {"byte skip": "-2"}), "skip"),
    one("nrrd-no-end", nrrd(b"", end=""), "no empty line"),
    one("nrrd-no-magic", b"NRRD9999\n" + nrrd()[9:], "first line"),
    Attack("nrrd-detached", {"x.nhdr": nrrd(b"", {"data file": "x.raw"}), "x.raw": DATA}),
    Attack("nrrd-list", {"x.nhdr": nrrd(LISTED, {"data file": "LIST"}, end=""), **SLICES}),
    Attack("nrrd-pattern", {"x.nhdr": nrrd(b"", {"data file": "s%d.raw 0 8 1"}), **SLICES}),
    Attack(
        "nrrd-detached-truncated", {"x.nhdr": nrrd(b"", {"data file": "x.raw"}), "x.raw": DATA[1:]}, "trunc"
    ),
    Attack(
        "nrrd-detached-giant",
        {"x.nhdr": nrrd(b"", {"data file": "x.raw", "sizes": LARGE}), "x.raw": DATA},
        "truncated",
    ),
    *(
        Attack(f"nrrd-names-{number}", {"x.nhdr": nrrd(b"", {"data file": name})}, OUTSIDE)
        for number, name in enumerate(
            (
                "/dev/zero",
                "/etc/hostname",
                "../x.raw",
                "a/../../x.raw",
                "..\\x.raw",
                "C:\\x.raw",
                "\\\\host\\x",
            )
        )
    ),
    Attack("nrrd-standard-input", {"x.nhdr": nrrd(b"", {"data file": "-"})}, "does not exist"),
    Attack("nrrd-list-outside", {"x.nhdr": nrrd(b"/dev/zero\n" * 9, {"data file": "LIST"}, end="")}, OUTSIDE),
    Attack("nrrd-empty-list", {"x.nhdr": nrrd(b"", {"data file": "LIST"}, end="")}, "0 data files"),
    Attack("nrrd-pattern-outside", {"x.nhdr": nrrd(b"", {"data file": "../s%d.raw 0 8 1"})}, OUTSIDE),
    Attack("nrrd-pattern-of-strings", {"x.nhdr": nrrd(b"", {"data file": "%s 0 8 1"})}, "pattern"),
    Attack(
        "nrrd-link-outside", {"x.nhdr": nrrd(b"", {"data file": "x.raw"})}, OUTSIDE, {"x.raw": "/dev/zero"}
    ),
    Attack("nrrd-attached-outside", {"x.nrrd": nrrd(b"", {"data file": "/dev/zero"})}, OUTSIDE),
]


@pytest.mark.parametrize("attack", [*NIFTI, *METAIMAGE, *NRRD], ids=lambda attack: attack.name)
def test_volume_is_read_or_refused_in_one_message(
    attack: Attack, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = attack.write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    if attack.message:
        with pytest.raises(ImageError, match=attack.message) as caught:
            read_image(path)
        assert re.match(re.escape(str(path)), str(caught.value)), "the message begins with the file"
        assert len(str(caught.value).splitlines()) == 1
    else:
        image = read_image(path)
        assert image.GetSize() == SHAPE
        assert np.array_equal(sitk.GetArrayFromImage(image), voxels())
    assert capfd.readouterr() == ("", "")
    assert sorted(tmp_path.rglob("*")) == before, "nothing is left behind"
