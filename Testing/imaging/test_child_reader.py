"""Volumes read in a child process: the same image, and one message whatever a file does to the child."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging import child_reader
from MissingModalityLib.imaging.volumes import read_channel, read_here, read_image
from MissingModalityLib.runtime import processes
from MissingModalityLib.runtime.limited_child import ChildEnded, LimitedChild
from processes import environment
from raw_volumes import DATA, nifti, packed_nifti, voxels

KINDS = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_child_returns_what_this_process_would_read(tmp_path: Path, kind: type) -> None:
    image = sitk.GetImageFromArray((voxels() % 100).astype(kind))
    image.SetSpacing((0.1, 1 / 3, 5))
    image.SetOrigin((-1e-7, 1e5, 2 / 7))
    image.SetDirection((0, 0, -1, 1, 0, 0, 0, 1, 0))
    path = tmp_path / "x.mha"
    sitk.WriteImage(image, str(path))
    apart, here = read_image(path), read_here(path)
    assert np.array_equal(sitk.GetArrayFromImage(apart), sitk.GetArrayFromImage(here))
    for fact in ("GetPixelID", "GetSpacing", "GetOrigin", "GetDirection", "GetSize"):
        assert getattr(apart, fact)() == getattr(here, fact)(), fact


def test_a_channel_is_read_there_too(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").write_bytes(packed_nifti(DATA + bytes(len(DATA)), dim=(4, 11, 10, 9, 2, 1, 1, 1)))
    assert np.array_equal(sitk.GetArrayFromImage(read_channel(tmp_path / "x.nii.gz", 0)), voxels())
    assert not sitk.GetArrayFromImage(read_channel(tmp_path / "x.nii.gz", 1)).any()


def test_names_relative_to_where_the_program_is_now_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "ü \udcff"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Path("x.nii").write_bytes(nifti())
        assert read_image(Path("x.nii")).GetSize() == (11, 10, 9)
        with pytest.raises(ImageError, match=r"^y\.nii does not exist"):
            read_image(Path("y.nii"))


@pytest.mark.parametrize(
    "how", ["was ended by the system (SIGSEGV)", "did not come to an end within 120 seconds"]
)
def test_a_file_that_ends_the_child_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def ended(*_: object) -> None:
        raise ChildEnded(how)

    path = tmp_path / "x.nii"
    path.write_bytes(nifti())
    with monkeypatch.context() as patch:
        patch.setattr(LimitedChild, "ask", ended)
        with pytest.raises(ImageError) as caught:
            read_image(path)
    assert str(caught.value).startswith(str(path)) and how in str(caught.value)
    assert read_image(path)


def test_where_no_child_can_be_started_volumes_are_read_here_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.nii").write_bytes(nifti())
    monkeypatch.setattr(child_reader, "_child", LimitedChild("MissingModalityLib.imaging.reader_child", 30))
    monkeypatch.setattr(processes, "python_executable", lambda: "/nowhere/python")
    with pytest.warns(RuntimeWarning, match="without limits"):
        image = read_image(tmp_path / "x.nii")
    assert np.array_equal(sitk.GetArrayFromImage(image), voxels())


def test_an_answer_of_another_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reply = {"size": [11, 10, 9], "kind": "<i2"}
    monkeypatch.setattr(LimitedChild, "ask", lambda *_: (reply, bytearray(DATA[2:])))
    with pytest.raises(ImageError, match="something else"):
        read_image(tmp_path / "x.nii")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_a_volume_larger_than_its_memory_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "x.nii"
    path.write_bytes(nifti(bytes(300**3 * 2), dim=(3, 300, 300, 300, 1, 1, 1, 1)))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from MissingModalityLib.core.errors import ImageError\n"
        "from MissingModalityLib.imaging.volumes import read_here\n"
        "from MissingModalityLib.runtime.limited_child import memory_limit\n"
        "for part in (0.5, 4):\n"
        "    try:\n"
        "        limit = lambda stated: memory_limit(int(part * stated) + (8 << 20))\n"
        "        print(read_here(Path(sys.argv[1]), limit=limit).GetSize())\n"
        "    except ImageError as error:\n"
        "        print(error)\n"
    )
    # a process of its own: one that has lived long has room that it does not use
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    refused, read = done.stdout.splitlines()
    assert "cannot be read" in refused and read == "(300, 300, 300)"
