"""The guide's network, method and recipe as installed packages, used by name to the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import LIBRARY
from command_line import exit_code
from guide import install

SMALL = ("epochs=1", "iterations_per_epoch=1", "batch_size=1", "validation_interval=1", "num_workers=0")


def in_child(site: Path, *arguments: object) -> None:
    """The command line in a process of its own, with the packages of a folder installed."""
    done = subprocess.run(
        [sys.executable, "-m", "MissingModalityLib", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(LIBRARY), str(site)))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def here(*arguments: object) -> int | str | None:
    """The command line in this process, which is faster to start."""
    return exit_code([*map(str, arguments), "--progress", "none"])


def training(cases: Path, output: Path, *further: str) -> list[object]:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    return ["train", "--data", cases, "--output", output, "--device", "cpu", *settings, *further]


def steps(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are installed, for this process and for its children."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for module in ("dynunet_plugin", "focal_plugin", "whole_first_plugin"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return folder


@pytest.mark.parametrize("section", ["A network", "A method", "A recipe", "A layout"])
def test_the_guides_code_is_short(site: Path, section: str) -> None:
    install(site, section)
    (module,) = site.glob("*.py")
    assert sum(1 for line in module.read_text().splitlines() if line.strip()) <= 30


def test_a_network_of_another_package_works_by_name_to_the_end(
    site: Path, tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    name = install(site, "A network")
    folder, student, tumor = (tmp_path / part for part in ("run", "student.safetensors", "tumor.nii.gz"))
    chosen = ("--network", "anydynunet", "--preset", "quick")
    in_child(site, *training(tiny_cases, folder, *chosen))
    assert here("train", "--output", folder, "--resume", "--set", "epochs=2") == 0
    assert [line["epoch"] for line in steps(folder)] == [1, 2]
    assert here("export", "--run", folder, "--output", student) == 0
    use = ("--student", student, "--device", "cpu")
    assert here("evaluate", "--data", tiny_cases, "--output", tmp_path / "scores", *use) == 0
    flair = next(tiny_cases.glob("patient_c/*flair*"))
    assert here("segment", "--flair", flair, "--output", tumor, *use) == 0
    assert tumor.is_file() and (tmp_path / "scores" / "summary.json").is_file()

    wrong = training(tiny_cases, tmp_path / "no", *chosen, "--set", "network.width=-8")
    assert here(*wrong) == 2 and "network.width=-8" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()

    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(site)])
    assert here("segment", "--flair", flair, "--output", tumor, *use) == 2
    assert f"package '{name}', which is not installed here" in capsys.readouterr().err


def test_a_method_of_another_package_works_by_name(
    site: Path, tiny_cases: Path, tmp_path: Path, capsys
) -> None:
    install(site, "A method")
    small = ("--set", "network.width=8", "--set", "network.blocks=1,1", "--set", "patch_size=16")
    chosen = training(tiny_cases, tmp_path / "run", "--set", "method=focal", *small)
    assert here(*chosen, "--set", "focal.gamma=1") == 0
    assert here("train", "--output", tmp_path / "run", "--resume", "--set", "epochs=2") == 0
    first, second = steps(tmp_path / "run")
    assert first["loss"]["focal"] == first["loss"]["total"] > 0
    assert second["epoch"] == 2

    chosen[4] = tmp_path / "no"
    assert here(*chosen, "--set", "focal.gamma=-1") == 2
    assert "focal.gamma=-1" in capsys.readouterr().err and not (tmp_path / "no").exists()


def test_a_recipe_of_another_package_goes_through_its_stages(
    site: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    install(site, "A recipe")
    small = ("--set", "network.width=8", "--set", "network.blocks=1,1", "--set", "patch_size=16")
    assert here(*training(tiny_cases, tmp_path / "run", "--recipe", "whole_first", *small)) == 0
    assert [line["stage"] for line in steps(tmp_path / "run")] == ["whole", "any"]
    assert here("train", "--output", tmp_path / "run", "--resume", "--set", "any.epochs=2") == 0
    assert [line["stage"] for line in steps(tmp_path / "run")] == ["whole", "any", "any"]
