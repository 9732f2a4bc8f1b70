"""What benchmarks share: a measurement in a process of its own, whose peak memory is that of nothing else."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

SEED = 2021
"""Of synthetic patients and random weights."""


def in_child(
    script: str, measure: str, options: argparse.Namespace, limit: float | None = None
) -> dict[str, Any] | None:
    """Run one measurement in a fresh interpreter and return the JSON it prints last.

    None where it fails, or takes more than ``limit`` seconds.
    """
    print(f"measuring {measure} ...", file=sys.stderr, flush=True)
    command = [sys.executable, script, *options.arguments, "--measure", measure, "--folder", options.folder]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, timeout=limit)
    except subprocess.TimeoutExpired:
        print(f"{measure} took more than {limit:.0f} s", file=sys.stderr, flush=True)
        return None
    if done.returncode:
        return None
    line = done.stdout.splitlines()[-1]
    print(line, file=sys.stderr, flush=True)
    return json.loads(line)


def warn_when_busy(threads: int) -> None:
    """Print a caution where other programs compute too."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load + threads > (os.cpu_count() or 1) + 0.5:
        print(
            f"CAUTION: other programs keep this machine busy (load {load:.1f}); "
            "seconds and their ratios are only good on an idle one.",
            flush=True,
        )


def use_threads(count: int) -> None:
    """Let PyTorch and SimpleITK compute with so many."""
    import SimpleITK as sitk
    import torch

    torch.set_num_threads(count)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
