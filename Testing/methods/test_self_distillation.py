"""Post-training: what the teacher sees, when it changes, what is distilled and what never matters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from features import named
from masks import flags
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods.options import DistillationOptions
from MissingModalityLib.methods.self_distillation import Distillation
from MissingModalityLib.methods.supervised import Supervised
from small_networks import small_network

NETWORKS = {
    "rfnet": ("rfnet", {}),
    "regions": ("segresnet", {"dropout": 0.3}),
    "classes": ("segresnet", {"head": "classes"}),
}
BOTH = pytest.mark.parametrize("name", NETWORKS)


def network(name: str = "rfnet", seed: int = 0) -> nn.Module:
    architecture, options = NETWORKS[name]
    return small_network(architecture, seed, **options).train()


def batch(
    available=("0100", "1010"), teacher=("0110", "1011"), present=("0110", "1111")
) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(5)
    return {
        "image": torch.randn(2, 4, 16, 16, 16, generator=random),
        "label": torch.randint(0, 4, (2, 16, 16, 16), generator=random, dtype=torch.uint8),
        "available": flags(*available),
        "teacher": flags(*teacher),
        "present": flags(*present),
    }


def same(available: str) -> dict[str, Tensor]:
    """Teacher and student see the same."""
    return batch((available,) * 2, (available,) * 2, ("1111",) * 2)


def shift(student: nn.Module, amount: float = 0.02) -> None:
    """Stands for some steps of training."""
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(amount * torch.randn_like(parameter))


def started(student: nn.Module, **options) -> Distillation:
    method = Distillation(DistillationOptions(**options))
    method.begin_epoch(student, 0)
    return method


def weights(module: nn.Module) -> list[Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def by_kind(student: nn.Module, mask: str, kind: str) -> dict[str, Tensor]:
    data = same(mask)
    with torch.no_grad():
        found = student(data["image"], data["available"], data["present"], features=True).features
    found = named(found)
    return {name: x for name, x in found.items() if name.startswith(kind)}


class TestWhatIsDistilled:
    @BOTH
    def test_features_after_fusion_differ_between_subsets(self, name):
        student = network(name).train()
        for kind in ("fused/", "decoder/"):
            torch.manual_seed(1)
            first = by_kind(student, "1000", kind)
            torch.manual_seed(1)
            second = by_kind(student, "1010", kind)
            assert first.keys() == second.keys() and len(first) > 0
            assert all((first[level] - second[level]).abs().max() > 1e-2 for level in first)

    def test_features_of_encoders_are_the_same_for_every_subset(self):
        student = network("rfnet")
        first, second = (by_kind(student, mask, "encoder/") for mask in ("1000", "0111"))
        assert len(first) == 16 and all(torch.equal(first[name], second[name]) for name in first)

    def test_only_features_after_fusion_tell_what_the_student_lacks(self):
        terms = {
            kind: started(student := network(), features=kind).loss(student, batch(), 0)["teacher_features"]
            for kind in ("fused", "encoder")
        }
        assert terms["fused"] > 0.05 and terms["encoder"] < 1e-10

    @pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["given", "reversed"])
    def test_encoder_features_are_compared_sample_by_sample(self, order):
        student = network()
        method = started(student, features="encoder")
        shift(student)
        # T1ce is present in both samples and taught in one: the first, then the second
        masks = ("0100", "1010"), ("0110", "1011"), ("0110", "1111")
        data = batch(*(mask[order] for mask in masks))
        found = method.loss(student, data, 0)["teacher_features"]
        expected = 0.0
        for level in range(4):
            errors = []
            for modality in range(4):
                rows = data["teacher"][:, modality]
                channel = data["image"][rows, modality : modality + 1]
                if len(channel):
                    pair = (net.encoders[modality](channel)[level] for net in (student, method.teacher))
                    errors.append((next(pair) - next(pair)).square().flatten())
            expected += torch.cat(errors).mean()
        torch.testing.assert_close(found, expected)
        assert found > 1e-3

    def test_a_network_without_encoders_of_single_modalities_says_so(self):
        student = network("regions")
        with pytest.raises(OptionError, match="features=fused"):
            started(student, features="encoder").loss(student, batch(), 0)

    def test_features_weigh_once_per_level(self):
        student = network("classes")
        method = started(student, feature_weight=2.0)
        data = batch()
        with torch.no_grad():
            seen = named(student(data["image"], data["available"], features=True).features)
            taught = named(student(data["image"], data["teacher"], features=True).features)
        expected = 2 * sum((seen[name] - taught[name]).square().mean() for name in ("fused/2", "decoder/1"))
        torch.testing.assert_close(method.loss(student, data, 0)["teacher_features"], expected)


class TestTeacher:
    def test_it_is_replaced_every_k_epochs_and_not_between(self):
        student = network("regions")
        method = Distillation(DistillationOptions(teacher_update_interval=3))
        for epoch in range(7):
            before = weights(method.teacher) if method.teacher else None
            shift(student)
            method.begin_epoch(student, epoch)
            now = weights(method.teacher)
            assert equal(now, weights(student)) is (epoch % 3 == 0)
            assert epoch % 3 == 0 or equal(now, before)

    def test_it_does_not_learn(self):
        student = network()
        method = started(student)
        before = weights(method.teacher)
        optimizer = torch.optim.Adam(student.parameters(), 1e-2)
        method.loss(student, batch(), 0)["total"].backward()
        optimizer.step()
        assert not equal(weights(student), before)
        assert equal(weights(method.teacher), before)
        assert all(p.grad is None and not p.requires_grad for p in method.teacher.parameters())
        assert not method.teacher.training and student.training

    @pytest.mark.parametrize("epoch", [1, 4, 5])
    def test_a_resumed_stage_goes_on_with_the_same_teacher(self, tmp_path: Path, epoch):
        student = network("regions")
        method = started(student)
        shift(student)
        torch.save(method.state_dict(), tmp_path / "state.pt")
        resumed = Distillation()
        resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert equal(list(resumed.state_dict()["teacher"].values()), weights(method.teacher))
        for each in (method, resumed):
            each.begin_epoch(student, epoch)
        assert equal(weights(resumed.teacher), weights(method.teacher))
        losses = []
        for each in (method, resumed):
            torch.manual_seed(2)
            losses.append(each.loss(student, batch(), epoch))
        assert losses[0] == losses[1]

    def test_a_state_without_teacher_is_refused(self):
        with pytest.raises(KeyError, match="teacher"):
            Distillation().load_state_dict(Supervised().state_dict())

    def test_it_computes_only_what_is_compared(self):
        student, data = network(), batch(teacher=("0110", "1010"), present=("1111", "1111"))
        method = started(student)
        called = []
        for modality, encoder in enumerate(method.teacher.encoders):
            encoder.register_forward_hook(lambda *_, m=modality: called.append(m))
        method.teacher.separate.register_forward_hook(lambda *_: called.append("separate"))
        method.loss(student, data, 0)
        assert called == [0, 1, 2]
        flops = []
        for each in (Supervised(), method):
            with FlopCounterMode(display=False) as counter:
                each.loss(student, data, 0)["total"].backward()
            flops.append(counter.get_total_flops())
        assert flops[1] < 1.34 * flops[0]


class TestLoss:
    @BOTH
    def test_total_is_the_sum_of_finite_terms_that_include_the_ground_truth(self, name):
        student, data = network(name), batch()
        torch.manual_seed(3)
        plain = Supervised().loss(student, data, 0)
        torch.manual_seed(3)
        terms = started(student).loss(student, data, 0)
        assert all(torch.equal(terms[key], plain[key]) for key in plain if key != "total")
        added = {"teacher_features", "teacher_kl", "teacher_dice"}
        regions = {"teacher_region_kl", "teacher_region_dice"} if name == "rfnet" else set()
        assert terms.keys() - plain.keys() == added | regions
        assert all(terms[key].isfinite() and terms[key] > 0 for key in added | regions)
        total = terms.pop("total")
        torch.testing.assert_close(total, sum(terms.values()))

    def test_region_maps_diverge_as_probabilities_do(self):
        student, data = network("rfnet"), batch()
        method = started(student)
        with torch.no_grad():
            for parameter in student.parameters():  # a teacher of other weights
                parameter.add_(0.05 * torch.randn(parameter.shape))
        found = method.loss(student, data, 0)["teacher_region_kl"]
        taught = named(method.teacher(data["image"], data["teacher"], features=True).features)
        mine = named(student(data["image"], data["available"], data["present"], features=True).features)
        expected = sum(
            (map_ * (map_.log() - mine[name].log())).sum(1).mean()
            for name, map_ in taught.items()
            if name.startswith("regions/")
        )
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)

    @pytest.mark.parametrize("name", ["rfnet", "classes"])
    def test_a_student_that_is_its_teacher_learns_from_the_labels_only(self, name):
        student, data = network(name), same("1010")
        terms = started(student).loss(student, data, 0)
        for key, value in terms.items():
            assert not key.startswith("teacher") or abs(value) < 1e-6, key
        grads = []
        for method in (started(student), Supervised()):
            student.zero_grad()
            method.loss(student, data, 0)["total"].backward()
            grads.append(torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None]))
        assert (grads[0] - grads[1]).norm() < 1e-4 * grads[1].norm()

    def test_weights_of_zero_leave_supervised_training(self):
        student, data = network(), batch()
        plain = Supervised().loss(student, data, 0)["total"]
        method = started(student, feature_weight=0.0, prediction_weight=0.0)
        torch.testing.assert_close(method.loss(student, data, 0)["total"], plain)

    @BOTH
    def test_half_precision_stays_finite_and_close(self, name):
        student, data = network(name), batch()
        method = started(student)
        results = []
        for enabled in (False, True):
            torch.manual_seed(6)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                results.append(method.loss(student, data, 0))
        exact, half = results
        assert all(x.isfinite() and x.dtype == torch.float32 for x in half.values())
        assert half["total"].item() == pytest.approx(exact["total"].item(), rel=0.03)
        half["total"].backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())

    @BOTH
    def test_content_of_a_channel_that_a_case_lacks_never_matters(self, name):
        student = network(name)
        method = started(student)
        shift(student)
        results = []
        for value in (0.0, float("nan"), 1e30):
            data = batch()
            data["image"][~data["present"]] = value
            student.zero_grad()
            torch.manual_seed(4)
            terms = method.loss(student, data, 0)
            terms["total"].backward()
            gradients = {key: p.grad for key, p in student.named_parameters() if p.grad is not None}
            results.append({**terms, **gradients})
        for other in results[1:]:
            assert all(x.isfinite().all() and torch.equal(x, other[key]) for key, x in results[0].items())

    @pytest.mark.parametrize("name", ["rfnet", "classes"])
    def test_steps_bring_the_student_closer_to_its_teacher(self, name):
        student, data = network(name), same("1010")
        method = started(student)
        shift(student, 0.05)
        optimizer = torch.optim.Adam(student.parameters(), 3e-3)
        seen = []
        for _ in range(8):
            terms = method.loss(student, data, 0)
            distance = sum(term for key, term in terms.items() if key.startswith("teacher"))
            optimizer.zero_grad()
            distance.backward()
            optimizer.step()
            seen.append(distance.item())
        assert seen[-1] < 0.85 * seen[0]

    @BOTH
    def test_a_distributed_wrapper_gives_the_same_loss(self, name, tmp_path: Path):
        student, data = network(name), batch()
        method = started(student)
        torch.manual_seed(7)
        expected = method.loss(student, data, 0)
        distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
        try:
            wrapped = DistributedDataParallel(student, find_unused_parameters=True)
            torch.manual_seed(7)
            terms = method.loss(wrapped, data, 0)
            terms["total"].backward()
            # whoever lets go of the group last waits for its threads, the wrapper with Python's lock in its
            # hands, for which they may wait in turn
            del wrapped
        finally:
            distributed.destroy_process_group()
        assert terms == expected
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())
