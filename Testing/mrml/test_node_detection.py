"""Detecting the sequences of loaded volumes by what Slicer's DICOM database holds of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util
from pydicom.datadict import tag_for_keyword

import slicer_standin
from MissingModalityLib import mrml
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.sequence_header import HEADER_KEYWORDS
from MissingModalityLib.mrml.detection import DICOM_TAGS
from mrml_nodes import add_volume
from small_patient import brain_volume

slicer_standin.install()


@pytest.fixture
def scene() -> Iterator[Any]:
    yield slicer_standin.new_scene()
    slicer.mrmlScene.Clear(0)


class Study:
    """A DICOM database of one study whose series have these attributes, by instance."""

    def __init__(self, series: dict[str, dict[str, str]]) -> None:
        self._series = series

    def instanceValue(self, uid: str, tag: str) -> str:
        keyword = next(key for key, value in DICOM_TAGS.items() if value == tag)
        return {"StudyInstanceUID": "1.2", **self._series[uid]}.get(keyword, "")


def test_tags_are_those_of_all_that_detection_looks_at() -> None:
    assert set(HEADER_KEYWORDS) <= set(DICOM_TAGS)
    for keyword, tag in DICOM_TAGS.items():
        assert f"{tag_for_keyword(keyword):08x}" == tag.replace(",", ""), keyword


def test_volumes_of_one_study_tell_t1_before_and_after_contrast_apart(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"1": ("t1_mprage", "100000"), "2": ("ep2d_perf", "101000"), "3": ("t1_mprage", "102000")}
    series = {
        uid: {"SeriesDescription": name, "AcquisitionTime": time} for uid, (name, time) in times.items()
    }
    monkeypatch.setattr(slicer, "dicomDatabase", Study(series), raising=False)
    nodes = [add_volume(f"{uid}: {name}") for uid, (name, _) in times.items()]
    for uid, node in zip(times, nodes, strict=True):
        node.SetAttribute("DICOM.instanceUIDs", uid)
    found = [guess.modality for guess in mrml.detect_inputs(scene).values()]
    assert found == [Modality.T1, None, Modality.T1CE]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_volume_that_can_be_of_no_sequence_keeps_nobody_from_detecting_the_others(
    scene: Any, value: float
) -> None:
    odd = slicer.util.addVolumeFromArray(
        np.where(sitk.GetArrayFromImage(brain_volume()) > 0, value, 0.0), name="Volume"
    )
    flair = add_volume("FLAIR")
    found = mrml.detect_inputs(scene)
    assert [found[node.GetID()].modality for node in (odd, flair)] == [None, Modality.FLAIR]


def test_finer_voxels_are_assigned_and_the_other_volume_is_told(scene: Any) -> None:
    coarse, fine = add_volume("FLAIR tra"), add_volume("FLAIR sag")
    coarse.SetSpacing(6, 6, 5)
    fine.SetSpacing(1, 1, 5)
    chosen, (warning,) = mrml.assign_inputs(scene, mrml.detect_inputs(scene))
    assert chosen[Modality.FLAIR] is fine
    assert "'FLAIR tra' (95%, coarser voxels) looks like FLAIR too; 'FLAIR sag' (95%) was taken." in warning


def test_volumes_of_two_patients_are_never_proposed_together(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = {"1": ("A", "T2"), "2": ("B", "FLAIR"), "3": ("B", "T1 post gd"), "4": ("A", "T1 nativ")}
    series = {uid: {"PatientID": patient, "SeriesDescription": name} for uid, (patient, name) in who.items()}
    series["5"] = {"PatientID": "B", "StudyDate": "20240101", "SeriesDescription": "T2 later"}
    monkeypatch.setattr(slicer, "dicomDatabase", Study(series), raising=False)
    nodes = {uid: add_volume(header["SeriesDescription"]) for uid, header in series.items()}
    for uid, node in nodes.items():
        node.SetAttribute("DICOM.instanceUIDs", uid)
    scene.RemoveNode(nodes.pop("4"))
    loaded = add_volume("T1 from a file")
    chosen, warnings = mrml.assign_inputs(scene, mrml.detect_inputs(scene))
    assert chosen == {Modality.FLAIR: nodes["2"], Modality.T1CE: nodes["3"], Modality.T1: loaded}
    assert [warning.partition(". ")[0] for warning in sorted(warnings)] == [
        "'T2 later' was left out",
        "'T2' was left out",
    ]
    assert all("another patient or date" in warning for warning in warnings)
    assert mrml.are_of_several_visits(nodes.values())
    assert not mrml.are_of_several_visits(chosen.values())
