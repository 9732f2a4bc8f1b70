"""All that can be asked of a training, as one value that knows its command line; imports nothing heavy."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.kinds import check_names, takes_known_names
from ..core.setting_texts import as_text
from .plan import Plan, change_plan, flattened, make_plan, read_config

_PATHS = ("data", "output", "config", "initial", "prepared", "cases", "validation_cases")
_TEXTS = ("recipe", "network", "preset", "restart", "device", "convention")

_OPTIONS = {
    "initial": "init",
    "settings": "set",
    "accept_changes": "accept-changes",
    "validation_cases": "validation-cases",
}
"""Options of the command line that are not called as their field."""


@takes_known_names
@dataclass(frozen=True)
class TrainRequest:
    """Which training to begin or to resume.

    A new field is an argument of :func:`~.run.train` and of the panel's logic by itself; the command line's
    help and option stand in ``cli/train``.

    Attributes:
        data: folder in any layout that :func:`~..datasets.discovery.find_cases` knows; cases without a label
            are left out. With ``resume`` it may be None; another folder than before means that the data have
            moved.
        output: folder of the run, made if needed. With ``resume`` its checkpoint and settings are taken up.
        recipe: one of :data:`recipes.RECIPES`: which stages there are.
        network: one of the registered networks; default the recipe's own.
        preset: "paper", "light" for a computer without GPU, or "quick" for a trial.
        stages: those of the recipe to go through; default all.
        settings: values or texts by key, put over the preset (when resuming: over the run's own settings, for
            good), see :func:`plan.change_plan`; or a whole plan in place of recipe, network, preset,
            stages and config.
        config: YAML file of such settings, or of a whole plan; ``settings`` come on top of it.
        initial: student file whose weights the first stage begins with.
        resume: go on after the last whole epoch. Recipe, network, preset, stages, seed, convention, cases and
            split are those of the run, whatever is given here. Processes that torchrun or Slurm has restarted
            resume by themselves.
        restart: with ``resume``, the stage to begin anew, with the weights that the one before it ended with.
        seed: fixes everything random, 0 <= seed < 2**63. On one CPU device the result is the same to the bit,
            resumed or not; on CUDA some kernels add in an order of their own, and results differ a little
            from run to run.
        device: "auto", "cpu", "cuda" or "cuda:i"; under torchrun every process takes its own CUDA device.
        convention: label convention, where the layout does not tell.
        prepared: folder of prepared cases to use and to fill; default that of the run when resuming, else
            inside ``output``.
        folds: cross-validate: as many runs, in ``output/fold0``, ``output/fold1`` ..., of which each holds
            another part of the patients out, every source of cases shared alike among them
            (:func:`~..datasets.splitting.split_folds`; ``validation_fraction`` is not read). Each is scored
            on what it has held out, and when all are there ``output/evaluation`` holds the scores of all
            cases. With ``resume`` folds that are whole are kept, and those that lack are begun.
        fold: with ``folds``, train this one alone, 0 <= fold < folds.
        track: show every epoch in these programs too, "tensorboard" (in ``output/tensorboard``) and "mlflow",
            whose packages have to be installed; a resumed run has to be given it again.
        cases: text file of names, one a line, of the cases to train on, and to hold out of; default all of
            ``data``.
        validation_cases: likewise of those to hold out, of which none is in ``cases``;
            ``validation_fraction`` is not read then.
        accept_changes: with ``resume``, go on though volumes or labels of the run's cases hold other voxels
            than when it began, or a model or label maps that it reads something else, which is refused
            otherwise.

    Raises:
        OptionError: an unknown name, or a value of the wrong kind.
    """

    data: Path | str | None
    output: Path | str
    recipe: str = "baseline"
    network: str | None = None
    preset: str = "paper"
    stages: Sequence[str] | None = None
    settings: Mapping[str, Any] | Plan | None = None
    config: Path | str | None = None
    initial: Path | str | None = None
    resume: bool = False
    restart: str | None = None
    seed: int = 0
    device: str = "auto"
    convention: str | None = None
    prepared: Path | str | None = None
    # by name alone: whoever gives on_progress by its place shall find it there
    folds: int | None = field(default=None, kw_only=True)
    fold: int | None = field(default=None, kw_only=True)
    cases: Path | str | None = field(default=None, kw_only=True)
    validation_cases: Path | str | None = field(default=None, kw_only=True)
    accept_changes: bool = field(default=False, kw_only=True)
    track: Sequence[str] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None and (item.default is None or item.name == "data"):
                continue
            if item.name in _PATHS:
                object.__setattr__(self, item.name, _path(item.name, value))
            elif item.name in _TEXTS:
                _require(item.name, value, isinstance(value, str), "a name")
        for name in ("resume", "accept_changes"):
            _require(name, getattr(self, name), isinstance(getattr(self, name), bool), "True or False")
        for name, example in (("stages", "train"), ("track", "tensorboard")):
            value = getattr(self, name)
            if value is not None:
                names = isinstance(value, Sequence) and not isinstance(value, str)
                _require(name, value, names, f'a list of names, such as ["{example}"]')
                object.__setattr__(self, name, tuple(value))
        self._check_folds()
        given = self.settings is None or isinstance(self.settings, (Mapping, Plan))
        _require("settings", self.settings, given, 'values by key, such as {"epochs": 2}')

    def _check_folds(self) -> None:
        for name in ("folds", "fold"):
            value = getattr(self, name)
            _require(name, value, value is None or type(value) is int, "a whole number")
        if self.folds is None:
            _require("fold", self.fold, self.fold is None, "it together with folds")
            return
        _require("folds", self.folds, self.folds >= 2, "2 or more")
        inside = self.fold is None or 0 <= self.fold < self.folds
        _require("fold", self.fold, inside, f"a number from 0 to {self.folds - 1}")

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> TrainRequest:
        """What the command ``train`` was given; ``settings`` are pairs there."""
        values = {item.name: getattr(options, item.name) for item in fields(cls)}
        return cls(**{**values, "settings": dict(options.settings) or None})

    def changes(self) -> dict[str, Any] | Plan:
        """What is given beside recipe, network and preset, or a whole plan in their place.

        Raises:
            OptionError: the file cannot be read, or a whole plan comes with what it has itself.
        """
        given = self.settings or {}
        if isinstance(given, Plan):
            read: dict[str, Any] | Plan = given
        else:
            read = {} if self.config is None else read_config(self.config)
        if not isinstance(read, Plan):
            return {**read, **flattened(given)}
        if self.stages is not None or (self.config is not None and isinstance(given, Plan)):
            raise OptionError("A whole plan has its stages and settings. Leave out stages and config.")
        if self.network is not None:
            raise OptionError(f"A whole plan has its network. Leave out network={self.network}.")
        for item in fields(self):  # what was asked for beside the plan would be passed over without a word
            value = getattr(self, item.name)
            if item.name in ("recipe", "preset") and value != item.default:
                raise OptionError(f"A whole plan has its stages and settings. Leave out {item.name}={value}.")
        return read if isinstance(given, Plan) else change_plan(read, given)

    def plan(self) -> tuple[Plan, bool]:
        """The plan of a run that begins, and whether it was given as a whole.

        Raises:
            OptionError: an unknown name, or a value of the wrong kind or out of its range.
        """
        changes = self.changes()
        if isinstance(changes, Plan):
            return changes, True

        def make(settings: Mapping[str, Any]) -> Plan:
            return make_plan(self.recipe, self.network, self.preset, self.stages, settings)

        return self.applied(make, changes), False

    def applied(self, make: Callable[[Mapping[str, Any]], Plan], changes: Mapping[str, Any]) -> Plan:
        """The plan that ``make`` makes with these changes; what is wrong in the file of settings names it.

        Raises:
            OptionError: as ``make`` raises it, naming :attr:`config` where its settings alone are refused.
        """
        try:
            return make(changes)
        except OptionError:
            if self.config is not None:
                self._blame_config(make)
            raise

    def _blame_config(self, make: Callable[[Mapping[str, Any]], Plan]) -> None:
        of_file = read_config(self.config)
        try:
            make(of_file)
        except OptionError as error:
            raise OptionError(f"{self.config}: {error}") from error

    def to_arguments(self) -> list[str]:
        """The command line that asks for the same, beginning with ``train``.

        Raises:
            OptionError: ``settings`` is a whole plan, which the command line does not take.
        """
        if isinstance(self.settings, Plan):
            raise OptionError("settings: a process of its own takes no whole plan. Give values by key.")
        arguments = ["train"]
        # the settings last: there may be many
        for item in sorted(fields(self), key=lambda item: item.name == "settings"):
            value = getattr(self, item.name)
            empty = isinstance(value, (Mapping, tuple)) and not value
            if value is not None and value is not False and not empty:
                arguments += [f"--{_OPTIONS.get(item.name, item.name)}", *_texts(value)]
        return arguments


def takes_request(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of ``(on_progress, **choices)`` one of the fields of a request and ``on_progress``."""
    own = inspect.signature(function)
    of_request = inspect.signature(TrainRequest).parameters.values()
    by_kind = sorted([*of_request, own.parameters["on_progress"]], key=lambda parameter: parameter.kind)
    signature = own.replace(parameters=by_kind)

    @wraps(function)
    def call(*values: Any, **named: Any) -> Any:
        check_names(named, signature.parameters)
        return function(
            **signature.bind_partial(*values, **named).arguments
        )  # the request says what it lacks

    text, meanings = map(inspect.cleandoc, (function.__doc__ or "", TrainRequest.__doc__ or ""))
    meanings = meanings.partition("Attributes:\n")[2].partition("\n\n")[0]
    call.__doc__ = text.replace("    {choices}", meanings)
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def _path(name: str, value: Any) -> Path:
    _require(name, value, isinstance(value, (str, Path)), "a path")
    return Path(value)


def _texts(value: Any) -> list[str]:
    """What follows an option of the command line for a value; nothing follows a switch."""
    if value is True:
        return []
    if isinstance(value, Mapping):
        return [f"{key}={as_text(part)}" for key, part in flattened(value).items()]
    return [",".join(value) if isinstance(value, tuple) else str(value)]


def _require(name: str, value: Any, fits: bool, kind: str) -> None:
    if not fits:
        raise OptionError(f"{name}={value!r}: give {kind}.")
