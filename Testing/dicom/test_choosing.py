"""The best series of each sequence, and how the choice is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dicom_headers import SEQUENCES, save, slices
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.dicom.choosing import choose
from MissingModalityLib.dicom.listing import DicomStudy, find_studies
from MissingModalityLib.dicom.series import Series, SeriesKind

THICK = Series(
    uid="1.2.3",
    number=1,
    description="FLAIR",
    patient="P1",
    study_uid="1.2",
    date="2024-03-01",
    time="10:00:00",
    slices=(),
    orientation=(1, 0, 0, 0, 1, 0),
    size=(256, 256, 24),
    spacing=(0.9, 0.9, 5.0),
    thickness=5.0,
    plane="axial",
    kind=SeriesKind.VOLUME,
    modality=Modality.FLAIR,
    confidence=0.95,
    reason="FLAIR in the name.",
)
THIN = replace(THICK, size=(256, 256, 160), spacing=(1.0, 1.0, 1.0), thickness=1.0)

# better, worse, and what the sentence says of the worse one
PAIRS = {
    "named": (THICK, replace(THIN, confidence=0.6), "less certain"),
    "original": (THICK, replace(THIN, kind=SeriesKind.REFORMAT), "a reformat"),
    "complete": (THICK, replace(THIN, gap="1 slice is missing."), "incomplete"),
    "coverage": (THICK, replace(THIN, size=(256, 256, 60)), "less of the brain"),
    "coverage of another plane": (
        THIN,
        replace(THICK, size=(256, 256, 36), plane="coronal", time="12:00:00"),
        "coarser voxels",
    ),
    "slices": (THIN, replace(THICK, time="12:00:00"), "coarser voxels"),
    "fat": (THICK, replace(THICK, description="FLAIR fs", time="12:00:00"), "fat-suppressed"),
    "acquired": (
        THICK,
        replace(THICK, header={"ImageType": "DERIVED\\SECONDARY"}, time="12:00:00"),
        "computed from others",
    ),
    "native": (THICK, replace(THICK, contrast=True, time="12:00:00"), "after contrast agent"),
    "later": (replace(THICK, time="12:00:00"), THICK, "acquired earlier"),
    "finer than needed": (
        replace(THIN, time="12:00:00"),
        replace(THIN, spacing=(0.5, 0.5, 0.6), thickness=0.6, size=(512, 512, 300)),
        "acquired earlier",
    ),
    "beyond the brain": (
        replace(THICK, time="12:00:00"),
        replace(THICK, size=(256, 256, 40)),
        "acquired earlier",
    ),
}


SLAB = replace(
    THICK,
    uid="1.2.5",
    number=5,
    description="T1 orbita KM",
    size=(256, 256, 14),
    spacing=(0.6, 0.6, 3.0),
    modality=Modality.T1CE,
)


def study(*series: Series) -> DicomStudy:
    return DicomStudy("P1", "1.2", "2024-03-01", "", series)


def test_a_slab_is_left_out_where_another_series_shows_the_whole_brain() -> None:
    choice = choose(study(THICK, SLAB))
    assert set(choice.series) == {Modality.FLAIR}
    told = "'T1 orbita KM' (series 5) is left out: it shows 42 mm of the head, less than 40% of the brain."
    assert f"T1ce: {told}" in choice.sentences
    whole = replace(THICK, modality=Modality.T1CE, confidence=0.6, uid="1.2.6")
    assert choose(study(THICK, SLAB, whole)).series[Modality.T1CE] is whole


def test_a_slab_is_used_where_it_is_named_or_all_there_is() -> None:
    named = replace(SLAB, named=True)
    assert choose(study(THICK, named)).series[Modality.T1CE] is named
    coronal = replace(THICK, plane="coronal")
    assert choose(study(replace(coronal, size=(256, 256, 24)), SLAB)).series[Modality.T1CE] is SLAB


@pytest.mark.parametrize("pair", PAIRS)
def test_the_better_series_is_used_in_whatever_order_they_lie(pair: str) -> None:
    better, worse, told = PAIRS[pair]
    better, worse = replace(better, number=7), replace(worse, number=8)
    for series in ((better, worse), (worse, better)):
        choice = choose(DicomStudy("P1", "1.2", "2024-03-01", "", series))
        assert choice.series == {Modality.FLAIR: better}
        assert choice.sentences[0].startswith("FLAIR: 'FLAIR' (series 7), axial, ")
        assert choice.sentences[0].endswith(f"rather than {worse.title} ({told}).")


def test_of_the_echoes_of_a_t1_the_first_is_used() -> None:
    first, later = (replace(THICK, modality=Modality.T1, header={"EchoTime": time}) for time in ("3", "12"))
    (sentence, _) = choose(DicomStudy("P1", "1.2", "2024-03-01", "", (later, first))).sentences
    assert sentence.endswith("(a later echo).")
    assert choose(DicomStudy("P1", "1.2", "", "", (later, first))).series[Modality.T1] is first


def test_all_four_sequences_are_chosen_in_channel_order(tmp_path: Path) -> None:
    for number, name in enumerate(("T2", "T1", "FLAIR", "T1CE"), 1):
        save(slices(number, **SEQUENCES[name]), tmp_path)
    choice = choose(find_studies(tmp_path).studies[0])
    assert tuple(choice.series) == MODALITIES and len(choice.sentences) == len(MODALITIES)


def test_what_is_not_found_uncertain_or_unknown_is_told_and_not_used(tmp_path: Path) -> None:
    save(slices(1, SeriesDescription="Ax T1 FLAIR"), tmp_path)
    save(slices(2, SeriesDescription="series"), tmp_path)
    save(slices(3, SeriesDescription="ep2d_diff"), tmp_path)
    choice = choose(find_studies(tmp_path).studies[0])
    assert not choice.series
    uncertain, missing, unknown = choice.sentences
    assert "'Ax T1 FLAIR' (series 1) is left out" in uncertain and "check it" in uncertain
    assert missing == "Not found: FLAIR, T1ce, T1 and T2."
    assert unknown.endswith("these are: 'series' (series 2).")


def test_a_later_t1ce_is_not_the_worse_for_its_contrast_agent() -> None:
    first = replace(THICK, modality=Modality.T1CE)
    later = replace(first, contrast=True, time="12:00:00")
    choice = choose(DicomStudy("P1", "1.2", "2024-03-01", "", (first, later)))
    assert choice.series == {Modality.T1CE: later}


def test_series_that_nothing_tells_apart_are_named_without_a_reason() -> None:
    choice = choose(DicomStudy("P1", "1.2", "2024-03-01", "", (THICK, replace(THICK))))
    assert choice.sentences[0].endswith("rather than 'FLAIR' (series 1).")
