"""Two real processes under torchrun evaluate what one does, and an error in one of them stops both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.evaluation.evaluate import evaluate_folder
from MissingModalityLib.runtime import distributed
from processes import torchrun
from small_cases import BOTH, write_shell_case
from small_networks import tiny_student

WORKER = """
import json, sys, torch
from pathlib import Path
from MissingModalityLib.runtime import distributed
from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.evaluation.evaluate import evaluate_folder


def attempt(work):
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def fail_on(number, error):
    def work():
        if distributed.rank() == number:
            raise error
        return [1]

    return lambda: distributed.gather_from(work)


folder, events = Path(sys.argv[1]), []
result = evaluate_folder(  # joins by itself
    folder / "s.safetensors", folder / "data", folder / "two", device="cpu", on_progress=events.append
)
with distributed.start("cpu") as device:
    told = {"rank": distributed.rank(), "world": distributed.world(), "device": device}
    told |= {"result": result, "events": len(events)}
    told["gathered"] = distributed.gather([told["rank"]] * (told["rank"] + 1))
    told["mean"] = distributed.mean(torch.tensor([2.0 * told["rank"], 4.0])).tolist()
    told["total"] = distributed.total(torch.tensor([2.0 * told["rank"], 4.0])).tolist()
    told["known"] = attempt(fail_on(1, CaseError("bad case")))
    told["bug"] = attempt(fail_on(1, ValueError("bug")))
    told["first"] = distributed.on_rank_zero(lambda: distributed.rank() + 7)
    told["nothing"] = attempt(
        lambda: evaluate_folder(folder / "s.safetensors", folder / "empty", folder / "none", device=device)
    )
    told["unwritable"] = attempt(
        lambda: evaluate_folder(folder / "s.safetensors", folder / "data", folder / "s.safetensors")
    )
    distributed.barrier()
Path(folder / f"told{told['rank']}.json").write_text(json.dumps(told))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cases and a damaged one, evaluated by one process into ``one`` and by two into ``two``."""
    root = tmp_path_factory.mktemp("shared")
    write_shell_case(root / "data" / "BraTS2021_1", BOTH)
    write_shell_case(root / "data" / "BraTS2021_2", BOTH[:1], seed=1)
    damaged = write_shell_case(root / "data" / "BraTS2021_3", BOTH, seed=2) / "flair.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:400])
    write_shell_case(root / "data" / "BraTS2021_4", BOTH[1:], seed=3)
    (root / "empty").mkdir()
    tiny_student().save(root / "s.safetensors")
    evaluate_folder(root / "s.safetensors", root / "data", root / "one", device="cpu")
    (root / "worker.py").write_text(WORKER)
    done = torchrun(root / "worker.py", root)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.fixture(scope="module")
def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"told{rank}.json").read_text()) for rank in (0, 1)]


def test_two_processes_score_what_one_does(folder: Path, told: list[dict[str, Any]]) -> None:
    for name in ("cases.csv", "table.md", "heatmap.png"):
        assert (folder / "two" / name).read_bytes() == (folder / "one" / name).read_bytes(), name
    one, two = (json.loads((folder / name / "summary.json").read_text()) for name in ("one", "two"))
    assert one.keys() == two.keys()
    # warnings of heads too small for a patient's are off in this process and on in the two
    assert {name for name in one if one[name] != two[name]} <= {"processes", "seconds", "date", "warnings"}
    assert (one["processes"], two["processes"]) == (1, 2)
    assert [entry["path"] for entry in two["skipped"]] == ["BraTS2021_3"]
    first, second = (entry["result"] for entry in told)
    assert first == second and first["cases"] == two["cases"]
    assert len(first["rows"]) == (3 + 1 + 1) * 4


def test_every_rank_knows_its_place_and_only_the_first_shows_progress(told: list[dict[str, Any]]) -> None:
    assert [(entry["rank"], entry["world"], entry["device"]) for entry in told] == [
        (0, 2, "cpu"),
        (1, 2, "cpu"),
    ]
    assert [entry["gathered"] for entry in told] == [[0, 1, 1]] * 2
    assert [entry["first"] for entry in told] == [7, 7]
    assert [entry["mean"] for entry in told] == [[1, 4]] * 2
    assert [entry["total"] for entry in told] == [[2, 8]] * 2
    assert told[0]["events"] > 0 and told[1]["events"] == 0


def test_an_error_on_one_rank_stops_them_all(told: list[dict[str, Any]]) -> None:
    assert [entry["known"] for entry in told] == ["CaseError: bad case"] * 2
    assert told[0]["bug"].startswith("RuntimeError: Rank 1 failed") and told[1]["bug"] == "ValueError: bug"
    for entry in told:
        assert entry["nothing"].startswith("CaseError") and "No case" in entry["nothing"]
        assert entry["unwritable"].startswith("CaseError: ") and "s.safetensors" in entry["unwritable"]


def test_a_process_alone_is_a_world_of_one() -> None:
    with distributed.start("cpu") as device:
        assert (device, distributed.rank(), distributed.world(), distributed.is_rank_zero()) == (
            "cpu",
            0,
            1,
            True,
        )
        distributed.barrier()
        assert distributed.gather([3, 4]) == [3, 4]
        assert distributed.on_rank_zero(lambda: "here") == "here"
        with pytest.raises(CaseError, match="alone"):
            distributed.gather_from(fail)


def fail() -> list[int]:
    raise CaseError("alone")


@pytest.mark.parametrize("name", ["auto", "cuda", "gpu", "cuda:0"])
def test_each_process_takes_a_gpu_of_its_own_whatever_they_are_called(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[torch.device] = []
    for variable, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(distributed, "_join", lambda backend: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with distributed.start(name) as device:
        assert (device, chosen) == ("cuda:1", [torch.device("cuda:1")])
