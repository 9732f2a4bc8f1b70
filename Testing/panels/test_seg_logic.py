"""The segmentation logic as scripts use it: real MRML volumes in, a segmentation node out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import slicer.util

import readme
import slicer_standin
from event_loop import scene_state
from MissingModalityLib import mrml
from MissingModalityLib.clinical.steps import Steps
from MissingModalityLib.core.errors import ImageError, MissingModalityError, OptionError
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.segments import REGION_SEGMENTS, SEGMENTS
from MissingModalityLib.imaging.volumes import read_image
from MissingModalityLib.inference.segment_files import segment_files
from mrml_nodes import add_transform, rotation
from small_patient import brain_volume

seg = slicer_standin.load_module("MissingModalitySeg")
raw = slicer_standin.load_module("MissingModalitySegLib.rawsection")
sample = slicer_standin.load_module("MissingModalitySegLib.sampledata")
running = slicer_standin.load_module("MissingModalitySegLib.segmentationrun")

# No multiple of half a millimeter: a voxel center halfway between two others could go either way.
SPACING = (1.3, 1.3, 2.9)
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture
def logic() -> Any:
    slicer_standin.new_scene()
    return seg.MissingModalitySegLogic()


CRASH = "echo something broke >&2; exit 3"


def add_volume(name: str, seed: int = 0, **geometry: tuple[float, ...]) -> Any:
    return mrml.add_volume(slicer.mrmlScene, brain_volume(seed, **geometry), name)


def test_the_first_lines_of_the_readme_fit_the_sample_patient(
    logic: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand there; what segments is tested below."""
    volumes = sample.addSyntheticPatient(seed=1, shape=(22, 24, 26), spacing=(7.0, 8.0, 7.0))
    asked = []

    def segment(inputs: dict[str, Any]) -> Any:
        asked.append(running.nodesByModality(inputs))
        reference = next(iter(asked[-1].values()))
        classes = np.ones(mrml.voxels_of(reference).shape, np.uint8)
        return mrml.place_segmentation(mrml.build_segmentation(classes, reference), reference)

    monkeypatch.setattr(logic, "segment", segment)
    monkeypatch.setattr(slicer.util, "getModuleLogic", {"MissingModalitySeg": logic}.get)
    names = {"slicer": slicer, "getNode": slicer.util.getNode}
    exec(readme.lines_with("Synthetic T1ce"), names)  # noqa: S102 - lines of our own README
    assert asked == [{modality: volumes[modality] for modality in (Modality.FLAIR, Modality.T1CE)}]
    # in cm³ of 22 x 24 x 26 voxels
    assert f"'NCR': {22 * 24 * 26 * 7 * 8 * 7 / 1000:.0f}" in capsys.readouterr().out


def test_logic_and_command_line_give_the_same_label_map(logic: Any, student: Path, tmp_path: Path) -> None:
    images = {
        Modality.T1CE: brain_volume(1, direction=OBLIQUE, spacing=SPACING),
        Modality.FLAIR: brain_volume(2, direction=OBLIQUE, spacing=(2.1, 1.3, 1.9)),
    }
    files = {modality: tmp_path / f"{modality.name}.nrrd" for modality in images}
    for modality, image in images.items():
        sitk.WriteImage(image, str(files[modality]))
    # in volumes of noise a registration finds nothing to go by
    segment_files(files, tmp_path / "tumor.nii.gz", student, "cpu", steps=Steps(registration="never"))
    expected = sitk.GetArrayFromImage(read_image(tmp_path / "tumor.nii.gz"))
    nodes = {
        modality.name: mrml.add_volume(slicer.mrmlScene, image, modality.name)
        for modality, image in images.items()
    }
    stages = []
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    node = logic.segment(
        nodes,
        output,
        str(student),
        "cpu",
        regions=True,
        onProgress=lambda event: stages.append(event.stage),
        steps=raw.RawSteps(register=False),
    )
    assert node is output
    np.testing.assert_array_equal(mrml.classes_of(node, nodes["T1CE"]), expected)
    assert expected.any()
    assert list(dict.fromkeys(stages)) == ["read", "check", "prepare", "segment", "write"]
    ids = [segment.id for segment in (*SEGMENTS, *REGION_SEGMENTS)]
    assert list(node.GetSegmentation().GetSegmentIDs()) == ids
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is nodes["T1CE"]
    voxel = np.prod(SPACING) / 1000
    volumes = logic.volumes(node)
    assert volumes["WT"] == pytest.approx(np.count_nonzero(expected) * voxel, rel=1e-5)


def test_message_of_the_process_names_nodes_instead_of_files(
    logic: Any, replaced_process: Callable[[str], None]
) -> None:
    # -m MissingModalityLib segment --output OUT --device cpu --flair FILE --t2 FILE
    replaced_process('echo "missing-modality: error: ${11} does not overlap with $9." >&2; exit 2')
    nodes = {"FLAIR": add_volume("Head"), "T2": add_volume("Elsewhere", 1)}
    before = scene_state()
    with pytest.raises(MissingModalityError, match=r"^'Elsewhere' does not overlap with 'Head'\.$"):
        logic.segment(nodes, device="cpu")
    assert scene_state() == before


def test_crash_of_the_process_is_an_error_and_leaves_the_scene(
    logic: Any, replaced_process: Callable[[str], None]
) -> None:
    replaced_process(CRASH)
    node = add_volume("T1")
    before = scene_state()
    with pytest.raises(RuntimeError, match="exit code 3: something broke"):
        logic.segment({"T1": node})
    assert scene_state() == before


def test_temporary_files_are_gone_after_a_failure(
    logic: Any, replaced_process: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_process(CRASH)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with pytest.raises(RuntimeError):
        logic.segment({"T1": add_volume("T1")})
    assert list(folder.iterdir()) == []


def test_volume_removed_during_the_run_is_told(logic: Any, replaced_process: Callable[[str], None]) -> None:
    replaced_process("""echo '{"event": "result", "result": {}}'""")
    node = add_volume("T1")
    run = logic.startSegmentation({"T1": node})
    slicer.mrmlScene.RemoveNode(node)
    run.wait()
    assert isinstance(run.exception, ImageError)
    assert "removed during the segmentation" in str(run.exception)


@pytest.mark.parametrize("change", ["voxels", "spacing", "scaled"])
def test_volume_changed_during_the_run_is_told(
    logic: Any, replaced_process: Callable[[str], None], change: str
) -> None:
    """Its voxels turned round, or a result whose volumes would be of other voxels."""
    replaced_process("""echo '{"event": "result", "result": {}}'""")
    node = add_volume("T1")
    run = logic.startSegmentation({"T1": node})
    if change == "voxels":
        slicer.util.updateVolumeFromArray(node, mrml.voxels_of(node)[:, ::-1].copy())
    elif change == "spacing":
        node.SetSpacing(1.0, 1.0, 1.0)
    else:
        node.SetAndObserveTransformNodeID(add_transform(np.diag([2.0, 1, 1, 1])).GetID())
    before = scene_state()
    run.wait()
    assert isinstance(run.exception, ImageError) and scene_state() == before
    assert "changed during the segmentation" in str(run.exception)


def test_a_volume_that_is_moved_or_looked_at_during_the_run_stays_the_same() -> None:
    slicer_standin.new_scene()
    node = add_volume("T1")
    before = mrml.state_of(node)
    node.SetAndObserveTransformNodeID(add_transform(rotation(30, 0)).GetID())
    node.GetDisplayNode().SetLevel(7)
    node.GetImageData().Modified()
    assert mrml.state_of(node) == before


@pytest.mark.parametrize("spelling", ["T1CE", "T1ce", "t1ce", Modality.T1CE])
def test_sequence_names_are_understood_in_any_case(spelling: Any, logic: Any) -> None:
    node = add_volume("T1ce")
    assert running.nodesByModality({spelling: node}) == {Modality.T1CE: node}


def test_two_volumes_for_one_sequence_are_refused_by_name(logic: Any) -> None:
    first, second = add_volume("before"), add_volume("after")
    with pytest.raises(OptionError, match="T1ce: 'before' and 'after'"):
        logic.segment({"T1CE": first, "t1ce": second})


def test_unknown_sequence_name_is_refused(logic: Any) -> None:
    with pytest.raises(OptionError, match=r"'PD'.*FLAIR, T1ce, T1 and T2"):
        logic.segment({"PD": add_volume("PD")})


def test_bad_nodes_are_refused_before_any_process_starts(logic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("MissingModalityLib.runtime.jobs.Job.start")
    node = add_volume("Brain")
    with pytest.raises(ImageError, match="'Brain' is chosen for both FLAIR and T1"):
        logic.segment({"FLAIR": node, "T1": node})
    with pytest.raises(ImageError, match="No volume is chosen"):
        logic.segment({})


def test_what_is_no_node_of_its_kind_is_refused_by_what_it_is(
    logic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("MissingModalityLib.runtime.jobs.Job.start")
    node = add_volume("Brain")
    with pytest.raises(OptionError, match=r"FLAIR is a str, not a node.*getNode"):
        logic.segment({"FLAIR": "Brain"})
    for output, kind in ((node, "vtkMRMLScalarVolumeNode"), ("Mine", "str")):
        with pytest.raises(OptionError, match=f"output is a {kind}, not a segmentation node"):
            logic.segment({"FLAIR": node}, output)


def test_proposal_covers_the_loaded_sequences(logic: Any) -> None:
    names = {"T2w": Modality.T2, "t1_gd": Modality.T1CE, "FLAIR": Modality.FLAIR, "T1 pre": Modality.T1}
    nodes = {modality: add_volume(name) for name, modality in names.items()}
    inputs, warnings = logic.proposeInputs()
    assert inputs == nodes
    assert list(inputs) == list(Modality)
    assert warnings == []


def test_module_registers_its_terminology_and_describes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    terminologies = SimpleNamespace(LoadTerminologyFromFile=loaded.append)
    monkeypatch.setattr(
        slicer.modules, "terminologies", SimpleNamespace(logic=lambda: terminologies), raising=False
    )
    parent = slicer_standin.module_parent("MissingModalitySeg")
    module = seg.MissingModalitySeg(parent)
    module.onStartupCompleted()
    assert Path(loaded[0]).is_file()
    assert "Brain tumor MRI" in slicer.modules.sampleDataSources
    assert "not a medical device" in parent.helpText
    assert "RFNet" in parent.acknowledgementText


def test_self_test_of_the_module_passes() -> None:
    slicer_standin.new_scene()
    seg.MissingModalitySeg(slicer_standin.module_parent("MissingModalitySeg"))
    slicer.selfTests["MissingModalitySeg"]()


def test_nothing_heavy_is_imported_with_the_module() -> None:
    program = (
        "import slicer_standin, sys; slicer_standin.load_module('MissingModalitySeg');"
        "slicer_standin.load_module('MissingModalityTrain');"
        "print([name for name in ('torch', 'monai', 'scipy', 'SimpleITK') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(slicer_standin.__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "[]"
