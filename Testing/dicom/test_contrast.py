"""T1 before and after contrast agent, told apart where names do not say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_headers import SEQUENCES, save, slices
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.dicom.choosing import choose
from MissingModalityLib.dicom.listing import find_studies
from MissingModalityLib.dicom.series import Series

T1 = {"SeriesDescription": "t1_mprage_sag", "EchoTime": 3, "RepetitionTime": 500}
NAMED = {"SeriesDescription": "t1_se_tra_KM", "EchoTime": 9, "RepetitionTime": 500}
PERFUSION = {"SeriesDescription": "ep2d_perf", "ScanningSequence": "EP"}
AGENT = {"ContrastBolusAgent": "Gadovist"}


def found(folder: Path, *series: dict) -> list[Series]:
    """The series of a study whose series were acquired in this order."""
    for number, header in enumerate(series, 1):
        save(slices(number, count=8, **header), folder)
    return list(find_studies(folder).studies[0].series)


def modalities(series: list[Series]) -> list[Modality | None]:
    return [one.modality for one in series]


@pytest.mark.parametrize("evidence", [NAMED, PERFUSION, SEQUENCES["T2"] | AGENT])
def test_t1_before_and_after_the_first_agent_are_told_apart(tmp_path: Path, evidence: dict) -> None:
    before, _, after = found(tmp_path, T1, evidence, T1)
    assert (before.modality, before.contrast) == (Modality.T1, False)
    assert (after.modality, after.contrast) == (Modality.T1CE, True)
    assert "acquired after" in after.reason and after.confidence >= 0.5


def test_an_agent_noted_for_one_series_alone_is_believed(tmp_path: Path) -> None:
    assert modalities(found(tmp_path, T1, T1 | AGENT)) == [Modality.T1, Modality.T1CE]


def test_an_agent_noted_for_the_whole_examination_tells_nothing_of_its_series(tmp_path: Path) -> None:
    series = found(tmp_path, T1 | AGENT, SEQUENCES["T2"] | AGENT, T1 | AGENT)
    assert modalities(series) == [Modality.T1, Modality.T2, Modality.T1CE]
    assert all(one.confidence >= 0.5 for one in series)


def test_an_only_t1_with_a_noted_agent_is_t1ce(tmp_path: Path) -> None:
    assert modalities(found(tmp_path, T1 | AGENT, SEQUENCES["T2"] | AGENT)) == [Modality.T1CE, Modality.T2]


def test_the_same_t1_run_again_after_others_is_left_to_the_user(tmp_path: Path) -> None:
    first, _, again = found(tmp_path, T1, SEQUENCES["T2"], T1)
    assert first.modality is Modality.T1 and again.modality is Modality.T1CE
    assert again.confidence < 0.5 and "check it" in again.reason


def test_the_same_t1_run_again_at_once_stays_t1(tmp_path: Path) -> None:
    assert modalities(found(tmp_path, T1, T1)) == [Modality.T1, Modality.T1]


def test_0_ml_of_a_named_agent_are_none(tmp_path: Path) -> None:
    none = T1 | AGENT | {"ContrastBolusVolume": "0"}
    given = T1 | AGENT | {"ContrastBolusVolume": "7"}
    assert modalities(found(tmp_path, none, SEQUENCES["T2"], given)) == [
        Modality.T1,
        Modality.T2,
        Modality.T1CE,
    ]


def test_no_order_makes_a_t1_of_what_may_be_phase_contrast(tmp_path: Path) -> None:
    unclear = found(tmp_path, T1 | {"SeriesDescription": "T1 PC"}, NAMED)[0]
    assert unclear.confidence < 0.5 and "phase contrast" in unclear.reason


def test_a_name_outweighs_the_order(tmp_path: Path) -> None:
    native = T1 | {"SeriesDescription": "t1_mprage nativ"}
    assert modalities(found(tmp_path, NAMED, native)) == [Modality.T1CE, Modality.T1]


def test_acquisition_times_count_and_not_the_numbers_of_series(tmp_path: Path) -> None:
    late = found(tmp_path, T1 | {"AcquisitionTime": "120000"}, NAMED | {"AcquisitionTime": "110000"})[0]
    assert late.modality is Modality.T1CE


def test_an_examination_past_midnight_is_in_order(tmp_path: Path) -> None:
    evening, night = {"AcquisitionDate": "20240301"}, {"AcquisitionDate": "20240302"}
    before, _, after = found(
        tmp_path,
        T1 | evening | {"AcquisitionTime": "235000"},
        PERFUSION | night | {"AcquisitionTime": "000500"},
        T1 | night | {"AcquisitionTime": "001000"},
    )
    assert (before.modality, after.modality) == (Modality.T1, Modality.T1CE)


def test_an_unnamed_series_does_not_outdo_a_named_one_by_coming_later(tmp_path: Path) -> None:
    times = {"EchoTime": 9, "RepetitionTime": 500, "SeriesDescription": "unheard-of"}
    found(tmp_path, NAMED, times)
    assert choose(find_studies(tmp_path).studies[0]).series[Modality.T1CE].number == 1
