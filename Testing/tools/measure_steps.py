"""How well the time of a training step is predicted: CPU seconds of real steps against the model of ``plan``.

    python Testing/tools/measure_steps.py [rfnet=32 segresnet=64 ...]

Each network makes steps at a cube of so many voxels a side, on one thread. The rates of a matrix product and
of a copy that the model takes are measured in CPU seconds too: what others do on the machine counts little.
Prints a line each, with the share of those rates that the step reached, and the largest error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from unittest.mock import patch

import torch

from MissingModalityLib.runtime.cpu_kernels import cpu_kernels
from MissingModalityLib.runtime.devices import describe_device
from MissingModalityLib.training import machines
from MissingModalityLib.training.dry_step import dry_step, make_stage, take_step
from MissingModalityLib.training.plan import make_plan

CROPS = ("rfnet=32", "segresnet=64", "gatedfusion=64")

_STEPS = 3
"""Of which the first pays for what is done once per process, and the quickest counts."""


def measure(network: str, side: int, machine: machines.Machine) -> tuple[float, float]:
    """Seconds of a step, predicted and measured."""
    plan = make_plan("baseline", network, "paper", settings={"patch_size": side, "batch_size": 1})
    stage, cpu = list(plan.stages)[-1], torch.device("cpu")
    predicted = machine.seconds(dry_step(plan, stage), half=False)
    parts, found = make_stage(plan, stage, cpu), []
    kernels = cpu_kernels(parts.trained, cpu, torch.float32)
    for _ in range(_STEPS):
        began = time.process_time()
        with kernels:
            take_step(parts, plan.stages[stage], cpu, torch.autocast("cpu", enabled=False))
        found.append(time.process_time() - began)
    return predicted, min(found)


def main(crops: Sequence[str]) -> int:
    """Print the table."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    with patch.object(machines, "perf_counter", time.process_time):
        machine = machines.this_machine(cpu)
    print(f"{describe_device(cpu)}: {machine.single / 1e9:.0f} GFLOP/s, {machine.bandwidth / 1e9:.1f} GB/s")
    worst = 0.0
    print(f"{'network':<12}{'side':>5}{'predicted':>11}{'measured':>10} s{'error':>7}{'share':>7}")
    for crop in crops or CROPS:
        network, side = crop.split("=")
        predicted, measured = measure(network, int(side), machine)
        error, share = predicted / measured - 1, machine.achieved * predicted / measured
        worst = max(worst, abs(error))
        print(
            f"{network:<12}{side:>5}{predicted:>11.2f}{measured:>10.2f}{error:>9.0%}{share:>7.2f}", flush=True
        )
    print(f"largest error {worst:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
