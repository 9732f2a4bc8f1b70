"""Which cases train and which are held out, where lists of names say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.errors import CaseError, OptionError
from ..datasets.case import Case, CaseListing
from ..datasets.case_list import listed_cases
from .record import RunRecord


def chosen_cases(
    listing: CaseListing, training: str | None, validation: str | None
) -> tuple[list[Case], tuple[str, ...]]:
    """The labeled cases that lists name, and which of them are held out.

    Args:
        listing: what lies in the data.
        training: path of the list of cases to train on; None for all that are not held out.
        validation: path of the list of those held out; None for none.

    Returns:
        Cases sorted by name, and names of those held out.

    Raises:
        OptionError: as :func:`listed_cases`, both lists name the same case, or none is left to train on.
    """
    held_out = {case.name: case for case in listed_cases(validation, listing)} if validation else {}
    chosen = listed_cases(training, listing) if training else listing.labeled()[0]
    both = [case.name for case in chosen if case.name in held_out]
    if both and training:
        raise OptionError(
            f"{validation}: names '{both[0]}', which {training} names too (cases in both: {len(both)}). A "
            "case is trained on or held out; take it out of one of the lists."
        )
    if len(both) == len(chosen):
        raise OptionError(f"{validation}: names all cases, so none is left to train on. Name fewer.")
    found = held_out | {case.name: case for case in chosen}
    return [found[name] for name in sorted(found)], tuple(sorted(held_out))


def given_split(record: RunRecord, cases: Sequence[Case], patients: Mapping[str, str]) -> list[Case]:
    """Those of a run's cases that its list holds out.

    Args:
        record: of the run, with the names of its list in ``validation``.
        cases: that can be read.
        patients: of each, by names and voxels.

    Raises:
        OptionError: a patient is on both sides.
        CaseError: no case of one of the sides can be read.
    """
    held_out = [case for case in cases if case.name in record.validation]
    of_training = {patients[case.name]: case.name for case in cases if case.name not in record.validation}
    if not held_out or not of_training:
        side = "to hold out" if of_training else "to train on"
        raise CaseError(f"'{record.data}': no case {side} can be read. Check the lists and the files.")
    for case in held_out:
        other = of_training.get(patients[case.name])
        if other is not None:
            raise OptionError(
                f"{record.validation_list}: '{case.name}' is of the same patient as '{other}', which is "
                "trained on. Put both on one side."
            )
    return held_out
