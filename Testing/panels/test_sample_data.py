"""The synthetic patients in Slicer's Sample Data module, by its button and by a script."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

import slicer_standin
from MissingModalityLib import mrml
from MissingModalityLib.core.modalities import MODALITIES, Modality

slicer_standin.load_module("MissingModalitySeg")
sampledata = sys.modules["MissingModalitySegLib.sampledata"]
NAMES = (sampledata.SAMPLE_NAME, sampledata.RAW_SAMPLE_NAME)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where Slicer keeps samples; both are registered."""
    scene = slicer_standin.new_scene()
    manager = slicer.vtkCacheManager()
    manager.SetRemoteCacheDirectory(str(tmp_path / "cache"))
    scene.SetCacheManager(manager)
    icons = Path(slicer.modules.missingmodalityseg.path).with_name("Resources") / "Icons"
    for _ in range(2):  # as a module that is reloaded
        sampledata.registerSampleData(str(icons))
    return tmp_path / "cache"


def write_small_patient(folder: str, is_raw: bool) -> None:
    """Takes the place of the process that grows one."""
    patient = Path(folder) / f"patient{'_raw' if is_raw else ''}"
    patient.mkdir()
    for modality in MODALITIES:
        image = sitk.GetImageFromArray(np.full((2, 3, 4), int(modality), np.int16))
        sitk.WriteImage(image, str(patient / f"{modality.name.lower()}.nii.gz"))


def sources() -> list[Any]:
    return slicer.modules.sampleDataSources["Brain tumor MRI"]


def test_both_patients_are_offered_once_with_a_picture(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampledata, "_grow", None)
    assert [source.sampleName for source in sources()] == list(NAMES), "and none is grown for that"
    assert all(Path(source.thumbnailFileName).is_file() for source in sources())
    assert [source.customDownloader for source in sources()] == [None, None]


@pytest.mark.parametrize(("name", "first"), [(NAMES[0], "Synthetic FLAIR"), (NAMES[1], "Raw FLAIR")])
def test_a_script_gets_a_patient_which_is_grown_once(
    cache: Path, name: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import SampleData

    grown: list[str] = []

    def grow(folder: str, is_raw: bool) -> None:
        grown.append(folder)
        write_small_patient(folder, is_raw)

    monkeypatch.setattr(sampledata, "_grow", grow)
    assert SampleData.downloadSample(name).GetName() == first
    nodes = SampleData.downloadSamples(name)
    assert [mrml.voxels_of(node).max() for node in nodes] == list(Modality)
    assert len(grown) == 1


def test_a_patient_that_cannot_be_grown_is_told(cache: Path, tmp_path: Path) -> None:
    """The folder is a file."""
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeError, match=r"could not be grown: .*file"):
        sampledata._grow(str(tmp_path / "file"), True)


@pytest.mark.slow
def test_a_patient_is_grown_while_the_application_stays_alive(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import SampleData

    turns: list[Any] = []
    monkeypatch.setattr(slicer.app, "processEvents", lambda *flags: turns.append(flags))
    nodes = SampleData.downloadSamples(NAMES[0])
    assert [node.GetName() for node in nodes] == [f"Synthetic {modality.title}" for modality in MODALITIES]
    assert len(turns) > 10
    assert mrml.voxels_of(nodes[0]).shape == (155, 240, 240)
