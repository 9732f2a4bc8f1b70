"""Training from a folder of prepared cases alone, where nothing can read a volume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file, save_file

from checkout import LIBRARY
from MissingModalityLib.core.errors import CaseError, ImageError
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.evaluate import read_evaluation
from MissingModalityLib.imaging.prepared_folder import prepare_cases
from MissingModalityLib.imaging.reading import read_study
from MissingModalityLib.inference.student import Student
from MissingModalityLib.training.run import train
from MissingModalityLib.training.stage_students import export
from tiny_run import TINY, assert_same, log, record, weights

WITHOUT_READERS = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("SimpleITK", "nibabel"):
            raise ModuleNotFoundError(f"{name} is blocked in this test", name=name)

sys.meta_path.insert(0, Blocked())
import json
import MissingModalityLib as mm

data, run, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
mm.train(data, run, recipe="aem-kd", network="segresnet", device="cpu", settings={**settings, "epochs": 1})
mm.train(None, run, resume=True, device="cpu", settings={"posttrain.epochs": 2})
mm.export(run, sys.argv[4])
"""


@pytest.fixture(scope="module")
def prepared(tiny_cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prepare` makes of `tiny_cases`, without the report, which training does not need."""
    folder = tmp_path_factory.mktemp("moved") / "prepared"
    prepare_cases(tiny_cases, folder)
    return folder


def test_training_resumes_and_exports_where_no_package_reads_volumes(prepared: Path, tmp_path: Path) -> None:
    run, student = tmp_path / "run", tmp_path / "student.safetensors"
    settings = {**TINY, "validation_fraction": 0.34, "validation_interval": 1}
    command = [sys.executable, "-c", WITHOUT_READERS, prepared, run, json.dumps(settings), student]
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert [line["stage"] for line in log(run)] == ["pretrain", "train", "posttrain", "posttrain"]
    assert log(run)[-1]["dice"]["mean"] >= 0
    assert Student.load(student).card["training"]["cases"] == record(run)["cases"]


def test_prepared_cases_train_to_the_bit_as_their_originals(
    prepared: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    for name, data in (("originals", tiny_cases), ("prepared", prepared)):
        train(data, tmp_path / name, settings={**TINY, "epochs": 1})
    assert_same(weights(tmp_path / "originals"), weights(tmp_path / "prepared"))
    first, second = (record(tmp_path / name) for name in ("originals", "prepared"))
    assert first["cases"] == second["cases"] and first["validation"] == second["validation"]
    assert not (tmp_path / "prepared" / "prepared").exists()


def test_a_run_goes_on_where_the_originals_are(prepared: Path, tiny_cases: Path, tmp_path: Path) -> None:
    train(prepared, tmp_path / "run", settings={**TINY, "epochs": 1})
    train(tiny_cases, tmp_path / "run", resume=True, settings={"epochs": 2})
    assert [line["epoch"] for line in log(tmp_path / "run")] == [1, 2]


def test_prepared_files_beside_originals_are_no_cases(tiny_cases: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for case in tiny_cases.iterdir():
        (data / case.name).symlink_to(case)
    prepare_cases(data, data)
    assert {case.layout for case in find_cases(data).cases} == {"brats2021"}
    assert len(find_cases(data).cases) == len(find_cases(tiny_cases).cases)


def test_a_case_prepared_by_another_version_is_refused(prepared: Path, tmp_path: Path) -> None:
    case = find_cases(prepared).cases[0]
    texts = {"case": case.name, "fingerprint": "", "subset": json.dumps([m.name for m in case.subset])}
    for version in ("1", "2"):
        save_file(load_file(case.label), tmp_path / case.label.name, {**texts, "preparation": version})
        if version == "1":
            with pytest.raises(CaseError, match=r"another version .* should be 2.*Prepare it again"):
                train(tmp_path, tmp_path / "run", settings={**TINY, "epochs": 1})
    train(tmp_path, tmp_path / "run", settings={**TINY, "epochs": 1})


def test_a_damaged_prepared_case_is_left_out_with_its_reason(prepared: Path, tmp_path: Path) -> None:
    for path in prepared.glob("*.safetensors"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = tmp_path / "patient_b.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    torch.save({}, tmp_path / "other.safetensors")
    listing = find_cases(tmp_path)
    assert [case.name for case in listing.cases] == ["patient_a", "patient_c"]
    assert {entry.path.name for entry in listing.skipped} == {"other.safetensors", "patient_b.safetensors"}


def test_only_training_takes_prepared_cases(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"patient_a\.safetensors is a prepared case.*volumes"):
        read_study(find_cases(prepared).cases[0])
    with pytest.raises(CaseError, match="prepared cases already"):
        prepare_cases(prepared, tmp_path / "again")
    train(prepared, tmp_path / "run", settings={**TINY, "epochs": 1})
    # students of a run are .safetensors too, and no cases
    with pytest.raises(CaseError, match="No case found"):
        find_cases(export(tmp_path / "run", tmp_path / "students.safetensors").parent / "run")


def test_cases_of_other_data_in_the_folder_are_told(tiny_cases: Path, tmp_path: Path) -> None:
    first = prepare_cases(tiny_cases, tmp_path / "prepared")
    again = prepare_cases(tiny_cases / "patient_b", tmp_path / "prepared")
    told = [[entry["warning"] for entry in report["warnings"]] for report in (first, again)]
    others = (
        "holds cases that were prepared earlier and are none of these: 'patient_a', 'patient_c'. A training"
    )
    assert [sum(others in warning for warning in warnings) for warnings in told] == [0, 1]


def test_folds_of_prepared_cases_are_all_trained_and_scored_where_the_volumes_lie(
    tiny_cases: Path, prepared: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(CaseError, match=r"run': fold0, fold1 trained to the end, but not scored: .*--data"):
        train(prepared, run, settings={**TINY, "epochs": 1}, folds=2)
    train(tiny_cases, run, resume=True, folds=2)
    assert len(read_evaluation(run)["cases"]) == 3
    assert [len(log(run / f"fold{fold}")) for fold in range(2)] == [1, 1]
