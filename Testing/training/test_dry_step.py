"""Counting a step without its arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from measure_memory import measure
from MissingModalityLib import networks
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods.supervised import Supervised
from MissingModalityLib.training import dry_step as module
from MissingModalityLib.training.dry_step import _Dry, dry_step
from MissingModalityLib.training.plan import make_plan
from tiny_run import SMALLEST, TINY


def test_a_convolution_is_counted_as_its_sizes_say():
    with _Dry() as dry:
        layer = nn.Conv3d(4, 8, 3, padding=1, bias=False)
        image = torch.empty(1, 4, 32, 32, 32)
        before = dry.now
        result = layer(image)
        assert result.shape == (1, 8, 32, 32, 32) and dry.now - before == result.nbytes
        assert dry.operations == 2 * 32**3 * 8 * 4 * 27
        del result
        assert dry.now == before and dry.peak == before + 8 * 4 * 32**3


def test_it_holds_as_much_as_the_same_step_computed(monkeypatch):
    plan = make_plan(settings=TINY)
    (stage,) = plan.stages
    dry = dry_step(plan, stage)
    monkeypatch.setattr(module, "_SMALL", 2**40)  # computes everything, and still counts what lives
    computed = dry_step(plan, stage)
    assert dry.memory == pytest.approx(computed.memory, rel=0.02) and dry.fixed == computed.fixed
    assert dry.operations > 0 == computed.operations


def test_a_repeated_call_is_told_by_the_types_of_its_numbers():
    with _Dry():
        counts = torch.empty(8192, dtype=torch.int64)
        found = [(counts * number).dtype for number in (1, 1.0, 1)]
    assert found == [torch.int64, torch.float32, torch.int64]


def test_masks_choose_samples_as_in_a_step_that_is_computed():
    image = torch.empty(3, 4, 16, 16, 16)
    with _Dry():
        assert image[torch.tensor([True, False, True])].shape[0] == 2
        assert image[image > 0].numel() == image.numel()  # not known, so all


def test_memory_grows_with_crops_and_no_random_number_is_used_up():
    torch.manual_seed(5)
    sizes = [dry_step(make_plan(settings={**TINY, "batch_size": size}), "train") for size in (1, 3)]
    assert sizes[0].memory < sizes[1].memory and sizes[0].fixed == sizes[1].fixed
    assert sizes[1].operations == pytest.approx(3 * sizes[0].operations)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_a_step_that_decides_by_voxels_is_refused_in_one_sentence(monkeypatch):
    def decide(self: object, network: nn.Module, batch: dict, epoch: int) -> dict:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    monkeypatch.setattr(Supervised, "loss", decide)
    with pytest.raises(OptionError, match=r"cannot be counted \(Cannot copy out of meta tensor"):
        dry_step(make_plan(settings=TINY), "train")


@pytest.mark.slow
@pytest.mark.parametrize(("network", "side"), [("rfnet", 48), ("segresnet", 96)])
def test_a_process_takes_as_much_as_predicted(network, side):
    predicted, measured = measure(network, side)
    assert predicted == pytest.approx(measured, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_every_network_can_be_counted(name):
    divisor = networks.build(name, **SMALLEST[name]).divisor
    plan = make_plan(network=name, preset="quick", settings={"network": SMALLEST[name], "patch_size": 64})
    assert 64 % divisor == 0 and dry_step(plan, "train").operations > 0
