"""Input that cannot be used ends a command with one message, exit code 2 and no output."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import exit_code, run_child
from MissingModalityLib.__main__ import main
from small_networks import write_student
from small_patient import brain_volume, write_brain
from volume_headers import write_nifti


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("This is not an image.\n" * 100)


def truncated(path: Path) -> None:
    write_brain(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def volume(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        sitk.WriteImage(sitk.GetImageFromArray(change(sitk.GetArrayFromImage(brain_volume()))), str(path))

    return write


def four_dimensional(path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([brain_volume(seed) for seed in range(3)]), str(path))


def colored(path: Path) -> None:
    gray = sitk.Cast(brain_volume(), sitk.sitkUInt8)
    sitk.WriteImage(sitk.Compose(gray, gray, gray), str(path))


def nifti(**fields: tuple[float, ...]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(gzip.compress(write_nifti(path.with_suffix(""), **fields).read_bytes()))
        path.with_suffix("").unlink()

    return write


def one_nan(array: np.ndarray) -> np.ndarray:
    array[10, 11, 12] = np.nan
    return array


UNUSABLE = {
    "absent": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty file": empty,
    "text": text,
    "truncated": truncated,
    "4-D": four_dimensional,
    "RGB": colored,
    "two slices": volume(lambda array: array[10:12]),
    "zeros": volume(lambda array: array * 0),
    "constant": volume(lambda array: array * 0 + 7),
    "NaN": volume(lambda array: np.where(array > 0, np.nan, array)),
    "one NaN": volume(one_nan),
    "1e300": volume(lambda array: np.where(array > 0, 1e300, array.astype(np.float64))),
    "sform elsewhere": nifti(codes=(1, 1), quaternion=(0, 0, 0, 0, 0, 0)),
    "spacing of 0": nifti(pixdim=(1, 6, 6, 0, 0, 0, 0, 0)),
    "two spacings": nifti(pixdim=(1, 6, 1, 6, 0, 0, 0, 0)),
    "no orientation": nifti(codes=(0, 0)),
    "sheared": nifti(
        sform=np.array([[6, 1, 0, 0], [0, 6, 0, 0], [0, 0, 6, 0], [0, 0, 0, 1.0]]),
        pixdim=(1, 6, 37**0.5, 6, 0, 0, 0, 0),
    ),
    "label map": volume(lambda array: (array > 0).astype(np.uint8) * 2),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_unusable_volume_gives_one_message_and_no_output(what, flair, student, tmp_path, capfd):
    broken = tmp_path / "t1ce.nii.gz"
    UNUSABLE[what](broken)
    output = tmp_path / "tumor.nii.gz"
    output.write_bytes(b"an earlier result")
    before = sorted(tmp_path.iterdir())
    arguments = ["segment", "--flair", flair, "--t1ce", broken, "--output", output, "--student", student]
    arguments += ["--overwrite", "--device", "cpu", "--progress", "none"]
    assert main([*map(str, arguments)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"missing-modality: error: {broken}"), err
    assert err.count("error:") == 1 and "Traceback" not in err and len(err.splitlines()) == 1
    assert output.read_bytes() == b"an earlier result"
    assert sorted(tmp_path.iterdir()) == before


def wrong_student(path: Path) -> None:
    path.write_text("not a network")


def truncated_student(path: Path) -> None:
    write_student(path)
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("damage", [wrong_student, truncated_student, lambda path: None])
def test_unusable_student_gives_one_message(damage, flair, tmp_path, capfd):
    path = tmp_path / "s.safetensors"
    damage(path)
    output = tmp_path / "tumor.nii.gz"
    arguments = ["segment", "--flair", flair, "--output", output, "--student", path, "--progress", "none"]
    assert main(list(map(str, arguments))) == 2
    err = capfd.readouterr().err
    assert str(path) in err and "Traceback" not in err and len(err.splitlines()) == 1
    assert not output.exists()


WRONG_OPTIONS = {
    "no volume": (["--output", "OUT"], "at least one of --flair"),
    "same volume twice": (["--flair", "FLAIR", "--t1", "FLAIR", "--output", "OUT"], "as FLAIR and as T1"),
    "same option twice": (["--flair", "FLAIR", "--flair", "x", "--output", "OUT"], "--flair was given twice"),
    "folder absent": (["--flair", "FLAIR", "--output", "none/out.nii.gz"], "does not exist"),
    "unknown suffix": (["--flair", "FLAIR", "--output", "tumor.png"], "unknown kind of output"),
    "no output": (["--flair", "FLAIR"], "--output"),
    "unknown option": (["--flare", "FLAIR", "--output", "OUT"], "--flare"),
    "shortened option": (["--t", "FLAIR", "--output", "OUT"], "--t"),
    "unknown labels": (["--flair", "FLAIR", "--output", "OUT", "--labels", "brats"], "brats2021"),
    "unknown progress": (["--flair", "FLAIR", "--output", "OUT", "--progress", "dots"], "json"),
    "unknown device": (["--flair", "FLAIR", "--output", "OUT", "--device", "tpu"], "tpu"),
    "absent device": (["--flair", "FLAIR", "--output", "OUT", "--device", "cuda:99"], "cuda:99"),
}


@pytest.mark.parametrize("what", WRONG_OPTIONS)
def test_wrong_options_give_one_message_and_exit_code_2(what, flair, student, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, expected = WRONG_OPTIONS[what]
    names = {"FLAIR": str(flair), "OUT": "tumor.nii.gz"}
    before = sorted(tmp_path.iterdir())
    code = exit_code(["segment", *(names.get(text, text) for text in arguments), "--student", str(student)])
    out, err = capsys.readouterr()
    assert code == 2 and out == ""
    assert err.startswith("missing-modality: error: ") and expected in err, err
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_message_has_no_traceback_in_a_real_process(tmp_path):
    result = run_child("cases", tmp_path / "absent")
    assert result.returncode == 2
    assert result.stderr.startswith("missing-modality: error: ") and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "--data", "absent", "--output", "cache"],
        ["synthesize", "--data", "absent", "--output", "synthetic"],
        ["train", "--data", "absent", "--output", "run"],
        ["train", "--data", "absent", "--output", "run", "--recipe", "nonsense"],
        ["export", "--run", "absent", "--output", "s.safetensors"],
        ["evaluate", "--student", "absent", "--data", "absent", "--output", "table"],
        ["segment", "--flair", "absent.nii.gz", "--output", "out.nii.gz"],
    ],
)
def test_every_command_refuses_absent_input_with_one_message(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--progress", "none"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("missing-modality: error: ") and len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())
