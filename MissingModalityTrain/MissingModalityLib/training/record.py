"""``run.json``: what a run is made of, kept so that it can be resumed, exported and understood later.

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core import strict_json
from ..core.errors import CaseError, OptionError
from ..core.files import explain_write_errors, read_text, write_text
from ..core.seeding import HASH_RULE, RULES
from ..inference.descent import MODELS_BEFORE, are_models_before
from ..inference.learned import BEFORE
from ..synthesis.options import EARLIER_GROWING, GROWING
from .earlier_runs import as_begun
from .plan import Plan, from_json, to_json
from .run_folder import RunFolder

_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("cases", "voxels_sha256", "versions", BEFORE, "given_files"), (dict,)),
    **dict.fromkeys(("validation", "left_out", "warnings", MODELS_BEFORE), (list,)),
    **dict.fromkeys(
        ("recipe", "preset", "convention", "initial", "prepared", "cases_list", "validation_list"),
        (str, type(None)),
    ),
    "data": (str,),
    "seed": (int,),
    **dict.fromkeys(("folds", "fold"), (int, type(None))),
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


_PARTS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("cases", "validation", "versions", "given_files"), _is_text),
    **dict.fromkeys(("voxels_sha256", "left_out", "warnings"), _are_texts),
    BEFORE: lambda value: isinstance(value, list) and all(map(_is_text, value)),
    MODELS_BEFORE: lambda value: are_models_before([value]),
}
"""What each value of an object, or each entry of a list, is."""


@dataclass(frozen=True)
class RunRecord:
    """``run.json``, key by key; ``plan`` has the key ``settings`` there.

    Attributes:
        data: whole path of the folder of cases.
        cases: those trained on or held out: names of their modalities, "FLAIR+T1ce", by name.
        validation: names of those held out.
        plan: what to do: network, its options, and the settings of every stage.
        recipe, preset: that the plan was made from; None for a run of a whole plan.
        seed: fixes everything random.
        seeding: the rule that gives generators their seeds, see :mod:`~..core.seeding`. Runs from before
            there was the key have rule 1.
        growing: how its synthetic tumors grow, if any do. Runs from before there was the key have
            ``EARLIER_GROWING``.
        convention: label convention that was asked for; None where the layout tells it.
        initial: whole path of the student that the first stage began with, if any.
        prepared: whole path of the folder of prepared cases; None for the run's own.
        contents: SHA-256 of the voxels that each case had when the run began, by name of the case and of
            the sequence, "label" and more, see :func:`~..imaging.content.identity`; in the file
            ``voxels_sha256``. Runs of earlier versions have none.
        left_out: why cases and files of the data are not used, by name of the case or path inside ``data``;
            in the file a list of ``{"name": ..., "reason": ...}``.
        warnings: ``case``, empty for one about all of them, and ``warning``; in the file where there are any.
        versions: of this library and PyTorch when the run began.
        folds, fold: of a run that is one fold of a cross-validation, how many there are and which it is, from
            0; what is held out is that fold, see :func:`~..datasets.splitting.split_folds`. Else None.
        cases_list, validation_list: whole paths of the lists of names that were given, in the file where any
            was; the names themselves are in ``cases`` and ``validation``.
        learned_before: what the models that the run began with or is taught by had learned from: hashes of
            volumes by name of the case, see :class:`~..inference.learned.Learned`; in the file where there
            is any.
        models_before: these models themselves, see :mod:`~..inference.descent`; in the file where there are
            any. Runs of earlier versions have none.
        given_files: SHA-256 by path of what the files beside the cases held that the run reads when it
            starts, see :mod:`.given_files`; in the file where there are any.
    """

    data: str
    cases: Mapping[str, str]
    validation: tuple[str, ...]
    plan: Plan
    recipe: str | None = None
    preset: str | None = None
    seed: int = 0
    seeding: int = HASH_RULE
    growing: int = EARLIER_GROWING
    convention: str | None = None
    initial: str | None = None
    prepared: str | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    folds: int | None = None
    fold: int | None = None
    cases_list: str | None = None
    validation_list: str | None = None
    warnings: Sequence[Mapping[str, str]] = ()
    learned_before: Mapping[str, Sequence[str]] = field(default_factory=dict)
    models_before: Sequence[Mapping[str, Any]] = ()
    given_files: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        of_fold = {} if self.folds is None else {"folds": self.folds, "fold": self.fold}
        lists = {"cases_list": self.cases_list, "validation_list": self.validation_list}
        return {
            "data": self.data,
            "recipe": self.recipe,
            "preset": self.preset,
            "seed": self.seed,
            "seeding": self.seeding,
            "growing": self.growing,
            "convention": self.convention,
            "initial": self.initial,
            "prepared": self.prepared,
            "cases": dict(self.cases),
            "validation": list(self.validation),
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out.items()],
            "voxels_sha256": {name: dict(content) for name, content in self.contents.items()},
            "versions": dict(self.versions),
            **({"warnings": list(self.warnings)} if self.warnings else {}),
            **of_fold,
            **({BEFORE: dict(self.learned_before)} if self.learned_before else {}),
            **({MODELS_BEFORE: list(self.models_before)} if self.models_before else {}),
            **({"given_files": dict(self.given_files)} if self.given_files else {}),
            **{name: path for name, path in lists.items() if path is not None},
            "settings": to_json(self.plan),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RunRecord:
        """The inverse of :meth:`to_json`, also for files of earlier versions, which lack keys.

        Raises:
            KeyError, TypeError, AttributeError, OptionError: another version has other keys or settings.
        """
        seeding = content.get("seeding", HASH_RULE)
        if seeding not in RULES:
            raise OptionError(f"seeding={seeding}")
        growing = content.get("growing", EARLIER_GROWING)
        if growing not in (EARLIER_GROWING, GROWING):
            raise OptionError(f"growing={growing!r:.60}")
        _check_kinds(content)
        return cls(
            data=content["data"],
            cases=content["cases"],
            validation=tuple(content["validation"]),
            plan=from_json(_with_earlier_meanings(content["settings"])),
            recipe=content.get("recipe"),
            preset=content.get("preset"),
            seed=content.get("seed", 0),
            seeding=seeding,
            growing=growing,
            convention=content.get("convention"),
            initial=content.get("initial"),
            prepared=content.get("prepared"),
            left_out={entry["name"]: entry["reason"] for entry in content.get("left_out", ())},
            contents=content.get("voxels_sha256", {}),
            versions=content.get("versions", {}),
            folds=content.get("folds"),
            fold=content.get("fold"),
            cases_list=content.get("cases_list"),
            validation_list=content.get("validation_list"),
            warnings=content.get("warnings", ()),
            learned_before=content.get(BEFORE, {}),
            models_before=content.get(MODELS_BEFORE, ()),
            given_files=content.get("given_files", {}),
        )

    @classmethod
    def read(cls, folder: RunFolder) -> RunRecord:
        """The record of a run.

        Raises:
            CaseError: the folder holds no run, or one of another version.
        """
        path = folder.record
        try:
            return cls.from_json(strict_json.loads(read_text(path)))
        except FileNotFoundError:
            if folder.holds_folds:
                raise CaseError(
                    f"'{folder.path}' is a cross-validation. Choose one of its folds, such as "
                    f"'{folder.path / 'fold0'}', or give folds to train it on."
                ) from None
            raise CaseError(
                f"'{folder.path}' is no training run: it has no {path.name}. Choose the folder given to "
                "--output."
            ) from None
        except (OSError, ValueError) as error:
            raise CaseError(f"{path}: cannot be read ({error}). Start the run again.") from error
        except (KeyError, TypeError, AttributeError, OptionError) as error:
            raise CaseError(
                f"{path}: holds other settings than this version knows ({error}). Use the version that the "
                "run began with, and install the packages that its network and methods are from, or start a "
                "new run."
            ) from error

    def write(self, folder: RunFolder) -> None:
        """Replace the record of a run.

        Raises:
            CaseError: the folder cannot be written to.
        """
        with explain_write_errors(folder.path, "Choose a folder on a disk with free space."):
            folder.path.mkdir(parents=True, exist_ok=True)
            write_text(strict_json.dumps(self.to_json(), indent=2), folder.record)


def _with_earlier_meanings(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan whose stages go on as they began, see :mod:`.earlier_runs`."""
    return {**plan, "stages": {name: as_begun(stage) for name, stage in plan["stages"].items()}}


def _parts_of(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value or ()


def _check_kinds(content: Mapping[str, Any]) -> None:
    """Hold values against what their keys can have; whether settings are in range, the plan says.

    Raises:
        OptionError: one is of another kind, or a seed that no generator takes.
    """
    for key, kinds in _KINDS.items():
        if key in content and type(content[key]) not in kinds:
            raise OptionError(f"{key}={content[key]!r:.60}")
    for key, is_valid in _PARTS.items():
        if not all(map(is_valid, _parts_of(content.get(key)))):
            raise OptionError(f"{key}={content[key]!r:.60}")
    folds, fold = content.get("folds"), content.get("fold")
    if (folds is None) != (fold is None) or (folds is not None and not 0 <= fold < folds):
        raise OptionError(f"folds={folds}, fold={fold}")
    # wider than what a new run may have: those of earlier versions go on
    if not -(2**63) <= content.get("seed", 0) < 2**64:
        raise OptionError(f"seed={content['seed']!r:.60}")
