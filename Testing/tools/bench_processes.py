"""What a second process brings to training: seconds of the same epoch by one process and by two of torchrun.

    make bench                                        this too: RFNet, two crops of 64^3 a step, four steps
    python Testing/tools/bench_processes.py --crop 80

One process computes both crops of a step, two processes one each, all of them on one thread, on two synthetic
patients. Seconds are those of the epoch by the clock, as its log has them, so they are only good where two
cores have nothing else to do. Losses are compared: sums over crops are made in another order.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench_child import SEED, warn_when_busy
from MissingModalityLib.phantom.patient import write_patient
from MissingModalityLib.runtime.devices import describe_device

PROCESSES = 2
LAUNCHERS = {
    1: (),
    PROCESSES: ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"),
}
"""What stands before the command, by the number of processes."""


def epoch(processes: int, cases: Path, folder: Path, crop: int, steps: int) -> dict[str, Any]:
    """The last line of the log of a training of one epoch."""
    output = folder / f"by_{processes}"
    settings = [f"iterations_per_epoch={steps}", f"batch_size={PROCESSES}", f"patch_size={crop}"]
    command = [sys.executable, *LAUNCHERS[processes], "-m", "MissingModalityLib", "train"]
    command += ["--recipe", "baseline", "--network", "rfnet", "--preset", "light", "--device", "cpu"]
    command += ["--data", str(cases), "--prepared", str(folder / "prepared"), "--output", str(output)]
    command += ["--seed", str(SEED), "--progress", "none", "--set", *settings]
    command += ["epochs=1", "validation_fraction=0", "num_workers=0"]
    print(f"measuring {processes} ...", file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return json.loads((output / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--crop", type=int, default=64, help="voxels of a side of the crops (default: 64)")
    parser.add_argument("--steps", type=int, default=4, help="of the epoch (default: 4)")
    options = parser.parse_args(arguments)
    warn_when_busy(PROCESSES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(SEED, SEED + 2):
            write_patient(folder / "cases", seed)
        one, two = (epoch(n, folder / "cases", folder, options.crop, options.steps) for n in LAUNCHERS)
    ratio = one["seconds"] / two["seconds"]
    difference = abs(one["loss"]["total"] - two["loss"]["total"])
    device = describe_device(torch.device("cpu"))
    print(f"RFNet, {options.steps} steps of {PROCESSES} crops of {options.crop}^3, {device}")
    print(f"one process {one['seconds']:.1f} s, two {two['seconds']:.1f} s, {ratio:.2f}x; ", end="")
    print(f"losses {one['loss']['total']:.4f}, differ by {difference:.0e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
