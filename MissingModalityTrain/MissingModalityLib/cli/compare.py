"""``compare``: several evaluations in, one table out; or one case as several models see it, as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..evaluation.printed import printed_tables
from .option_values import pair
from .options import add_command, add_convention, add_data, add_device, add_output

_EXAMPLES = (
    "compare baseline=results-of-another ours=results --output comparison",
    "compare baseline=a1,a2,a3 ours=b1,b2,b3 --published aem-kd-table-4",
    "compare ours=model.safetensors nnunet=LABEL_MAPS --picture CASE --subsets T2,FLAIR+T2 --data CASES "
    "--output pictures",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "compare",
        run,
        "Put evaluations of the same cases side by side, tested against the first.",
        _EXAMPLES,
    )
    parser.add_argument(
        "lines",
        nargs="+",
        type=pair,
        metavar="NAME=DIR[,DIR...]",
        help="a line of the table and the folders that 'evaluate' has written for it, one per seed; with "
        "--picture a model file or a folder of label maps",
    )
    add_output(parser, "DIR", "folder for the table and its numbers (default: print it)", required=False)
    parser.add_argument(
        "--published",
        metavar="TABLE",
        help="averages of a paper's table as further rows, marked 'printed' and not tested; one of "
        + ", ".join(printed_tables()),
    )
    group = parser.add_argument_group("a picture in place of a table")
    group.add_argument(
        "--picture",
        metavar="CASE",
        help="draw this case: sequences, reference and what each model found, Dice below each",
    )
    group.add_argument(
        "--subsets",
        type=lambda text: text.split(","),
        metavar="NAME[,NAME...]",
        help="what models are given, such as T2,FLAIR+T2 (default: T1, T1+T2, FLAIR+T1+T2, all sequences)",
    )
    add_data(group, "folder that the case lies in", required=False)
    add_convention(group)
    add_device(group)


def run(options: argparse.Namespace) -> None:
    """Compare."""
    lines: dict[str, str] = {}
    for name, folders in options.lines:
        if name in lines:
            raise OptionError(f"'{name}' was given twice. Join the folders of one line by commas.")
        lines[name] = folders
    if options.picture is not None:
        _picture(options, lines)
    else:
        _table(options, lines)


def _table(options: argparse.Namespace, lines: dict[str, str]) -> None:
    from ..evaluation.comparison import compare_folders

    for name, value in (("--subsets", options.subsets), ("--data", options.data)):
        if value is not None:
            raise OptionError(f"{name} is of a picture. Add --picture CASE, or leave it out.")
    # a comma in the name of a folder cannot be told from one between two; the library takes lists
    folders = {name: [Path(folder) for folder in _named(text, name)] for name, text in lines.items()}
    comparison = compare_folders(folders, options.output, options.published)
    print(comparison["markdown"].strip() if options.output is None else f"Wrote {options.output}")


def _named(text: str, line: str) -> list[str]:
    """What commas part; a name that is empty would be the current folder."""
    folders = text.split(",")
    if not all(folders):
        raise OptionError(f"{line}={text}: a folder has no name. Give NAME=DIR or NAME=DIR,DIR.")
    return folders


def _picture(options: argparse.Namespace, models: dict[str, str]) -> None:
    from ..evaluation.case_picture import picture_case

    for name, value in (("--data", options.data), ("--output", options.output)):
        if value is None:
            raise OptionError(f"--picture needs {name}. Add it.")
    if options.published is not None:
        raise OptionError("--published is of a table. Leave out --picture, or --published.")
    picture = picture_case(
        models,
        options.data,
        options.picture,
        options.subsets,
        options.output,
        convention=options.convention,
        device=options.device,
    )
    print(f"Wrote {picture}")
