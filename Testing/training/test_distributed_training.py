"""Two real processes under torchrun train as one does, survive the death of one, and tell an error once."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.evaluation.evaluate import evaluate_folder
from MissingModalityLib.networks import build
from MissingModalityLib.training.run import train
from processes import TORCHRUN, environment, torchrun
from small_networks import tiny_student
from tiny_run import TINY, assert_same, log, record, timeless, weights
from two_processes import STAGES, STEPS, command, curve, curve_command, evaluation, step

WORKER = """
import contextlib, io, json, sys
from pathlib import Path
import torch
from torch.nn.parallel import DistributedDataParallel
from MissingModalityLib.runtime import distributed
from MissingModalityLib.__main__ import main
from two_processes import STEPS, curve_command, failures, spoiled, step

folder, data = map(Path, sys.argv[1:])
with distributed.start("cpu"):
    rank = distributed.rank()
    wrap = lambda trained, unused: DistributedDataParallel(trained, find_unused_parameters=unused)
    steps = {"/".join(names): step(*names, wrap, rank) for names in STEPS}
    torch.save(steps, folder / f"steps{rank}.pt")
told = {}
commands = {**failures(folder, data), "trained": curve_command("segresnet", data, folder / "trained")}
for name, arguments in commands.items():
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(said):
        try:
            with spoiled(name):
                code = main(arguments)
        except SystemExit as error:
            code = error.code
    told[name] = (code, said.getvalue())
Path(folder / f"told{rank}.json").write_text(json.dumps(told))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_cases: Path) -> Path:
    """What two processes have left."""
    root = tmp_path_factory.mktemp("two")
    shutil.copytree(tiny_cases, root / "damaged")
    for scan in (root / "damaged").glob("*/flair.nii.gz"):
        scan.write_bytes(scan.read_bytes()[:-400])
    (root / "empty").mkdir()
    (root / "blocked" / "train.safetensors").mkdir(parents=True)  # where the first process wants to write
    tiny_student().save(root / "s.safetensors")
    (root / "worker.py").write_text(
        f"import sys\nsys.path[:0] = {[p for p in sys.path if 'Testing' in p]!r}\n{WORKER}"
    )
    done = torchrun(root / "worker.py", root, tiny_cases)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.mark.parametrize(("name", "method"), STEPS)
def test_two_processes_make_the_step_that_one_makes(name: str, method: str, folder: Path) -> None:
    alone = step(name, method, lambda trained, _: trained)
    for rank in (0, 1):
        shared = torch.load(folder / f"steps{rank}.pt", weights_only=True)[f"{name}/{method}"]
        for part in ("terms", "gradient"):
            assert shared[part].keys() == alone[part].keys()
            for key, value in alone[part].items():
                torch.testing.assert_close(
                    shared[part][key], value, rtol=1e-5, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}"
                )


@pytest.mark.parametrize(
    ("name", "words"),
    {
        "option": "--sed",
        "setting": "epohcs",
        "batch": "train.batch_size=3 cannot be shared among 2 processes",
        "data": "nowhere",
        "student": "none.safetensors",
        "loss": "The loss became nan in stage train, epoch 1, step 1",
        "weights": "The steps of stage train, epoch 1, have left NaN or infinity in network",
        "case": "holds no case to train on",
        "evaluated": "none.safetensors",
        "unlabeled": "empty",
        "written": "train.safetensors",
    }.items(),
)
def test_an_error_ends_all_processes_and_is_told_once(name: str, words: str, folder: Path) -> None:
    told = [json.loads((folder / f"told{rank}.json").read_text())[name] for rank in (0, 1)]
    assert [code for code, _ in told] == [2, 2]
    said = [text for _, text in told if text]
    assert len(said) == 1 and words in said[0] and said[0].count("missing-modality: error: ") == 1, told


def moved(begin: Mapping[str, Tensor], student: Path) -> Tensor:
    """How far training has brought all weights together from where they began."""
    ended = load_file(student)
    return torch.cat([(ended[name] - begin[name]).flatten() for name in begin])


def assert_trained_as_by_one(network: str, two: Path, said: str, cases: Path, one: Path) -> None:
    """Train by one process what two have trained, and compare."""
    train(cases, one, "aem-kd", network, stages=STAGES, device="cpu", settings=curve(network))
    *warnings, last = said.splitlines()
    assert last == f"Wrote {two}" and all(line.startswith("Warning: ") for line in warnings)
    for mine, other in zip(log(one), log(two), strict=True):
        assert (mine["stage"], mine["epoch"]) == (other["stage"], other["epoch"])
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-3)
        assert mine.get("dice", {}) == pytest.approx(other.get("dice", {}), abs=1e-2)
    torch.manual_seed(0)
    begin = build(network, **record(one)["settings"]["network_options"]).state_dict()
    for stage in STAGES:
        alone, shared = (moved(begin, run / f"{stage}.safetensors") for run in (one, two))
        # under 0.1 by rounding alone; 0.8 and more where gradients are not averaged
        assert (shared - alone).norm() < 0.25 * alone.norm(), stage


def test_two_processes_train_as_one_does(folder: Path, tiny_cases: Path, tmp_path: Path) -> None:
    told = [json.loads((folder / f"told{rank}.json").read_text())["trained"] for rank in (0, 1)]
    assert [code for code, _ in told] == [0, 0]
    said = "".join(text for _, text in told)
    assert_trained_as_by_one("segresnet", folder / "trained", said, tiny_cases, tmp_path / "one")


@pytest.mark.slow
def test_torchrun_trains_as_one_process_does(tiny_cases: Path, tmp_path: Path) -> None:
    done = torchrun("-m", "MissingModalityLib", *curve_command("rfnet", tiny_cases, tmp_path / "two"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert_trained_as_by_one("rfnet", tmp_path / "two", done.stdout, tiny_cases, tmp_path / "one")


DYING = """
import os, signal, sys
from pathlib import Path
from MissingModalityLib.__main__ import main
from MissingModalityLib.training import loop

made, step = 0, loop.Trainer._step
mark = Path(__file__).with_name("killed")  # each machine counts restarts for itself


def dying(*arguments):
    global made
    made += 1
    if made == 5 and os.environ["RANK"] == "1" and not mark.exists():
        mark.touch()
        print("killed", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)


loop.Trainer._step = dying
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_processes_restarted_after_one_was_killed_end_with_the_same_bits(
    tiny_cases: Path, tmp_path: Path
) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    settings = {**TINY, "batch_size": 2, "epochs": 4, "ema_decay": 0.5}
    whole = torchrun("-m", "MissingModalityLib", *command(tiny_cases, tmp_path / "whole", settings))
    assert whole.returncode == 0, whole.stderr[-3000:]
    options = ("--max-restarts", "1")
    cut = torchrun(tmp_path / "dying.py", *command(tiny_cases, tmp_path / "cut", settings), options=options)
    assert cut.returncode == 0, cut.stderr[-3000:]
    assert cut.stdout.splitlines() == ["killed", f"Wrote {tmp_path / 'cut'}"]
    assert [line["epoch"] for line in log(tmp_path / "cut")] == [1, 2, 3, 4]
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    assert_same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_only_what_the_same_command_began_is_taken_up_after_a_restart(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**TINY, "epochs": 1}
    run = train(tiny_cases, tmp_path / "run", device="cpu", settings=settings)
    before = weights(run)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert_same(weights(train(tiny_cases, run, device="cpu", settings=settings)), before)
    for changed in ({"seed": 1}, {"settings": {**settings, "epochs": 2}}, {"recipe": "aem"}):
        with pytest.raises(CaseError, match="already holds a training run"):
            train(tiny_cases, run, device="cpu", **{"settings": settings, **changed})
    assert len(log(run)) == 1


@pytest.mark.slow
def test_machines_go_on_together_though_only_one_of_them_counts_the_restart(
    tiny_cases: Path, tmp_path: Path
) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    meeting = ("--rdzv-backend", "c10d", "--rdzv-id", "test", "--rdzv-endpoint", f"localhost:{port}")
    machine = (*TORCHRUN, "--nnodes", "2", "--nproc-per-node", "1", *meeting, "--max-restarts", "3")
    train_it = command(tiny_cases, tmp_path / "run", {**TINY, "batch_size": 2, "epochs": 4})
    both = [
        subprocess.Popen(
            [*machine, str(tmp_path / "dying.py"), *train_it],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = "".join(process.communicate(timeout=300)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(said.splitlines()) == [f"Wrote {tmp_path / 'run'}", "killed"]
    assert [line["epoch"] for line in log(tmp_path / "run")] == [1, 2, 3, 4]


@pytest.mark.slow
def test_torchrun_evaluates_as_one_process_does(tiny_cases: Path, tmp_path: Path) -> None:
    student = tmp_path / "s.safetensors"
    tiny_student().save(student)
    evaluate_folder(student, tiny_cases, tmp_path / "one", device="cpu")
    done = torchrun("-m", "MissingModalityLib", *evaluation(student, tiny_cases, tmp_path / "two"))
    assert done.returncode == 0, done.stderr[-3000:]
    *warnings, last = done.stdout.splitlines()
    assert last == f"Wrote {tmp_path / 'two'}" and all(line.startswith("Warning: ") for line in warnings)
    for name in ("cases.csv", "table.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
