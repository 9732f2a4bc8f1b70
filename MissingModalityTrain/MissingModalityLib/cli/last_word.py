"""How a command ends: what it tells of its result, and its exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core import strict_json
from ..core.printable import printable
from ..runtime.ranks import launched_rank
from .speech import LOG

_MOST_LINES = 20
"""Cases and files that a summary names, a screenful; the report has them all."""


def show_result(options: argparse.Namespace, result: Mapping[str, Any], summary: str) -> None:
    """The last word of a command: one JSON line for a parent process, text for people.

    Of several processes that torchrun has started for one command, the first has it.
    """
    if launched_rank():
        return
    summary = printable(summary, lines=True)
    # to a pipe Python prints in blocks, and who waits for this line shall not wait for the process's end
    LOG.info("%s", summary)
    if options.progress == "json":
        print(strict_json.dumps({"event": "result", "result": result}), flush=True)
    elif options.quiet:
        warnings = [line for line in summary.splitlines() if line.startswith("Warning: ")]
        print(*warnings, sep="\n", end="\n" if warnings else "", file=sys.stderr)
    else:
        print(summary, flush=True)


def failure_code(result: Mapping[str, Any]) -> int:
    """The exit code of a command on many cases: 1 where one was to be done and could not be.

    That is what pipelines of the field end with then, such as fMRIPrep, and what schedulers take for failed.
    """
    return 1 if result["unforeseen"] or result.get("failed") else 0


def warning_lines(warnings: Iterable[Mapping[str, str]]) -> list[str]:
    """A line for each ``case`` (empty for the whole folder) and ``warning``, a screenful at most."""
    lines = [
        f"Warning: {entry['case']}: {entry['warning']}" if entry["case"] else f"Warning: {entry['warning']}"
        for entry in warnings
    ]
    # those about the whole folder come last, and must not be the ones that are cut off
    left_out = len(lines) - _MOST_LINES
    return [f"Warning: {left_out} more in the report.", *lines[left_out:]] if left_out > 0 else lines


def other_methods_lines(evaluation: Mapping[str, Any]) -> list[str]:
    """A warning where an entry ``evaluation`` of a model counts scores of models by other methods."""
    unlike = evaluation.get("other_methods")
    if not unlike:
        return []
    return [
        f"Warning: the models of the cross-validation were trained by {unlike} as this one, which may be "
        "better or worse than what their scores make to be expected of it."
    ]


def skipped_lines(skipped: Sequence[Mapping[str, str]]) -> list[str]:
    """A line for each ``path`` and ``reason``, a screenful at most."""
    lines = [f"Warning: skipped {entry['path']}: {entry['reason']}" for entry in skipped[:_MOST_LINES]]
    more = len(skipped) - _MOST_LINES
    return [*lines, f"Warning: skipped {more} more, see the report."] if more > 0 else lines
