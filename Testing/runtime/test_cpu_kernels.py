"""Networks on a CPU: but for the last bits what PyTorch gives by itself, gradients too, in another layout."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.inference.sliding_window import infer
from MissingModalityLib.methods.supervised import Supervised
from MissingModalityLib.runtime.cpu_kernels import CpuKernels, cpu_kernels, has_kernels
from MissingModalityLib.training import loop
from MissingModalityLib.training.run import train
from small_networks import SMALLEST, small_network
from tiny_run import QUICK

needs_kernels = pytest.mark.skipif(not has_kernels(), reason="another processor, or PyTorch without oneDNN")


@needs_kernels
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"stride": 2, "padding": 1},
        {"padding": (0, 1, 2), "dilation": (1, 1, 2)},
        {"groups": 2},
        {"padding": "same"},
        {"kernel": 1, "stride": (1, 2, 1)},
        {"bias": False, "shape": (2, 4, 5, 6, 7)},
        {"shape": (4, 5, 6, 7)},
        {"dtype": torch.float64},
    ],
)
def test_convolutions_answer_as_pytorch_does(how: dict[str, Any]) -> None:
    torch.manual_seed(0)
    given = {"kernel": 3, "shape": (1, 4, 5, 6, 7), "dtype": torch.float32, **how}
    kernel, shape, dtype = (given.pop(name) for name in ("kernel", "shape", "dtype"))
    layer = nn.Conv3d(4, 6, kernel, **given).to(dtype)
    x = torch.randn(shape, dtype=dtype)
    expected = _answer_and_gradients(layer, x, nullcontext())
    found = _answer_and_gradients(layer, x, CpuKernels())
    assert found[0].dtype == expected[0].dtype
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def _answer_and_gradients(
    layer: nn.Module, x: torch.Tensor, layout: AbstractContextManager
) -> list[torch.Tensor]:
    x = x.detach().requires_grad_()
    with layout:
        answer = layer(x)
        return [answer.detach(), *torch.autograd.grad(answer.square().sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize("samples", [1, 2])
def test_instance_norms_answer_as_pytorch_does(samples: int) -> None:
    torch.manual_seed(0)
    x, scale, shift = torch.randn(samples, 4, 5, 6, 7), torch.rand(4), torch.rand(4)
    layer = nn.InstanceNorm3d(4, eps=1e-2, affine=True, track_running_stats=True).eval()
    expected = F.instance_norm(x, weight=scale, bias=shift, eps=1e-2), layer(x)
    with CpuKernels():
        found = F.instance_norm(x, weight=scale, bias=shift, eps=1e-2), layer(x)
    torch.testing.assert_close(found, expected)


@needs_kernels
def test_networks_segment_so_in_single_precision_and_else_as_they_did() -> None:
    network, layouts = small_network("rfnet").eval(), []
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv3d)][1]
    last.register_forward_hook(
        lambda _, __, maps: layouts.append(maps.is_contiguous(memory_format=torch.channels_last_3d))
    )
    image = np.random.default_rng(0).normal(size=(4, 16, 16, 16)).astype(np.float32)
    everything = np.array([True] * 4)
    how = {"window": (16, 16, 16), "overlap": 0.5, "device": torch.device("cpu"), "precision": "float32"}
    infer(network, image, everything, **how)
    with torch.no_grad():
        network(torch.from_numpy(image)[None], torch.from_numpy(everything)[None])
    assert layouts == [True, False]


def _all_gradients(network: nn.Module, layout: AbstractContextManager) -> torch.Tensor:
    torch.manual_seed(1)
    image = torch.randn(1, len(MODALITIES), 32, 32, 32)
    network.zero_grad()
    with layout:
        network(image, torch.tensor([[True, False, True, True]])).logits.square().mean().backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@needs_kernels
@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_every_network_learns_alike(name: str) -> None:
    network = small_network(name).train()
    for layer in network.modules():  # nothing drawn differs between the two
        if isinstance(layer, nn.Dropout | nn.Dropout3d):
            layer.p = 0.0
    expected = _all_gradients(network, nullcontext())
    found = _all_gradients(network, CpuKernels())
    assert len(found) == len(expected)
    assert float((found - expected).abs().max()) < 1e-3 * float(expected.abs().max())


@needs_kernels
@pytest.mark.parametrize(
    ("name", "precision", "changed"),
    [
        ("rfnet", torch.float32, True),
        ("rfnet", torch.bfloat16, True),
        ("segresnet", torch.float32, True),
        ("segresnet", torch.bfloat16, False),  # normalized by groups
    ],
)
def test_the_layout_is_changed_where_that_is_faster(name: str, precision: torch.dtype, changed: bool) -> None:
    kernels = cpu_kernels(small_network(name), torch.device("cpu"), precision)
    assert isinstance(kernels, CpuKernels)
    assert kernels.channels_last == changed


def test_another_device_computes_as_it_does() -> None:
    kernels = cpu_kernels(small_network("rfnet"), torch.device("cuda"), torch.float32)
    assert not isinstance(kernels, CpuKernels)


@needs_kernels
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(
    ("sides", "how"),
    [
        ((1, 1, 1), {}),
        ((2, 2, 2), {}),
        ((3, 3, 3), {"kernel_size": 5}),
        ((4, 5, 5), {"kernel_size": (5, 4, 5), "padding": 2}),
        ((5, 6, 4), {"kernel_size": 7, "stride": 2, "padding": 3}),
        ((4, 4, 4), {"dilation": 2, "padding": 2}),
        ((2, 1, 5), {"groups": 8}),
        ((7, 8, 7), {"kernel_size": 7, "stride": 2, "padding": 3, "groups": 2}),
    ],
)
def test_gradients_of_maps_smaller_than_the_kernel_are_right(
    sides: tuple[int, ...], how: dict[str, Any], channels_last: bool, precision: torch.dtype
) -> None:
    torch.manual_seed(0)
    layer = nn.Conv3d(8, 8, **{"kernel_size": 3, "padding": 1, **how})
    exact, x = deepcopy(layer).double(), torch.randn(1, 8, *sides)
    with CpuKernels(channels_last), torch.autocast("cpu", precision, enabled=precision != torch.float32):
        answer = layer(x)
    assert answer.dtype == precision
    weight = torch.randn(answer.shape)
    found = torch.autograd.grad((answer.double() * weight).sum(), list(layer.parameters()))
    expected = torch.autograd.grad((exact(x.double()) * weight).sum(), list(exact.parameters()))
    for one, other in zip(found, expected, strict=True):
        tolerance = 1e-6 if precision == torch.float32 else 0.01
        assert float((one - other).abs().max()) < tolerance * float(other.abs().max())


@needs_kernels
def test_maps_smaller_than_the_kernel_are_predicted_as_pytorch_does() -> None:
    layer, x = nn.Conv3d(8, 8, 3, padding=1), torch.randn(1, 8, 2, 2, 2)
    with torch.no_grad():
        expected = layer(x)
        with CpuKernels(channels_last=False):
            assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("weight", [nn.Parameter(torch.ones(8, 4, 3, 3, 3)), torch.ones(8, 4, 1, 1, 1)])
def test_convolutions_may_be_called_by_the_names_of_their_arguments(weight: torch.Tensor) -> None:
    x = torch.randn(1, 4, 2, 2, 2)
    for kernels in (CpuKernels(), CpuKernels(channels_last=False)) if has_kernels() else ():
        with kernels:
            found = F.conv3d(input=x, weight=weight, padding=(1,), stride=(1,))
            normal = F.instance_norm(input=found)
        torch.testing.assert_close(found, F.conv3d(x, weight, padding=1))
        torch.testing.assert_close(normal, F.instance_norm(found))


@pytest.mark.parametrize(
    "how", [{"use_input_stats": False}, {"running_mean": torch.zeros(4)}, {"running_var": torch.ones(4)}]
)
def test_instance_norms_are_refused_as_pytorch_does(how: dict[str, Any]) -> None:
    x = torch.randn(1, 4, 2, 2, 2)
    with pytest.raises(RuntimeError) as theirs:
        F.instance_norm(x, **{"use_input_stats": False, **how})
    with CpuKernels(), pytest.raises(RuntimeError) as ours:
        F.instance_norm(x, **{"use_input_stats": False, **how})
    assert str(ours.value) == str(theirs.value)


def test_instance_norms_of_no_sample_answer_as_pytorch_does() -> None:
    x = torch.randn(0, 4, 2, 2, 2)
    with CpuKernels():
        assert F.instance_norm(x).shape == x.shape


@needs_kernels
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_computes_so(
    tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    layouts, own = [], []

    def watched(network: nn.Module, *arguments: Any) -> AbstractContextManager:
        last = [layer for layer in network.modules() if isinstance(layer, nn.Conv3d)][1]
        last.register_forward_hook(
            lambda _, __, maps: layouts.append(maps.is_contiguous(memory_format=torch.channels_last_3d))
        )
        return cpu_kernels(network, *arguments)

    def own_step(_: Any) -> None:
        maps = F.conv3d(torch.ones(1, 4, 4, 4, 4), torch.ones(4, 4, 3, 3, 3))
        own.append(maps.is_contiguous(memory_format=torch.channels_last_3d))

    monkeypatch.setattr(loop, "cpu_kernels", watched)
    monkeypatch.setattr(Supervised, "finish_step", own_step)
    settings = {**QUICK, "epochs": 1, "validation_fraction": 0, "precision": precision}
    settings |= {"network": SMALLEST["uhemis"]}
    train(tiny_cases, tmp_path / "run", network="uhemis", settings=settings)
    assert layouts
    assert all(layouts)
    assert own == [True] * QUICK["iterations_per_epoch"], "discriminators learn outside the loss"
