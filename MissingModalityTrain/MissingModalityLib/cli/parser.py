"""The parser of commands: errors in one line that name the nearest option, helps that end in examples."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile
from typing import Any, NoReturn

from ..core.words import nearest
from ..runtime.ranks import launched_rank


class Parser(argparse.ArgumentParser):
    """argparse without abbreviated options and with errors in the form of our own."""

    commands: tuple[str, ...] = ()
    """Of the parser of all commands, in the order of the help."""

    settings: Collection[str] = ()
    """Names that ``--set`` takes, of a parser that has it: people try them as options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Leave with one line."""
        # torchrun gives all processes the same arguments
        self.exit(
            2, None if launched_rank() else f"missing-modality: error: {message} (see {self.prog} --help)\n"
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does, but what a command does not know is its own fault and told first."""
        if not self.commands and (unknown := next(self._unknown(args or ()), None)):
            name = unknown.partition("=")[0]
            known = re.findall(r"--[a-z][a-z0-9-]*", self.format_usage())
            self.error(f"unknown option {name}{self._instead(name, known)}")
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unexpected argument '{rest[0]}'")
        return found, rest

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse does, in the words of the other errors."""
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            near = did_you_mean(str(value), names)
            raise argparse.ArgumentError(
                action, f"'{value}' is unknown{near} (choose from {', '.join(names)})"
            )

    def _instead(self, option: str, known: Collection[str]) -> str:
        """What an option that there is not was probably meant to be."""
        setting = option.strip("-").replace("-", "_")
        return f"; give --set {setting}=VALUE" if setting in self.settings else did_you_mean(option, known)

    def _unknown(self, arguments: Sequence[str]) -> Iterator[str]:
        """Options that there are not; a negative number is a value."""
        for text in takewhile(lambda text: text != "--", arguments):
            option = re.match(r"--[^=]+|-[A-Za-z]", text)
            if option and option[0] not in self._option_string_actions:
                yield text


def did_you_mean(word: str, known: Collection[str]) -> str:
    """``"; did you mean --flair?"``, or nothing where no known word is near."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def command_line(arguments: Sequence[str], commands: Collection[str], parser: Parser) -> list[str]:
    """Arguments with ``help [COMMAND]`` as ``[COMMAND] --help``; leaves where there is no such command."""
    given = list(arguments)
    if given[:1] == ["help"]:
        given = [*given[1:2], "--help"]
    if given and not given[0].startswith("-") and given[0] not in commands:
        near = did_you_mean(given[0], commands) or f": there are {', '.join(commands)}"
        parser.error(f"'{given[0]}' is no command{near}")
    return given


def with_examples(parser: argparse.ArgumentParser, examples: Sequence[str], before: str = "") -> None:
    """End the help in commands as they are typed, after a text with lines of its own."""
    # argparse would fill lines into one paragraph
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = "\n".join(["Examples:", *(f"  missing-modality {example}" for example in examples)])
    parser.epilog = "\n\n".join(filter(None, (before, lines)))
