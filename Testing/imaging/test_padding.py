"""A border in which nothing was measured counts as air."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from heads import brain, head
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.padding import without_padding
from MissingModalityLib.imaging.preparation import check_volumes
from MissingModalityLib.imaging.reading import Study


def padded(image: sitk.Image, value: float, width: int = 3) -> sitk.Image:
    array = sitk.GetArrayFromImage(sitk.Cast(image, sitk.sitkInt32))
    array[:, :width] = array[:, :, :width] = value
    return Grid.from_image(image).to_image(array)


@pytest.mark.parametrize("value", [-32768, -2000, 65535])
def test_a_border_far_off_all_others_is_as_dark_as_air_and_told(value: int) -> None:
    image, told = without_padding(padded(head(), value), "flair.nii")
    array, whole = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(padded(head(), value))
    assert array.max() < 2000 and (array[:, :3] == whole[whole != value].min()).all()
    np.testing.assert_array_equal(array[:, 3:, 3:], whole[:, 3:, 3:])
    assert told == [
        f"flair.nii: 13% of its voxels hold {value}, far off all others, as padding does; they count as air."
    ]
    study = check_volumes(Study({Modality.FLAIR: padded(head(), value)}, {Modality.FLAIR: "flair.nii"}))
    assert study.warnings == tuple(told)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(study.images[Modality.FLAIR]), array)


@pytest.mark.parametrize(
    "image",
    [head(), head(air=0), brain() - 5000.0, padded(head(), 0), padded(head(), -32768, width=0)],
    ids=["noise", "air of 0", "a brain in far air", "a border of 0", "no border"],
)
def test_other_volumes_stay_as_they_are(image: sitk.Image) -> None:
    assert without_padding(image, "flair.nii") == (image, [])
