"""Joint distillation gives the numbers that the public code of its papers gave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from masks import flags
from MissingModalityLib.methods.attention import attention_distance, extreme_values, scale_distance
from MissingModalityLib.methods.joint import JointDistillation, ramp
from MissingModalityLib.methods.logits import (
    logit_distance,
    probability_distance,
    standardized,
    standardized_divergence,
)
from MissingModalityLib.methods.options import JointOptions
from MissingModalityLib.methods.plain import presence_target
from MissingModalityLib.methods.style import Discriminator, fused_matrix
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.output import Feature, Kind, Output
from MissingModalityLib.training.plan import make_plan


@pytest.fixture(scope="module")
def public(golden) -> dict[str, np.ndarray]:
    with np.load(golden("mstkd_losses")) as data:
        return {name: data[name] for name in data.files}


class TestPublishedNumbers:
    """Of the public code's loss terms, in double precision; what differs on purpose is only a factor."""

    def test_extreme_values_over_layers(self, public):
        student, teacher = series(public, "attn_s", 4), series(public, "attn_t", 4)
        tokens = student[0].shape[-1]
        found = attention_distance(student, teacher, "layers") / tokens**4
        close(found, public["loss/evd"])
        weighted = extreme_values(teacher, "layers")[0] / tokens**2
        for number, name in enumerate(("max", "min", "mean")):
            close(weighted[number], public[f"loss/evd_map_t0/{name}"], atol=1e-7)

    def test_decoded_maps(self, public):
        close(scale_distance(series(public, "fs_s", 4), series(public, "fs_t", 4)), public["loss/unetr_l2"])

    def test_logits_and_their_divergence(self, public):
        full, missing = value(public, "in/logit_f"), value(public, "in/logit_m")
        close(logit_distance(missing, full), public["loss/logit_mse"])
        close(standardized(full, -1), public["loss/slkd_norm_f"], atol=1e-5)
        share = full.shape[0] * full.shape[1]  # theirs is divided by all elements, and by the batch once more
        for name, pair, temperature in (
            ("slkd_T7_trainorder", (full, missing), 7.0),
            ("slkd_T7_swapped", (missing, full), 7.0),
        ):
            close(standardized_divergence(*pair, temperature, axis=-1) / share, public[f"loss/{name}"])

    def test_fused_matrices(self, public):
        full, missing = series(public, "gs_f", 3), series(public, "gs_m", 3)
        close(fused_matrix(full[0], full[1])[0], public["loss/mix_01"], atol=1e-8)
        theirs = sum(
            (fused_matrix(full[i], full[i - 1]) - fused_matrix(missing[i], missing[i - 1])).square().sum()
            for i in range(3)
        )
        channels, height, width = full[0].shape[1:4]
        close(1e-4 * theirs / (4 * channels**2 * (height * width) ** 2), public["loss/gsm"])

    def test_probabilities_and_content(self, public):
        logits = (value(public, f"in/pred_{network}")[:, BACKGROUND_FIRST].logit() for network in "mf")
        close(probability_distance(*logits, HEADS["sigmoids"]), public["loss/co_25/consistency_loss@f64"])
        content = ([value(public, f"in/content_{network}")] for network in "mf")
        close(scale_distance(*content), public["loss/co_25/content_loss@f64"])

    @pytest.mark.parametrize("epoch", [0, 5, 10, 20, 25])
    def test_the_rise_of_consistency(self, public, epoch):
        assert 10 * ramp(epoch, 20) == pytest.approx(public[f"loss/consistency_weight_{epoch}"].item())

    def test_discriminator(self, public):
        discriminator = Discriminator(6, 4, as_public_code=True).double()
        state = {name.removeprefix("w_disc/"): public[name] for name in public if name.startswith("w_disc/")}
        discriminator.layers.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        full, missing = value(public, "in/dstyle_f"), value(public, "in/dstyle_m")
        close(discriminator(full), public["loss/d_out_f"], atol=1e-6)
        close(discriminator.generator_loss(missing), public["loss/adv_fool"])
        close(discriminator.loss(missing, full), (public["loss/d_src"] + public["loss/d_trg"]) / 2)


class TestPublishedNumbersOfAdaMM:
    """The same of AdaMM's public code, as far as its terms are not MST-KDNet's."""

    @pytest.fixture
    def public(self, golden) -> dict[str, np.ndarray]:
        with np.load(golden("adamm_losses")) as data:
            return {name: data[name] for name in data.files}

    @pytest.mark.parametrize(("network", "name"), [("f", "{}"), ("m", "{}_miss")])
    def test_dice_weighs_more_where_presence_was_told_wrongly(self, public, network, name):
        samples = [self.told(public, network, sample) for sample in (0, 1)]
        dice = sum(terms["student_dice"] for terms in samples) / 2
        background = dice_of_background(public, network)
        published = [public[f"loss/co_0/{name.format(lesion)}_dc_loss@f64"] for lesion in ("wt", "tc", "et")]
        close(4 * dice - background, sum(published), rtol=1e-4)  # 1e-5 in our denominators, 1e-7 in theirs

    @pytest.mark.parametrize("epoch", [0, 5, 25])
    def test_the_whole_loss_of_the_preset_but_the_background_that_theirs_leaves_unsupervised(
        self, public, epoch
    ):
        method = of_preset("adamm")
        total = 0.0
        for sample in (0, 1):
            student, teacher = (self.output(public, network, sample) for network in "mf")
            data = {"label": self.label(public, sample)[0]}
            data |= {"available": flags("0100"), "present": flags("1111")}
            total += method.loss(Given(student, teacher), data, epoch)["total"].item() / 2
        background = 0.4 * dice_of_background(public, "f") + 0.6 * dice_of_background(public, "m")
        assert total - background == pytest.approx(public[f"loss/co_{epoch}/loss_Co@f64"], rel=1e-4)

    def told(self, public, network: str, sample: int) -> dict[str, Tensor]:
        """Our terms of one sample."""
        method = JointDistillation(JointOptions(student_weight=1.0, presence=1.0))
        output, (label, _) = self.output(public, network, sample), self.label(public, sample)
        return method._own_losses("student", output, label, HEADS["sigmoids"])

    def label(self, public, sample: int) -> tuple[Tensor, Tensor]:
        """Classes, and which of them the labels hold."""
        label = value(public, "in/y")[sample : sample + 1, BACKGROUND_FIRST].argmax(1).byte()
        return label, presence_target(label, torch.float64)

    def output(self, public, network: str, sample: int) -> Output:
        """What is present is random there, and what the labels hold here.

        Where these differ, a probability p errs there as 1 - p does here.
        """
        one = slice(sample, sample + 1)
        logits = value(public, f"in/pred_{network}")[one, BACKGROUND_FIRST].logit()
        said, truth = (value(public, f"in/{name}")[one] for name in (f"cls_{network}", "cls"))
        _, held = self.label(public, sample)
        content = {Feature(Kind.CONTENT): value(public, f"in/content_{network}")[one]}
        return Output(logits, content, torch.where(truth == held, said, 1 - said))

    def test_fused_matrices_of_planes(self, public):
        teacher, student = series(public, "feat_t", 2), series(public, "feat_s", 2)
        channels, size = teacher[0].shape[1], teacher[0][0, 0].numel()
        close(channels * fused_matrix(*teacher), public["loss/mix"], atol=1e-6)
        difference = fused_matrix(*teacher) - fused_matrix(*student)
        theirs = 2 * difference.square().sum() / (4 * size**2)
        close(100 * theirs, public["loss/gsm_list4d@f64"])

    def test_logits_and_their_divergence(self, public):
        full, missing = value(public, "in/logit_f"), value(public, "in/logit_m")
        share = full.shape[0] * full.shape[1]
        close(standardized_divergence(full, missing, axis=-1) / share, public["loss/slkd_T7@f64"])
        close(logit_distance(missing, full), public["loss/mse_relit@f64"])


@pytest.mark.parametrize("epoch", [0, 5, 25])
def test_the_whole_loss_of_smunets_preset_but_the_background_that_theirs_leaves_unsupervised(
    public, epoch: int
) -> None:
    label = value(public, "in/y")[:, BACKGROUND_FIRST].argmax(1).byte()
    student, teacher = (
        Output(
            value(public, f"in/pred_{network}")[:, BACKGROUND_FIRST].logit(),
            {Feature(Kind.CONTENT): value(public, f"in/content_{network}")},
        )
        for network in "mf"
    )
    data = {"label": label, "available": flags("0100"), "present": flags("1111")}
    total = of_preset("smu-net").loss(Given(student, teacher), data, epoch)["total"].item()
    background = 0.4 * dice_of_background(public, "f") + 0.6 * dice_of_background(public, "m")
    assert total - background == pytest.approx(public[f"loss/co_{epoch}/loss_Co@f64"], rel=1e-4)


def of_preset(recipe: str) -> JointDistillation:
    """The method as the preset "paper" has it, without the terms that are another kind's there."""
    options = make_plan(recipe).stages["train"].joint
    assert (options.teacher_weight, options.student_weight) == (0.4, 0.6)
    return JointDistillation(replace(options, style=0.0, adversarial=0.0, ramp_epochs=0))


BACKGROUND_FIRST = [3, 0, 1, 2]
"""Theirs ends with it."""


class Taught(nn.Module):
    """Stands for a network that learns by the method's own loss."""

    head = HEADS["sigmoids"]
    loss = "plain"


class Given(nn.Module):
    """Stands for student and teacher whose outputs are known."""

    head = HEADS["sigmoids"]

    def __init__(self, *outputs: Output) -> None:
        super().__init__()
        self.outputs = outputs
        self.student = self.teacher = Taught()

    def forward(self, batch: object) -> tuple[Output, ...]:
        return self.outputs


def dice_of_background(public, network: str) -> float:
    """Mean over the samples of 1 - Dice with squares."""
    predicted, target = (value(public, name)[:, 3].flatten(1) for name in (f"in/pred_{network}", "in/y"))
    return (1 - 2 * (predicted * target).sum(1) / (predicted.square() + target.square()).sum(1)).mean().item()


def value(public, name: str) -> Tensor:
    return torch.from_numpy(public[name]).double()


def series(public, name: str, count: int) -> list[Tensor]:
    return [value(public, f"in/{name}/{number}") for number in range(count)]


def close(found: Tensor, expected, rtol: float = 1e-5, atol: float = 0) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=rtol, atol=atol)
