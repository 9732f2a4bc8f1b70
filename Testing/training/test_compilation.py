"""A compiled network trains like one that is not, and is the same network to everything else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.inference.student import Student
from MissingModalityLib.runtime.cpu_kernels import cpu_kernels
from MissingModalityLib.training import loop
from MissingModalityLib.training.run import train
from tiny_run import TINY, assert_same, log, timeless, weights


def compile_by(backend: Callable[..., Any] | str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this one it takes a C++ compiler and a minute."""
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_a_run_through_the_compiler_ends_with_the_same_weights(
    precision: str, tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In half precision a CPU would give wrong gradients of maps that are smaller than the kernel."""
    deep = {"width": 8, "blocks": (1, 1, 1, 1)}
    settings = {**TINY, "ema_decay": 0.9, "precision": precision, "network": deep}
    with monkeypatch.context() as patched:  # in PyTorch's own layout, as what is compiled here
        patched.setattr(loop, "cpu_kernels", lambda *given: cpu_kernels(*given[:3], False))
        plain = train(tiny_cases, tmp_path / "plain", settings=settings)
    seen = []

    def backend(graph: nn.Module, inputs: list[torch.Tensor]) -> nn.Module:
        seen.append(graph)
        return graph

    compile_by(backend, monkeypatch)
    run = train(tiny_cases, tmp_path / "run", settings={**settings, "compile": "default"})
    assert len(seen) == 1, "one graph, made in the first step and in no other"
    assert timeless(run) == timeless(plain)
    assert_same(weights(run), weights(plain))
    exported = (Student.load(path / "train.safetensors").network.state_dict() for path in (plain, run))
    assert_same(*exported)


def test_a_run_may_be_resumed_with_the_compiler(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tiny_cases, tmp_path / "run", settings={**TINY, "epochs": 1})
    compile_by("eager", monkeypatch)
    train(None, run, resume=True, settings={"epochs": 2, "compile": "default"})
    assert len(log(run)) == 2


def test_a_network_that_cannot_be_compiled_is_refused(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: nn.Module, inputs: list[torch.Tensor]) -> nn.Module:
        raise RuntimeError("no compiler found")

    compile_by(broken, monkeypatch)
    settings = {**TINY, "epochs": 1, "compile": "default"}
    with pytest.raises(OptionError, match=r"compile=default.*no compiler found.*compile=none"):
        train(tiny_cases, tmp_path / "run", settings=settings)
    train(None, tmp_path / "run", resume=True, settings={"compile": "none"})
    assert len(log(tmp_path / "run")) == 1


def test_other_errors_of_a_step_are_not_taken_for_the_compiler_s(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_by("eager", monkeypatch)
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", lambda *_, **__: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(RuntimeError, match="must match the size"):
        train(tiny_cases, tmp_path / "run", settings={**TINY, "compile": "default"})


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="PyTorch compiles with g++ here")
def test_kernels_of_the_real_compiler_train_as_far(tiny_cases: Path, tmp_path: Path) -> None:
    torch.compiler.reset()
    runs = [
        train(tiny_cases, tmp_path / mode, settings={**TINY, "compile": mode})
        for mode in ("none", "reduce-overhead")
    ]
    losses = [[line["loss"]["total"] for line in log(run)] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
