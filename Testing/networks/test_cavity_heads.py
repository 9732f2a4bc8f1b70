"""Heads with a channel for the resection cavity, which is told beside the tumor and never in its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.labels import RESECTION_CAVITY, TumorClass
from MissingModalityLib.methods.joint import JointDistillation
from MissingModalityLib.methods.logits import probability_distance
from MissingModalityLib.methods.options import JointOptions
from MissingModalityLib.networks.heads import HEADS, Head
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.resolve import _check_plan

CLASSES = torch.arange(5).view(1, 1, 1, 5).repeat(1, 2, 2, 1)
"""Background, NCR, ED, ET and the cavity along the last axis."""


@pytest.fixture(params=[name for name in HEADS if name.endswith("+cavity")])
def head(request: pytest.FixtureRequest) -> Head:
    return HEADS[request.param]


def test_what_is_taught_is_what_is_told(head: Head) -> None:
    target = head.target(CLASSES, torch.float32)
    assert target.shape == (1, head.channels, 2, 2, 5)
    assert target[0, -1, 0, 0].tolist() == [0, 0, 0, 0, 1]
    assert np.array_equal(head.class_map(target[0].numpy()), CLASSES[0].numpy())
    plain = HEADS[head.name.removesuffix("+cavity")]
    tumor = CLASSES.clone().masked_fill(CLASSES == RESECTION_CAVITY, TumorClass.BACKGROUND)
    known = plain.target(tumor, torch.float32)[0].numpy()
    regions = head.region_probabilities(target[0].numpy())
    assert regions.shape[0] == 3 and np.array_equal(regions, plain.region_probabilities(known))
    assert not head.class_map(head.background(target.shape)[0].numpy()).any()


def test_what_is_tumor_is_no_cavity_and_presence_of_tumor_says_nothing_of_it(head: Head) -> None:
    target = head.target(CLASSES, torch.float32)[0].numpy()
    if head.name != "classes+cavity":  # where only one class is a voxel's
        target[-1] = 1.0
        assert head.class_map(target)[0, 0].tolist() == [RESECTION_CAVITY, 1, 2, 3, RESECTION_CAVITY]
    head.apply_presence(target, np.zeros(3, np.float32))
    assert set(np.unique(head.class_map(target)).tolist()) == {0, RESECTION_CAVITY} or target[-1].all()
    assert (target[-1, ..., 4] == 1).all()


def test_weights_of_regions_leave_the_cavity_one(head: Head) -> None:
    weights = head.channel_weights((1.0, 1.0, 4.0))
    assert len(weights) == head.channels and weights[-1] == 1


def test_distances_between_teacher_and_student_count_it(head: Head) -> None:
    student = torch.zeros(1, head.channels, 2, 2, 2)
    teacher = student.clone()
    teacher[:, -1] = 5.0
    assert probability_distance(student, teacher, head) > 0
    label = torch.zeros(1, 2, 2, 2, dtype=torch.uint8)
    terms = JointDistillation(JointOptions(cross_entropy=1.0))._own_losses(
        "student", type("Given", (), {"logits": student, "presence": None}), label, head
    )
    assert set(terms) == {"student_dice", "student_entropy"}


def test_one_setting_gives_the_run_such_a_head() -> None:
    plan = make_plan(network="segresnet", preset="quick", settings={"resection_cavity": "class"})
    assert plan.network_options["head"] == "regions+cavity"
    chosen = {"resection_cavity": "class", "network.head": "classes+cavity"}
    assert make_plan(preset="quick", settings=chosen).network_options["head"] == "classes+cavity"
    _check_plan(plan, initial=False)


@pytest.mark.parametrize(
    ("network", "settings", "message"),
    [
        ("uhved", {"resection_cavity": "class"}, "uhved tells no resection cavity"),
        ("segresnet", {"network.head": "regions+cavity"}, "Set resection_cavity=class too"),
        ("segresnet", {"resection_cavity": "class", "network.head": "regions"}, "tells no resection cavity"),
    ],
)
def test_a_head_and_a_rule_that_do_not_go_together_are_refused(network, settings, message) -> None:
    with pytest.raises(OptionError, match=message):
        _check_plan(make_plan(network=network, preset="quick", settings=settings), initial=False)
