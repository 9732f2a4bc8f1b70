"""``synthesize``: a folder of cases in, synthetic cases out."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.modalities import MODALITIES, Modality
from ..core.setting_texts import as_text
from ..core.settings import with_changes
from ..core.words import counted
from ..synthesis.options import MOST_FACTOR, SYNTHESIS_METHODS, SynthesisOptions
from .last_word import show_result, warning_lines
from .option_values import at_least, modality
from .options import add_command, add_convention, add_data, add_output, add_settings
from .parser import with_examples
from .speech import add_speech, shown_progress

_EXAMPLES = (
    "synthesize --data CASES --output SYNTHETIC",
    "synthesize --data CASES --output STEPS --pair RECIPIENT DONOR",
)


def add(commands: Any) -> None:
    """Describe the options."""
    parser = add_command(
        commands,
        "synthesize",
        run,
        "Make synthetic cases: tumors transplanted between patients, mixtures, or grown tumors.",
        _EXAMPLES,
    )
    add_data(parser, "folder of cases with labels")
    add_output(parser, "DIR", "folder for the synthetic cases")
    parser.add_argument(
        "--factor",
        type=at_least(2, MOST_FACTOR),  # once the real ones would leave none to make
        default=4,
        metavar="N",
        help="real and synthetic cases together, times the number of real ones (default: 4, as in the paper)",
    )
    parser.add_argument(
        "--method",
        choices=SYNTHESIS_METHODS,
        default="aem",
        help="aem: asymmetry error maps of tumors; mixup: whole images mixed; grown: tumors grown from label "
        "maps in healed brains (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="fixes all randomness (default: 0)"
    )
    _add_preview(parser)
    add_settings(parser, "change single options of the synthesis, see below")
    with_examples(parser, _EXAMPLES, _describe_options())
    parser.settings = [name for name, _ in _options_of(SynthesisOptions())]
    add_convention(parser)
    add_speech(parser)


def _add_preview(parser: argparse.ArgumentParser) -> None:
    """Of the steps from one pair of cases to a synthetic one."""
    parser.add_argument(
        "--pair",
        nargs=2,
        metavar=("RECIPIENT", "DONOR"),
        help="only write the steps from these two cases to a synthetic one, to look at",
    )
    parser.add_argument(
        "--modality",
        type=modality,
        default=Modality.FLAIR,
        metavar="NAME",
        help=f"with --pair: {', '.join(modality.name for modality in MODALITIES)} (default: FLAIR)",
    )
    parser.add_argument(
        "--prepared", type=Path, metavar="DIR", help="with --pair: folder where prepared cases are kept"
    )


def _describe_options() -> str:
    lines = ["Options of the synthesis, changed by --set NAME=VALUE, with their defaults:"]
    for name, item in _options_of(SynthesisOptions()):
        about = f"{item.metadata['meaning']}. Allowed: {item.metadata['allowed']}."
        lines.append(f"  {name} = {as_text(item.default)}")
        # a terminal has 80 columns, and one that is filled to the last may break the line itself
        lines += textwrap.wrap(about, 79, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


def _options_of(options: Any, path: str = "") -> Iterator[tuple[str, Field[Any]]]:
    """Path and field of every option, those of a group by GROUP.OPTION."""
    for item in fields(options):
        value = getattr(options, item.name)
        if is_dataclass(value):
            yield from _options_of(value, f"{path}{item.name}.")
        else:
            yield path + item.name, item


def run(options: argparse.Namespace) -> None:
    """Synthesize."""
    from ..synthesis.write import synthesize

    synthesis = with_changes(SynthesisOptions(), dict(options.settings))
    if options.pair:
        if options.method != "aem":  # mixed images have no steps to look at
            raise OptionError(f"--pair shows the method aem alone, not {options.method}. Leave --method out.")
        _preview(options, synthesis)
        return
    with shown_progress(options) as progress:
        report = synthesize(
            options.data,
            options.output,
            factor=options.factor,
            method=options.method,
            seed=options.seed,
            options=synthesis,
            convention=options.convention,
            on_progress=progress,
        )
    made = f"{counted(len(report['synthetic']), 'case')} in {report['seconds']:.1f} s"
    lines = [*warning_lines(report["warnings"]), made, f"Wrote {options.output}"]
    show_result(options, report, "\n".join(lines))


def _preview(options: argparse.Namespace, synthesis: SynthesisOptions) -> None:
    from ..synthesis.preview import preview

    with shown_progress(options) as progress:
        written = preview(
            options.data,
            options.output,
            *options.pair,
            modality=options.modality,
            options=synthesis,
            convention=options.convention,
            seed=options.seed,
            prepared=options.prepared,
            on_progress=progress,
        )
    show_result(options, written, f"Wrote {options.output}")
