"""Series that the user names for a sequence."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_headers import SEQUENCES, save, slices
from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.dicom.choosing import choose
from MissingModalityLib.dicom.listing import DicomStudy, find_studies
from MissingModalityLib.dicom.naming import with_named


@pytest.fixture
def visit(tmp_path: Path) -> DicomStudy:
    """T1 twice, a map, and a few slices."""
    save(slices(1, **SEQUENCES["T1"] | {"SeriesDescription": "T1 first"}), tmp_path)
    save(slices(2, **SEQUENCES["T1"]), tmp_path)
    save(slices(3, SeriesDescription="ADC"), tmp_path)
    save(slices(4, count=3, SeriesDescription="short"), tmp_path)
    return find_studies(tmp_path).studies[0]


@pytest.mark.parametrize("name", ["1", "t1 First", "UID"])
def test_a_series_is_named_by_number_description_or_uid(visit: DicomStudy, name: str) -> None:
    assert choose(visit).series[Modality.T1].number == 2  # the later one, unasked
    name = visit.series[0].uid if name == "UID" else name
    choice = choose(with_named(visit, {Modality.T1: name}))
    assert choice.series[Modality.T1].number == 1
    assert "rather than 't1_se_tra' (series 2) (not named for it)" in choice.sentences[0]


def test_the_users_word_outdoes_what_a_series_is_taken_for(visit: DicomStudy) -> None:
    choice = choose(with_named(visit, {Modality.T2: "ADC", Modality.T1CE: "2"}))
    assert {modality: one.number for modality, one in choice.series.items()} == {
        Modality.T1CE: 2,
        Modality.T1: 1,
        Modality.T2: 3,
    }


@pytest.mark.parametrize(
    "named, kind, sentence",
    [
        ({Modality.T1: "9"}, CaseError, r"no series is called so \(T1=9\). It has .*'ADC' \(series 3\)"),
        ({Modality.T1: ""}, CaseError, "no series is called so"),
        ({Modality.T1: "short"}, CaseError, "named for T1, has only 3 slices"),
        ({Modality.T1: "1", Modality.T2: "1"}, OptionError, "named for T1 and for T2"),
    ],
)
def test_what_is_named_wrongly_is_refused_in_a_sentence(
    visit: DicomStudy, named: dict[Modality, str], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        with_named(visit, named)


def test_a_name_of_two_series_is_refused_with_both(tmp_path: Path) -> None:
    for axes, step in (((1, 0, 0, 0, 1, 0), 5.0), ((0, 1, 0, 0, 0, -1), 4.0)):
        save(slices(1, axes=axes, step=step, SeriesDescription="brain"), tmp_path)
    with pytest.raises(CaseError, match=r"T1=1 names .* stack 1 of 2.* stack 2 of 2"):
        with_named(find_studies(tmp_path).studies[0], {Modality.T1: "1"})
