"""Volumes in memory to a result in memory."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import SimpleITK as sitk

import MissingModalityLib as mm
from small_patient import AS_GIVEN, brain_volume

OPTIONS = {"steps": AS_GIVEN, "device": "cpu"}


def test_images_files_and_arrays_give_the_labels_that_files_give(flair, student, tmp_path):
    output, image = tmp_path / "tumor.nii.gz", sitk.ReadImage(str(flair))
    mm.segment_files({"FLAIR": flair}, output, student, **OPTIONS)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(output)))
    assert expected.any()
    array = sitk.GetArrayFromImage(image).transpose()
    for given, place in ((flair, {}), (image, {}), (array, {"affine": np.diag([-2, -2, 2, 1])})):
        found = mm.segment({"t2f": given}, student=student, **OPTIONS, **place)
        assert np.array_equal(sitk.GetArrayFromImage(found.labels), expected)
        assert found.subset == (mm.Modality.FLAIR,)
    assert len(list(tmp_path.glob("tumor*"))) == 2  # the file and its report: nothing else was written


def test_a_result_that_is_written_too_has_its_report_and_files_mix_with_images(flair, student, tmp_path):
    output = tmp_path / "tumor.nii.gz"
    found = mm.segment({"T1ce": brain_volume(2), "FLAIR": str(flair)}, output, student, **OPTIONS)
    written = sitk.ReadImage(str(output))
    assert np.array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(found.labels))
    report = json.loads((tmp_path / "tumor.nii.gz.report.json").read_text())
    assert report["inputs"] == {"T1CE": "T1ce", "FLAIR": str(flair)}
    assert set(report["contents"]["FLAIR"]) > set(report["contents"]["T1CE"])  # a file has bytes, too


def test_the_report_tells_of_the_file_that_was_read_and_not_of_one_put_there_since(flair, student, tmp_path):
    read, output = flair.read_bytes(), tmp_path / "tumor.nii.gz"

    def exchange(event):
        if event.stage == "segment":
            sitk.WriteImage(brain_volume(7), str(flair))

    mm.segment({"FLAIR": flair}, output, student, on_progress=exchange, **OPTIONS)
    report = json.loads((tmp_path / "tumor.nii.gz.report.json").read_text())
    assert flair.read_bytes() != read
    assert report["contents"]["FLAIR"]["sha256"] == hashlib.sha256(read).hexdigest()


def test_the_grid_of_a_volume_is_chosen_by_any_of_its_names(flair, student):
    fine = brain_volume(2, spacing=(1.0, 1.0, 1.0), size=(52, 48, 44))
    found = mm.segment({"flair": flair, "T1-Gd": fine}, student=student, grid="t1c", **OPTIONS)
    assert found.labels.GetSize() == fine.GetSize()


@pytest.mark.parametrize("place", [{"spacing": (1, 1, 5)}, {"affine": np.eye(4)}], ids=["spacing", "affine"])
def test_a_place_for_volumes_that_have_headers_is_refused_as_it_would_not_count(flair, student, place):
    image = sitk.ReadImage(str(flair))
    for inputs in ({"FLAIR": flair}, {"FLAIR": image}, {"FLAIR": str(flair), "T2": image}):
        with pytest.raises(mm.MissingModalityError, match="none of the volumes is one"):
            mm.segment(inputs, student=student, **place)


WRONG = {
    "a list": (["flair.nii.gz"], "give a dict"),
    "nothing": ({}, "Give at least one of FLAIR, T1ce, T1 and T2"),
    "an unknown sequence": ({"dwi": 1}, "'dwi' is no sequence of FLAIR, T1ce, T1 and T2"),
    "two names of one": ({"t1c": 1, "T1ce": 2}, "T1ce was given twice"),
    "no volume": ({"FLAIR": {"a": 1}}, "does not tell where"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_inputs_are_refused_in_one_sentence(what, student):
    inputs, message = WRONG[what]
    with pytest.raises(mm.MissingModalityError, match=message):
        mm.segment(inputs, student=student)


def test_a_study_takes_names_of_sequences_and_nothing_but_images(flair):
    study = mm.Study({"T1-Gd": sitk.ReadImage(str(flair))})
    assert study.reference is mm.Modality.T1CE and study.names == {mm.Modality.T1CE: "T1ce"}
    with pytest.raises(mm.MissingModalityError, match="FLAIR is a ndarray"):
        mm.Study({"flair": np.zeros((9, 9, 9))})
