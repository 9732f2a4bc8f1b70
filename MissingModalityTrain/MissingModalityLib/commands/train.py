"""``train``: a folder of cases in, a run out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..progress import progress_printer
from ..training.settings import describe_settings
from .options import (
    add_command,
    add_convention,
    add_device,
    add_progress,
    add_settings,
    at_least,
    show_result,
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(commands, "train", run, "Train a network on a folder of cases.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of cases")
    parser.add_argument("--output", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--recipe", default="segresnet", metavar="NAME", help="what to train (default: %(default)s)"
    )
    parser.add_argument(
        "--preset", choices=("paper", "quick"), default="quick", help="how long (default: quick)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="fixes all randomness (default: 0)"
    )
    add_settings(parser, "change single settings of the recipe, see below", describe_settings())
    add_convention(parser)
    add_device(parser)
    add_progress(parser)


def run(options: argparse.Namespace) -> None:
    """Train."""
    from ..training.run import train

    with progress_printer(options.progress) as progress:
        checkpoint = train(
            options.data,
            options.output,
            recipe=options.recipe,
            preset=options.preset,
            resume=options.resume,
            seed=options.seed,
            device=options.device,
            settings=dict(options.settings),
            convention=options.convention,
            progress=progress,
        )
    show_result(options, {"output": str(checkpoint)}, f"Wrote {checkpoint}")
