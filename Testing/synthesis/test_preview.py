"""The steps of one transplantation: what the files hold is what the synthesis itself makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import MissingModalityLib as mm
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.synthesis.preview import preview
from small_cases import write_patients


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patients(tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="module")
def steps(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, sitk.Image]:
    output = tmp_path_factory.mktemp("preview")
    written = preview(cases, output, "patient_a", "patient_b", Modality.T1)
    return {name: sitk.ReadImage(written[name]) for name in ("x_a", "d_b", "t_b", "x_ab", "y_ab")}


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


def test_the_sum_is_recipient_and_tumor(steps: dict[str, sitk.Image]) -> None:
    x_a, t_b, x_ab = (voxels(steps[name]) for name in ("x_a", "t_b", "x_ab"))
    assert np.abs(t_b).max() > 0.1
    np.testing.assert_allclose(x_ab, x_a + t_b, atol=1e-5)
    assert (voxels(steps["y_ab"])[t_b != 0] > 0).all()


def test_what_is_added_is_the_donors_map_inside_its_tumor(steps: dict[str, sitk.Image]) -> None:
    """In the common space, so it also holds that both lie on each other."""
    t_b = steps["t_b"]
    d_b = voxels(sitk.Resample(steps["d_b"], t_b, sitk.Transform(), sitk.sitkNearestNeighbor))
    added = voxels(t_b)
    inside = added != 0
    np.testing.assert_allclose(added[inside], d_b[inside], atol=5e-3)


def test_the_whole_set_has_the_same_tumor(cases: Path, tmp_path: Path, steps: dict[str, sitk.Image]) -> None:
    """Among all synthetic cases of both patients there is the one that was previewed."""
    pair = tmp_path / "pair"
    pair.mkdir()
    for name in ("patient_a", "patient_b"):
        (pair / name).symlink_to(cases / name)
    report = mm.synthesize(pair, tmp_path / "set", factor=2)
    (name,) = (entry["name"] for entry in report["synthetic"] if entry["recipient"] == "patient_a")
    made = sitk.ReadImage(str(tmp_path / "set" / name / f"{name}_t1.nii.gz"))
    np.testing.assert_allclose(voxels(made), voxels(steps["x_ab"]), atol=5e-3)


def test_the_center_lies_in_the_new_tumor(cases: Path, tmp_path: Path) -> None:
    written = preview(cases, tmp_path, "patient_a", "patient_b", options=mm.SynthesisOptions(tumors=2))
    label = sitk.ReadImage(written["y_ab"])
    assert label[tuple(written["center"])] > 0


@pytest.mark.parametrize(
    ("recipient", "donor", "modality", "message"),
    [
        ("patient_a", "patient_a", Modality.FLAIR, "both recipient and donor"),
        ("patient_a", "nobody", Modality.FLAIR, "no case 'nobody'"),
        ("patient_a", "patient_c", Modality.T2, "'patient_c' has FLAIR.T1ce, but no T2"),
        ("patient_a", "patient_d", Modality.FLAIR, "'patient_d' has no tumor"),
    ],
)
def test_what_cannot_be_shown_is_told(
    cases: Path, tmp_path: Path, recipient: str, donor: str, modality: Modality, message: str
) -> None:
    with pytest.raises(mm.MissingModalityError, match=message):
        preview(cases, tmp_path / "out", recipient, donor, modality)
    assert not list((tmp_path / "out").glob("*.nrrd"))
