"""Distilling an ensemble: who teaches which case, what is taught, and what cannot teach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.inference.student import Student
from MissingModalityLib.methods.ensemble import Ensemble
from MissingModalityLib.methods.options import EnsembleOptions
from MissingModalityLib.networks.heads import HEADS
from small_networks import small_network

NAMES = ("a", "b", "c", "synthetic")
CONTENTS = ({"FLAIR": "1", "T1": "2"}, {"FLAIR": "3"}, {"FLAIR": "4"}, {})


def teachers(
    folder: Path, *validation: Sequence[str], head: str = "regions", hashes: bool = False
) -> tuple[str, ...]:
    """Students of folds of the cases a, b and c, each with these held out."""
    paths = []
    for seed, held_out in enumerate(validation):
        training = {"cases": {name: "FLAIR" for name in "abc"}, "validation": list(held_out)}
        if hashes:
            known = zip(NAMES, CONTENTS, strict=True)
            training["voxels_sha256"] = {name: [*content.values()] for name, content in known if content}
        path = folder / f"teacher{seed}.safetensors"
        Student(small_network("segresnet", seed, head=head), {"training": training}).save(path)
        paths.append(str(path))
    return tuple(paths)


def batch(*numbers: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    available = torch.tensor([[True, False, False, False]]).repeat(len(numbers), 1)
    return {
        "image": torch.randn(len(numbers), 4, 8, 8, 8, generator=generator),
        "label": torch.randint(0, 4, (len(numbers), 8, 8, 8), generator=generator).to(torch.uint8),
        "available": available,
        "present": torch.tensor([[True, True, False, True]]).repeat(len(numbers), 1),
        "case": torch.tensor(numbers),
    }


@pytest.fixture
def ensemble(tmp_path: Path) -> Ensemble:
    method = Ensemble(EnsembleOptions(teachers=teachers(tmp_path, ["a"], ["b"], [])))
    method.know_cases(NAMES, CONTENTS)
    method.begin_epoch(small_network("segresnet", 7), 0)
    return method


def test_a_case_is_taught_by_those_that_were_not_trained_on_it(ensemble: Ensemble) -> None:
    # c was held out by none, the synthetic one is known to none: all teach them
    assert ensemble.teachers_of == [[0], [1], [0, 1, 2], [0, 1, 2]]


def test_a_case_under_another_name_is_known_by_its_voxels(tmp_path: Path) -> None:
    folds = teachers(tmp_path, ["a"], ["b"], ["c"], hashes=True)
    method = Ensemble(EnsembleOptions(teachers=folds))
    # what is called c now is another patient, whom nobody has seen
    method.know_cases(("renamed", "b", "c"), (CONTENTS[0], CONTENTS[1], {"FLAIR": "9"}))
    assert method.teachers_of == [[0], [1], [0, 1, 2]]


def test_targets_are_means_of_what_the_teachers_see_in_all_that_is_there(ensemble: Ensemble) -> None:
    data = batch(0, 2)
    with torch.no_grad():
        found = ensemble._mean(data)
        each = [
            teacher.head.probabilities(teacher(data["image"], data["present"]).logits)
            for teacher in ensemble.teachers
        ]
    torch.testing.assert_close(found[0], each[0][0])
    torch.testing.assert_close(found[1], sum(part[1] for part in each) / 3)


def test_the_loss_is_that_of_the_labels_when_the_student_agrees_with_its_teacher(ensemble: Ensemble) -> None:
    data = batch(1)
    data["available"] = data["present"]
    agreeing = ensemble.teachers[1]
    with torch.no_grad():
        terms = ensemble.loss(agreeing, data, 0)
    assert terms["ensemble_kl"] == pytest.approx(0, abs=1e-5)
    assert terms["ensemble_dice"] == pytest.approx(0, abs=1e-4)
    with torch.no_grad():
        terms = ensemble.loss(small_network("segresnet", 7).eval(), data, 0)
    assert terms["ensemble_kl"] > 1e-3 and terms["ensemble_dice"] > 1e-3
    assert terms["total"] == pytest.approx(float(sum(v for k, v in terms.items() if k != "total")))


def test_only_the_student_learns(ensemble: Ensemble) -> None:
    student = small_network("segresnet", 7)
    ensemble.loss(student, batch(0, 3), 0)["total"].backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert all(parameter.grad is None for teacher in ensemble.teachers for parameter in teacher.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_logits_have_the_probabilities_that_they_are_made_of(name: str) -> None:
    head = HEADS[name]
    probabilities = head.probabilities(3 * torch.randn(2, head.channels, 4, 4, 4))
    torch.testing.assert_close(head.probabilities(head.logits(probabilities)), probabilities)
    certain = head.background((1, 4, 2, 2, 2))
    assert head.logits(certain).isfinite().all()


def test_teachers_that_cannot_teach_are_refused(tmp_path: Path) -> None:
    network = small_network("segresnet")
    with pytest.raises(OptionError, match=r"ensemble\.teachers names no model"):
        Ensemble().check(network)
    other = teachers(tmp_path, ["a"], head="classes")
    with pytest.raises(OptionError, match=r"teacher0.*'classes'.*'regions'"):
        Ensemble(EnsembleOptions(teachers=other)).check(network)


def test_a_teacher_that_would_count_twice_is_refused(tmp_path: Path) -> None:
    network = small_network("segresnet")
    first, second = teachers(tmp_path, ["a"], ["b"])
    Ensemble(EnsembleOptions(teachers=(first, second))).check(network)
    with pytest.raises(OptionError, match=r"teachers: .*teacher0\.safetensors is named twice\. Name each"):
        Ensemble(EnsembleOptions(teachers=(first, second, first))).check(network)
    copy = tmp_path / "copy.safetensors"
    Student(Student.load(first).network, {"training": {"cases": {"d": "T1"}}}).save(copy)
    with pytest.raises(OptionError, match=r"copy\.safetensors has the weights of .*teacher0\.safetensors"):
        Ensemble(EnsembleOptions(teachers=(first, second, str(copy)))).check(network)
