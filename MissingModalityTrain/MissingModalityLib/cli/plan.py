"""``plan``: which crop, batch and width fill a device, how long the training takes, and its command."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from ..core import strict_json
from ..core.errors import OptionError
from ..networks.registry import NETWORKS
from ..training.presets import PRESET_NAMES
from .last_word import show_result
from .option_values import number
from .options import add_command, add_data, add_device, add_settings
from .parser import with_examples
from .speech import add_speech

_EXAMPLES = (
    "plan --data CASES --network rfnet --recipe aem-kd",
    "plan --data CASES --network dynunet --recipe nnunet-dropout --memory 24",
    "plan --data CASES --network mstkdnet --recipe mst-kd --gpu a100 --json",
    "plan --data CASES --preset light --measure",
    "plan --scale --gpu h100",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands, "plan", run, "Choose crop, batch and width by data and memory, and tell how long it takes."
    )
    add_data(parser, "folder of cases, or of prepared ones, which are looked at in no time", required=False)
    parser.add_argument("--recipe", default="baseline", metavar="NAME", help="as for train")
    parser.add_argument(
        "--network",
        metavar="NAME",
        help=f"one of {', '.join(NETWORKS)} (default: the one that the recipe is made for)",
    )
    parser.add_argument("--preset", choices=PRESET_NAMES, default="paper", help="default: %(default)s")
    add_settings(parser, "settings that stay as they are given, see train --help-settings")
    add_device(parser)
    parser.add_argument("--gpu", metavar="NAME", help="for this GPU: v100, a100, h100, h200 or rtx4090")
    parser.add_argument("--memory", type=number, metavar="GB", help="for a GPU with so much memory")
    parser.add_argument("--measure", action="store_true", help="time three real steps on the device too")
    parser.add_argument(
        "--scale",
        action="store_true",
        help="tell what 1, 8 and 64 GPUs and a batch of 10,000 studies take, with the command for each",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_speech(parser)
    with_examples(parser, _EXAMPLES)


def run(options: argparse.Namespace) -> None:
    """Plan, or predict what many machines take."""
    result, text = _scale(options) if options.scale else _plan(options)
    if options.json:
        print(strict_json.dumps(result))
    else:
        show_result(options, result, text)


def _plan(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    if options.data is None:
        raise OptionError("--data is missing. Name the folder of cases, or add --scale.")
    from ..training.planning import plan_training, summary  # loads PyTorch

    asked = ("data", "recipe", "network", "preset", "device", "gpu", "memory", "measure")
    given = {name: getattr(options, name) for name in asked}
    result = plan_training(**given, settings=dict(options.settings))
    return result, summary(result)


def _scale(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from ..training.scale import scale, scale_text

    found = scale(options.gpu or "h100")
    trainings = {network: [asdict(row) for row in rows] for network, rows in found["trainings"].items()}
    return {**found, "trainings": trainings}, scale_text(found)
