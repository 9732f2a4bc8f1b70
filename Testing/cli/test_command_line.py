"""The command line as people use it: results, messages, exit codes."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import exit_code, run_child
from MissingModalityLib import __version__
from MissingModalityLib.__main__ import build_parser, main
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.progress import Event
from MissingModalityLib.evaluation.hd95_rules import HD95_RULES
from MissingModalityLib.inference import segment_files as segmentation
from MissingModalityLib.training.describe import describe_settings
from small_networks import write_student
from small_patient import brain_volume, write_brain
from volume_headers import write_nifti


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


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([command, "--help"] for command in ("segment", "train", "synthesize"))],
)
def test_help_needs_nothing_heavy(arguments):
    code = (
        "import sys\nfrom MissingModalityLib.__main__ import main\n"
        f"try: main({arguments})\nexcept SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'monai', 'SimpleITK', 'scipy', 'matplotlib'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    result = run_child(code=code)
    assert result.returncode == 0, result.stderr
    assert (__version__ if "--version" in arguments else "usage: missing-modality") in result.stdout


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


@pytest.mark.parametrize("package", ["torch", "monai", "safetensors"])
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


@pytest.mark.parametrize("command", [["phantom", "--output", "o"], ["compare", "a=b"]])
def test_commands_without_progress_do_not_offer_it(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code([*command, "--progress", "json"]) == 2
    assert "--progress" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_lists_the_settings_of_train_and_the_rules_of_evaluate(capsys):
    assert exit_code(["train", "--help-settings"]) == 0
    assert capsys.readouterr().out.strip() == describe_settings()
    assert exit_code(["evaluate", "--help"]) == 0
    help_text = capsys.readouterr().out
    assert all(rule in help_text for rule in HD95_RULES)
    assert (
        exit_code(["evaluate", "--student", "s", "--data", "d", "--output", "o", "--hd95-rule", "best"]) == 2
    )
    assert "penalty" in capsys.readouterr().err


def test_help_lists_methods_of_other_packages_without_importing_them(tmp_path, monkeypatch):
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('boom')")
    monkeypatch.setenv("MISSINGMODALITY_PLUGINS", "method.mine=broken_plugin:Mine")
    code = (
        f"import sys\nsys.path.append({str(tmp_path)!r})\nfrom MissingModalityLib.__main__ import main\n"
        "main(['train', '--help-settings'])"
    )
    result = run_child(code=code)
    assert result.returncode == 0 and "mine.OPTION" in result.stdout, result.stderr


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


NEAREST = {
    "an option": (["segment", "--flare", "f"], "unknown option --flare; did you mean --flair?", "segment"),
    "a command": (["segment_folder"], "did you mean segment-folder?", ""),
    "a part of a command": (["seg"], "did you mean segment?", ""),
    "an option of a command without more": (["cases", "--dta", "d"], "did you mean --data?", "cases"),
    "a setting as an option": (["train", "--learning-rate", "1"], "give --set learning_rate=VALUE", "train"),
    "a choice": (
        ["train", "--preset", "lite"],
        "'lite' is unknown; did you mean light? (choose from",
        "train",
    ),
    "an option that a command never had": (
        ["evaluate", "--subsets", "x"],
        "unknown option --subsets",
        "evaluate",
    ),
    "two words where one may stand": (["cases", "a", "b"], "unexpected argument 'b'", "cases"),
}


@pytest.mark.parametrize("what", NEAREST)
def test_what_is_not_there_is_answered_with_the_nearest_and_the_right_help(what, capsys):
    arguments, expected, command = NEAREST[what]
    assert exit_code(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error and f"(see missing-modality {command}".rstrip() in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("option", ["--t1c", "--t1gd", "--T1CE", "--t1post"])
def test_sequences_are_options_by_their_other_names(option):
    options = build_parser().parse_args(["segment", option, "a", "-o", "out"])
    assert options.inputs == {Modality.T1CE: Path("a")} and options.output == Path("out")


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


@pytest.mark.parametrize(
    "year", [*("brats2017", "brats2018", "brats2019", "BraTS2020", "brats2021", "brats2022")]
)
def test_years_that_number_alike_are_names_of_one_convention(year):
    parse = build_parser().parse_args
    assert parse(["cases", "d", "--convention", year]).convention == "brats2021"
    assert parse(["segment", "-o", "x", "--labels", year]).labels == "brats2021"


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


@pytest.mark.parametrize("command", [name for name in build_parser().commands])
def test_every_help_ends_in_examples_that_can_be_typed(command, capsys):
    assert exit_code(["help", command]) == 0
    _, _, examples = capsys.readouterr().out.partition("\nExamples:\n")
    lines = [line.strip() for line in examples.splitlines()]
    assert lines and all(line.startswith("missing-modality ") for line in lines)
    for line in lines:
        build_parser().parse_args(line.split()[1:])


def test_the_help_of_train_begins_with_the_four_options_that_matter(capsys):
    assert exit_code(["train", "--help"]) == 0
    _, _, groups = capsys.readouterr().out.partition("what matters first:")
    first, _, _ = groups.partition("what is trained:")
    assert [word for word in ("--data", "--output", "--recipe", "--preset") if word in first] == [
        *("--data", "--output", "--recipe", "--preset")
    ]
    assert "--set" not in first


COMPLETED = {
    "missing-modality se": {"segment", "segment-folder", "series", "select"},
    "missing-modality train --preset ": {"paper", "light", "quick"},
}


@pytest.mark.parametrize("typed", COMPLETED)
def test_shells_complete_commands_and_options(typed, tmp_path):
    found = pytest.importorskip("argcomplete", reason="the extra 'completion' is not installed")
    answer = tmp_path / "answer"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer)}
    asked |= {"COMP_LINE": typed, "COMP_POINT": str(len(typed)), "COMP_TYPE": "9"}
    code = (
        f"import os, sys; sys.path.append({str(Path(found.__file__).parents[1])!r})\n"
        f"os.environ.update({asked!r})\nfrom MissingModalityLib.__main__ import main; main([])"
    )
    run_child(code=code)
    assert set(answer.read_text().split()) == COMPLETED[typed]
