"""All studies by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..core.errors import OptionError
from ..core.words import unknown_name
from . import aem_kd, mst_kdnet, own
from .study import DataSet, Study

STUDIES: Mapping[str, Study] = MappingProxyType(
    {study.name: study for study in (*aem_kd.STUDIES, *mst_kdnet.STUDIES, *own.STUDIES)}
)


def study_named(name: str) -> Study:
    """The study of a name.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in STUDIES:
        raise OptionError(unknown_name("study", name, STUDIES))
    return STUDIES[name]


def data_set_named(study: Study, name: str | None) -> DataSet:
    """One of a study's data sets; the usual one where none is named.

    Raises:
        OptionError: the study has none of that name.
    """
    by_name = {data.name.lower(): data for data in study.data}
    if name is None:
        return study.data[0]
    if name.lower() not in by_name:
        names = [data.name for data in study.data if data.name]
        if not names:
            raise OptionError(f"The study {study.name} is of no data set. Leave out the name '{name}'.")
        raise OptionError(unknown_name(f"data set of {study.name}", name, names))
    return by_name[name.lower()]
