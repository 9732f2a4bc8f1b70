"""Divisions into training, validation and test cases of the sizes that papers print, each by a recorded seed.

The papers' own lists of names are not part of this library; a seed draws others of the same sizes. Sizes:
BraTS 2015, 2018 and 2020 as in the RFNet family (Ding et al., ICCV 2021; Liu et al., Sec. 4.1), BraTS 2018
three times over; BraTS 2024 and FeTS 2024 four fifths and one fifth (Zhu et al., Sec. 3.1).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..core.errors import CaseError, OptionError
from ..core.files import explain_write_errors, leaving_no_empty_folder, write_text, written_together
from ..core.words import counted, unknown_name
from .case import Case
from .splitting import by_patient

PARTS = ("training", "validation", "test")
"""Of a division, in the order of its sizes; each is a list of names in a file, see :func:`list_file`."""


@dataclass(frozen=True)
class PublishedSplit:
    """Sizes of a paper's division.

    Attributes:
        sizes: numbers of cases, one for each of :data:`PARTS`.
        seed: that draws who is where.
    """

    sizes: tuple[int, int, int]
    seed: int


SPLITS: Mapping[str, PublishedSplit] = MappingProxyType(
    {
        "brats2020": PublishedSplit((219, 50, 100), 2020),
        "brats2018-1": PublishedSplit((199, 29, 57), 20181),
        "brats2018-2": PublishedSplit((199, 29, 57), 20182),
        "brats2018-3": PublishedSplit((199, 29, 57), 20183),
        "brats2015": PublishedSplit((242, 12, 20), 2015),
        "brats2024": PublishedSplit((1080, 0, 270), 2024),
        "fets2024": PublishedSplit((1000, 0, 250), 20240),
    }
)
"""By name. The numbers of seeds say nothing but which division they draw; they stay as they are."""


def published_split(name: str) -> PublishedSplit:
    """The division of a name.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in SPLITS:
        raise OptionError(unknown_name("split", name, SPLITS))
    return SPLITS[name]


def in_proportion(sizes: Sequence[int], count: int) -> tuple[int, ...]:
    """Sizes for another number of cases, in the same proportions as far as whole numbers allow.

    A part that is not empty in ``sizes`` gets a case at least, as far as there are enough.
    """
    whole = sum(sizes)
    found = [max(1, round(count * size / whole)) if size else 0 for size in sizes]
    found[0] = max(0, count - sum(found[1:]))
    return tuple(found)


def divide(
    cases: Sequence[Case],
    sizes: Sequence[int],
    seed: int,
    patients_of: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Divide cases into parts of exactly these sizes, all visits of a patient in one.

    The outcome depends on the names of cases and patients and on the seed only.

    Args:
        cases: to divide, as many as the sizes add up to.
        sizes: of :data:`PARTS`.
        seed: of the random order.
        patients_of: patient of each case by name; default what names say.

    Returns:
        Sorted names of each part.

    Raises:
        OptionError: another number of cases, or patients with too many visits to make up these sizes.
    """
    if sum(sizes) != len(cases):
        raise OptionError(
            f"A split of {' + '.join(map(str, sizes))} cases is one of {sum(sizes)}, and there are "
            f"{len(cases)} with a label. Give sizes that add up to {len(cases)}."
        )
    patients = by_patient(cases, patients_of)
    generator = random.Random(seed)  # noqa: S311 - a split that a seed repeats, no secret
    order = sorted(patients)
    generator.shuffle(order)
    order.sort(key=lambda patient: -len(patients[patient]))  # single cases last: they fill up what is left
    rooms, parts = list(sizes), [[] for _ in sizes]
    for patient in order:
        visits = patients[patient]
        fitting = [room if room >= len(visits) else 0 for room in rooms]
        if not any(fitting):
            raise OptionError(
                f"The {counted(len(visits), 'case')} of patient '{patient}' fit into no part of the split "
                f"{' + '.join(map(str, sizes))}. Choose other sizes."
            )
        (part,) = generator.choices(range(len(rooms)), fitting)
        rooms[part] -= len(visits)
        parts[part] += [case.name for case in visits]
    return {name: tuple(sorted(names)) for name, names in zip(PARTS, parts, strict=True)}


def list_file(folder: Path, part: str) -> Path:
    """Where the names of a part lie in a folder of lists."""
    return folder / f"{part}.txt"


def write_lists(division: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Write the names of each part that has any, one a line, into a folder, which is made if absent.

    Raises:
        CaseError: it holds lists of other names already, or cannot be written to.
    """
    texts = {
        list_file(folder, part): "".join(f"{name}\n" for name in names)
        for part, names in division.items()
        if names
    }
    for path, text in texts.items():
        if path.exists() and path.read_text("utf-8") != text:
            raise CaseError(f"{path}: lists other cases already. Choose another folder, or remove it.")
    with leaving_no_empty_folder(folder), explain_write_errors(folder, "Choose another folder."):
        folder.mkdir(parents=True, exist_ok=True)
        with written_together(*texts) as temporaries:
            for temporary, text in zip(temporaries, texts.values(), strict=True):
                write_text(text, temporary)
