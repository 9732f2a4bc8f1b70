"""What heads make of probabilities, in numbers that one can work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MissingModalityLib.core.labels import TumorClass
from MissingModalityLib.networks.head import THRESHOLD
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.presence import PresenceHead


@pytest.mark.parametrize("head", ["regions", "sigmoids"])
def test_exactly_the_threshold_claims_no_voxel(head: str) -> None:
    probabilities = np.full((HEADS[head].channels, 1, 1, 2), THRESHOLD, np.float32)
    probabilities[..., 1] = np.nextafter(np.float32(THRESHOLD), np.float32(1))
    assert HEADS[head].class_map(probabilities)[0, 0].tolist() == [TumorClass.BACKGROUND, TumorClass.ET]


def test_a_region_of_classes_has_the_sum_of_their_probabilities() -> None:
    probabilities = np.array([0.1, 0.2, 0.4, 0.3], np.float32).reshape(4, 1, 1, 1)
    assert HEADS["classes"].region_probabilities(probabilities).ravel() == pytest.approx([0.9, 0.5, 0.3])
    assert HEADS["sigmoids"].region_probabilities(probabilities).ravel() == pytest.approx([0.4, 0.3, 0.3])


def test_regions_paint_edema_first_and_enhancing_tumor_last() -> None:
    nested = np.array([[0.1, 0.9, 0.9, 0.9], [0.1, 0.1, 0.9, 0.9], [0.1, 0.1, 0.1, 0.9]], np.float32)
    classes = HEADS["regions"].class_map(nested.reshape(3, 1, 1, 4))
    expected = [TumorClass.BACKGROUND, TumorClass.ED, TumorClass.NCR, TumorClass.ET]
    assert classes.ravel().tolist() == expected


def test_presence_reads_the_largest_activations_first_and_then_the_means() -> None:
    torch.manual_seed(0)
    head, maps = PresenceHead(8), torch.randn(2, 8, 3, 4, 5)
    with torch.no_grad():
        head.classify.weight.zero_()
        head.classify.weight[:, :8] = 1
        head.classify.bias.zero_()
    largest = head.norm(maps).relu().amax((2, 3, 4)).sum(1)
    torch.testing.assert_close(head(maps), largest.sigmoid()[:, None].expand(-1, 3))
