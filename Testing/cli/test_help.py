"""What the command line answers: help, examples, completions, and names that are nearly right."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import exit_code, run_child
from MissingModalityLib import __version__
from MissingModalityLib.__main__ import build_parser
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.evaluation.hd95_rules import HD95_RULES
from MissingModalityLib.training.describe import describe_settings


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


@pytest.mark.parametrize(
    "year", [*("brats2017", "brats2018", "brats2019", "BraTS2020", "brats2021", "brats2022")]
)
def test_years_that_number_alike_are_names_of_one_convention(year):
    parse = build_parser().parse_args
    assert parse(["cases", "d", "--convention", year]).convention == "brats2021"
    assert parse(["segment", "-o", "x", "--labels", year]).labels == "brats2021"


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
