"""Sizes of a training that fill a device; what a step takes is a formula here, but in the slow tests."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.training import fitting
from MissingModalityLib.training.dry_step import StepCost
from MissingModalityLib.training.fitting import LEAST_USED, MOST_USED, fit
from MissingModalityLib.training.machines import GPUS
from MissingModalityLib.training.plan import Plan, change_plan, make_plan

BOX = [(140, 172, 140)]
MEMORIES = (4, 8, 24, 80)


def gpu(gigabytes: float):
    return replace(GPUS["h100"], memory=int(gigabytes * 10**9))


@pytest.fixture
def formula(monkeypatch):
    """Memory that grows with voxels and channels, and as attention does with the square of voxels."""

    def cost(plan: Plan, stage: str, half: bool = False) -> StepCost:
        settings, width = plan.stages[stage], plan.network_options.get("width", 16)
        voxels = prod(settings.patch_size)
        each = voxels * width * (12 if half else 20) + (voxels / 4096) ** 2 * 64
        twice = 1.5 if settings.method == "distillation" else 1
        return StepCost(int(10**8 + twice * settings.batch_size * each), 10**8, 10**7, 1e12, 1e10, 1000)

    monkeypatch.setattr(fitting, "dry_step", cost)


@pytest.mark.parametrize("gigabytes", [*MEMORIES, 6, 11])
@pytest.mark.parametrize("network", ["segresnet", "rfnet"])
def test_the_memory_is_filled_and_not_exceeded(formula, network, gigabytes):
    found = fit(make_plan("aem-kd", network), BOX, gpu(gigabytes), {})
    assert LEAST_USED <= found.used <= 1
    assert set(found.settings) <= {"patch_size", "batch_size", "precision", "network.width"}
    assert all(stage.batch_size >= 2 for stage in found.plan.stages.values())


def test_sizes_that_leave_next_to_no_room_are_taken_only_where_they_are_given(formula):
    given = {"patch_size": (144, 176, 144), "batch_size": 2, "precision": "auto"}
    plan = make_plan(network="rfnet")
    needed = GPUS["h100"].needed(fitting.dry_step(change_plan(plan, given), "train", half=True))
    tight = replace(GPUS["h100"], memory=int(needed / 0.99))
    assert fit(change_plan(plan, given), BOX, tight, given).used == pytest.approx(0.99)
    assert LEAST_USED <= fit(plan, BOX, tight, {}).used <= MOST_USED


def test_more_memory_never_means_less_voxels(formula):
    found = [fit(make_plan(network="rfnet"), BOX, gpu(size), {}) for size in (4, 6, 8, 24, 80)]
    stages = [one.plan.stages["train"] for one in found]
    assert sorted(one.needed for one in found) == [one.needed for one in found]
    shares = [min(side / box for side, box in zip(one.patch_size, BOX[0], strict=True)) for one in stages]
    covered = [min(share, 1) for share in shares]
    assert covered == sorted(covered) and covered[-1] == 1


def test_what_is_given_stays(formula):
    given = {"patch_size": (96, 96, 96), "batch_size": 3}
    found = fit(make_plan(settings=given), BOX, gpu(24), given)
    assert set(found.settings) == {"precision"}
    assert found.plan.stages["train"].patch_size == (96, 96, 96) and found.needed < 24e9


def test_the_stage_that_needs_most_decides(formula):
    given = {"network.width": 16}
    plan, plain = (fit(make_plan(name, "rfnet"), BOX, gpu(24), given) for name in ("aem-kd", "baseline"))
    voxels = [prod((one.batch_size, *one.patch_size)) for one in map(first, (plan.plan, plain.plan))]
    assert voxels[0] < voxels[1]


def first(plan: Plan):
    return next(iter(plan.stages.values()))


def test_cases_on_the_device_leave_less_for_the_network(formula):
    free, taken = (fit(make_plan(), BOX, gpu(24), {}, kept) for kept in (0, 5 * 10**9))
    sizes = [prod((stage.batch_size, *stage.patch_size)) for stage in map(first, (free.plan, taken.plan))]
    assert sizes[1] < sizes[0] and taken.used <= 1


def test_a_memory_that_is_too_small_is_told_with_what_is_needed(formula):
    with pytest.raises(OptionError, match=r"segresnet needs \d\.\d GiB .* of 64x64x64, and h100 has 0\.7"):
        fit(make_plan(), BOX, gpu(0.7), {})


@pytest.mark.slow
@pytest.mark.parametrize("gigabytes", MEMORIES)
@pytest.mark.parametrize(
    ("recipe", "network"),
    [
        ("aem-kd", "rfnet"),
        ("mst-kd", "mstkdnet"),
        ("adamm", "adamm"),
        ("baseline", "mmformer"),
        ("baseline", "uhved"),
        ("nnunet-dropout", "dynunet"),
    ],
)
def test_networks_of_the_papers_fill_every_memory(recipe, network, gigabytes):
    if (network, gigabytes) == ("mstkdnet", 4):  # its weights, gradients and Adam's state alone take more
        with pytest.raises(OptionError, match="mstkdnet needs"):
            fit(make_plan(recipe, network), BOX, gpu(gigabytes), {})
        return
    found = fit(make_plan(recipe, network), BOX, gpu(gigabytes), {})
    assert LEAST_USED <= found.used <= 1
