"""Distillation from a teacher trained along: its terms, and who learns from whom."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from masks import flags
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods.joint import JointDistillation, ramp
from MissingModalityLib.methods.logits import (
    standardized_divergence,
)
from MissingModalityLib.methods.options import JointOptions
from MissingModalityLib.methods.style import Discriminator, style_distance
from MissingModalityLib.networks import build
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.output import Feature, Kind, Output
from MissingModalityLib.training.optimization import clip_gradients
from MissingModalityLib.training.plan import make_plan
from MissingModalityLib.training.run import train
from small_networks import SMALLEST, small_network
from tiny_run import QUICK, TINIEST

DISTANCES = {
    **{name: name for name in ("attention", "logits", "style", "adversarial", "consistency", "content")},
    "scales": "multiscale",
    "divergence": "kl_divergence",
}
"""Name in the log -> option that is its weight."""


TINY = {**SMALLEST["mstkdnet"], "position_grid": (1, 1, 2)}
"""Of two tokens: attention to one is 1, whatever the network."""


def network(seed: int = 0, **options) -> nn.Module:
    torch.manual_seed(seed)
    return build("mstkdnet", **{**TINY, **options}).train()


def batch(available: str = "0100", present: str = "1111") -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(5)
    return {
        "image": torch.randn(1, 4, 32, 32, 64, generator=random),
        "label": torch.randint(0, 4, (1, 32, 32, 64), generator=random, dtype=torch.uint8),
        "available": flags(available),
        "present": flags(present),
    }


def started(student: nn.Module, **options) -> tuple[JointDistillation, nn.Module]:
    """The method with all distances, and student and teacher that have drifted apart."""
    method = JointDistillation(JointOptions(**{**EVERY_DISTANCE, **options}))
    pair = method.assemble(student)
    with torch.no_grad():
        for parameter in pair.teacher.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return method, pair.train()


EVERY_DISTANCE = {"consistency": 1.0, "content": 0.2, "ramp_epochs": 0, "consistency_ramp_epochs": 0}
WITHOUT_TRANSFORMER = {"attention": 0.0, "multiscale": 0.0}
TINY_ADAMM = {**SMALLEST["adamm"], "dropout": 0.0}


def started_adamm() -> tuple[JointDistillation, nn.Module]:
    torch.manual_seed(0)
    return started(build("adamm", **TINY_ADAMM).train(), **WITHOUT_TRANSFORMER, presence=1.0)


JOINT = {"mstkdnet": lambda: started(network(dropout=0.0)), "adamm": started_adamm}


def test_every_term_is_there_and_the_total_is_their_sum():
    method, pair = started(network())
    terms = method.loss(pair, batch(), epoch=0)
    assert set(terms) == {"student_dice", "teacher_dice", *DISTANCES, "total"}
    assert all(term.item() > 0 for term in terms.values())
    others = sum(term.item() for name, term in terms.items() if name != "total")
    assert terms["total"].item() == pytest.approx(others, rel=1e-5)


@pytest.mark.parametrize("name", DISTANCES)
def test_a_term_without_weight_is_left_out_and_the_others_stay(name):
    method, pair = started(network(dropout=0.0))
    everything = method.loss(pair, batch(), 0)
    method, pair = started(network(dropout=0.0), **{DISTANCES[name]: 0.0})
    without = method.loss(pair, batch(), 0)
    assert set(everything) - set(without) == {name}
    assert {"student_dice", "teacher_dice"} <= set(without)


def test_the_teacher_learns_from_the_labels_alone():
    gradients = []
    for options in ({}, dict.fromkeys(DISTANCES.values(), 0.0)):
        method, pair = started(network(dropout=0.0), **options)
        torch.manual_seed(1)
        method.loss(pair, batch(), 0)["total"].backward()
        gradients.append([p.grad for p in pair.teacher.parameters()])
    # float32 sums differ from processor to processor by a share of the largest gradient, not of each one
    noise = 1e-5 * max(g.abs().max().item() for g in gradients[1] if g is not None)
    some = 0
    for with_distances, alone in zip(*gradients, strict=True):
        if alone is None:
            assert with_distances is None or not with_distances.any()
        else:
            some += 1
            torch.testing.assert_close(with_distances, alone, rtol=1e-3, atol=noise)
    assert some > 50


@pytest.mark.parametrize("name", DISTANCES)
def test_every_distance_teaches_the_student(name):
    method, pair = started(network(dropout=0.0))
    method.loss(pair, batch(), 0)[name].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in pair.student.parameters())
    assert all(p.grad is None for p in method.discriminator.parameters())


@pytest.mark.parametrize("recipe", ["mst-kd", "adamm"])
def test_distances_vanish_where_both_see_the_same_and_are_alike(recipe):
    plan = make_plan(recipe, preset="quick", settings={"joint.equal_subsets": True, "joint.content": 0.2})
    options = plan.stages["train"].joint
    torch.manual_seed(0)
    method = JointDistillation(options)
    pair = method.assemble(build(plan.network, **plan.network_options)).train()  # with its own dropout
    terms = method.loss(pair, batch(available="1111"), 0)
    assert "content" in terms
    for name in (DISTANCES.keys() - {"adversarial"}) & terms.keys():
        assert terms[name].item() == pytest.approx(0, abs=1e-9), name


@pytest.mark.parametrize(
    ("dropout", "steady"), [("none", "both"), ("student", "teacher"), ("both", "neither")]
)
def test_a_teachers_targets_are_made_without_dropout(dropout, steady):
    pair = JointDistillation(JointOptions(dropout=dropout)).assemble(network(dropout=0.2)).train()
    with torch.no_grad():
        twice = [[output.logits for output in pair(batch())] for _ in range(2)]
    student, teacher = (one.equal(other) for one, other in zip(*twice, strict=True))
    assert student == (dropout == "none") and teacher == (dropout != "both")
    assert pair.student.training and pair.teacher.training


@torch.no_grad()
def test_distances_rise_over_the_first_epochs_and_losses_of_the_labels_do_not():
    method, pair = started(network(dropout=0.0), ramp_epochs=4, consistency_ramp_epochs=8)
    first, half, full = (method.loss(pair, batch(), epoch) for epoch in (0, 2, 8))
    for name in DISTANCES:
        ramped = [terms[name].item() / full[name].item() for terms in (first, half)]
        assert ramped == pytest.approx([ramp(epoch, 8 if name == "consistency" else 4) for epoch in (0, 2)])
    assert first["student_dice"].equal(full["student_dice"])
    assert 0 < ramp(0, 4) < ramp(2, 4) < ramp(4, 4) == ramp(9, 4) == ramp(0, 0) == 1


@torch.no_grad()
def test_samples_that_both_see_alike_have_no_distance():
    method, pair = started_adamm()
    one = method.loss(pair, batch(), 0)
    one_of_two = method.loss(pair, pairs(batch(), batch("1111")), 0)
    assert len(method._styles[0]) == 2  # the discriminator learns from all
    none_of_two = method.loss(pair, pairs(batch("1111"), batch("0110", "0110")), 0)
    assert one.keys() == none_of_two.keys()
    for distance in DISTANCES.keys() & one.keys():
        assert one_of_two[distance].item() == pytest.approx(one[distance].item() / 2, rel=1e-4), distance
        assert none_of_two[distance] == 0
    assert none_of_two["student_dice"] > 0


def pairs(*batches: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.cat([each[name] for each in batches]) for name in batches[0]}


@pytest.mark.parametrize("together", [False, True])
def test_gradients_of_student_and_teacher_are_limited_apart(together):
    method, pair = started(network(), clip_together=together)
    for part, size in ((pair.student, 30.0), (pair.teacher, 0.5)):
        for parameter in part.parameters():
            parameter.grad = torch.zeros_like(parameter)
        next(part.parameters()).grad.view(-1)[0] = size
    norm = clip_gradients(method.clipped_apart(pair), 1.0)
    assert norm.item() == pytest.approx(30.0042, rel=1e-5)
    kept = [next(part.parameters()).grad.abs().max().item() for part in (pair.student, pair.teacher)]
    assert kept == pytest.approx([1.0, 0.5 / 30.0042 if together else 0.5], rel=1e-3)


@pytest.mark.parametrize("name", ["mstkdnet", "adamm"])
def test_what_missing_channels_hold_changes_nothing(name):
    results = []
    for fill in (0.0, float("nan")):
        data = batch(available="0100", present="0110")
        data["image"][:, [0, 3]] = fill
        method, pair = JOINT[name]()
        terms = method.loss(pair, data, 0)
        terms["total"].backward()
        method.finish_step()
        learning = (*pair.parameters(), *method.discriminator.parameters())
        results.append([terms["total"], *(p.grad for p in learning if p.grad is not None)])
    for one, other in zip(*results, strict=True):
        assert one.isfinite().all() and torch.equal(one, other)


@pytest.mark.parametrize("name", ["mstkdnet", "adamm"])
def test_half_precision_changes_little(name):
    found = []
    for precision in (torch.float32, torch.bfloat16):
        method, pair = JOINT[name]()
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            terms = method.loss(pair, batch(), 0)
        terms["total"].backward()
        assert all(term.dtype == torch.float32 for term in terms.values())
        found.append({name: term.item() for name, term in terms.items()})
    assert found[1] == pytest.approx(found[0], rel=0.1)
    assert found[1] != found[0]


def test_only_what_a_loss_reads_is_computed_and_held():
    pair = JointDistillation(JointOptions(attention=0.0, adversarial=0.0)).assemble(network()).train()
    for output in pair(batch()):
        assert {feature.kind for feature in output.features} == {"scale", "style"}


def test_presence_that_nothing_would_train_is_refused():
    with pytest.raises(OptionError, match=r"joint\.presence=0.*network\.presence=false"):
        JointDistillation(JointOptions(**WITHOUT_TRANSFORMER)).check(build("adamm", **TINY_ADAMM))
    without = build("adamm", **TINY_ADAMM, presence=False)
    JointDistillation(JointOptions(**WITHOUT_TRANSFORMER)).check(without)


def styled(x: Tensor) -> Output:
    return Output(x, {Feature(Kind.ADVERSARIAL, "style"): x})


def test_the_discriminator_learns_to_tell_styles_apart():
    method = JointDistillation(JointOptions(discriminator_learning_rate=1e-3))
    channels = method.assemble(network()).student.style_channels
    random = torch.Generator().manual_seed(3)
    student, teacher = (torch.randn(1, channels, 4, 4, 8, generator=random) + offset for offset in (0, 0.5))
    passing = []
    for _ in range(20):
        method._keep_styles(*map(styled, (student, teacher)))
        passing.append(method._adversarial(student).item())
        method.finish_step()
    assert passing[-1] > passing[0] + 0.1  # the student passes less and less for a teacher
    method.finish_step()  # without a step of the networks there is nothing to learn


def test_discriminator_takes_styles_of_any_size():
    discriminator = Discriminator(8, 4)
    for sides in ((1, 2, 3), (20, 24, 16), (9, 12, 31)):
        assert discriminator(torch.randn(1, 8, *sides)).shape[:2] == (1, 1)


def test_style_distance_is_relative():
    random = torch.Generator().manual_seed(3)
    features = [torch.randn(2, 6, 4, 4, 4, generator=random) for _ in range(3)]
    nothing = [torch.zeros_like(x) for x in features]
    assert style_distance(features, features).item() == 0
    assert style_distance(nothing, features).item() == pytest.approx(1)
    larger = [1000 * x for x in features]
    assert style_distance([1.1 * x for x in larger], larger).item() == pytest.approx(
        style_distance([1.1 * x for x in features], features).item(), rel=1e-4
    )


@pytest.mark.parametrize("axis", [1, -1])
def test_divergence_is_zero_for_logits_that_differ_in_scale_and_offset_alone(axis):
    logits = torch.randn(2, 4, 5, 6, 7)
    assert standardized_divergence(3 * logits + 2, logits, axis=axis).item() == pytest.approx(0, abs=1e-4)
    assert standardized_divergence(logits.flip(1), logits, axis=axis).item() > 0.1


def test_networks_without_the_features_are_refused():
    with pytest.raises(OptionError, match=r"attention.*segresnet.*Set joint\.attention=0"):
        JointDistillation(JointOptions()).check(small_network("segresnet"))
    with pytest.raises(OptionError, match=r"presence.*mstkdnet"):
        JointDistillation(JointOptions(presence=1.0)).check(network())


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path, tiny_cases: Path):
    settings = {**QUICK, **TINIEST["adamm"], "joint.presence": 0.0}
    with pytest.raises(OptionError, match=r"joint\.presence=0"):
        train(tiny_cases, tmp_path / "run", "adamm", device="cpu", settings=settings)
    assert not (tmp_path / "run").exists()


def test_logits_alone_can_be_distilled_with_any_network():
    torch.manual_seed(0)
    student = small_network("segresnet")
    off = dict.fromkeys(("attention", "multiscale", "style", "adversarial"), 0.0)
    method, pair = started(student, **off)
    data = {**batch(), "image": batch()["image"]}
    assert {"logits", "divergence"} < set(method.loss(pair, data, 0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attention": -1.0}, r"joint\.attention=-1\.0"),
        ({"extremes": "rows"}, "heads, layers"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        JointOptions(**options)


def test_the_teacher_sees_all_that_a_case_has_and_the_student_its_subset():
    _, pair = started(network(dropout=0.0))
    data, seen = batch(available="0100", present="0110"), {}
    for name in ("student", "teacher"):
        getattr(pair, name).register_forward_hook(
            lambda _, inputs, output, name=name: seen.__setitem__(name, inputs[1])
        )
    pair(data)
    assert torch.equal(seen["student"], data["available"]) and torch.equal(seen["teacher"], data["present"])


def test_the_discriminators_gradient_is_that_of_one_step():
    method = JointDistillation(JointOptions(discriminator_learning_rate=1e-12))
    channels = method.assemble(network()).student.style_channels
    student, teacher = torch.randn(2, 1, channels, 4, 4, 8, generator=torch.Generator().manual_seed(3))
    gradients = []
    for _ in range(2):
        method._keep_styles(*map(styled, (student, teacher)))
        method.finish_step()
        gradients.append([parameter.grad.clone() for parameter in method.discriminator.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


def test_doubt_about_a_class_weighs_its_dice_and_is_not_lowered_by_it():
    presence = torch.full((1, 3), 0.4, requires_grad=True)
    logits = torch.randn(1, 4, 4, 4, 4, generator=torch.Generator().manual_seed(3), requires_grad=True)
    label = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    method = JointDistillation(JointOptions(presence=1.0))
    terms = method._own_losses("student", Output(logits, {}, presence), label, HEADS["sigmoids"])
    terms["student_dice"].backward()
    assert logits.grad.any() and presence.grad is None
