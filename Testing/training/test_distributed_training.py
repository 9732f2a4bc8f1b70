"""Two real processes under torchrun train as one does, survive the death of one, and tell an error once."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_evaluate import tiny_student
from torch import Tensor

from MissingModalityLib.core.errors import CaseError
from MissingModalityLib.evaluation.evaluate import evaluate_folder
from MissingModalityLib.methods.joint import JointDistillation
from MissingModalityLib.methods.method import Method
from MissingModalityLib.methods.options import JointOptions
from MissingModalityLib.methods.self_distillation import Distillation
from MissingModalityLib.methods.supervised import Supervised
from MissingModalityLib.networks import build
from MissingModalityLib.training.recipes import flattened
from MissingModalityLib.training.run import train
from processes import TORCHRUN, environment, torchrun
from tiny_run import QUICK, TINY, assert_same, log, record, timeless, weights

TRANSFORMER = {
    "width": 8,
    "embedding": 16,
    "layers": 4,
    "heads": 4,
    "hidden": 16,
    "decoder": 16,
    "grid": (1, 1, 1),
    "dropout": 0.0,
}
NETWORKS = {
    "adamm": ("adamm", {"width": 8, "adapters": 2, "nodes": 2, "dropout": 0.0}),
    "rfnet": ("rfnet", {"width": 4}),
    "regions": ("segresnet", {"filters": 8, "blocks": (1, 1)}),
    "classes": ("segresnet", {"filters": 8, "blocks": (1, 1), "head": "classes"}),
    "mstkdnet": ("mstkdnet", TRANSFORMER),
}
STYLE_ALONE = {"attention": 0.0, "scales": 0.0, "presence": 1.0}
LOGITS_ALONE = dict.fromkeys(("attention", "scales", "style", "adversarial"), 0.0)
METHODS = {
    "supervised": Supervised,
    "fused": Distillation,
    "encoder": lambda: Distillation(features="encoder"),
    "joint": lambda: JointDistillation(JointOptions(entropy=1.0)),
    "presence": lambda: JointDistillation(JointOptions(**STYLE_ALONE)),
    "logits": lambda: JointDistillation(JointOptions(**LOGITS_ALONE)),
}
STEPS = [
    *((name, method) for name in NETWORKS for method in ("supervised", "fused")),
    ("rfnet", "encoder"),
    ("mstkdnet", "joint"),
    ("adamm", "presence"),
    ("rfnet", "logits"),
]

WORKER = """
import contextlib, io, json, sys
from pathlib import Path
import torch
from torch.nn.parallel import DistributedDataParallel
from MissingModalityLib.runtime import distributed
from MissingModalityLib.__main__ import main
from test_distributed_training import STEPS, failures, step

folder, data = map(Path, sys.argv[1:])
with distributed.start("cpu"):
    rank = distributed.rank()
    wrap = lambda trained, unused: DistributedDataParallel(trained, find_unused_parameters=unused)
    steps = {"/".join(names): step(*names, wrap, rank) for names in STEPS}
    torch.save(steps, folder / f"steps{rank}.pt")
told = {}
for name, arguments in failures(folder, data).items():
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(said):
        try:
            code = main(arguments)
        except SystemExit as error:
            code = error.code
    told[name] = (code, said.getvalue())
Path(folder / f"told{rank}.json").write_text(json.dumps(told))
"""


def batch(side: int) -> dict[str, Tensor]:
    """Two samples, of which only the first has T1 and only the second FLAIR; nobody has T2."""
    random = torch.Generator().manual_seed(5)
    label = torch.randint(0, 4, (2, side, side, side), generator=random, dtype=torch.uint8)
    label[0][label[0] == 3] = 2  # no class 3 in one of them: a mean of two Dice losses is another number
    flags = {"available": ("0100", "1000"), "teacher": ("0110", "1100"), "present": ("0110", "1100")}
    return {
        "image": torch.randn(2, 4, side, side, side, generator=random).double(),
        "label": label,
        **{name: torch.tensor([[bit == "1" for bit in row] for row in rows]) for name, rows in flags.items()},
    }


def step(name: str, method: str, wrap: Any, rank: int | None = None) -> dict[str, dict[str, Tensor]]:
    """Terms of a loss, of all processes together, and all gradients, in double precision where it is kept.

    Args:
        rank: which sample to take; both where None.
    """
    from MissingModalityLib.runtime import distributed

    torch.manual_seed(0)
    architecture, options = NETWORKS[name]
    network = build(architecture, **options).double().train()
    samples = batch(32 if name == "mstkdnet" else 16)
    if rank is not None:
        samples = {key: value[rank : rank + 1] for key, value in samples.items()}
    chosen: Method = METHODS[method]()
    trained = chosen.assemble(network)
    chosen.begin_epoch(network, 0)
    wrapped = wrap(trained, network.leaves_unused)  # must live until the gradients are there
    terms = chosen.loss(wrapped, samples, 0)
    terms["total"].backward()
    chosen.finish_step()
    values = distributed.mean(torch.stack([value.detach().double() for value in terms.values()]))
    learning = {"": trained, "discriminator.": getattr(chosen, "discriminator", None)}
    gradient = {
        f"{kind}{key}": x.grad
        for kind, module in learning.items()
        if module is not None
        for key, x in module.named_parameters()
        if x.grad is not None
    }
    chosen.loss(wrapped, samples, 0)  # a wrapper that still waits for gradients says so now
    return {"terms": dict(zip(terms, values, strict=True)), "gradient": gradient}


def command(data: Path, output: Path, settings: Mapping[str, Any]) -> list[str]:
    """A command that trains."""
    pairs = [f"{key}={value}" for key, value in flattened(settings).items()]
    common = ("train", "--data", data, "--output", output, "--device", "cpu", "--progress", "none")
    return [*map(str, common), "--set", *pairs]


def evaluation(student: Path, data: Path, output: Path) -> list[str]:
    """A command that evaluates."""
    pairs = {
        "--student": student,
        "--data": data,
        "--output": output,
        "--device": "cpu",
        "--progress": "none",
    }
    return ["evaluate", *(str(word) for pair in pairs.items() for word in pair)]


def failures(folder: Path, data: Path) -> dict[str, list[str]]:
    """Commands that fail on all processes or on one of them."""
    good = {**TINY, "batch_size": 2}
    return {
        "option": [*command(data, folder / "a", good), "--sed", "3"],
        "setting": command(data, folder / "b", {**good, "epohcs": 3}),
        "batch": command(data, folder / "c", {**good, "batch_size": 3}),
        "data": command(folder / "nowhere", folder / "d", good),
        "student": [*command(data, folder / "e", good), "--init", str(folder / "none.safetensors")],
        "loss": command(data, folder / "f", {**good, "learning_rate": 1e30}),
        "case": command(folder / "damaged", folder / "g", good),
        "evaluated": evaluation(folder / "none.safetensors", data, folder / "h"),
        "unlabeled": evaluation(folder / "s.safetensors", folder / "empty", folder / "i"),
        "written": command(data, folder / "blocked", good),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_cases: Path) -> Path:
    """What two processes have left."""
    root = tmp_path_factory.mktemp("two")
    shutil.copytree(tiny_cases, root / "damaged")
    scan = root / "damaged" / "patient_b" / "t1.nii.gz"
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
        "loss": "in stage train, epoch",
        "case": "t1.nii.gz",
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


# networks so small are chaotic: steps must be small for rounding to stay what it is
CURVES = {
    "segresnet": {
        "learning_rate": 1e-4,
        "num_workers": 1,
        "validation_fraction": 0.4,
        "ema_decay": 0.5,
        "network": {"filters": 8, "blocks": [1, 1]},
    },
    "rfnet": {"learning_rate": 1e-5, "validation_fraction": 0, "network": {"width": 4}},
}


def moved(begin: Mapping[str, Tensor], student: Path) -> Tensor:
    """How far training has brought all weights together from where they began."""
    ended = load_file(student)
    return torch.cat([(ended[name] - begin[name]).flatten() for name in begin])


@pytest.mark.parametrize("network", ["segresnet", pytest.param("rfnet", marks=pytest.mark.slow)])
def test_torchrun_trains_as_one_process_does(network: str, tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "epochs": 2, "validation_interval": 2, "batch_size": 2, **CURVES[network]}
    stages = {"recipe": "aem-kd", "stages": ("train", "posttrain")}
    train(tiny_cases, tmp_path / "one", network=network, device="cpu", settings=settings, **stages)
    done = torchrun(
        *("-m", "MissingModalityLib", *command(tiny_cases, tmp_path / "two", settings)),
        *("--network", network, "--recipe", stages["recipe"], "--stages", ",".join(stages["stages"])),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [f"Wrote {tmp_path / 'two'}"]
    one, two = log(tmp_path / "one"), log(tmp_path / "two")
    for mine, other in zip(one, two, strict=True):
        assert (mine["stage"], mine["epoch"]) == (other["stage"], other["epoch"])
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-3)
        assert mine.get("dice", {}) == pytest.approx(other.get("dice", {}), abs=1e-2)
    torch.manual_seed(0)
    begin = build(network, **record(tmp_path / "one")["settings"]["network"]).state_dict()
    for stage in stages["stages"]:
        alone, shared = (moved(begin, tmp_path / run / f"{stage}.safetensors") for run in ("one", "two"))
        # under 0.1 by rounding alone; 0.8 and more where gradients are not averaged
        assert (shared - alone).norm() < 0.25 * alone.norm(), stage


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
def test_torchrun_evaluates_as_one_process_does(tiny_cases: Path, tmp_path: Path, one_thread: None) -> None:
    student = tmp_path / "s.safetensors"
    tiny_student().save(student)
    evaluate_folder(student, tiny_cases, tmp_path / "one", device="cpu")
    done = torchrun("-m", "MissingModalityLib", *evaluation(student, tiny_cases, tmp_path / "two"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [f"Wrote {tmp_path / 'two'}"]
    for name in ("cases.csv", "table.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
