"""The documentation held against the program: commands parse, plans can be made, links lead somewhere."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import MissingModalityLib as mm
from checkout import ROOT
from MissingModalityLib.__main__ import build_parser
from MissingModalityLib.core.settings import with_changes
from MissingModalityLib.studies.registry import STUDIES
from small_cases import write_block_cases

DOCS = ROOT / "Resources" / "Docs"
MODELS = ROOT / "Resources" / "Models"
PAGES = (*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md")))
PROGRAM = re.compile(r"\bmissing-modality |-m MissingModalityLib ")


def commands(page: Path) -> list[str]:
    """What a page tells people to type: our program's options, without what stands before and around them."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    blocks = [line for line in text.splitlines() if PROGRAM.search(line) and "`" not in line]
    inline = [code for code in re.findall(r"`([^`\n]+)`", text) if PROGRAM.search(code)]
    found = [PROGRAM.split(line, maxsplit=1)[1] for line in (*blocks, *inline)]
    return [command for command in found if " " in command and not command.endswith("--help")]


COMMANDS = [(page.name, command) for page in PAGES for command in commands(page)]


def parse(command: str) -> argparse.Namespace:
    """The options; shell variables stand for 1."""
    return build_parser().parse_args(shlex.split(re.sub(r"\$\{?\w+\}?", "1", command), comments=True))


def plan_of(options: argparse.Namespace) -> mm.Plan:
    return mm.make_plan(
        options.recipe, options.network, options.preset, options.stages, dict(options.settings)
    )


def test_every_command_of_the_program_is_shown() -> None:
    listed = re.findall(r"^    ([a-z][\w-]*)(?: |$)", build_parser().format_help(), re.MULTILINE)
    assert {command.split()[0] for _, command in COMMANDS} == set(listed)


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands_parse_and_their_settings_make_a_plan(page: str, command: str) -> None:
    options = parse(command)
    name = command.split()[0]
    if name == "train" and page != "extending.md":  # whose packages are not installed here
        assert plan_of(options).stages
    elif name == "synthesize":
        with_changes(mm.SynthesisOptions(), dict(options.settings))


COMPARED = "train --data cases --output runs/"
"""How trainings for the paper's tables begin on their page."""


def test_the_papers_comparisons_are_what_they_claim() -> None:
    page = DOCS / "recipes.md"
    trainings = [parse(command) for command in commands(page) if command.startswith(COMPARED)]
    plans = {options.output.name: plan_of(options) for options in trainings}
    assert all(options.network == "rfnet" and options.preset == "paper" for options in trainings)
    full = plans["aem-kd"].stages
    assert list(plans["baseline"].stages) == ["train"]
    assert sum(stage.epochs for stage in full.values()) == plans["baseline-1500"].stages["train"].epochs
    for factor in (2, 4, 8):
        stages = plans[f"aem-x{factor}"].stages
        assert (stages["pretrain"].synthesis.factor, stages["pretrain"].synthesis.method) == (factor, "aem")
        assert stages["train"].synthesis.method == "none"
    assert plans["aem-x8"].stages == {name: full[name] for name in ("pretrain", "train")}
    mixed = plans["mixup"].stages["pretrain"]
    assert mixed == replace(full["pretrain"], synthesis=replace(full["pretrain"].synthesis, method="mixup"))
    synthetic = plans["synthetic"].stages
    assert synthetic["pretrain"] == full["pretrain"]
    assert (synthetic["train"].synthesis.method, synthetic["train"].synthesis.factor) == ("aem", 8)
    assert plans["synthetic-only-second"].stages["train"] == synthetic["train"]
    for name, subset in (("one-t1", "T1"), ("one-t1-t2", "T1+T2"), ("one-t1-t2-flair", "FLAIR+T1+T2")):
        stage = plans[name].stages["train"]
        assert stage == replace(
            plans["baseline"].stages["train"], training_subsets=(subset,), validation_subsets=(subset,)
        )
    for epochs in (300, 600, 900):
        stages = plans[f"kd{epochs}"].stages
        assert stages == {"posttrain": replace(full["posttrain"], epochs=epochs)}


@pytest.mark.slow
def test_the_papers_comparisons_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each for one step per stage; in the order of the page, as some begin with what others have left."""
    write_block_cases(tmp_path / "cases")
    monkeypatch.chdir(tmp_path)
    small = {
        "epochs": 1,
        "iterations_per_epoch": 1,
        "batch_size": 1,
        "patch_size": 32,
        "validation_fraction": 0,
        "network.width": 4,
    }
    for command in commands(DOCS / "recipes.md"):
        if not command.startswith(COMPARED):
            continue
        options = parse(command)
        asked = {
            key: value
            for key, value in options.settings
            if key.rpartition(".")[2] not in ("epochs", "batch_size")
        }
        run = mm.train(
            options.data,
            options.output,
            options.recipe,
            options.network,
            options.preset,
            options.stages,
            settings={**small, **asked},
            initial=options.initial,
            prepared=Path("prepared"),
            device="cpu",
        )
        assert {path.stem for path in run.glob("*.safetensors")} == set(plan_of(options).stages)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"


def anchors(page: Path) -> set[str]:
    """What links call the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


def test_every_page_is_in_the_index_and_readme_leads_there() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    listed = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^):#]+)\)", index)}
    assert {*PAGES, *MODELS.glob("*.md"), *DOCS.glob("site/*.md")} - {DOCS / "README.md"} <= listed
    assert "](Resources/Docs/README.md)" in (ROOT / "README.md").read_text("utf-8")


def test_the_reference_has_every_public_name_once() -> None:
    page = (DOCS / "site" / "api.md").read_text("utf-8")
    names = re.findall(r"^\.\. auto\w+:: (\w+)$", page, re.MULTILINE)
    # not __all__, which has other names of some functions too
    assert sorted(names) == sorted(mm._PUBLIC)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the site needs Sphinx: make docs")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-c", DOCS / "site", ROOT, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").read_bytes() == (tmp_path / "README.html").read_bytes()
    reference = (tmp_path / "Resources" / "Docs" / "site" / "api.html").read_text("utf-8")
    assert 'id="MissingModalityLib.segment"' in reference


def test_programs_and_tests_that_are_named_with_their_folder_are_there() -> None:
    """On pages, in the Makefile, and in what the code says of itself."""
    folders = [ROOT / name for name in ("MissingModalitySeg", "MissingModalityTrain", "Scripts", "Testing")]
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    for file in (*PAGES, ROOT / "Makefile", *sources):
        for name in re.findall(r"\b(?:Testing|Scripts)/[\w/]+\.py\b", file.read_text("utf-8")):
            assert (ROOT / name).is_file(), f"{file.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_python_and_names_are_public(page: Path) -> None:
    assert set(re.findall(r"\bmm\.(\w+)", page.read_text("utf-8"))) <= set(mm.__all__)
    for code in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        ast.parse(code)


def test_the_weights_of_joint_distillation_are_those_in_the_guide() -> None:
    """Columns: recipe mst-kd in the presets paper and light, recipe adamm likewise."""
    text = (DOCS / "distillation.md").read_text("utf-8")
    rows = re.findall(r"`joint\.(\w+)`" + r" \| ([\d.]+)" * 4 + r" \|", text)
    plans = [
        mm.make_plan(recipe, preset=preset) for recipe in ("mst-kd", "adamm") for preset in ("paper", "light")
    ]
    joint = [plan.stages["train"].joint for plan in plans]
    weights_of_terms = {
        name
        for name, value in asdict(joint[0]).items()
        if isinstance(value, float) and not re.search("entropy|temperature|rate", name)
    }
    assert {name for name, *_ in rows} == weights_of_terms
    for name, *weights in rows:
        assert [float(weight) for weight in weights] == [getattr(options, name) for options in joint], name


def test_parts_are_left_out_as_in_the_papers_table() -> None:
    """The guide's trainings of MST-KDNet without a part, and the rows of its Table 4."""
    trainings = [parse(command) for command in commands(DOCS / "distillation.md") if "/without-" in command]
    shown = {
        f"w/o {options.output.name.removeprefix('without-').upper()}": {
            key: float(value) for key, value in options.settings
        }
        for options in trainings
        if options.recipe == "mst-kd"
    }
    rows = {row.name: dict(row.training.settings) for row in STUDIES["mst-table4"].rows}
    assert shown == {name: settings for name, settings in rows.items() if settings}


def test_the_folds_models_that_are_named_are_their_last() -> None:
    page = DOCS / "cross-validation.md"
    trainings = [parse(command) for command in commands(page) if command.startswith("train --data")]
    for options in trainings:
        *_, last = plan_of(options).stages
        folds = rf"{re.escape(str(options.output))}/fold\S*?/(\w+)\.safetensors"
        assert set(re.findall(folds, page.read_text("utf-8"))) <= {last}


def test_every_picture_is_shown_on_some_page() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert set(re.findall(r"Screenshots/([\w.]+)\)", text)) == {
        path.name for path in (ROOT / "Resources" / "Screenshots").iterdir()
    }
