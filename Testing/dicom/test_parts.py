"""Series that are parts of one volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_headers import SEQUENCES, save, slices
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.dicom.choosing import choose
from MissingModalityLib.dicom.listing import find_studies
from MissingModalityLib.dicom.series import Series


def read(
    folder: Path, second: Callable[[int], bool], changes: Mapping[str, Any], **header: Any
) -> tuple[Series, ...]:
    """A FLAIR of 20 slices, some of which are of a second series, where these attributes differ."""
    images: list[Dataset] = slices(1, count=20, **SEQUENCES["FLAIR"], **header)
    for index, image in enumerate(images):
        if second(index):
            image.SeriesInstanceUID, image.SeriesNumber = "1.2.3", 2
            for keyword, value in changes.items():
                setattr(image, keyword, value)
    save(images, folder)
    (study,) = find_studies(folder).studies
    return study.series


@pytest.mark.parametrize("second", [lambda index: index % 2, lambda index: index >= 10])
def test_passes_and_portions_of_a_scan_are_one_volume(tmp_path: Path, second: Callable[[int], bool]) -> None:
    (one,) = read(tmp_path, second, {})
    assert (one.size[2], one.spacing[2], one.gap) == (20, 5.0, None)
    assert one.description == "t2_tirm_tra_dark-fluid, of 2 series"
    places = [image.position[2] for image in one.slices]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "changes",
    [
        {"EchoTime": 120},
        {"SeriesDescription": "FLAIR again"},
        {"ContrastBolusAgent": "Gadovist"},
        {"Rows": 2},
    ],
)
def test_series_that_differ_stay_two(tmp_path: Path, changes: Mapping[str, Any]) -> None:
    assert len(read(tmp_path, lambda index: index % 2 == 1, changes)) == 2


def test_a_second_run_between_the_slices_of_the_first_stays_another(tmp_path: Path) -> None:
    found = read(tmp_path, lambda index: index % 2 == 1, {}, SliceThickness=10.0)
    assert [one.size[2] for one in found] == [10, 10]


def test_portions_with_a_gap_between_them_stay_two(tmp_path: Path) -> None:
    images = slices(1, count=40, **SEQUENCES["FLAIR"])
    for image in images[25:]:
        image.SeriesInstanceUID, image.SeriesNumber = "1.2.3", 2
    save(images[:15] + images[25:], tmp_path)
    (study,) = find_studies(tmp_path).studies
    assert [one.size[2] for one in study.series] == [15, 15]


def test_why_a_sequence_is_not_used_is_told(tmp_path: Path) -> None:
    save(slices(1, **SEQUENCES["FLAIR"], PixelSpacing=[0, 0]), tmp_path)
    save(slices(2, **SEQUENCES["T1"]), tmp_path)
    (study,) = find_studies(tmp_path).studies
    choice = choose(study)
    assert list(choice.series) == [Modality.T1]
    assert "(series 1) is not used: it does not state where its slices lie." in choice.sentences[0]
