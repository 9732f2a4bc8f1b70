"""The demo as a user runs it: a case in, files that 3D Slicer opens out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread

from checkout import ROOT
from demo import main
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.segments import SEGMENTS
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference.overlay import draw_overlay
from small_patient import brain_volume

SUFFIXES = ("flair", "t1ce", "t1", "t2")

REOPEN = """
import json, sys
from pathlib import Path
from headless import HeadlessSlicer
from MissingModalityLib import mrml
folder = Path(sys.argv[1])
slicer = HeadlessSlicer(cache=folder / "cache")
slicer.load(folder / "scene.mrb")
scene = slicer.scene
nodes = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
volumes = {n.GetName(): n for n in (nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems()))}
segmentation = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
reference = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
view = scene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
print(json.dumps({
    "means": {name: float(mrml.voxels_of(node).mean()) for name, node in volumes.items()},
    "segments": list(segmentation.GetSegmentation().GetSegmentIDs()),
    "reference": reference.GetName(),
    "shown": scene.GetNodeByID(view.GetBackgroundVolumeID()).GetName(),
    "voxels": [int((mrml.classes_of(segmentation, reference) == value).sum()) for value in range(4)],
}))
"""


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script with the source tree on its path, as an installed package would be."""
    paths = [str(ROOT / name) for name in ("MissingModalityTrain", "Scripts")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)


def run_demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    return python(ROOT / "Scripts" / "demo.py", *arguments)


def label_volume() -> sitk.Image:
    """Classes 1 to 3 side by side in the patient's left half of `brain_volume()`."""
    volume = brain_volume()
    array = np.zeros(tuple(reversed(volume.GetSize())), np.uint8)
    array[8:14, 8:14, 15:17], array[8:14, 8:14, 17:19], array[8:14, 8:14, 19:21] = 1, 2, 3
    label = sitk.GetImageFromArray(array)
    label.CopyInformation(volume)
    return label


@dataclass
class Run:
    """One successful demo."""

    case: Path
    output: Path
    text: str

    @property
    def folder(self) -> Path:
        return self.output / "patient" / "FLAIR+T1ce"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases") / "patient"
    folder.mkdir()
    for seed, suffix in enumerate(SUFFIXES):
        sitk.WriteImage(brain_volume(seed), str(folder / f"patient_{suffix}.nii.gz"))
    sitk.WriteImage(label_volume() + (label_volume() == 3), str(folder / "patient_seg.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def run(case: Path, student: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("demo")
    done = run_demo("--case", case, "--student", student, "--output", output)
    assert done.returncode == 0, done.stderr
    return Run(case, output, done.stdout)


def test_demo_loads_flair_and_t1ce_and_says_which_is_which(run: Run) -> None:
    assert "Detected        patient_flair is FLAIR" in run.text
    assert "Detected        patient_t1ce is T1ce" in run.text
    assert "patient_t2" not in run.text
    assert "Subset used     FLAIR+T1ce\n" in run.text


def test_demo_prints_volumes_and_dice_that_agree_with_its_files(run: Run) -> None:
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(run.folder / "segmentation.seg.nrrd")))
    report = json.loads((run.folder / "report.json").read_text())
    for region in ("WT", "TC", "ET"):
        volume, score = re.search(rf"\({region}\)\s+([\d.]+)\s+([\d.]+)$", run.text, re.MULTILINE).groups()
        assert float(volume) == pytest.approx(report["volumes_cm3"][region], abs=0.006)
        assert float(score) == pytest.approx(report["dice"][region], abs=0.0006)
    assert report["volumes_cm3"]["WT"] == pytest.approx(np.count_nonzero(found) * 0.008)
    assert re.search(r"Peak memory +[\d.]+ GiB", run.text) and re.search(r"Time +[\d.]+ s", run.text)


def test_saved_scene_opens_with_volumes_and_segments(run: Run) -> None:
    opened = python("-c", REOPEN, run.folder)
    assert opened.returncode == 0, opened.stderr
    facts = json.loads(opened.stdout.splitlines()[-1])
    for seed, suffix in enumerate(SUFFIXES[:2]):
        mean = sitk.GetArrayFromImage(brain_volume(seed)).mean()
        assert facts["means"].pop(f"patient_{suffix}") == pytest.approx(mean, rel=1e-5)
    assert not facts["means"]
    assert facts["segments"] == [segment.id for segment in SEGMENTS]
    assert facts["reference"] == facts["shown"] == "patient_flair"
    assert facts["voxels"][1:] == voxels_by_class(run.folder / "segmentation.seg.nrrd")


def voxels_by_class(path: Path) -> list[int]:
    """Voxels of each segment, in order, as the file's own header numbers them."""
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayViewFromImage(image)
    numbered = {
        image.GetMetaData(f"Segment{index}_ID"): int(image.GetMetaData(f"Segment{index}_LabelValue"))
        for index in range(len(SEGMENTS))
    }
    return [int((array == numbered[segment.id]).sum()) for segment in SEGMENTS]


@pytest.mark.slow
def test_other_modalities_can_be_chosen(case: Path, student: Path, tmp_path: Path) -> None:
    done = run_demo("--case", case, "--modalities", "T2w", "--student", student, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Subset used     T2\n" in done.stdout
    assert (tmp_path / "patient" / "T2" / "overlay.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(("modalities", "least"), [(["FLAIR", "T1ce"], 0.8), (["T2"], 0.6)])
def test_bundled_student_finds_the_tumor_of_a_real_patient(
    modalities: list[str], least: float, real_case: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = real_case("BraTS2021_00019")
    done = run_demo("--case", folder, "--modalities", *modalities, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / folder.name / "+".join(modalities) / "report.json").read_text())
    assert report["dice"]["WT"] > least


@pytest.mark.slow
def test_without_a_case_a_synthetic_patient_is_segmented(tmp_path: Path) -> None:
    done = run_demo("--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Growing a synthetic patient" in done.stdout
    assert len(list(tmp_path.glob("patient_*/FLAIR+T1ce/scene.mrb"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--case", "nowhere"], "nowhere does not exist"),
        (["--case", ""], "make demo CASE=folder"),
        (["--case", "{case}", "--modalities", "PET"], "'PET' is no sequence of FLAIR, T1ce, T1 and T2"),
        (["--case", "{flair}", "--modalities", "t2w,FLAIR"], "has no T2, only FLAIR"),
        (["--case", "{cases}"], "holds 2 cases"),
    ],
)
def test_bad_input_gives_one_message_and_no_files(
    arguments: list[str], message: str, case: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flair, cases, output = tmp_path / "flair", tmp_path / "cases", tmp_path / "output"
    for folder in (flair, cases):
        folder.mkdir()
    sitk.WriteImage(brain_volume(), str(flair / "a_flair.nii.gz"))
    for name in "ab":
        sitk.WriteImage(brain_volume(), str(cases / f"{name}_flair.nii.gz"))
    filled = [argument.format(case=case, flair=flair, cases=cases) for argument in arguments]
    assert main([*filled, "--output", str(output)]) == 2
    text, error = capfd.readouterr()
    assert error.startswith("demo: error: ") and message in error
    assert "Traceback" not in error + text
    assert not output.exists()


@pytest.mark.slow
def test_a_file_that_is_no_student_is_told_before_anything_is_saved(case: Path, tmp_path: Path) -> None:
    done = run_demo("--case", case, "--student", case / "patient_seg.nii.gz", "--output", tmp_path / "output")
    assert done.returncode == 2
    assert "demo: error: " in done.stderr and "cannot be read as a model" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "output").exists()


def reordered(image: sitk.Image) -> sitk.Image:
    """The same picture of the same patient with its voxels stored in another order."""
    return sitk.DICOMOrient(image, "SAR")


def test_overlay_shows_the_left_side_on_the_right_however_voxels_are_stored(tmp_path: Path) -> None:
    volume, label = brain_volume(), label_volume()
    pictures = []
    for name, change in (("a", lambda image: image), ("b", reordered)):
        study = Study({Modality.FLAIR: change(volume)}, {Modality.FLAIR: "flair"})
        draw_overlay(tmp_path / f"{name}.png", study, change(label), "A title", label=label)
        pictures.append(imread(tmp_path / f"{name}.png")[..., :3])
    np.testing.assert_allclose(*pictures, atol=0.02)
    axial = pictures[0][:-100, : pictures[0].shape[1] // 3]
    red = np.argwhere(np.abs(axial - SEGMENTS[2].unit_color).max(-1) < 0.05)
    assert len(red) > 20
    assert (red[:, 1] > 0.55 * axial.shape[1]).all()


def test_overlay_of_an_empty_segmentation_is_drawn_too(tmp_path: Path) -> None:
    volume = brain_volume()
    empty = sitk.Image(volume.GetSize(), sitk.sitkUInt8)
    empty.CopyInformation(volume)
    study = Study({Modality.T2: volume}, {Modality.T2: "t2"})
    draw_overlay(tmp_path / "empty.png", study, empty, "No tumor found")
    assert imread(tmp_path / "empty.png")[..., :3].std() > 0.05
    assert [path.name for path in tmp_path.iterdir()] == ["empty.png"]
