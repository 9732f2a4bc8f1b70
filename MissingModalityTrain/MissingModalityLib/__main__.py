# PYTHON_ARGCOMPLETE_OK
"""The command line: ``missing-modality COMMAND ...`` or ``python -m MissingModalityLib COMMAND ...``.

Exit codes: 0 done; 2 bad input or options or a package that is not installed, one message on stderr; 130
interrupted; 141 nobody reads what is printed; 1 a bug, with a traceback. Commands on many cases do the others
where one fails, keep the traceback of a bug in a log, and end with 1 too.
Each command is a file of ``cli``.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from . import __version__
from .cli import (
    cases,
    compare,
    devices,
    evaluate,
    export,
    phantom,
    plan,
    plot,
    prepare,
    segment,
    segment_folder,
    select,
    series,
    split,
    study,
    synthesize,
    train,
    unread,
)
from .cli.parser import Parser, command_line
from .cli.speech import spoken
from .core.errors import MissingModalityError
from .core.modalities import in_words
from .runtime.ranks import launched_world_size

_COMMANDS = (
    segment,
    segment_folder,
    cases,
    series,
    prepare,
    split,
    synthesize,
    plan,
    train,
    plot,
    export,
    evaluate,
    compare,
    study,
    select,
    phantom,
    devices,
)
"""In the order of the help."""

_REQUIRED = ("torch", "monai", "safetensors", "SimpleITK", "scipy", "matplotlib", "tqdm", "yaml", "pydicom")
"""Modules of packages that Slicer or a plain Python may lack."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _print_any_name()
    try:
        try:
            return _run(arguments)
        finally:
            unread.print_the_rest()
    except BrokenPipeError:
        if unread.is_read():
            raise
        unread.discard_the_rest()
        return unread.EXIT_CODE


def _run(arguments: Sequence[str] | None) -> int:
    """The exit code of one command; help ends in SystemExit."""
    try:
        parser = build_parser()
        _complete(parser)
        given = sys.argv[1:] if arguments is None else arguments
        options = parser.parse_args(command_line(given, parser.commands, parser))
        with spoken(options):
            return options.run(options) or 0
    except MissingModalityError as error:
        if not error.reported_elsewhere:
            print(f"missing-modality: error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _REQUIRED:
            raise
        print(f"missing-modality: error: {_remedy(module)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _print_any_name() -> None:
    """Escape what a console's alphabet lacks: a path that cannot be shown shall not end work that is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # others stand in for one, or there is no console
            stream.reconfigure(errors="backslashreplace")


def _remedy(module: str) -> str:
    # the one module that is not called as its package
    package = {"yaml": "pyyaml"}.get(module, module)
    return (
        f"The Python package '{package}' is not installed. In 3D Slicer: install the extension PyTorch and "
        "press Apply in the segmentation panel once, or let a script call logic.ensureDependencies(). "
        f"Elsewhere: {Path(sys.executable).name} -m pip install {package}"
    )


def build_parser() -> Parser:
    """The parser of all commands; the options that it returns hold the command's function as ``run``."""
    parser = Parser(
        prog="missing-modality",
        description=f"Brain tumor segmentation from any subset of {in_words()} MRI. "
        "Research use only, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"missing-modality {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    parser.commands = tuple(commands.choices)
    return parser


def _complete(parser: Parser) -> None:
    """Answer a shell that asks what may follow, and leave; argcomplete may be absent."""
    if "_ARGCOMPLETE" in os.environ:  # set by the shell for that question alone
        with suppress(ModuleNotFoundError):
            import_module("argcomplete").autocomplete(parser)


def _end(code: int) -> NoReturn:
    """End the process; one of several at once, since torch's threads, not yet gone, may abort a slow end."""
    if launched_world_size() == 1:
        sys.exit(code)
    from .runtime import distributed

    distributed.shut_down()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _end(main())
