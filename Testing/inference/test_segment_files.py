"""Segmenting files: the result, its report, and what is refused before anything is written."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MissingModalityLib.clinical.steps import Steps
from MissingModalityLib.core.errors import ImageError, OptionError, StudentError
from MissingModalityLib.core.labels import class_volumes
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference import locations as models
from MissingModalityLib.inference import segment_files as segmentation
from MissingModalityLib.inference import sliding_window
from MissingModalityLib.inference.segment_files import segment_files
from MissingModalityLib.inference.segment_images import segment
from MissingModalityLib.inference.student import Student
from MissingModalityLib.runtime.devices import choose_device, describe_device
from small_networks import write_student
from small_patient import AS_GIVEN, write_brain

OBLIQUE = (math.cos(0.2), -math.sin(0.2), 0.0, math.sin(0.2), math.cos(0.2), 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def t1(tmp_path: Path) -> Path:
    """On another grid than FLAIR: oblique, anisotropic, shifted."""
    return write_brain(
        tmp_path / "t1.nii.gz",
        seed=2,
        size=(28, 26, 14),
        spacing=(2, 2, 3.5),
        origin=(3, -2, 1),
        direction=OBLIQUE,
    )


def grid(image: sitk.Image) -> tuple[float, ...]:
    return (*image.GetSize(), *image.GetSpacing(), *image.GetOrigin(), *image.GetDirection())


@pytest.mark.parametrize("order", [("FLAIR", "T1"), ("T1", "FLAIR")])
def test_result_is_on_the_grid_of_the_first_volume_and_is_what_the_student_predicts(
    flair, t1, student, tmp_path, order
):
    files = {"FLAIR": flair, "T1": t1}
    inputs = {Modality[name]: files[name] for name in order}
    segment_files(inputs, tmp_path / "tumor.nii.gz", student, "cpu", steps=AS_GIVEN)
    result = sitk.ReadImage(str(tmp_path / "tumor.nii.gz"))
    first = sitk.ReadImage(str(files[order[0]]))
    assert grid(result) == pytest.approx(grid(first), abs=1e-5)
    images = {modality: sitk.ReadImage(str(path)) for modality, path in inputs.items()}
    expected = Student.load(student).predict(Study(images, {m: m.name for m in images}), "cpu").labels
    assert np.array_equal(sitk.GetArrayFromImage(result), sitk.GetArrayFromImage(expected))
    assert len(np.unique(sitk.GetArrayFromImage(result))) > 1


def test_report_says_what_was_done_with_what(flair, t1, student, tmp_path):
    events = []
    report = segment_files(
        {Modality.T1: t1, Modality.FLAIR: flair},
        tmp_path / "tumor.seg.nrrd",
        student,
        "cpu",
        on_progress=events.append,
        steps=AS_GIVEN,
    )
    assert json.loads((tmp_path / "tumor.seg.nrrd.report.json").read_text()) == report
    assert report["modalities"] == "FLAIR+T1"
    assert list(report["inputs"].items()) == [("T1", str(t1)), ("FLAIR", str(flair))]
    assert report["student"]["name"] == "tiny" and len(report["student"]["sha256"]) == 64
    assert report["device"]["name"] == "cpu" and "cores" in report["device"]["description"]
    assert report["computation"]["precision"] in ("bfloat16", "float32")
    assert (report["computation"]["asked"], report["computation"]["blending"]) == ("auto", "gaussian")
    assert {"MissingModality", "Python", "torch", "SimpleITK"} <= report["versions"].keys()
    assert 0 < report["seconds"]["prediction"] <= report["seconds"]["total"]
    assert report["peak_memory_bytes"] > 100 * 2**20
    volumes = report["volumes_cm3"]
    result = sitk.ReadImage(str(tmp_path / "tumor.seg.nrrd"))
    voxel = float(np.prod(result.GetSpacing())) / 1000
    array = sitk.GetArrayFromImage(result)
    assert volumes["WT"] == pytest.approx(voxel * (array > 0).sum(), abs=1e-3)
    assert volumes["ET"] == pytest.approx(voxel * (array == 3).sum(), abs=1e-3)
    stages = [event.stage for event in events]
    assert list(dict.fromkeys(stages)) == ["read", "prepare", "segment", "write"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "flair.nii.gz",
        "t1.nii.gz",
        "tumor.seg.nrrd",
        "tumor.seg.nrrd.report.json",
    ]


def test_running_again_gives_the_same_file(flair, student, tmp_path):
    written = []
    for _ in range(2):
        segment_files({Modality.FLAIR: flair}, tmp_path / "tumor.seg.nrrd", student, "cpu")
        written.append((tmp_path / "tumor.seg.nrrd").read_bytes())
    assert written[0] == written[1]


def test_a_result_corrected_by_hand_is_replaced_on_demand_only(flair, student, tmp_path):
    output = tmp_path / "tumor.nii.gz"
    segment_files({Modality.FLAIR: flair}, output, student, "cpu", steps=AS_GIVEN)
    written = output.read_bytes()
    sitk.WriteImage(sitk.ReadImage(str(output)) * 0, str(output))
    with pytest.raises(OptionError, match=r"tumor\.nii\.gz was changed after it was written.*--overwrite"):
        segment_files({Modality.FLAIR: flair}, output, student, "cpu", steps=AS_GIVEN)
    segment_files({Modality.FLAIR: flair}, output, student, "cpu", steps=AS_GIVEN, overwrite=True)
    assert output.read_bytes() == written


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("function", [segment_files, segment])
def test_what_somebody_writes_during_the_segmentation_is_kept(flair, student, tmp_path, function, there):
    output = tmp_path / "tumor.nii.gz"
    if there:
        segment_files({Modality.FLAIR: flair}, output, student, "cpu")

    def correct(event):
        if event.stage == "segment":
            output.write_text("corrected by hand")

    with pytest.raises(
        OptionError, match=r"tumor\.nii\.gz was changed during the segmentation, so it is kept"
    ):
        function({Modality.FLAIR: flair}, output, student, "cpu", on_progress=correct, overwrite=True)
    assert output.read_text() == "corrected by hand"
    assert (tmp_path / "tumor.nii.gz.report.json").exists() == there


def test_single_precision_can_be_asked_for_and_is_told(flair, student, tmp_path, monkeypatch):
    monkeypatch.setattr(sliding_window, "cpu_has_bfloat16", lambda: True)
    found = {}
    for precision in ("auto", "float32"):
        output = tmp_path / f"{precision}.nii.gz"
        report = segment_files({Modality.FLAIR: flair}, output, student, "cpu", precision=precision)
        found[report["computation"]["precision"]] = report["computation"]["asked"]
    assert found == {"bfloat16": "auto", "float32": "float32"}
    with pytest.raises(OptionError, match="half"):
        segment_files({Modality.FLAIR: flair}, tmp_path / "x.nii.gz", student, "cpu", precision="half")


def test_an_empty_result_is_told(flair, tmp_path):
    student = write_student(tmp_path / "blind.safetensors", head="regions", bias=-50.0)
    report = segment_files({Modality.FLAIR: flair}, tmp_path / "tumor.nii.gz", student, "cpu")
    assert report["volumes_cm3"]["WT"] == 0
    assert any("No tumor" in warning for warning in report["warnings"])


def test_volumes_in_cm3_of_classes_and_regions():
    array = np.zeros((4, 5, 6), np.uint8)
    array[0, 0, :4] = 1
    array[1, 0, :3] = 2
    array[2, 0, :2] = 3
    expected = {"NCR": 0.4, "ED": 0.3, "ET": 0.2, "WT": 0.9, "TC": 0.6}
    assert class_volumes(array, 2 * 5 * 10) == pytest.approx(expected)
    assert set(class_volumes(array * 0, 1.0).values()) == {0.0}


def test_a_sidecar_of_the_same_stem_stays_as_it_was(flair, student, tmp_path):
    sidecar = tmp_path / "sub-01_dseg.json"
    sidecar.write_text('{"Manual": true}')
    report = segment_files({Modality.FLAIR: flair}, tmp_path / "sub-01_dseg.nii.gz", student, "cpu")
    assert sidecar.read_text() == '{"Manual": true}'
    assert json.loads((tmp_path / "sub-01_dseg.nii.gz.report.json").read_text()) == report


class TestRefused:
    """Every refusal leaves the folder as it was."""

    @pytest.fixture(autouse=True)
    def unchanged(self, flair, t1, tmp_path):
        self.output = tmp_path / "tumor.seg.nrrd"
        self.output.write_bytes(b"an earlier result")
        (tmp_path / "tumor.seg.nrrd.report.json").write_text("{}")
        yield
        assert self.output.read_bytes() == b"an earlier result"
        assert (tmp_path / "tumor.seg.nrrd.report.json").read_text() == "{}"
        hidden = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
        assert not hidden

    def test_no_volume(self, student):
        with pytest.raises(ImageError, match="at least one of FLAIR, T1ce, T1 and T2"):
            segment_files({}, self.output, student)

    def test_same_file_twice(self, flair, student):
        with pytest.raises(ImageError, match=r"flair\.nii\.gz was given as FLAIR and as T2"):
            segment_files({Modality.FLAIR: flair, Modality.T2: flair}, self.output, student)

    def test_same_file_by_another_path(self, flair, student, tmp_path):
        link = tmp_path / "t2.nii.gz"
        os.link(flair, link)
        with pytest.raises(ImageError, match=r"flair.*t2.*same volume"):
            segment_files({Modality.FLAIR: flair, Modality.T2: link}, self.output, student)

    def test_same_voxels_in_another_file(self, flair, student, tmp_path):
        copy = tmp_path / "t2.nrrd"
        sitk.WriteImage(sitk.ReadImage(str(flair)), str(copy))
        with pytest.raises(ImageError, match="same volume, given as FLAIR and as T2"):
            segment_files({Modality.FLAIR: flair, Modality.T2: copy}, self.output, student, "cpu")

    def test_volumes_that_do_not_overlap(self, flair, student, tmp_path):
        far = write_brain(tmp_path / "t2.nii.gz", seed=3, origin=(900, 0, 0))
        with pytest.raises(ImageError, match=r"t2\.nii\.gz.*does not overlap.*flair\.nii\.gz"):
            segment_files(
                {Modality.FLAIR: flair, Modality.T2: far}, self.output, student, "cpu", steps=AS_GIVEN
            )

    def test_output_folder_absent_before_anything_is_read(self, tmp_path):
        with pytest.raises(OptionError, match=r"absent does not exist"):
            segment_files({Modality.T1: Path("not there")}, tmp_path / "absent" / "out.nii.gz", Path("none"))

    def test_unknown_output_before_anything_is_read(self, tmp_path):
        with pytest.raises(OptionError, match="unknown kind of output"):
            segment_files({Modality.T1: Path("not there")}, tmp_path / "out.png", Path("none"))
        assert not (tmp_path / "out.png").exists()

    def test_output_that_is_a_folder(self, student, flair, tmp_path):
        (tmp_path / "out.nii.gz").mkdir()
        with pytest.raises(OptionError, match="is a folder"):
            segment_files({Modality.FLAIR: flair}, tmp_path / "out.nii.gz", student)

    def test_output_over_an_input(self, student, flair):
        before = flair.read_bytes()
        with pytest.raises(OptionError, match="overwrite an input"):
            segment_files({Modality.FLAIR: flair}, flair, student)
        assert flair.read_bytes() == before

    def test_unknown_label_convention(self, student, flair):
        with pytest.raises(OptionError, match="brats1999"):
            segment_files({Modality.FLAIR: flair}, self.output, student, labels="brats1999")

    def test_truncated_student(self, student, flair, tmp_path):
        broken = tmp_path / "broken.safetensors"
        broken.write_bytes(student.read_bytes()[:-1000])
        with pytest.raises(StudentError, match=r"broken\.safetensors"):
            segment_files({Modality.FLAIR: flair}, self.output, broken, "cpu")

    def test_failure_while_writing_keeps_what_was_there(self, student, flair, monkeypatch):
        def full(*_: object, **__: object) -> None:
            raise RuntimeError("No space left on device")

        monkeypatch.setattr(sitk, "WriteImage", full)
        with pytest.raises(ImageError, match="No space left"):
            segment_files({Modality.FLAIR: flair}, self.output, student, "cpu")

    def test_no_output_without_a_report(self, student, flair, monkeypatch):
        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(segmentation, "write_report", full)
        with pytest.raises(OptionError, match=r"tumor\.seg\.nrrd\.report\.json.*No space left"):
            segment_files({Modality.FLAIR: flair}, self.output, student, "cpu")

    @pytest.mark.parametrize("length", [238, 250, 400])
    def test_name_too_long_for_the_report(self, student, flair, tmp_path, length):
        output = tmp_path / f"{'x' * length}.nii.gz"
        before = sorted(tmp_path.iterdir())
        with pytest.raises(OptionError, match="name"):
            segment_files({Modality.FLAIR: flair}, output, student, "cpu")
        assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["steps/brain.nrrd", "mask.nii.gz", "other.nii.gz"])
def test_masks_and_grids_that_are_read_are_not_written_over(name: str, flair: Path, tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    read = write_brain(tmp_path / name)
    before = read.read_bytes()
    if name == "other.nii.gz":
        options = {"output": read, "grid": read}
    else:
        options = {"output": tmp_path / "out.nii.gz", "steps": Steps(brain_mask=read)}
        options |= {"steps_output": read.parent} if "steps" in name else {"output": read}
    with pytest.raises(OptionError, match=r"would overwrite an input"):
        segment_files({"FLAIR": flair}, student="none", overwrite=True, **options)
    assert read.read_bytes() == before


def test_devices_that_are_not_there_are_refused():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda")
    assert choose_device(torch.device("cpu")).type == "cpu"
    with pytest.raises(OptionError, match="cuda:99"):  # another word for it
        choose_device("gpu:99")
    with pytest.raises(OptionError, match="cuda:99"):
        choose_device("cuda:99")
    for unknown in ("tpu", "gpux", "cuda:", "cuda:x", "", 0, None):
        with pytest.raises(OptionError, match="auto, cpu, cuda"):
            choose_device(unknown)
    assert "GiB" in describe_device(choose_device("cpu"))


@pytest.mark.parametrize("key", ["dwi", 3])
def test_what_is_no_modality_is_refused_by_its_name(key, tmp_path):
    with pytest.raises(OptionError, match=rf"{key!r}"):
        segment_files({key: tmp_path / "t2.nii.gz"}, tmp_path / "tumor.nii.gz")


@pytest.mark.parametrize("place", ["checkout/Train/Lib", "installed/Lib", "Lib"])
def test_bundled_student_is_found_in_checkout_extension_and_package(tmp_path, monkeypatch, place):
    package = tmp_path / place
    package.mkdir(parents=True)
    monkeypatch.setattr(models, "__file__", str(package / "inference" / "locations.py"))
    with pytest.raises(StudentError, match="--model"):
        models.bundled_student()
    base = {"checkout": package.parents[1], "installed": package.parent}.get(place.split("/")[0], package)
    folder = base / "Resources" / "Models"
    folder.mkdir(parents=True)
    (folder / "card.md").write_text("")
    (folder / "sequence-check.safetensors").write_bytes(b"")
    with pytest.raises(StudentError, match="--model"):
        models.bundled_student()
    for name in ("z.safetensors", "y.safetensors"):
        (folder / name).write_bytes(b"")
    assert models.bundled_student() == folder / "y.safetensors"
