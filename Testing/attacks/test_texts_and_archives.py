"""Texts, archives and headers beside the volumes: pipes, devices, bombs and lies end in one sentence."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from MissingModalityLib.__main__ import main
from MissingModalityLib.core.errors import (
    CaseError,
    ImageError,
    MissingModalityError,
    OptionError,
    StudentError,
)
from MissingModalityLib.core.files import read_text, safetensors_header
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.prepared import prepared_cases
from MissingModalityLib.evaluation.evaluate import read_evaluation
from MissingModalityLib.evaluation.rows_file import read_rows
from MissingModalityLib.imaging.arrays import as_volume
from MissingModalityLib.imaging.cache import cache_case, stored, write_arrays
from MissingModalityLib.imaging.prepared import VERSION
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.request_checks import check_output
from MissingModalityLib.inference.student import Student
from MissingModalityLib.synthesis.label_maps import find_label_maps
from MissingModalityLib.training import log
from MissingModalityLib.training.checkpoints import read_checkpoint, write_checkpoint
from MissingModalityLib.training.plan import make_plan, read_config
from MissingModalityLib.training.record import RunRecord
from MissingModalityLib.training.run_folder import RunFolder

READERS: dict[str, Callable[[Path], object]] = {
    "settings.yaml": read_config,
    "run.json": lambda path: RunRecord.read(RunFolder(path.parent)),
    "summary.json": lambda path: read_evaluation(path.parent),
    "cases.csv": read_rows,
    "maps.npz": lambda path: find_label_maps(path, (), "brats2021"),
    "names.txt": lambda path: find_label_maps(_maps(path.with_name("m.npz")), (str(path),), "brats2021"),
}
KINDS: dict[str, Callable[[Path], object]] = {
    "device": lambda path: path.symlink_to("/dev/zero"),
    "pipe": lambda path: os.mkfifo(path),
    "folder": Path.mkdir,
    "link that leads nowhere": lambda path: path.symlink_to(path.with_name("absent")),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
}


def _maps(path: Path, **changed: np.ndarray) -> Path:
    """An archive of one label map."""
    arrays = {
        "seg": np.ones((1, 9, 9, 9), np.uint8),
        "patient": np.array(["one"]),
        "spacing": np.ones(3),
        **changed,
    }
    np.savez(path, **arrays)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_text_is_refused_at_once(name: str, kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / name)
    with pytest.raises(MissingModalityError) as caught:
        READERS[name](tmp_path / name)
    assert str(tmp_path) in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_text_that_is_far_too_long_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="at most"):
        read_text(tmp_path / "x.json")


def test_a_log_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to("/dev/zero")
    with pytest.raises(CaseError, match="device or a pipe"):
        log.read(RunFolder(tmp_path))


def test_a_checkpoint_that_unpacks_to_far_more_is_not_unpacked(tmp_path: Path) -> None:
    state = {"stage": "train", "epoch": 1, "network": {"weight": torch.zeros(2)}}
    write_checkpoint(RunFolder(tmp_path), state)
    path = tmp_path / "checkpoint.pt"
    assert read_checkpoint(RunFolder(tmp_path))["epoch"] == 1
    with zipfile.ZipFile(path) as sound:
        content = {name: sound.read(name) for name in sound.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in content.items():
            packed.writestr(name, data)
        packed.writestr(f"{name.split('/')[0]}/data/9", bytes(1 << 24))
    with pytest.raises(StudentError, match="is packed"):
        read_checkpoint(RunFolder(tmp_path))


@pytest.mark.parametrize("header", [1 << 23, 1 << 26])
def test_a_safetensors_file_with_an_endless_header_is_not_parsed(header: int, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", header + 8) + b'{"__metadata__": {"x": "y"}}')
        file.truncate(header + 99)
    with pytest.raises(ValueError, match="at most 8388608"):
        safetensors_header(path)
    for read in (read_card, Student.load):
        with pytest.raises(StudentError, match="at most 8388608"):
            read(path)
    assert stored(path) is None


def _member(shape: tuple[int, ...], kind: str, data: bytes = b"", version: int = 1) -> bytes:
    """A .npy file whose header says what it likes."""
    text = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("patient", _member((10**12,), "<U1")),
        ("patient", _member((1 << 26,), "<U1")),
        ("patient", _member((-1,), "<U1", b"abcd")),
        ("patient", _member((1,), "|O", b"abcd")),
        ("patient", _member((1,), "<f8", bytes(8))),
        ("patient", _member((1, 1), "<U1", b"a\0\0\0")),
        ("spacing", _member((10**11,), "<f8")),
        ("spacing", _member((3,), "<f8", struct.pack("<3d", 1, float("nan"), 1))),
        ("spacing", _member((3,), "<f8", struct.pack("<3d", 1, -1, 1))),
        ("spacing", _member((3,), "<f8", struct.pack("<3d", 1, 99, 1))),
        ("spacing", _member((2,), "<f8", bytes(16))),
        ("seg", _member((1, 10**5, 10**5, 10**5), "|u1")),
        ("seg", _member((1, -9, 9, 9), "|u1")),
        ("seg", _member((1, 9, 9, 9), "|u1", bytes(99))),
        ("seg", _member((1, 9, 9, 9), "|u1", bytes(729), version=9)),
        ("seg", _member((1, 9, 9, 9), "<U1", bytes(2916))),
        ("seg", b"\x93NUMPY\1\0" + struct.pack("<H", 20) + b"__import__('os')\n   "),
    ],
)
def test_an_archive_of_label_maps_that_lies_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    _maps(tmp_path / "sound.npz")
    with zipfile.ZipFile(tmp_path / "sound.npz") as sound, zipfile.ZipFile(tmp_path / "x.npz", "w") as made:
        for entry in sound.namelist():
            made.writestr(entry, content if entry == f"{name}.npy" else sound.read(entry))
    with pytest.raises(ImageError, match="no archive of label maps") as caught:
        find_label_maps(tmp_path / "x.npz", (), "brats2021")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("place", "value"), [(8, b"\1"), (10, b"\x63")], ids=["encrypted", "packed otherwise"]
)
def test_a_zip_that_no_array_can_be_taken_out_of_is_refused(place: int, value: bytes, tmp_path: Path) -> None:
    content = bytearray(_maps(tmp_path / "x.npz").read_bytes())
    for mark, earlier in ((b"PK\1\2", 0), (b"PK\3\4", 2)):
        at = content.find(mark)
        while at >= 0:
            content[at + place - earlier : at + place - earlier + 1] = value
            at = content.find(mark, at + 1)
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ImageError, match="no archive of label maps"):
        find_label_maps(tmp_path / "x.npz", (), "brats2021")


@pytest.mark.parametrize("epoch", [-1, True, 2.0])
def test_a_checkpoint_of_no_epoch_is_refused(epoch: object, tmp_path: Path) -> None:
    write_checkpoint(RunFolder(tmp_path), {"stage": "train", "epoch": epoch, "network": {}})
    with pytest.raises(StudentError, match="its epoch is"):
        read_checkpoint(RunFolder(tmp_path))


@pytest.fixture(scope="module")
def sound_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's record."""
    folder = tmp_path_factory.mktemp("run")
    contents = {"a": {"FLAIR": "0" * 64}}
    plan = make_plan(preset="quick")
    RunRecord("data", {"a": "FLAIR"}, ("a",), plan, contents=contents).write(RunFolder(folder))
    return folder


@pytest.mark.parametrize(
    "changed",
    [
        {"validation": [["a"]]},
        {"cases": {"a": 5}},
        {"voxels_sha256": {"a": "b"}},
        {"left_out": [1]},
        {"left_out": [{"name": 1, "reason": "b"}]},
        {"warnings": ["a"]},
        {"versions": {"torch": 2}},
        {"folds": 5, "fold": 5},
        {"folds": 5, "fold": -1},
        {"folds": 5},
        {"settings": {"stages": {f"s{number}": {} for number in range(60)}}},
    ],
    ids=lambda changed: json.dumps(changed)[:40],
)
def test_a_record_of_a_run_that_nothing_has_written_is_refused(
    changed: dict[str, object], sound_record: Path, tmp_path: Path
) -> None:
    shutil.copy(sound_record / "run.json", tmp_path)
    content = json.loads((tmp_path / "run.json").read_text())
    assert RunRecord.read(RunFolder(tmp_path)).cases == content["cases"]
    (tmp_path / "run.json").write_text(json.dumps({**content, **changed}))
    with pytest.raises(CaseError, match=r"run\.json"):
        RunRecord.read(RunFolder(tmp_path))


def test_a_plan_of_thousands_of_stages_is_refused_before_they_are_made(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("stages:\n" + "".join(f"  s{number}: {{}}\n" for number in range(60)))
    with pytest.raises(OptionError, match="60 stages"):
        read_config(tmp_path / "x.yaml")


def test_settings_that_hold_themselves_are_refused() -> None:
    settings: dict[str, object] = {}
    settings["train"] = settings
    with pytest.raises(OptionError, match="nest too deep"):
        make_plan(settings=settings)


def test_an_array_of_more_values_than_any_memory_has_is_refused() -> None:
    with pytest.raises(ImageError, match="3000x3000x3000"):
        as_volume(np.broadcast_to(np.float32(1), (3000, 3000, 3000)), "FLAIR", spacing=(1, 1, 1))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such device")
def test_a_log_on_a_full_disk_costs_no_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "flair.nii.gz").touch()
    assert main(["cases", str(tmp_path), "--log-file", "/dev/full"]) == 0
    said = capfd.readouterr()
    assert "1 case in" in said.out and said.err.count("the log ends here") == 1 and said.err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_a_log_that_nobody_reads_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "log")
    assert main(["cases", str(tmp_path), "--log-file", str(tmp_path / "log")]) == 2
    assert "a pipe, not a file" in capfd.readouterr().err


def test_an_output_with_a_zero_in_its_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"a\\x00\.nii\.gz"):
        check_output(tmp_path / "a\0.nii.gz", "classes", ())


@pytest.mark.parametrize(
    "changed",
    [
        {"subset": '["FLAIR"]'},
        {"subset": '["FLAIR", "FLAIR"]'},
        {"subset": '["T1", "FLAIR"]'},
        {"cavity_voxels": "-5"},
        {"image": np.zeros((2, 4, 5, 6), np.float32)},
        {"image": np.zeros((2, 4, 5, 7), np.float16)},
        {"label": np.zeros((4, 5, 6), np.int8)},
    ],
    ids=lambda changed: " ".join(f"{key} {str(value)[:20]!r}" for key, value in changed.items()),
)
def test_a_prepared_case_whose_header_lies_is_not_used(changed: dict[str, object], tmp_path: Path) -> None:
    arrays = {
        "image": np.zeros((2, 4, 5, 6), np.float16),
        "label": np.zeros((4, 5, 6), np.uint8),
        "tumor": np.zeros((0, 4), np.int16),
    }
    header = {"case": "a", "fingerprint": "f", "subset": '["FLAIR", "T1"]', "preparation": str(VERSION)}
    write_arrays(tmp_path / "a.safetensors", arrays, header)
    (case,), _ = prepared_cases(tmp_path)
    assert cache_case(case, tmp_path / "out").subset == (Modality.FLAIR, Modality.T1)
    other = {key: value for key, value in changed.items() if isinstance(value, np.ndarray)}
    write_arrays(tmp_path / "a.safetensors", arrays | other, header if other else header | changed)
    with pytest.raises(CaseError, match="is damaged"):
        cache_case(case, tmp_path / "out")
