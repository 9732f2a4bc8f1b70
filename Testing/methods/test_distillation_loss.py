"""The loss between a student's features and its teacher's: which pairs count, and how much."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods.options import DistillationOptions
from MissingModalityLib.methods.self_distillation import distillation_loss
from MissingModalityLib.networks.heads import HEADS


@pytest.mark.parametrize("head", ["classes", "regions", "sigmoids"])
class TestDistillationLoss:
    def predictions(self, head: str, seed: int) -> Tensor:
        channels = {"classes": 4, "regions": 3, "sigmoids": 4}[head]
        random = torch.Generator().manual_seed(seed)
        return 2 * torch.randn(2, channels, 6, 6, 6, generator=random)

    def test_it_is_zero_and_least_where_the_student_agrees(self, head):
        teacher = self.predictions(head, 1)
        student = teacher.clone().requires_grad_()
        terms = distillation_loss(student, teacher, HEADS[head])
        assert all(abs(term) < 1e-6 for term in terms)
        sum(terms).backward()
        assert student.grad.abs().max() < 1e-6
        for seed in range(2, 6):
            for amount in (0.1, 1.0):
                moved = distillation_loss(
                    teacher + amount * self.predictions(head, seed), teacher, HEADS[head]
                )
                assert all(term > 1e-4 for term in moved)

    def test_a_confident_teacher_is_like_a_label(self, head):
        teacher = 40 * self.predictions(head, 1).sign()
        student = self.predictions(head, 2)
        divergence, dice = distillation_loss(student, teacher, HEADS[head])
        if head == "classes":
            teacher = 40.0 * nn.functional.one_hot(student.argmin(1), 4).movedim(-1, 1)
            divergence, dice = distillation_loss(student, teacher, HEADS[head])
            expected = nn.functional.cross_entropy(student, student.argmin(1))
            truth, found = (x.softmax(1)[:, 1:] for x in (teacher, student))
        else:
            truth, found = (teacher > 0).float(), student.sigmoid()
            expected = nn.functional.binary_cross_entropy(found, truth)
        torch.testing.assert_close(divergence, expected)
        axes = (0, 2, 3, 4)
        shared = 2 * (truth * found).sum(axes) / (truth.square().sum(axes) + found.square().sum(axes))
        torch.testing.assert_close(dice, 1 - shared.mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher_update_interval": 0}, "teacher_update_interval=0.*1 or more"),
        ({"feature_weight": -1.0}, "0 or more"),
        ({"prediction_weight": -0.1}, "0 or more"),
        ({"features": "logits"}, "one of fused, encoder"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        DistillationOptions(**options)
