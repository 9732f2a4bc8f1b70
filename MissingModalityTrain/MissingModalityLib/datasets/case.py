"""What a search for cases finds: cases, the files they are made of, and files left out with the reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.modalities import Modality, Subset, subset_name
from ..core.words import counted
from .patients import patient_of

_MOST_FILES = 20
"""Files named per reason in a description, a screenful; CaseListing.skipped has them all."""


@dataclass(frozen=True)
class ImageFile:
    """Where one volume lies.

    Attributes:
        path: the file.
        channel: index along the last direction of a 4-D file, from 0; None for a 3-D file.
    """

    path: Path
    channel: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.channel is None else f"{self.path} (channel {self.channel})"


@dataclass(frozen=True)
class Case:
    """One patient at one time point.

    Attributes:
        name: unique in its listing.
        folder: where its files lie.
        layout: name of a layout in :data:`.registry.LAYOUTS`.
        images: non-empty, in channel order.
        label: label map, or None.
        convention: how the label map is numbered; None where neither the layout nor the user says.
        former: names that earlier versions gave it in a listing like this.
        beside: volumes beside its files that are not used, and why, one sentence each.
    """

    name: str
    folder: Path
    layout: str
    images: Mapping[Modality, ImageFile]
    label: Path | None = None
    convention: str | None = None
    former: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def subset(self) -> Subset:
        """Modalities with a volume, in channel order."""
        return tuple(self.images)

    @property
    def patient(self) -> str:
        """The case's name without the visit, see :func:`.patients.patient_of`."""
        return patient_of(self.name)


@dataclass(frozen=True)
class Skipped:
    """A file that belongs to no case, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class CaseListing:
    """The outcome of a search.

    Attributes:
        cases: sorted by name.
        skipped: every other file.
        folder: where the search began.
        warnings: what the user should know about the cases, one sentence each.
    """

    cases: tuple[Case, ...]
    skipped: tuple[Skipped, ...]
    folder: Path
    warnings: tuple[str, ...] = ()

    def find(self, name: str) -> Case | None:
        """The case of a name, be it one that an earlier version gave it."""
        found = [case for case in self.cases if case.name == name]
        # earlier, a short name was given to a case only where no other one could have it
        found = found or [case for case in self.cases if name in case.former]
        return found[0] if len(found) == 1 else None

    def labeled(self) -> tuple[list[Case], dict[str, str]]:
        """What training and evaluation can use, and what they leave out.

        Returns:
            The cases with a label; and why the other cases, by name, and files, by path inside the folder,
            are left out.
        """
        left_out = {case.name: "no label" for case in self.cases if case.label is None}
        left_out |= {relative(entry.path, self.folder): entry.reason for entry in self.skipped}
        return [case for case in self.cases if case.label is not None], left_out

    def to_json(self) -> dict[str, Any]:
        """Plain values for a program that shows the outcome, all of it."""
        return {
            "folder": str(self.folder),
            "cases": [
                {
                    "name": case.name,
                    "patient": case.patient,
                    "modalities": [modality.name for modality in case.images],
                    "label": case.label is not None,
                    "layout": case.layout,
                    "convention": case.convention,
                }
                for case in self.cases
            ],
            "skipped": [
                {"path": relative(entry.path, self.folder), "reason": entry.reason} for entry in self.skipped
            ],
            "warnings": list(self.warnings),
        }

    def describe(self) -> str:
        """A report for people, one line per layout, subset and reason."""
        lines = [f"{counted(len(self.cases), 'case')} in '{self.folder}'"]
        if self.cases:
            layouts = Counter((case.layout, case.convention) for case in self.cases)
            for (layout, convention), count in sorted(layouts.items(), key=str):
                numbering = f"labels numbered as in {convention}" if convention else "label numbering unknown"
                lines.append(f"  layout {layout}, {numbering}: {count}")
            subsets = Counter(case.subset for case in self.cases)
            lines += [f"  {subset_name(subset)}: {count}" for subset, count in subsets.most_common()]
            labeled = sum(case.label is not None for case in self.cases)
            lines.append(f"  with label: {labeled}, without: {len(self.cases) - labeled}")
        lines += [f"Warning: {warning}" for warning in self.warnings]
        return "\n".join([*lines, *self.describe_skipped()])

    def describe_skipped(self) -> list[str]:
        """One line per reason with the files it applies to."""
        return skipped_by_reason(self.skipped, self.folder)


def skipped_by_reason(skipped: Sequence[Skipped], folder: Path) -> list[str]:
    """One line per reason with the files it applies to, as paths inside the folder."""
    if not skipped:
        return []
    reasons: dict[str, list[str]] = defaultdict(list)
    for entry in skipped:
        reasons[entry.reason].append(relative(entry.path, folder))
    lines = [f"{counted(len(skipped), 'file')} skipped"]
    for reason, files in reasons.items():
        more = f" and {len(files) - _MOST_FILES} more" if len(files) > _MOST_FILES else ""
        lines.append(f"  {reason}: {', '.join(files[:_MOST_FILES])}{more}")
    return lines


def relative(path: Path, folder: Path) -> str:
    """The path inside the folder, with forward slashes; the whole path where it lies elsewhere."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
