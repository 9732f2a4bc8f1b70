"""Voxels read in the wrong byte order are refused; sound ones, noisy or not, are not looked at twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.case import ImageFile
from MissingModalityLib.imaging.byte_order import is_byte_swapped
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import read_volumes
from volume_headers import head, write_metaimage, write_nrrd


@pytest.mark.parametrize("write", [write_metaimage, write_nrrd])
def test_a_header_that_states_the_wrong_byte_order_is_refused(write, tmp_path: Path) -> None:
    lines = {
        write_metaimage: ["ElementSpacing = 6 6 6", "TransformMatrix = 1 0 0 0 1 0 0 0 1", "Offset = 0 0 0"],
        write_nrrd: ["space: LPS", "space directions: (6,0,0) (0,6,0) (0,0,6)", "space origin: (0,0,0)"],
    }
    path = write(tmp_path / f"x{'.mha' if write is write_metaimage else '.nrrd'}", *lines[write])
    files = {Modality.T2: ImageFile(path)}
    assert prepare(read_volumes(files)).available.sum() == 1
    text = path.read_bytes()
    text = text.replace(b"OrderMSB = False", b"OrderMSB = True ").replace(b"endian: little", b"endian: big")
    path.write_bytes(text)
    with pytest.raises(ImageError, match="states the wrong byte order"):
        prepare(read_volumes(files))


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.int32, np.int64])
def test_every_kind_of_whole_number_is_told_from_its_reverse(kind: type) -> None:
    assert not is_byte_swapped(head().astype(kind))
    assert is_byte_swapped(head().astype(kind).byteswap())


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_bytes_and_fractions_are_not_judged(kind: type) -> None:
    assert not is_byte_swapped(head().astype(kind).byteswap())


def test_noise_either_way_is_not_called_so() -> None:
    noise = np.random.default_rng(0).integers(-999, 999, (16, 16, 16)).astype(np.int16)
    assert not is_byte_swapped(noise) and not is_byte_swapped(np.zeros((9, 9, 9), np.int16))
