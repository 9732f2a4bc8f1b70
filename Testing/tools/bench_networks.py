"""CPU seconds of RFNet and mmFormer's attention beside straightforward ones of equal weights (`make bench`).

The straightforward ones compute what the papers write down, as they write it (straightforward.py); both run
in turn in one process with the same number of threads. Beside them: the largest difference of what they give,
in units of the largest value; the operations that were done, those of convolutions and matrix products, of
which a multiplication with its addition is two; and the rate of a plain matrix product, which is about what
the processor can do. A training step is loss, gradients and Adam. The 15 subsets of a window are predicted
with each modality encoded once, one by one in the same network, and straightforwardly one by one, where
absent modalities are encoded too and set to 0. The bundled student's window is compared with its network as
PyTorch computes it by itself, and so are gradients of small networks.

    python Testing/tools/bench_networks.py                                       minutes
    python Testing/tools/bench_networks.py --window 48 --crop 48 --lines window  one line, smaller
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, register_flop_formula

import straightforward
from bench_child import SEED
from MissingModalityLib import networks
from MissingModalityLib.core.labels import TumorClass
from MissingModalityLib.core.modalities import MODALITIES, SUBSETS, availability
from MissingModalityLib.inference.locations import bundled_student
from MissingModalityLib.inference.sliding_window import computed_precision, fast_precision
from MissingModalityLib.inference.student import Student
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.networks.mmformer_blocks import Layer
from MissingModalityLib.networks.output import Feature, Kind, Output
from MissingModalityLib.networks.rfnet import RFNet
from MissingModalityLib.networks.rfnet_blocks import upsample
from MissingModalityLib.runtime.cpu_kernels import cpu_kernels
from MissingModalityLib.runtime.devices import describe_device
from MissingModalityLib.runtime.freed_memory import freed_memory_kept

TOKENS_SIDE, TOKEN_SIZE, HEADS, HIDDEN = 5, 512, 8, 4096
"""Of mmFormer for a window of 80 voxels: places along a side of the coarsest level, of each modality."""

MATRIX_SIDE = 1024

SMALL_NETWORKS: dict[str, dict[str, Any]] = {
    "rfnet": {"width": 8},
    "uhved": {"width": 8},
    "uhemis": {"width": 8},
    "robustseg": {"width": 8},
    "rahved": {"width": 8},
    "mmformer": {"width": 8, "position_side": 4},
    "dynunet": {"width": 16, "levels": 5},
    "gatedfusion": {"width": 16},
}
"""About as the preset "light" has them."""


@register_flop_formula(torch.ops.aten.mkldnn_convolution)
def _convolution_flop(x: Sequence[int], weight: Sequence[int], *_: Any, out_shape: Sequence[int]) -> int:
    """Operations of oneDNN's convolution, which PyTorch's counter does not know by itself."""
    return conv_flop_count(x, weight, out_shape)


@dataclass(frozen=True)
class Line:
    """Two ways to the same numbers.

    Attributes:
        title: what is computed.
        ours, theirs: give tensors of the same shape; ``theirs`` is the way compared with.
    """

    title: str
    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES), metavar="LINE")
    parser.add_argument("--width", type=int, default=16, help="of RFNet (default: %(default)s)")
    parser.add_argument("--window", type=int, default=80, help="side (default: %(default)s)")
    parser.add_argument("--crop", type=int, default=64, help="side, in training (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1, help="the fewest CPU seconds count")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    print(f"{describe_device(torch.device('cpu'))}, {options.threads} threads, CPU seconds")
    for dtype in (torch.float32, torch.bfloat16):
        print(f"matrix product in {dtype}: {_matrix_rate(dtype):.0f} GFLOP/s", flush=True)
    print(f"{'':52} {'this':>7} {'other':>7} {'ratio':>6} {'GFLOP':>7} {'GFLOP/s':>8} {'difference':>11}")
    with freed_memory_kept():
        for name in options.lines:
            for line in LINES[name](options):
                print(_measured(line, options.repeats), flush=True)
    return 0


def _measured(line: Line, repeats: int) -> str:
    with FlopCounterMode(display=False) as counter:
        found = line.ours()  # pays for warming up
    operations = counter.get_total_flops() / 1e9
    wanted = line.theirs()
    difference = ((found - wanted).abs().max() / wanted.abs().max()).item()
    seconds = [[_seconds(way) for way in (line.ours, line.theirs)] for _ in range(repeats)]
    ours, theirs = map(min, zip(*seconds, strict=True))
    return (
        f"{line.title:52} {ours:7.3f} {theirs:7.3f} {theirs / ours:5.1f}x {operations:7.1f} "
        f"{operations / ours:8.0f} {difference:11.1e}"
    )


def _seconds(work: Callable[[], Any]) -> float:
    """Of the processor, in which what others do on a busy machine does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _matrix_rate(dtype: torch.dtype) -> float:
    """10^9 operations per CPU second."""
    one = torch.randn(MATRIX_SIDE, MATRIX_SIDE).to(dtype)
    torch.mm(one, one)
    return 2 * MATRIX_SIDE**3 / min(_seconds(lambda: torch.mm(one, one)) for _ in range(3)) / 1e9


def _window(options: argparse.Namespace) -> list[Line]:
    network, image = _rfnet(options), torch.randn(1, len(MODALITIES), *(options.window,) * 3)
    known = torch.ones(1, len(MODALITIES), dtype=torch.bool)
    ours = torch.inference_mode()(lambda: network(image, known).logits)
    theirs = torch.inference_mode()(lambda: straightforward.rfnet_logits(network, image, known))
    title = f"RFNet window of {options.window}^3, "
    return [
        Line(title + "float32", _predicted(network, ours, "float32"), theirs),
        Line(title + "half precision where native", _predicted(network, ours, "auto"), theirs),
    ]


def _student(options: argparse.Namespace) -> list[Line]:
    student = Student.load(bundled_student())
    image = torch.randn(1, len(MODALITIES), *student.card.window)
    known = torch.ones(1, len(MODALITIES), dtype=torch.bool)
    plain = torch.inference_mode()(lambda: student.network(image, known).logits)
    title = f"bundled student, window of {student.card.window[0]}^3, "
    return [
        Line(title + "float32", _predicted(student.network, plain, "float32"), plain),
        Line(title + "half precision where native", _predicted(student.network, plain, "auto"), plain),
    ]


def _predicted(network: nn.Module, work: Callable[[], Tensor], precision: str) -> Callable[[], Tensor]:
    """What cases are predicted with in this precision, beside the network called by itself."""

    def computed() -> Tensor:
        with fast_precision(network, torch.device("cpu"), precision):
            return work().float()

    return computed


def _attention(options: argparse.Namespace) -> list[Line]:
    layer = Layer(TOKEN_SIZE, HEADS, HIDDEN).eval()
    tokens = torch.randn(1, len(MODALITIES) * TOKENS_SIDE**3, TOKEN_SIZE)
    query, key, value = layer.projected(tokens).detach()
    return [
        Line(
            "mmFormer layer of all modalities' tokens",
            torch.inference_mode()(lambda: layer(tokens)),
            torch.inference_mode()(lambda: straightforward.transformer_layer(layer, tokens)),
        ),
        Line(
            "its attention alone",
            torch.inference_mode()(lambda: layer.mixed(query, key, value)),
            torch.inference_mode()(lambda: straightforward.attention(query, key, value)),
        ),
    ]


def _subsets(options: argparse.Namespace) -> list[Line]:
    network, image = _rfnet(options), torch.randn(1, len(MODALITIES), *(options.window,) * 3)
    flags = torch.tensor([[availability(subset)] for subset in SUBSETS])

    @torch.inference_mode()
    def together() -> Tensor:
        encoded = network.encode(image, flags.any(0))
        return torch.cat([network.fuse(encoded, known).logits for known in flags])

    @torch.inference_mode()
    def apart() -> Tensor:
        return torch.cat([network(image, known).logits for known in flags])

    @torch.inference_mode()
    def straight() -> Tensor:
        return torch.cat([straightforward.rfnet_logits(network, image, known) for known in flags])

    title = f"RFNet, {len(SUBSETS)} subsets of {options.window}^3 together,"
    return [
        Line(f"{title} one by one", together, apart),
        Line(f"{title} straightforward", together, straight),
    ]


def _step(options: argparse.Namespace) -> list[Line]:
    network = _rfnet(options).train()
    image = torch.randn(1, len(MODALITIES), *(options.crop,) * 3)
    classes = torch.randint(len(TumorClass), (1, *image.shape[2:]))
    known = present = torch.ones(1, len(MODALITIES), dtype=torch.bool)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0, amsgrad=True)  # so that both see equal weights

    def step(
        output: Callable[[], Output],
        precision: torch.dtype = torch.float32,
        kernels: AbstractContextManager[Any] | None = None,
    ) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with kernels or nullcontext():
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                loss = segmentation_loss(network, output(), classes, present)["total"]
            loss.backward()
        optimizer.step()
        return torch.cat(
            [weight.grad.flatten() for weight in network.parameters() if weight.grad is not None]
        )

    def output() -> Output:
        return network(image, known, present, network.loss_features)

    def ours(precision: torch.dtype) -> Callable[[], Tensor]:
        return lambda: step(output, precision, cpu_kernels(network, torch.device("cpu"), precision))

    def theirs() -> Tensor:
        return step(lambda: _straightforward_output(network, image, known))

    half = computed_precision(torch.device("cpu"))
    title = f"RFNet training step of {options.crop}^3, gradients, "
    return [
        Line(title + "float32", ours(torch.float32), theirs),
        Line(title + "half precision where native", ours(half), theirs),
    ]


def _straightforward_output(network: RFNet, image: Tensor, known: Tensor) -> Output:
    """What the loss reads: the logits, those of single modalities, and the region maps at full resolution."""
    pyramids = straightforward.rfnet_pyramids(network, image)
    logits, maps = straightforward.rfnet_fused(network.fused, pyramids, known)
    features = {
        Feature(Kind.SEPARATE, modality=modality): network.separate(pyramid)
        for modality, pyramid in zip(MODALITIES, pyramids, strict=True)
    }
    for level, found in enumerate(reversed(maps)):
        full = upsample(found, 2**level) if level else found
        features[Feature(Kind.REGIONS, level + 1)] = full
    return Output(logits, features)


def _rfnet(options: argparse.Namespace) -> RFNet:
    torch.manual_seed(SEED)
    return networks.build("rfnet", width=options.width).eval()


def _layout(options: argparse.Namespace) -> list[Line]:
    """Training steps of small networks, beside PyTorch's own layout in the same precision."""
    half = computed_precision(torch.device("cpu"))
    return [
        _layout_line(name, settings, options.crop, precision)
        for name, settings in SMALL_NETWORKS.items()
        for precision in dict.fromkeys((torch.float32, half))
    ]


def _layout_line(name: str, settings: dict[str, Any], crop: int, precision: torch.dtype) -> Line:
    torch.manual_seed(SEED)
    network = networks.build(name, **settings).eval()  # nothing is drawn
    image = torch.randn(1, len(MODALITIES), *(crop,) * 3)
    known = torch.ones(1, len(MODALITIES), dtype=torch.bool)

    def gradients(kernels: AbstractContextManager[Any]) -> Tensor:
        network.zero_grad(set_to_none=True)
        with kernels:
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                loss = network(image, known).logits.float().square().mean()
            loss.backward()
        return torch.cat(
            [weight.grad.flatten() for weight in network.parameters() if weight.grad is not None]
        )

    numbers = str(precision).removeprefix("torch.")
    return Line(
        f"{name} of width {settings['width']}, gradients on {crop}^3, {numbers}",
        lambda: gradients(cpu_kernels(network, torch.device("cpu"), precision)),
        lambda: gradients(nullcontext()),
    )


LINES: dict[str, Callable[[argparse.Namespace], list[Line]]] = {
    "window": _window,
    "student": _student,
    "attention": _attention,
    "subsets": _subsets,
    "step": _step,
    "layout": _layout,
}

if __name__ == "__main__":
    sys.exit(main())
