"""A layout of another package, installed beside ours, works by name in every command that looks for cases."""

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
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.registry import PLUGINS
from MissingModalityLib.datasets.registry import LAYOUTS
from small_cases import write_patients

NAMES = {
    "t2": "Axial_T2",
    "flair": "Axial_FLAIR",
    "t1": "Sagittal_T1",
    "t1ce": "Sagittal_T1_Gd",
    "seg": "Tumor",
}
SETTINGS = (
    *("epochs=1", "iterations_per_epoch=1", "batch_size=1", "patch_size=16", "num_workers=0"),
    *("network.width=8", "network.blocks=1,1"),
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package is, as pip installs it, on the path of this process."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "A layout")
    monkeypatch.syspath_prepend(str(folder))
    for module in folder.glob("*.py"):
        monkeypatch.delitem(sys.modules, module.stem, raising=False)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two patients in the archive's layout, one of BraTS 2021 beside them."""
    folder = write_patients(tmp_path / "data", ["patient_a", "patient_b", "patient_c"])
    for patient in ("patient_a", "patient_b"):
        (folder / patient / "visit_1").mkdir()
        for path in (folder / patient).glob("*.nii.gz"):
            ending = path.name.removesuffix(".nii.gz").rpartition("_")[2]
            path.rename(folder / patient / "visit_1" / f"{NAMES[ending]}.nii.gz")
    return folder


def listed(site: Path, data: Path) -> list[dict]:
    """The cases that the command line finds in a process of its own."""
    path = os.pathsep.join(map(str, (LIBRARY, site)))
    command = [sys.executable, "-m", "MissingModalityLib", "cases", str(data), "--progress", "json"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["result"]["cases"]


def test_layout_of_an_installed_package_is_found_by_name(site: Path, data: Path, tmp_path: Path) -> None:
    cases = [
        (case["name"], case["layout"], len(case["modalities"]), case["label"]) for case in listed(site, data)
    ]
    assert cases == [
        ("patient_a__visit_1", "archive", 4, True),
        ("patient_b__visit_1", "archive", 4, True),
        ("patient_c", "brats2021", 2, True),
    ]
    assert exit_code(["prepare", "--data", str(data), "--output", str(tmp_path / "prepared")]) == 0
    prepared = {path.stem for path in (tmp_path / "prepared").glob("*.safetensors")}
    assert prepared == {"patient_a__visit_1", "patient_b__visit_1", "patient_c"}
    options = ["--data", str(data), "--output", str(tmp_path / "run"), "--device", "cpu"]
    assert exit_code(["train", *options, "--recipe", "baseline", "--set", *SETTINGS]) == 0
    trained = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert "patient_b__visit_1" in str(trained["cases"]) + str(trained["validation"])


def test_only_layouts_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLUGINS, "")
    with pytest.raises(OptionError, match="no class derived from"):
        LAYOUTS.register("numbers", int)
    assert "numbers" not in LAYOUTS
