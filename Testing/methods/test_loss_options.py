"""Options of the plain loss: what Dice sums over, focal and top-k cross entropy, weights, coarser levels."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceLoss, FocalLoss
from torch import Tensor
from torch.nn import functional as F

from masks import flags
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods.joint import JointDistillation
from MissingModalityLib.methods.method import Method
from MissingModalityLib.methods.options import (
    DistillationOptions,
    JointOptions,
    LossOptions,
    SupervisedOptions,
)
from MissingModalityLib.methods.plain import plain_loss
from MissingModalityLib.methods.self_distillation import Distillation
from MissingModalityLib.methods.supervised import Supervised
from MissingModalityLib.networks.heads import HEADS, Head
from MissingModalityLib.networks.output import Feature, Kind, Output
from small_networks import small_network

HEAD = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
CHANGED = {
    "sample": LossOptions(dice_over="sample"),
    "focal": LossOptions(focal_gamma=2.0),
    "topk": LossOptions(top_k_fraction=0.1),
    "weights": LossOptions(region_weights=(1.0, 2.0, 4.0)),
    "all": LossOptions(
        dice_over="sample", focal_gamma=0.5, top_k_fraction=0.25, region_weights=(1.0, 0.0, 3.0)
    ),
}
EACH = pytest.mark.parametrize("options", CHANGED.values(), ids=CHANGED)


def labels(side: int = 8) -> Tensor:
    random = torch.Generator().manual_seed(3)
    classes = torch.randint(0, 4, (2, side, side, side), generator=random, dtype=torch.uint8)
    classes[0][classes[0] == 3] = 2  # no enhancing tumor in the first crop
    return classes


def logits(head: Head, side: int = 8, seed: int = 4) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(2, head.channels, side, side, side, generator=random)


def terms(head: Head, options: LossOptions | None = None, given: Tensor | None = None) -> dict[str, Tensor]:
    chosen = () if options is None else (None, 1.0, options)
    return plain_loss(Output(logits(head) if given is None else given), labels(), head, *chosen)


@HEAD
def test_dice_of_samples_and_of_the_batch_are_monais(head: Head) -> None:
    pair = head.probabilities(logits(head)), head.target(labels(), torch.float32)
    scored = [x[:, head.first_scored :] for x in pair]
    for over in ("batch", "sample"):
        monai = DiceLoss(batch=over == "batch", squared_pred=head.squares_dice)
        found = terms(head, LossOptions(dice_over=over))["dice"]
        torch.testing.assert_close(found, monai(*scored))


def test_an_absent_region_costs_a_sample_nothing_only_where_almost_none_is_predicted() -> None:
    head, options = HEADS["regions"], LossOptions(dice_over="sample")
    truth = head.target(labels(), torch.float32)
    right = terms(head, options, 60 * truth - 30)["dice"]
    faint = (60 * truth - 30).clone()
    faint[0, 2] = -5  # a probability of less than a percent in every voxel
    assert right < 1e-4
    assert terms(head, options, faint)["dice"] == pytest.approx(1 / 6, abs=0.01)
    assert terms(head, LossOptions(dice_over="batch"), faint)["dice"] < 0.02


@HEAD
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_cross_entropy_is_monais(head: Head, gamma: float) -> None:
    given = [logits(head).requires_grad_() for _ in range(2)]
    found = terms(head, LossOptions(focal_gamma=gamma), given[0])[head.entropy_name]
    softmax = head.name.startswith("classes")
    monai = FocalLoss(gamma=gamma, use_softmax=softmax)
    expected = monai(given[1], head.target(labels(), torch.float32))
    # MONAI's mean is one over the channels of a softmax too, of which the label's alone is not 0
    expected = expected * (head.channels if softmax else 1)
    torch.testing.assert_close(found, expected)
    found.backward(), expected.backward()
    torch.testing.assert_close(given[0].grad, given[1].grad)


@HEAD
def test_the_share_of_hardest_voxels_is_taken_in_each_crop(head: Head) -> None:
    classes, given = labels(), logits(head)
    given[1] *= 5  # the hardest voxels of the batch all lie in one crop
    entropies = head.voxel_entropies(given, classes, head.target(classes, torch.float32)).mean(1).flatten(1)
    hardest = entropies.sort(descending=True).values
    for share, count in ((0.1, 51), (1e-9, 1)):
        found = terms(head, LossOptions(top_k_fraction=share), given)[head.entropy_name]
        torch.testing.assert_close(found, hardest[:, :count].mean())


def test_weights_of_regions_weigh_their_dice_and_cross_entropy() -> None:
    head, weights = HEADS["regions"], torch.tensor([0.5, 0.5, 2.0])
    found = terms(head, LossOptions(region_weights=(1, 1, 4)))
    target = head.target(labels(), torch.float32)
    dice = DiceLoss(batch=True, reduction="none")(logits(head).sigmoid(), target).flatten()
    entropy = F.binary_cross_entropy_with_logits(logits(head), target, reduction="none").mean((0, 2, 3, 4))
    torch.testing.assert_close(found["dice"], (weights * dice).mean())
    torch.testing.assert_close(found["bce"], (weights * entropy).mean())


def test_a_class_weighs_as_the_regions_that_hold_it() -> None:
    head = HEADS["classes"]
    found = terms(head, LossOptions(region_weights=(1, 1, 4)))
    # NCR is in WT and TC, ED in WT, ET in all three: 1, 1 and 2, here with a mean of 1
    weights = torch.tensor([1.0, 0.75, 0.75, 1.5])
    entropy = F.cross_entropy(logits(head), labels().long(), weights, reduction="none").mean()
    torch.testing.assert_close(found["ce"], entropy)
    target = head.target(labels(), torch.float32)[:, 1:]
    dice = DiceLoss(batch=True, reduction="none")(logits(head).softmax(1)[:, 1:], target).flatten()
    torch.testing.assert_close(found["dice"], (weights[1:] * dice).mean())
    assert HEADS["sigmoids"].channel_weights((1, 1, 4)) == pytest.approx(weights.tolist())


@HEAD
def test_defaults_are_the_loss_without_options(head: Head) -> None:
    for options in (LossOptions(), LossOptions(region_weights=(2, 2, 2)), SupervisedOptions()):
        for name, value in terms(head).items():
            assert torch.equal(value, terms(head, options)[name])


@HEAD
@EACH
def test_half_precision_gives_a_finite_loss_close_to_the_exact_one(head: Head, options: LossOptions) -> None:
    extreme = logits(head) * 20  # some probabilities are 0 or 1
    exact = terms(head, options, extreme)
    for dtype in (torch.float16, torch.bfloat16):
        given = extreme.to(dtype).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = terms(head, options, given)
        sum(found.values()).backward()
        assert given.grad.isfinite().all() and given.grad.any()
        for name, value in found.items():
            assert value.dtype == torch.float32
            assert value.item() == pytest.approx(exact[name].item(), rel=0.02)


@HEAD
def test_coarser_logits_count_half_as_much_per_level_against_the_nearest_labels(head: Head) -> None:
    options = LossOptions(focal_gamma=2.0)
    maps = {Feature(Kind.DEEP, level): logits(head, 8 // 2 ** (level - 1), level) for level in (3, 2)}
    found = plain_loss(Output(logits(head), maps), labels(), head, None, 1.0, options)
    fine = plain_loss(Output(logits(head)), labels(), head, None, 1.0, options)
    coarse = [
        plain_loss(Output(maps[Feature(Kind.DEEP, level)]), classes, head, None, 1.0, options)
        for level, classes in ((2, labels()[:, 1::2, 1::2, 1::2]), (3, labels()[:, 2::4, 2::4, 2::4]))
    ]
    assert set(found) == {"dice", head.entropy_name, "deep_dice", f"deep_{head.entropy_name}"}
    for name in fine:
        torch.testing.assert_close(found[name], 4 / 7 * fine[name])
        torch.testing.assert_close(found[f"deep_{name}"], 2 / 7 * coarse[0][name] + 1 / 7 * coarse[1][name])


def batch() -> dict[str, Tensor]:
    image = torch.randn(2, 4, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    available, present = flags("0100", "1010"), flags("0110", "1111")
    return {
        **{"image": image, "label": labels(), "available": available},
        **{"teacher": present, "present": present},
    }


@pytest.mark.parametrize("method", [Supervised, Distillation])
@EACH
def test_methods_hand_their_options_to_the_loss(method: type[Method], options: LossOptions) -> None:
    network, data = small_network("segresnet").train(), batch()
    chosen = method(method.Options(**vars(options)))
    chosen.check(network)
    chosen.begin_epoch(network, 0)
    found = chosen.loss(network, data, 0)
    output = network(data["image"], data["available"])
    for name, value in plain_loss(output, data["label"], network.head, None, 1.0, options).items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("method", [Supervised, Distillation])
def test_options_that_a_networks_own_loss_would_not_read_are_refused(method: type[Method]) -> None:
    chosen = method(method.Options(top_k_fraction=0.5))
    with pytest.raises(OptionError, match=rf"{method.name}\.top_k_fraction=0\.5.*rfnet.*region_aware"):
        chosen.check(small_network("rfnet"))
    method().check(small_network("rfnet"))


def test_a_method_that_trains_no_coarser_logits_refuses_them() -> None:
    options = JointOptions(attention=0, multiscale=0, style=0, adversarial=0)
    joint = JointDistillation(options)
    joint.check(small_network("segresnet", blocks=(1, 1, 1)))
    with pytest.raises(OptionError, match=r"network\.deep_supervision=false"):
        joint.check(small_network("segresnet", blocks=(1, 1, 1), deep_supervision=True))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SupervisedOptions, {"dice_over": "crop"}, r"supervised\.dice_over=crop.*batch, sample"),
        (SupervisedOptions, {"focal_gamma": -1}, r"supervised\.focal_gamma=-1"),
        (DistillationOptions, {"top_k_fraction": 0}, r"distillation\.top_k_fraction=0.*more than 0"),
        (SupervisedOptions, {"top_k_fraction": 1.1}, "at most 1"),
        (SupervisedOptions, {"region_weights": (0, 0, 0)}, "one of them more than 0"),
        (SupervisedOptions, {"region_weights": (1, -1, 1)}, "0 or more"),
        (SupervisedOptions, {"region_weights": (1, 2)}, "region_weights"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(kind: type, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        kind(**options)
