"""Arrays of NumPy, nibabel, MONAI and PyTorch as volumes."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from MissingModalityLib.core.errors import ImageError
from MissingModalityLib.imaging.arrays import as_volume
from small_patient import brain_volume

TILTED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
IMAGE = brain_volume(spacing=(1.0, 2.0, 3.0), origin=(5.0, -7.0, 11.0), direction=TILTED)


def affine_of(image: sitk.Image) -> np.ndarray:
    """From voxel indices to RAS, as nibabel counts."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ lps


def in_meters() -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(ARRAY, np.diag([1e-3, 1e-3, 1e-3, 1]) @ AFFINE)
    image.header.set_xyzt_units("meter")
    return image


def two_places(
    qform: np.ndarray, zooms: tuple[float, ...] = (1, 2, 3), codes: int = 1
) -> nibabel.Nifti1Image:
    """An image whose header states two geometries."""
    image = nibabel.Nifti1Image(ARRAY, AFFINE)
    image.set_qform(qform, codes)
    image.header["sform_code"] = codes
    image.header.set_zooms(zooms)
    return image


ARRAY, AFFINE = sitk.GetArrayFromImage(IMAGE).transpose(), affine_of(IMAGE)

SAME = {
    "an image of SimpleITK": lambda: as_volume(IMAGE, "FLAIR"),
    "an array": lambda: as_volume(ARRAY, "FLAIR", AFFINE),
    "a channel first": lambda: as_volume(ARRAY[None], "FLAIR", AFFINE),
    "a channel last": lambda: as_volume(ARRAY[..., None], "FLAIR", AFFINE),
    "a big-endian array": lambda: as_volume(ARRAY.astype(">f4"), "FLAIR", AFFINE),
    "an image of nibabel": lambda: as_volume(nibabel.Nifti1Image(ARRAY, AFFINE), "FLAIR"),
    "an image of NIfTI-2": lambda: as_volume(nibabel.Nifti2Image(ARRAY, AFFINE), "FLAIR"),
    "an image without a matrix": lambda: as_volume(nibabel.Nifti1Image(ARRAY, None), "FLAIR", AFFINE),
    "an image in meters": lambda: as_volume(in_meters(), "FLAIR"),
    "a volume in a list of one": lambda: as_volume(sitk.JoinSeries([IMAGE]), "FLAIR"),
    "an array of long floats": lambda: as_volume(ARRAY.astype(np.longdouble), "FLAIR", AFFINE),
    "a tensor of MONAI": lambda: as_volume(MetaTensor(torch.tensor(ARRAY)[None], torch.tensor(AFFINE)), "x"),
    "a tensor that learns": lambda: as_volume(torch.tensor(ARRAY, requires_grad=True), "FLAIR", AFFINE),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_volume_comes_out_of_every_kind(kind):
    volume = SAME[kind]()
    assert np.array_equal(sitk.GetArrayFromImage(volume), sitk.GetArrayFromImage(IMAGE))
    for what in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(volume, what)(), getattr(IMAGE, what)(), atol=1e-6), what


def test_a_spacing_alone_runs_to_the_right_the_front_and_the_top():
    volume = as_volume(ARRAY, "FLAIR", spacing=(1, 2, 3))
    assert volume.GetSpacing() == (1, 2, 3)
    assert volume.GetDirection() == (-1, 0, 0, 0, -1, 0, 0, 0, 1)


REFUSED = {
    "masked voxels": (np.ma.masked_less(ARRAY, ARRAY.mean()), {"affine": AFFINE}, "masked voxels"),
    "no place": (ARRAY, {}, "does not tell where its voxels lie"),
    "two axes": (ARRAY[0], {"spacing": (1, 1, 1)}, "has the shape"),
    "four volumes": (np.stack([ARRAY] * 4), {"affine": AFFINE}, "has the shape"),
    "no numbers": (np.array([["a"]]), {"affine": AFFINE}, "no volume"),
    "nothing": (None, {"affine": AFFINE}, "is None. Give a volume, or leave"),
    "complex numbers": (ARRAY.astype(complex), {"affine": AFFINE}, "complex128"),
    "one spacing": (ARRAY, {"spacing": 2}, "no usable affine or spacing"),
    "a negative spacing": (ARRAY, {"spacing": (1, 1, -1)}, "without extent"),
    "affine and spacing": (ARRAY, {"affine": AFFINE, "spacing": (1, 1, 1)}, "both affine= and spacing="),
    "a transposed affine": (ARRAY, {"affine": AFFINE.T}, "is it transposed"),
    "a mirrored qform": (two_places(np.diag([-1, 1, 1, 1]) @ AFFINE), {}, "contradicts itself"),
    "other zooms": (two_places(AFFINE, (2, 2, 3)), {}, "contradicts itself"),
    "no orientation": (two_places(AFFINE, codes=0), {}, "codes of its qform and sform are both 0"),
    "a spacing of 0": (ARRAY, {"spacing": (1, 0, 1)}, "without extent"),
    "NaN": (ARRAY, {"affine": AFFINE * np.nan}, "without extent"),
    "shear": (ARRAY, {"affine": np.eye(4) + np.eye(4, k=1)}, "shears"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_volume_is_refused_by_its_name(what):
    value, place, message = REFUSED[what]
    with pytest.raises(ImageError, match=message) as refused:
        as_volume(value, "The T2 volume", **place)
    assert str(refused.value).startswith("The T2 volume")
