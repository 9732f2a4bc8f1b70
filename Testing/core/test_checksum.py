"""A .safetensors file of ours in which a single bit has changed is found out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save

from MissingModalityLib.core.checksum import check_checksum, with_checksum

ARRAYS = {"b": np.arange(50, dtype=np.float32), "a": np.ones((2, 3), np.uint8)}
TEXTS = {"z": "0" * 64, "name": "H\u00f6hle"}


def test_arrays_and_texts_are_what_they_were(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(with_checksum(save(ARRAYS, TEXTS)))
    assert check_checksum(path)
    found = load(path.read_bytes())
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
    with safe_open(path, "np") as file:
        assert {key: text for key, text in file.metadata().items() if key in TEXTS} == TEXTS


def test_the_same_content_gives_the_same_bytes() -> None:
    assert with_checksum(save(ARRAYS, TEXTS)) == with_checksum(save(ARRAYS, dict(reversed(TEXTS.items()))))


@pytest.mark.parametrize("place", [45, 120, -1, -60, -205])
def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path, place: int) -> None:
    content = bytearray(with_checksum(save(ARRAYS, TEXTS)))
    content[place] ^= 1
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not those that were written"):
        check_checksum(path)


def test_bytes_at_the_end_are_found_lost_or_too_many(tmp_path: Path) -> None:
    content = with_checksum(save(ARRAYS))
    for other in (content[:-1], content + b"x"):
        (tmp_path / "file.safetensors").write_bytes(other)
        with pytest.raises(ValueError, match="not those that were written"):
            check_checksum(tmp_path / "file.safetensors")


@pytest.mark.parametrize("content", [save(ARRAYS, TEXTS), b"", b"text"])
def test_a_file_without_checksum_is_left_to_its_reader(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.safetensors").write_bytes(content)
    assert not check_checksum(tmp_path / "file.safetensors")
