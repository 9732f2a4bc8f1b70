"""What kinds of file a result can be, of DICOM above all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")

import dicom_studies  # noqa: E402 - needs pydicom
from command_line import exit_code  # noqa: E402
from MissingModalityLib.clinical.steps import Steps  # noqa: E402
from MissingModalityLib.core.modalities import Modality  # noqa: E402
from MissingModalityLib.inference.segment_folder import segment_folder  # noqa: E402
from small_patient import brain_volume, write_brain  # noqa: E402

NO_STEPS = ("--registration", "never", "--stripping", "never", "--no-content-check")
QUIET = ("--device", "cpu", "--progress", "none")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """FLAIR in fine voxels, and around the same middle T1ce in thicker slices of another direction."""
    size, spacing, direction = (30, 30, 16), (1.9, 1.9, 3.6), (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1)
    flair = brain_volume(1, size=(30, 28, 26), spacing=(1.9, 1.9, 2.0))
    middle = np.array(flair.TransformContinuousIndexToPhysicalPoint((14.5, 13.5, 12.5)))
    origin = middle - np.reshape(direction, (3, 3)) @ ((np.array(size) - 1) / 2 * spacing)
    contrast = brain_volume(2, size, spacing, tuple(origin.tolist()), direction)
    images = {Modality.FLAIR: flair, Modality.T1CE: contrast}
    volumes = {modality: sitk.Cast(image, sitk.sitkInt16) for modality, image in images.items()}
    yield dicom_studies.write_study(volumes, tmp_path_factory.mktemp("study"))


def segment(study: Path, output: Path, student: Path, *options: str) -> int | str | None:
    files = ("--dicom", str(study), "--output", str(output), "--student", str(student))
    return exit_code(["segment", *files, *NO_STEPS, *QUIET, *options])


def series_of(path: Path) -> str:
    """The UID of the series that a DICOM object refers to."""
    (referenced,) = pydicom.dcmread(path).ReferencedSeriesSequence
    return referenced.SeriesInstanceUID


@pytest.mark.parametrize(
    ("options", "folder"),
    [pytest.param((), "S01", marks=pytest.mark.slow), (("--grid", "t1ce", "--regions"), "S02")],
)
def test_dicom_in_dicom_object_out_on_the_chosen_series(
    options: tuple[str, ...], folder: str, study: Path, student: Path, tmp_path: Path
) -> None:
    assert segment(study, tmp_path / "tumor.dcm", student, *options) == 0
    report = json.loads((tmp_path / "tumor.dcm.report.json").read_text())
    found = highdicom.seg.segread(tmp_path / "tumor.dcm")
    source = pydicom.dcmread(next((study / folder).iterdir()))
    assert series_of(tmp_path / "tumor.dcm") == source.SeriesInstanceUID
    names = ["NCR", "ED", "ET", *(("WT", "TC") if options else ())]
    assert [entry.TrackingID for entry in found.SegmentSequence] == names
    algorithm = found.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert report["student"]["sha256"] in algorithm.AlgorithmParameters
    assert "sequences=FLAIR+T1ce" in algorithm.AlgorithmParameters
    frames = found.PerFrameFunctionalGroupsSequence
    assert all(frame.DerivationImageSequence[0].SourceImageSequence for frame in frames)
    of_class = [frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber <= 3 for frame in frames]
    voxels = found.pixel_array[of_class]
    assert voxels.any() and voxels.shape[1:] == (source.Rows, source.Columns)
    mm3 = float(source.SpacingBetweenSlices) * np.prod(np.array(source.PixelSpacing, float))
    assert np.count_nonzero(voxels) * mm3 / 1000 == pytest.approx(report["volumes_cm3"]["WT"], abs=1e-2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tumor.dcm", ("--labels", "brats2021"), "codes in place of numbers"),
        ("tumor.nii.gz", ("--regions",), "which only DICOM SEG can hold"),
        ("tumor.nii.gz", ("--grid", "t2"), "cannot lie on the grid of T2"),
        ("tumor.png", (), "unknown kind of output file. Let its name end in .*, .dcm"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_sentence(
    name: str, options: tuple[str, ...], message: str, study: Path, student: Path, tmp_path: Path, capsys
) -> None:
    assert segment(study, tmp_path / name, student, *options) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(message, error), error
    assert not list(tmp_path.iterdir())


def test_volumes_that_are_no_dicom_make_no_dicom_object(student: Path, tmp_path: Path, capsys) -> None:
    flair = write_brain(tmp_path / "flair.nii.gz", 1)
    arguments = ["segment", "--flair", str(flair), "--output", str(tmp_path / "tumor.dcm")]
    assert exit_code([*arguments, "--student", str(student), *QUIET]) == 2
    assert "these volumes are no DICOM" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["flair.nii.gz"]


def test_a_folder_of_both_has_objects_of_the_dicom_alone_and_goes_on_where_it_was(
    study: Path, student: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "case").mkdir(parents=True)
    write_brain(data / "case" / "flair.nii.gz", 1)
    (data / "visit").symlink_to(study)
    steps = Steps("never", "never", content_check=False)
    request = partial(segment_folder, data, tmp_path / "out", student, "cpu", suffix=".dcm", steps=steps)
    first = request()
    assert list(first["failed"]) == ["case"] and "these volumes are no DICOM" in first["failed"]["case"]
    (name,) = first["segmented"]
    source = pydicom.dcmread(next((study / "S01").iterdir()))
    assert series_of(tmp_path / "out" / f"{name}.dcm") == source.SeriesInstanceUID
    assert request()["kept"] == [name]
    assert request(grid=Modality.T1CE)["segmented"] == [name]
