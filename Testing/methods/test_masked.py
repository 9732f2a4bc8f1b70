"""M3AE's two stages: images restored from blocks, and two subsets that teach each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import MODALITIES, availability
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import cache_case
from MissingModalityLib.methods.masked import Masked, shown_blocks
from MissingModalityLib.methods.mutual import Mutual, level_losses
from MissingModalityLib.methods.options import MaskedOptions, MutualOptions
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.output import Feature, Kind, Output
from MissingModalityLib.training.samples import PatchDataset
from MissingModalityLib.training.settings import Settings
from small_networks import small_network


def batch(seed: int = 0) -> dict[str, Tensor]:
    """Two crops with a bright block, which is tumor; the second lacks a sequence."""
    random = torch.Generator().manual_seed(seed)
    label = torch.zeros(2, 16, 16, 16, dtype=torch.uint8)
    label[:, 4:12, 4:12, 4:12] = 2
    label[:, 6:10, 6:10, 6:10] = 3
    image = 0.1 * torch.randn(2, 4, 16, 16, 16, generator=random) + label[:, None]
    flags = [[True, True, True, True], [True, False, True, True]]
    return {
        "image": image,
        "label": label,
        "present": torch.tensor(flags),
        "available": torch.tensor([[True, False, False, True], [False, False, True, False]]),
        "other": torch.tensor([[False, True, False, False], [True, False, True, False]]),
        "place": torch.full((2, 3), -8),
    }


def test_blocks_of_each_modality_are_hidden_by_themselves_and_as_many_as_asked_for() -> None:
    torch.manual_seed(0)
    shown = shown_blocks((1, 4, 64, 64, 40), 16, 0.875)
    assert shown.shape == (1, 4, 64, 64, 40)
    corners = shown[0, :, ::16, ::16, ::16]
    assert (corners.flatten(1).sum(1) == 6).all()  # of 4 x 4 x 3
    assert torch.equal(shown[0, 0, :16, :16, :16].unique(), corners[0, 0, 0, 0][None])
    assert not torch.equal(corners[0], corners[1])
    assert shown_blocks((1, 4, 16, 16, 16), 16, 0.875).all()  # one is always shown


def test_hidden_voxels_teach_without_being_seen_and_absent_sequences_teach_nothing() -> None:
    method = Masked(MaskedOptions(patch_side=4))
    trained, given = method.assemble(small_network("m3ae")), batch()

    def terms(image: Tensor) -> dict[str, Tensor]:
        torch.manual_seed(1)
        return method.loss(trained, {**given, "image": image}, 0)

    before = terms(given["image"])
    absent = given["image"].clone()
    absent[1, 1] = 7.0  # which the second case lacks
    assert torch.equal(terms(absent)["total"], before["total"])
    hidden = given["image"].clone()
    hidden[0, 1] = 7.0  # which the first has, and the step does not show
    assert terms(hidden)["restored"] > before["restored"]
    before["total"].backward()
    network = trained.network
    assert network.substitute.grad.any() and network.restore.weight.grad.any()
    assert network.body.conv_final[-1].conv.weight.grad is None


def test_of_the_sequences_that_are_given_the_network_sees_an_eighth() -> None:
    seen: list[Tensor] = []

    def network(image: Tensor, visible: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(visible)
        return image, torch.zeros_like(image)

    given = batch()
    assert Masked(MaskedOptions(patch_side=4, ratio=0.875)).loss(network, given, 0)["total"] == 0
    shares = seen[0].flatten(2).float().mean(2)
    assert torch.equal(shares, given["available"] / 8)


@pytest.mark.slow
def test_it_learns_to_restore_and_the_substitute_moves() -> None:
    method = Masked(MaskedOptions(patch_side=4))
    trained = method.assemble(small_network("m3ae")).train()
    optimizer = torch.optim.Adam(trained.parameters(), 1e-2)
    given = {
        name: value[:1, ..., :8, :8, :8] if value.ndim > 2 else value[:1] for name, value in batch().items()
    }
    torch.manual_seed(0)
    found = []
    for _ in range(12):
        optimizer.zero_grad()
        terms = method.loss(trained, given, 0)
        terms["total"].backward()
        optimizer.step()
        found.append(terms["restored"].item())
    assert np.mean(found[-4:]) < 0.5 * np.mean(found[:4])
    assert trained.network.substitute.abs().max() > 0


def test_two_subsets_learn_from_the_labels_and_from_each_other() -> None:
    network, method, given = small_network("m3ae").train(), Mutual(), batch()
    terms = method.loss(network, given, 0)
    assert set(terms) == {"dice", "bce", "consistency", "content", "total"}
    assert torch.isclose(terms["total"], sum(terms[name] for name in terms if name != "total"))
    assert terms["consistency"] > 0 and terms["content"] > 0
    alike = method.loss(network, {**given, "other": given["available"]}, 0)
    assert alike["consistency"] == 0 and alike["content"] == 0
    swapped = method.loss(network, {**given, "other": given["available"], "available": given["other"]}, 0)
    torch.testing.assert_close(swapped["total"], terms["total"])


def test_a_coarser_level_counts_half_as_much() -> None:
    head, classes = HEADS["regions"], batch()["label"]
    fine, coarse = (torch.randn(2, 3, *[side] * 3) for side in (16, 8))
    both = level_losses(Output(fine, {Feature(Kind.DEEP, 2): coarse}), classes, head)
    first = level_losses(Output(fine), classes, head)
    second = level_losses(Output(coarse), classes[:, ::2, ::2, ::2], head)
    for together, whole, half in zip(both, first, second, strict=True):
        torch.testing.assert_close(together, (2 * whole + half) / 3)


def test_what_mutual_reads_is_both_subsets() -> None:
    network, given = small_network("m3ae"), batch()
    assert torch.equal(Mutual().modalities_read(network, given), given["available"] | given["other"])


@pytest.mark.parametrize(
    ("method", "name", "options", "message"),
    [
        (Masked(), "segresnet", {}, "Choose the network m3ae"),
        (Mutual(), "rfnet", {}, "a loss of its own"),
        (Mutual(), "segresnet", {}, "Set mutual.content=0"),
        (Mutual(MutualOptions(content=0)), "segresnet", {"presence": True}, "Set network.presence=false"),
    ],
)
def test_networks_that_the_methods_cannot_train_are_refused(method, name, options, message) -> None:
    with pytest.raises(OptionError, match=message):
        method.check(small_network(name, **options))


def test_a_sample_tells_a_second_subset_and_where_it_lies(tiny_cases: Path, tmp_path: Path) -> None:
    case = cache_case(find_cases(tiny_cases).cases[0], tmp_path)
    samples = PatchDataset([case], Settings(patch_size=(8, 8, 8), augmentation="none"), (0, 0), 0)
    for index in range(6):
        sample = samples[index]
        assert sample["other"].any() and (sample["other"] <= sample["present"]).all()
        assert (sample["other"] != sample["available"]).any()
        start = sample["place"] + np.array(case.shape) // 2
        np.testing.assert_array_equal(case.crop(start, (8, 8, 8))[1], sample["label"])
    only = PatchDataset([case], Settings(patch_size=(8, 8, 8), training_subsets=("FLAIR",)), (0, 0), 0)[0]
    assert only["other"].tolist() == list(availability((MODALITIES[0],)))
