"""Label maps that any program has written for the cases of a folder: which is of which case and subset."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import CaseError, OptionError
from ..core.files import image_suffix
from ..core.modalities import MODALITIES, Subset, modality_named, subset_name
from ..core.words import counted
from ..datasets.case import Case
from .case_scores import allowed_subsets


@dataclass(frozen=True)
class LabelMaps:
    """The label maps of a folder.

    Attributes:
        files: by name of the case and subset.
        left_out: why a map, by path inside the folder, is not used, and which are missing.
    """

    files: Mapping[str, Mapping[Subset, Path]]
    left_out: Mapping[str, str]


def find_label_maps(folder: Path, cases: Sequence[Case]) -> LabelMaps:
    """Label maps of cases, found by name.

    Folders that are called like subsets (``T1ce``, ``FLAIR+T1ce``, ``t1c_t2w``, ``all``) hold those predicted
    from these; a folder without such folders holds those predicted from all that each case has. A map is of
    the case that its file or the folder around it is called like, with whatever follows after a separator.

    Args:
        folder: of the label maps.
        cases: those to be scored.

    Raises:
        CaseError: there is no such folder, it holds no map of any case, or two of one.
    """
    if not folder.is_dir():
        raise CaseError(f"{folder}: there is no such folder. Give the folder of the label maps.")
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    named = {path: subset for path in inner if (subset := _subset(path.name))}
    files: dict[str, dict[Subset, Path]] = {case.name: {} for case in cases}
    left_out: dict[str, str] = {}
    by_name = {case.name: case for case in cases}
    for path in sorted(path for path in folder.rglob("*") if image_suffix(path) and path.is_file()):
        inside = path.relative_to(folder).as_posix()
        case = by_name.get(_case_of(path, by_name))
        subset = named.get(folder / path.relative_to(folder).parts[0]) if named else case and case.subset
        reason = _unusable(case, subset, bool(named))
        if reason:
            left_out[inside] = reason
        elif subset in files[case.name]:
            raise CaseError(
                f"{folder}: both {files[case.name][subset].relative_to(folder).as_posix()} and {inside} are "
                f"label maps of case {case.name}. Leave one there."
            )
        else:
            files[case.name][subset] = path
    if not any(files.values()):
        raise CaseError(
            f"{folder} holds no label map of any of {counted(len(cases), 'case')}, such as "
            f"{next(iter(by_name), 'NAME')}.nii.gz. Name each file, or the folder around it, like its case."
        )
    return LabelMaps(files, {**left_out, **_missing(cases, files, set(named.values()))})


def _unusable(case: Case | None, subset: Subset | None, by_subset: bool) -> str:
    """Why a file is of no use here; empty where it is."""
    if subset is None and by_subset:
        return "not in a folder that is called like a subset"
    if case is None:
        return "label map of no case that is scored"
    absent = [modality.title for modality in subset if modality not in case.images]
    return f"case {case.name} has no {' and no '.join(absent)}" if absent else ""


def _missing(
    cases: Sequence[Case], files: Mapping[str, Mapping[Subset, Path]], subsets: set[Subset]
) -> dict[str, str]:
    """Which predictions of cases are not there, of the subsets that there are folders of."""
    lost = {}
    for case in cases:
        expected = [subset for subset in allowed_subsets(case) if subset in subsets] or [case.subset]
        absent = [subset_name(subset) for subset in expected if subset not in files[case.name]]
        if not files[case.name]:
            lost[case.name] = "no label map of it"
        elif absent:
            lost[case.name] = f"no label map of it from {', '.join(absent)}"
    return lost


def _case_of(path: Path, names: Mapping[str, Case]) -> str | None:
    """The longest name of a case that a file, or else its folder, is called like."""
    for text in (path.name[: -len(image_suffix(path))], path.parent.name):
        found = [name for name in names if re.match(rf"{re.escape(name)}(?![^\W_])", text, re.IGNORECASE)]
        if found:
            return max(found, key=len)
    return None


def _subset(name: str) -> Subset | None:
    """The subset that a folder is called like."""
    if name.lower() == "all":
        return MODALITIES
    try:
        found = {modality_named(word) for word in re.split(r"[+_, ]+|-(?=[tTfF])", name)}
    except OptionError:
        return None
    return tuple(sorted(found))
