"""CT is told from MR by its numbers."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from heads import BRAIN_MM, SCALP_MM, ball, head
from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.hounsfield import is_hounsfield
from MissingModalityLib.imaging.preparation import check_volumes
from MissingModalityLib.imaging.reading import Study


def ct() -> np.ndarray:
    """A head of fat, bone and brain in air."""
    array = np.where(ball(SCALP_MM), np.where(ball(BRAIN_MM), 35.0, 700.0), -1000.0)
    array[ball(SCALP_MM) & ~ball(tuple(side - 4 for side in SCALP_MM))] = -80.0
    return array + np.random.default_rng(0).normal(0, 8, array.shape)


@pytest.mark.parametrize("padding", [-1000, -3024])
def test_a_head_in_hounsfield_units_is_known_with_whatever_lies_around_it(padding: int) -> None:
    array = ct()
    array[:, :2] = padding
    assert is_hounsfield(array)


@pytest.mark.parametrize("offset", [0, -500, -1000, -1024])
def test_mr_is_not_taken_for_ct_whatever_is_added_to_it(offset: int) -> None:
    assert not is_hounsfield(sitk.GetArrayFromImage(head()) + offset)


def test_dark_tissue_between_air_and_fat_speaks_for_mr() -> None:
    array = ct()
    array[ball(BRAIN_MM)] = np.linspace(-900, 900, np.count_nonzero(ball(BRAIN_MM)))
    assert not is_hounsfield(array)


def test_ct_is_refused_by_name() -> None:
    image = sitk.GetImageFromArray(ct().astype(np.float32))
    image.SetSpacing((4.0, 4.0, 4.0))
    with pytest.raises(ImageError, match=r"head\.nii\.gz looks like CT.*MR"):
        check_volumes(Study({Modality.T1: image}, {Modality.T1: "head.nii.gz"}))
