"""How well the memory of a training step is predicted: the peak of a process against the model of ``plan``.

    python Testing/tools/measure_memory.py [rfnet=48 segresnet=96 ...]

Each network makes two steps at a cube of so many voxels a side, in a process of its own, whose most resident
memory is read from the system. Prints a line each, and the largest error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[2] / "MissingModalityTrain"

CROPS = ("rfnet=48", "segresnet=96", "gatedfusion=64", "mmformer=48", "dynunet=64")

RECIPES = {"dynunet": "nnunet-dropout"}

_CHILD = """
import json, sys
import torch
from MissingModalityLib.core.environment import peak_memory
from MissingModalityLib.runtime.cpu_kernels import cpu_kernels
from MissingModalityLib.training.dry_step import dry_step, make_stage, take_step
from MissingModalityLib.training.machines import this_machine
from MissingModalityLib.training.plan import make_plan

recipe, network, side = sys.argv[1:]
plan = make_plan(recipe, network, "paper", settings={"patch_size": int(side), "batch_size": 1})
stage, cpu = list(plan.stages)[-1], torch.device("cpu")
predicted = this_machine(cpu).needed(dry_step(plan, stage))
parts = make_stage(plan, stage, cpu)
kernels = cpu_kernels(parts.trained, cpu, torch.float32)
for _ in range(2):
    with kernels:
        take_step(parts, plan.stages[stage], cpu, torch.autocast("cpu", enabled=False))
print(json.dumps([predicted, peak_memory()]))
"""


def measure(network: str, side: int) -> tuple[int, int]:
    """Bytes of the whole process, predicted and measured."""
    child = [sys.executable, "-c", _CHILD, RECIPES.get(network, "baseline"), network, str(side)]
    found = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    lines = subprocess.run(child, check=True, capture_output=True, text=True, env=found).stdout.splitlines()
    predicted, measured = json.loads(lines[-1])
    return predicted, measured


def main(crops: Sequence[str]) -> int:
    """Print the table."""
    worst = 0.0
    print(f"{'network':<12}{'side':>5}{'predicted':>11}{'measured':>10} MiB{'error':>8}")
    for crop in crops or CROPS:
        network, side = crop.split("=")
        predicted, measured = measure(network, int(side))
        error = predicted / measured - 1
        worst = max(worst, abs(error))
        print(
            f"{network:<12}{side:>5}{predicted / 2**20:>11.0f}{measured / 2**20:>10.0f}{error:>12.0%}",
            flush=True,
        )
    print(f"largest error {worst:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
