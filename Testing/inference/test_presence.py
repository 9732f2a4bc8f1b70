"""What the network takes for absent from a case gates its probabilities, and is told with the result."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from MissingModalityLib.__main__ import main
from MissingModalityLib.cli.segment import _summary
from MissingModalityLib.core.errors import OptionError, StudentError
from MissingModalityLib.core.modalities import SUBSETS, Modality
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference import sliding_window as inference
from MissingModalityLib.inference.card import GATES, read_card
from MissingModalityLib.inference.segment_files import segment_files
from MissingModalityLib.inference.segment_folder import segment_folder
from MissingModalityLib.inference.sliding_window import apply_presence_gate, infer
from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.output import Output
from MissingModalityLib.training.run import train
from small_networks import SMALLEST, telling_student, tiny_student
from small_patient import brain_volume, write_brain
from tiny_run import TINY

CPU = torch.device("cpu")
TOLD = np.array([0.2, 0.9, 0.6], np.float32)


class Told(nn.Module):
    """A stand-in that is sure of the same class everywhere, and tells of a window what its first voxel says.

    Args:
        sure: probability of each channel.
    """

    head, divisor, name, options, reads_place = HEADS["sigmoids"], 4, "told", {}, False

    def __init__(self, sure=(0.1, 0.7, 0.8, 0.9)) -> None:
        super().__init__()
        self.sure = torch.tensor(sure)

    def forward(self, image, available):
        logits = self.sure.logit().view(1, 4, 1, 1, 1).expand(1, 4, *image.shape[2:])
        seen = image[:, available[0]].flatten(1).abs().amax(1)
        return Output(logits, presence=torch.stack([seen, 1 - seen, seen / 2], 1))


def voxels(*columns: tuple[float, ...]) -> np.ndarray:
    """One voxel per column of probabilities, (K, n, 1, 1)."""
    return np.array(columns, np.float32).T[:, :, None, None].copy()


class TestGate:
    def test_of_sigmoids_leaves_background_alone(self):
        given = voxels((0.3, 0.6, 0.8, 1.0))
        soft = apply_presence_gate(given.copy(), TOLD, HEADS["sigmoids"], "soft").ravel()
        np.testing.assert_allclose(soft, [0.3, 0.24, 0.8, 1.0], rtol=1e-6)
        hard = apply_presence_gate(given.copy(), TOLD, HEADS["sigmoids"], "hard").ravel()
        np.testing.assert_allclose(hard, [0.3, 0.0, 0.8, 1.0], rtol=1e-6)
        assert np.array_equal(apply_presence_gate(given.copy(), TOLD, HEADS["sigmoids"], "none"), given)
        assert np.array_equal(apply_presence_gate(given.copy(), None, HEADS["sigmoids"], "soft"), given)

    def test_of_classes_reweighs_them_and_leaves_no_hole(self):
        given = voxels((0.1, 0.6, 0.1, 0.2), (0.0, 1.0, 0.0, 0.0), (0.7, 0.1, 0.1, 0.1))
        for gate in ("soft", "hard"):
            found = apply_presence_gate(given.copy(), TOLD, HEADS["classes"], gate)
            np.testing.assert_allclose(found.sum(0), 1, rtol=1e-6)
        soft = apply_presence_gate(given.copy(), TOLD, HEADS["classes"], "soft")[:, 0, 0, 0]
        np.testing.assert_allclose(soft, np.array([0.1, 0.24, 0.1, 0.2]) / 0.64, rtol=1e-5)
        hard = apply_presence_gate(given.copy(), TOLD, HEADS["classes"], "hard")
        assert HEADS["classes"].class_map(given).ravel().tolist() == [1, 1, 0]
        assert HEADS["classes"].class_map(hard).ravel().tolist() == [3, 0, 0]
        assert hard[0, 1, 0, 0] == 1, "nothing but background is left"

    def test_of_regions_takes_the_likeliest_of_their_classes(self):
        given = voxels((0.9, 0.8, 0.7))
        only_edema = np.array([0.1, 0.8, 0.3], np.float32)
        soft = apply_presence_gate(given.copy(), only_edema, HEADS["regions"], "soft").ravel()
        np.testing.assert_allclose(soft, [0.9, 0.48, 0.42], rtol=1e-6)
        hard = apply_presence_gate(given.copy(), only_edema, HEADS["regions"], "hard").ravel()
        np.testing.assert_allclose(hard, [0.9, 0.0, 0.0], rtol=1e-6)

    @pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
    def test_soft_keeps_what_hard_keeps_and_what_is_sure(self, head):
        given = np.random.default_rng(3).random((head.channels, 10, 10, 10), np.float32)
        for presence in np.linspace(0, 1, 11, dtype=np.float32):
            told = np.array([0.9, presence, presence], np.float32)
            found = {
                gate: head.class_map(apply_presence_gate(given.copy(), told, head, gate)) for gate in GATES
            }
            assert (found["soft"] > 0)[found["hard"] > 0].all()
            assert presence <= 0.5 or np.array_equal(found["soft"], found["none"])
        sure = np.full((head.channels, 1, 1, 1), 0.01, np.float32)
        sure[-2 if head.cavity else -1] = 0.97  # ET
        doubted = np.array([0.1, 0.1, 0.4], np.float32)
        assert head.class_map(apply_presence_gate(sure.copy(), doubted, head, "soft")) == 3
        assert head.class_map(apply_presence_gate(sure.copy(), doubted, head, "hard")) == 0

    def test_of_another_name_is_refused(self):
        with pytest.raises(OptionError, match="gently"):
            apply_presence_gate(voxels((0, 0, 0, 1)), TOLD, HEADS["sigmoids"], "gently")


def test_sigmoids_make_regions_of_every_class_above_one_half():
    given = voxels((0.9, 0.9, 0.9, 0.9), (0.9, 0.6, 0.9, 0.1), (0.1, 0.1, 0.6, 0.2), (0.1, 0.4, 0.4, 0.4))
    assert HEADS["sigmoids"].class_map(given).ravel().tolist() == [3, 1, 2, 0]


def test_a_case_holds_what_its_likeliest_window_holds(monkeypatch):
    monkeypatch.setattr(inference, "cpu_has_bfloat16", lambda: False)
    image = np.zeros((4, 48, 16, 16), np.float32)
    image[Modality.T1, 2:6, :8, :8] = 0.25
    image[Modality.T1, 20:24, :8, :8] = 0.75
    image[Modality.T2, 2:6, :8, :8] = 0.5
    subsets = np.array([[False, False, True, False], [False, False, True, True], [False, True, False, False]])
    how = {"window": (16, 16, 16), "overlap": 0.0, "device": CPU}
    found = infer(Told(), image, subsets, **how)
    np.testing.assert_allclose(found.presence[0], [0.75, 0.75, 0.375])
    np.testing.assert_allclose(found.presence[1], [0.75, 0.5, 0.375])
    np.testing.assert_allclose(found.presence[2], 0, err_msg="no window shows any of T1ce")
    np.testing.assert_allclose(infer(Told(), image, subsets[0], **how).presence, found.presence[0])
    np.testing.assert_allclose(found.probabilities[0][:, 3, 3, 3], [0.1, 0.7, 0.8, 0.9], rtol=1e-6)
    np.testing.assert_allclose(found.probabilities[0][:, 40, 3, 3], [1, 0, 0, 0])


@pytest.fixture
def student() -> Student:
    return telling_student()


def study(*modalities: Modality) -> Study:
    return Study({m: brain_volume(int(m)) for m in modalities}, {m: m.title for m in modalities})


def test_a_student_gates_the_whole_case_and_tells_why(student: Student) -> None:
    prepared = prepare(study(Modality.FLAIR, Modality.T2))
    inside = prepared.brain
    prediction = student.predict(study(Modality.FLAIR, Modality.T2), "cpu")
    expected = torch.tensor([-3.0, 3.0, 0.1]).sigmoid().tolist()
    assert prediction.presence == pytest.approx(dict(zip(("NCR", "ED", "ET"), expected, strict=True)), 1e-2)
    found = {}
    for gate in GATES:
        student.card["gate"] = gate
        found[gate] = set(np.unique(student.classes(prepared)[inside]))
        for subset in (SUBSETS[0], SUBSETS[-1]):
            whole = prepare(study(*Modality))
            (together,) = student.classes_of(whole, [subset])
            assert set(np.unique(together)) - {0} == found[gate]
    assert found == {"soft": {3}, "hard": {3}, "none": {3}}, "ET overwrites the others where it is kept"
    for presence, kept in ((-0.1, ({3}, {2}, {3})), (-3.0, ({2}, {2}, {3}))):
        with torch.no_grad():
            student.network.presence[-1].bias.copy_(torch.tensor([-3.0, 3.0, presence]))
        for gate, expected in zip(GATES, kept, strict=True):
            student.card["gate"] = gate
            assert set(np.unique(student.classes(prepared)[inside])) == expected


def test_students_keep_their_gate_and_refuse_an_unknown_one(student: Student, tmp_path) -> None:
    student.save(tmp_path / "s.safetensors")
    assert read_card(tmp_path / "s.safetensors")["gate"] == "soft"
    assert tiny_student().card["gate"] == "none", "it tells no presence"
    student.card["gate"] = "hard"
    student.save(tmp_path / "s.safetensors")
    assert Student.load(tmp_path / "s.safetensors").card["gate"] == "hard"
    student.card["gate"] = "gently"
    student.save(tmp_path / "s.safetensors")
    with pytest.raises(StudentError, match=r"s\.safetensors"):
        Student.load(tmp_path / "s.safetensors")


def test_the_report_and_its_summary_tell_presence(student: Student, tmp_path) -> None:
    student.save(tmp_path / "s.safetensors")
    flair = write_brain(tmp_path / "flair.nii.gz")
    output = tmp_path / "tumor.nii.gz"
    report = segment_files({Modality.FLAIR: flair}, output, tmp_path / "s.safetensors", "cpu")
    assert report["presence"] == pytest.approx({"NCR": 0.047, "ED": 0.953, "ET": 0.525}, abs=2e-3)
    assert json.loads((tmp_path / "tumor.nii.gz.report.json").read_text())["presence"] == report["presence"]
    assert "Present at all, in %: NCR 5, ED 95, ET 5" in _summary(report)
    del report["presence"]
    assert "Present" not in _summary(report)


def test_the_table_of_a_folder_tells_presence_where_the_student_does(student: Student, tmp_path) -> None:
    (tmp_path / "data" / "p").mkdir(parents=True)
    write_brain(tmp_path / "data" / "p" / "flair.nii.gz")
    student.save(tmp_path / "s.safetensors")
    segment_folder(tmp_path / "data", tmp_path / "told", tmp_path / "s.safetensors", "cpu")
    (row,) = csv.DictReader((tmp_path / "told" / "volumes.csv").open(encoding="utf-8"))
    assert [row[f"{name}_present"] for name in ("NCR", "ED", "ET")] == ["0.047", "0.953", "0.525"]
    tiny_student().save(tmp_path / "t.safetensors")
    segment_folder(tmp_path / "data", tmp_path / "silent", tmp_path / "t.safetensors", "cpu")
    assert "present" not in (tmp_path / "silent" / "volumes.csv").read_text("utf-8")


def test_the_gate_is_chosen_at_export(tiny_cases: Path, tmp_path: Path, capsys) -> None:
    settings = {**TINY, "network": SMALLEST["adamm"], "epochs": 1}
    run = train(tiny_cases, tmp_path / "run", "adamm", device="cpu", settings=settings)
    output = tmp_path / "s.safetensors"
    command = ["export", "--run", str(run), "--output", str(output), "--progress", "none"]
    assert main([*command, "--gate", "hard"]) == 0
    assert read_card(output)["gate"] == "hard"
    silent = train(tiny_cases, tmp_path / "silent", device="cpu", settings={**TINY, "epochs": 1})
    command[2] = str(silent)
    assert main([*command, "--gate", "hard"]) == 2
    assert "segresnet does not tell presence. Export it without a gate" in capsys.readouterr().err
    assert read_card(output)["gate"] == "hard", "what was there is untouched"
