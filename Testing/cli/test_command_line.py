"""The command line as people use it: results, messages, exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import exit_code, run_child
from MissingModalityLib.__main__ import build_parser, main
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.progress import Event
from MissingModalityLib.inference import segment_files as segmentation
from small_patient import write_brain


def test_segment_writes_result_and_report_and_says_what_it_used(flair, student, tmp_path, capsys):
    output = tmp_path / "tumor.nii.gz"
    arguments = ["segment", "--flair", flair, "--output", output, "--student", student, "--device", "cpu"]
    assert main([*map(str, arguments), "--progress", "none"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert (
        "Used FLAIR on cpu" in out
        and "Volumes in cm³: necrotic/non-enhancing tumor core (NCR) " in out
        and f"Wrote {output}" in out
    )
    assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(output))))) <= {0, 1, 2, 3}
    assert json.loads((tmp_path / "tumor.nii.gz.report.json").read_text())["modalities"] == "FLAIR"


def test_brats2021_writes_4_where_classes_has_3(flair, student, tmp_path):
    arrays = {}
    for labels in ("classes", "brats2021"):
        path = tmp_path / f"{labels}.nrrd"
        arguments = ["segment", "--flair", flair, "--output", path, "--student", student, "--labels", labels]
        assert main([*map(str, arguments), "--device", "cpu", "--progress", "none"]) == 0
        arrays[labels] = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert (arrays["classes"] == 3).any()
    assert np.array_equal(arrays["classes"] == 3, arrays["brats2021"] == 4)
    assert np.array_equal(arrays["classes"] == 2, arrays["brats2021"] == 2)


def test_as_a_program_it_prints_nothing_but_json_lines_when_asked(flair, student, tmp_path):
    output = tmp_path / "tumor.seg.nrrd"
    arguments = ("--flair", flair, "--output", output, "--student", student, "--device", "cpu")
    result = run_child("segment", *arguments, "--progress", "json")
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert {Event.from_json(record).stage for record in records[:-1]} >= {"read", "segment", "write"}
    assert records[-1]["event"] == "result"
    assert records[-1]["result"] == json.loads((tmp_path / "tumor.seg.nrrd.report.json").read_text())


def test_volumes_keep_the_order_of_the_command_line():
    parse = build_parser().parse_args
    options = parse(["segment", "--t2", "a", "--output", "o", "--flair", "b", "--t1ce", "c"])
    assert list(options.inputs.items()) == [
        (Modality.T2, Path("a")),
        (Modality.FLAIR, Path("b")),
        (Modality.T1CE, Path("c")),
    ]
    assert parse(["segment", "--output", "o"]).inputs == {}


def test_interrupt_ends_quietly_with_130(flair, student, tmp_path, monkeypatch, capsys):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(segmentation, "segment_files", interrupt)
    assert main(["segment", "--flair", str(flair), "--output", "o.nii.gz", "--progress", "none"]) == 130
    assert capsys.readouterr().err == ""


def test_a_bug_keeps_its_traceback():
    code = (
        "import sys; from MissingModalityLib import __main__\n"
        "from MissingModalityLib.datasets import discovery\n"
        "discovery.find_cases = lambda *_: 1 / 0\n"
        "sys.exit(__main__.main(['cases', '.']))"
    )
    result = run_child(code=code)
    assert result.returncode == 1
    assert "Traceback" in result.stderr and "ZeroDivisionError" in result.stderr


def test_package_is_light_and_brings_its_public_names_when_asked():
    code = (
        "import sys, MissingModalityLib as library\n"
        "assert not {'torch', 'SimpleITK', 'numpy'} & sys.modules.keys()\n"
        "assert callable(library.segment_files) and library.Modality.FLAIR == 0\n"
        "assert 'Student' in dir(library) and not hasattr(library, 'nonsense')\n"
        "for name in library.__all__: getattr(library, name)"
    )
    result = run_child(code=code)
    assert result.returncode == 0, result.stderr


def test_cases_lists_what_a_folder_holds(tmp_path, capsys):
    folder = tmp_path / "BraTS2021_00001"
    folder.mkdir()
    for modality in ("flair", "t1ce"):
        write_brain(folder / f"BraTS2021_00001_{modality}.nii.gz")
    assert main(["cases", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "1 case in" in out and "FLAIR+T1ce: 1" in out


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_a_package_that_is_not_installed_is_named_with_the_remedy(package, tmp_path):
    arguments = ["segment", "--t2", str(tmp_path / "t2.nii"), "--output", "o.nii", "--progress", "json"]
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from MissingModalityLib.__main__ import main; sys.exit(main({arguments}))"
    )
    result = run_child(code=code)
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(
        f"missing-modality: error: The Python package '{package}' is not installed."
    )
    for remedy in ("extension PyTorch", "press Apply", f"pip install {package}"):
        assert remedy in result.stderr


def test_a_module_of_our_own_that_is_absent_is_a_bug(monkeypatch):
    monkeypatch.setitem(sys.modules, "MissingModalityLib.datasets.discovery", None)
    with pytest.raises(ModuleNotFoundError):
        main(["cases", "."])


def test_settings_of_train_are_pairs(capsys):
    parse = build_parser().parse_args
    options = parse(
        ["train", "--data", "d", "--output", "r", "--set", "epochs=3", "patch_size=48", "--set", "a=b=c"]
    )
    assert dict(options.settings) == {"epochs": "3", "patch_size": "48", "a": "b=c"}
    assert (options.recipe, options.preset, options.resume, options.seed) == ("baseline", "paper", False, 0)
    assert exit_code(["train", "--data", "d", "--output", "r", "--set", "epochs"]) == 2
    assert "KEY=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["-1", "1.5", "many", ""])
def test_seeds_are_whole_numbers_from_0(wrong, capsys):
    assert exit_code(["phantom", "--output", "o", f"--seed={wrong}"]) == 2
    assert exit_code(["train", "--data", "d", "--output", "r", f"--seed={wrong}"]) == 2
    assert capsys.readouterr().err.count("not a whole number of at least 0") == 2


def test_a_plan_that_is_shown_can_be_trained_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    chosen = ["--recipe", "aem-kd", "--network", "rfnet", "--stages", "train,posttrain", "--set", "epochs=7"]
    assert main(["train", *chosen, "--show-plan"]) == 0
    shown = capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    (tmp_path / "plan.yaml").write_text(shown)
    assert main(["train", "--config", "plan.yaml", "--show-plan"]) == 0
    assert capsys.readouterr().out == shown
    assert main(["train", "--config", "plan.yaml", "--set", "posttrain.batch=3", "--show-plan"]) == 0
    assert capsys.readouterr().out == "".join(
        line.replace("batch_size: 2", "batch_size: 3") if "posttrain:" in before else line
        for before, line in with_text_before(shown)
    )


def with_text_before(text):
    """Each line with all that stands before it."""
    lines = text.splitlines(keepends=True)
    return [("".join(lines[:number]), line) for number, line in enumerate(lines)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "plan.yaml", "--network", "rfnet"], "whole plan has its network"),
        (["--config", "plan.yaml", "--stages", "train"], "whole plan has its stages"),
        (
            ["--config", "plan.yaml", "--recipe", "aem"],
            "Leave out recipe=aem",
        ),
        (["--config", "plan.yaml", "--preset", "light"], "Leave out preset=light"),
        (["--resume"], "run.json"),
        (["--set", "epochs=2.5"], "epochs=2.5"),
    ],
)
def test_what_a_plan_cannot_be_shown_of_is_refused(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text("stages: {train: {epochs: 2}}")
    assert main(["train", *arguments, "--show-plan"]) == 2
    assert words in capsys.readouterr().err


def test_a_training_needs_a_folder_for_the_run(capsys):
    assert main(["train", "--data", "d"]) == 2
    assert "--output" in capsys.readouterr().err


def test_volumes_whose_names_tell_the_sequence_need_no_options(student, tmp_path, capsys):
    files = [write_brain(tmp_path / f"case_{name}.nii.gz", seed) for seed, name in enumerate(("t1c", "t2f"))]
    arguments = [
        "-o",
        tmp_path / "tumor.nii.gz",
        "--model",
        student,
        "--device",
        "cpu",
        "--stripping",
        "never",
    ]
    assert main(["segment", *map(str, ["-i", *files, *arguments, "--progress", "none"])]) == 0
    report = json.loads((tmp_path / "tumor.nii.gz.report.json").read_text())
    assert report["inputs"] == {"T1CE": str(files[0]), "FLAIR": str(files[1])}
    capsys.readouterr()
    assert exit_code(["segment", "-i", "scan7.nii", "-o", "x.nii"]) == 2
    assert "scan7.nii: which sequence is it? Neither name nor header tells" in capsys.readouterr().err


def test_a_file_of_another_origin_is_replaced_only_when_asked(flair, student, tmp_path, capsys):
    original = write_brain(tmp_path / "t2.nii.gz", seed=5)
    before = original.read_bytes()
    command = [
        "segment",
        "--flair",
        flair,
        "--output",
        original,
        "--student",
        student,
        "--device",
        "cpu",
        "-q",
    ]
    assert main([*map(str, command)]) == 2
    assert original.read_bytes() == before and "--overwrite" in capsys.readouterr().err
    assert main([*map(str, command), "--overwrite"]) == 0
    assert main([*map(str, command)]) == 0  # the report tells that it is a result now
    assert capsys.readouterr().out == ""


def test_every_folder_is_named_by_data_and_cases_takes_it_alone_too(tmp_path, capsys):
    write_brain(tmp_path / "x_flair.nii.gz")
    for arguments in (
        ["cases", str(tmp_path)],
        ["cases", "--data", str(tmp_path)],
        ["cases", "-i", str(tmp_path)],
    ):
        assert main(arguments) == 0
        assert "1 case in" in capsys.readouterr().out
    assert exit_code(["cases"]) == 2
    assert exit_code(["cases", "a", "--data", "b"]) == 2
    assert "'a' and 'b' are two folders" in capsys.readouterr().err


def test_how_much_is_said_and_kept(flair, student, tmp_path, capsys):
    log = tmp_path / "log.txt"
    command = [
        "segment",
        "--flair",
        flair,
        "-o",
        tmp_path / "a.nii.gz",
        "--student",
        student,
        "--device",
        "cpu",
    ]
    command = [*map(str, command), "--log-file", str(log)]
    assert main([*command, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and all(line.startswith("Warning: ") for line in err.splitlines())
    assert "segment 1/1" in log.read_text() and "Wrote" in log.read_text()
    assert main([*command, "-v"]) == 0
    assert "segment 1/1" in capsys.readouterr().err
    assert main([*command[:2], "absent.nii", *command[3:], "-q"]) == 2
    assert capsys.readouterr().err.count("error:") == 1
    assert "ImageError" in log.read_text() and "Traceback" in log.read_text()
