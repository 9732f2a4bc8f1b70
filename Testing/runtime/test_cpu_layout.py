"""Single precision on a CPU: but for the last bits what PyTorch gives by itself, in another layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from MissingModalityLib.inference.sliding_window import infer
from MissingModalityLib.runtime.cpu_layout import ChannelsLast, has_kernels
from small_networks import small_network

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
    with torch.inference_mode():
        expected = layer(x)
        with ChannelsLast():
            found = layer(x)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("samples", [1, 2])
def test_instance_norms_answer_as_pytorch_does(samples: int) -> None:
    torch.manual_seed(0)
    x, scale, shift = torch.randn(samples, 4, 5, 6, 7), torch.rand(4), torch.rand(4)
    layer = nn.InstanceNorm3d(4, eps=1e-2, affine=True, track_running_stats=True).eval()
    expected = F.instance_norm(x, weight=scale, bias=shift, eps=1e-2), layer(x)
    with ChannelsLast():
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
