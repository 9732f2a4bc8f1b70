"""What a network says with more modalities instructs what it says with fewer, where the label agrees."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from masks import flags
from MissingModalityLib.methods.options import SupervisedOptions
from MissingModalityLib.methods.soft_targets import better_prediction, distillation_loss
from MissingModalityLib.methods.supervised import Supervised
from MissingModalityLib.networks.heads import HEADS, Head
from small_networks import small_network

HEAD = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
NETWORK = pytest.mark.parametrize("name", ["segresnet", "rfnet"])


def batch(available: tuple[str, str] = ("0100", "1010")) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(5)
    return {
        "image": torch.randn(2, 4, 16, 16, 16, generator=random),
        "label": torch.randint(0, 4, (2, 16, 16, 16), generator=random, dtype=torch.uint8),
        "available": flags(*available),
        "teacher": flags("0110", "1011"),
        "present": flags("0111", "1111"),
    }


def loss(network: nn.Module, data: dict[str, Tensor], **options: object) -> dict[str, Tensor]:
    return Supervised(SupervisedOptions(**options)).loss(network, data, 0)


def logits(head: Head, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(2, head.channels, 6, 6, 6, generator=random)


@HEAD
def test_the_target_is_the_prediction_that_is_closer_to_the_label(head: Head) -> None:
    classes = torch.randint(0, 4, (2, 6, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    subset, superset = logits(head, 1), logits(head, 2)
    truth = head.target(classes, torch.float32)
    chosen = better_prediction(subset, superset, classes, head)
    entropies = [head.voxel_entropies(x, classes, truth) for x in (subset, superset, chosen)]
    torch.testing.assert_close(entropies[2], torch.minimum(*entropies[:2]))
    assert torch.equal(better_prediction(60 * truth - 30, superset, classes, head), 60 * truth - 30)


@HEAD
def test_nothing_is_asked_for_where_the_superset_is_no_better(head: Head) -> None:
    classes = torch.zeros(2, 6, 6, 6, dtype=torch.uint8)
    subset = (20 * head.target(classes, torch.float32) - 10).requires_grad_()
    target = better_prediction(subset, logits(head, 2), classes, head)
    terms = distillation_loss(subset, target, head)
    sum(terms).backward()
    assert all(abs(term) < 1e-6 for term in terms) and subset.grad.abs().max() < 1e-6


@NETWORK
@pytest.mark.parametrize(("superset", "entry"), [("all", "present"), ("one_more", "teacher")])
def test_terms_compare_the_subset_with_the_better_superset(name: str, superset: str, entry: str) -> None:
    network, data = small_network(name).train(), batch()
    terms = loss(network, data, consistency_weight=0.5, consistency_superset=superset)
    subset = network(data["image"], data["available"], data["present"]).logits
    wider = network(data["image"], data[entry], data["present"]).logits
    target = better_prediction(subset, wider, data["label"], network.head)
    for kind, value in zip(("kl", "dice"), distillation_loss(subset, target, network.head), strict=True):
        torch.testing.assert_close(terms[f"consistency_{kind}"], 0.5 * value)
        assert value > 1e-4
    plain = loss(network, data)
    assert all(torch.equal(terms[key], plain[key]) for key in plain if key != "total")
    torch.testing.assert_close(terms.pop("total"), sum(terms.values()))


def test_without_a_weight_the_network_runs_once_and_with_it_once_more_without_gradient() -> None:
    network, data, seen = small_network("segresnet").train(), batch(), []
    network.register_forward_hook(lambda _, inputs, output: seen.append((inputs[1], output.logits)))
    loss(network, data)
    assert len(seen) == 1
    loss(network, data, consistency_weight=1.0)
    assert [logits.requires_grad for _, logits in seen] == [True, False, True]
    assert torch.equal(seen[1][0], data["present"])


def test_supersets_that_learn_too_are_the_second_half_of_one_batch() -> None:
    network, data, seen = small_network("segresnet").train(), batch(), []
    network.register_forward_hook(lambda _, inputs, output: seen.append(output.logits))
    terms = loss(network, data, consistency_weight=1.0, consistency_trains_superset=True)
    assert len(seen) == 1 and len(seen[0]) == 4
    apart = [loss(network, {**data, "available": data[key]}) for key in ("available", "present")]
    torch.testing.assert_close(terms["bce"], (apart[0]["bce"] + apart[1]["bce"]) / 2)
    other = loss(network, data, consistency_weight=1.0)
    for kind in ("kl", "dice"):
        torch.testing.assert_close(terms[f"consistency_{kind}"], other[f"consistency_{kind}"])
    gradients = [torch.autograd.grad(x["consistency_kl"], network.parameters()) for x in (terms, other)]
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_crops_that_show_all_already_have_nothing_to_agree_with() -> None:
    data = batch()
    data["available"] = data["present"]
    terms = loss(small_network("segresnet").train(), data, consistency_weight=1.0)
    assert abs(terms["consistency_kl"]) < 1e-6 and abs(terms["consistency_dice"]) < 1e-6


def test_consistency_waits_for_the_fused_prediction() -> None:
    network, options = small_network("rfnet").train(), {"consistency_weight": 1.0, "fusion_start_epoch": 1}
    method = Supervised(SupervisedOptions(**options))
    kl = [method.loss(network, batch(), epoch)["consistency_kl"] for epoch in (0, 1)]
    assert kl[0] == 0 < kl[1]


@pytest.mark.parametrize("together", [False, True])
def test_what_a_case_lacks_never_matters(together: bool) -> None:
    network, options = small_network("segresnet").train(), {"consistency_weight": 1.0}
    found = []
    for value in (0.0, float("nan"), 1e30):
        data = batch()
        data["image"][~data["present"]] = value
        found.append(loss(network, data, consistency_trains_superset=together, **options)["total"])
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


@pytest.mark.parametrize("together", [False, True])
def test_half_precision_stays_finite_and_close(together: bool) -> None:
    network, data = small_network("segresnet").train(), batch()
    options = {"consistency_weight": 1.0, "consistency_trains_superset": together}
    totals = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            terms = loss(network, data, **options)
        assert all(term.isfinite() and term.dtype == torch.float32 for term in terms.values())
        totals.append(terms["total"])
    assert totals[1].item() == pytest.approx(totals[0].item(), rel=0.03)


@pytest.mark.parametrize("together", [False, True])
def test_a_distributed_wrapper_gives_the_same_loss(together: bool, tmp_path: Path) -> None:
    network, data = small_network("segresnet").train(), batch()
    options = {"consistency_weight": 1.0, "consistency_trains_superset": together}
    expected = loss(network, data, **options)
    distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        terms = loss(DistributedDataParallel(network), data, **options)
        terms["total"].backward()
    finally:
        distributed.destroy_process_group()
    assert terms == expected
    assert all(parameter.grad is not None for parameter in network.parameters())
