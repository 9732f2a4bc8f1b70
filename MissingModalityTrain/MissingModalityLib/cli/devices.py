"""``devices``: what there is to compute on, and how long a student takes there."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from .last_word import show_result
from .options import add_command, add_device, add_student
from .speech import add_speech

_EXAMPLES = (
    "devices",
    "devices --device cpu",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "devices",
        run,
        "Tell what there is to compute on, and how long one patient takes.",
        _EXAMPLES,
    )
    add_student(parser)
    add_device(parser)
    add_speech(parser)


def run(options: argparse.Namespace) -> None:
    """Look and measure."""
    from ..inference.locations import bundled_student
    from ..inference.time_estimate import estimated_seconds
    from ..runtime.devices import available_devices, choose_device, describe_device

    chosen = choose_device(options.device)  # first: refuses a device that is not there
    result = {
        "devices": [
            {"name": str(device), "description": describe_device(device)} for device in available_devices()
        ],
        "chosen": str(chosen),
        "description": describe_device(chosen),
        # measured here and now, since no table knows this machine and what else runs on it
        "seconds": round(estimated_seconds(options.student or bundled_student(), chosen), 1),
    }
    show_result(options, result, _summary(result))


def _summary(result: Mapping[str, Any]) -> str:
    lines = [f"{device['name']}: {device['description']}" for device in result["devices"]]
    return "\n".join([*lines, f"About {result['seconds']:.0f} s per patient on {result['chosen']}"])
