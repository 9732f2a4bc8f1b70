"""RFNet equals the published network, ignores missing channels and computes only what is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from features import named
from freeze_rfnet import FROZEN, assert_as_frozen, record, seeded_case, seeded_network
from masks import flags
from MissingModalityLib import networks
from MissingModalityLib.core.errors import ImageError, OptionError
from MissingModalityLib.core.modalities import MODALITIES, SUBSETS, availability
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.rfnet_fusion import RegionFusion

EVERYTHING = flags("1111")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float32, 2e-3)])
def test_outputs_equal_the_frozen_ones(dtype, tolerance):
    assert_as_frozen(record(seeded_network().to(dtype)), FROZEN, tolerance)


def garbage(image: torch.Tensor, present: torch.Tensor, value: float) -> torch.Tensor:
    return torch.where(present[:, :, None, None, None], image, torch.full_like(image, value))


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), 1e30])
def test_content_of_missing_channels_never_reaches_outputs_or_gradients(value):
    image, classes = seeded_case()
    available, present = flags("0101", "1000"), flags("0111", "1000")
    results = []
    for fed in (image, garbage(image, present, value)):
        network = seeded_network().train()
        fed = fed.requires_grad_()
        output = network(fed, available, present, features=True)
        segmentation_loss(network, output, classes, present)["total"].backward()
        tensors = {"logits": output.logits, **named(output.features), "input": fed.grad}
        tensors |= {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        results.append(tensors)
    assert results[0].keys() == results[1].keys()
    for name, tensor in results[0].items():
        assert tensor.isfinite().all() and torch.equal(tensor, results[1][name]), name


@pytest.mark.parametrize("subset", SUBSETS, ids=str)
def test_every_subset_runs_the_encoders_of_its_modalities_only(subset):
    network, (image, _) = seeded_network().float(), seeded_case(1)
    called = []
    for modality, encoder in zip(MODALITIES, network.encoders, strict=True):
        encoder.register_forward_hook(lambda *_, modality=modality: called.append(modality))
    available = torch.tensor([availability(subset)])
    with torch.no_grad():
        output = network(garbage(image, available, float("nan")).float(), available)
    assert output.logits.isfinite().all() and output.logits.shape == (1, 4, 16, 16, 16)
    assert tuple(called) == subset and not output.features


def test_samples_of_unlike_subsets_equal_single_runs():
    image, _ = seeded_case(3)
    image[1, 0] = float("nan")
    available, present = flags("0101", "0010", "1000"), flags("0101", "0011", "1110")
    network = seeded_network().train()
    with torch.no_grad():
        batch = network(image, available, present, features=True)
        singles = [
            network(image[i : i + 1], available[i : i + 1], present[i : i + 1], True) for i in range(3)
        ]
    for i, single in enumerate(singles):
        torch.testing.assert_close(batch.logits[i], single.logits[0])
        for level in (1, 2, 3, 4):
            for kind in ("regions", "fused", "decoder"):
                name = f"{kind}/{level}"
                torch.testing.assert_close(named(batch.features)[name][i], named(single.features)[name][0])
    for modality in MODALITIES:
        having = [single for i, single in enumerate(singles) if present[i, modality]]
        for name in (f"separate/{modality.name}", f"encoder/3/{modality.name}"):
            torch.testing.assert_close(
                named(batch.features)[name], torch.cat([named(single.features)[name] for single in having])
            )


@pytest.mark.parametrize("training", [True, False])
def test_encoding_and_fusing_in_two_steps_is_the_same(training):
    network, (image, _) = seeded_network().train(training), seeded_case(3)
    image[1, 0] = float("nan")
    present = flags("1101", "0011", "1110")
    with torch.no_grad():
        encoded = network.encode(image, present)
        for available in (flags("0101", "0010", "1000"), flags("1100", "0011", "0110"), present):
            expected = network(image, available, present, features=training)
            found = network.fuse(encoded, available, features=training)
            torch.testing.assert_close(found.logits, expected.logits, rtol=1e-12, atol=1e-12)
            assert found.features.keys() == expected.features.keys()
            for name, value in expected.features.items():
                torch.testing.assert_close(found.features[name], value, rtol=1e-12, atol=1e-12)


def test_what_was_not_encoded_cannot_be_fused():
    network, (image, _) = seeded_network(), seeded_case(1)
    encoded = network.encode(image, flags("1001"))
    with pytest.raises(OptionError, match="not present"):
        network.fuse(encoded, flags("1100"))
    with pytest.raises(ImageError, match="at least one"):
        network.fuse(encoded, flags("0000"))


def test_encoder_sees_only_samples_that_have_its_modality():
    network, (image, _) = seeded_network(), seeded_case(3)
    seen = []
    network.encoders[2].register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    network(image, flags("0110", "1000", "0010"))
    assert seen == [2]


def test_encoder_levels_do_not_depend_on_the_subset_being_fused():
    network, (image, _) = seeded_network().train(), seeded_case(1)
    first, second = (
        named(network(image, flags(mask), EVERYTHING, features=True).features) for mask in ("1000", "0110")
    )
    own = [name for name in first if name.startswith(("encoder/", "separate/"))]
    assert len(own) == 20 and all(torch.equal(first[name], second[name]) for name in own)
    assert not torch.allclose(first["fused/1"], second["fused/1"])


class Largest(TorchDispatchMode):
    """Number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_region_sums_equal_their_definition_without_a_copy_per_modality_and_region():
    torch.manual_seed(0)
    fusion, used, (channels, regions, side) = RegionFusion(8, 4).double(), [0, 3], (8, 4, 12)
    stack = torch.randn(2, 2, channels, side, side, side, dtype=torch.float64)
    maps = torch.randn(2, regions, side, side, side, dtype=torch.float64).softmax(1)
    with torch.no_grad(), Largest() as largest:
        found = fusion._region_sums(stack, used, maps)
    assert largest.elements == max(stack.numel(), regions * stack.numel() // len(used))
    full = stack.new_zeros(2, 4, *stack.shape[2:])
    full[:, used] = stack
    expected = []
    for region in range(regions):
        copies = full * maps[:, None, None, region]
        share = maps[:, region].mean((1, 2, 3))
        means = (copies.mean((3, 4, 5)) / (share[:, None, None] + 1e-7)).flatten(1)
        weights = fusion.weigh[region](torch.cat((means, share[:, None]), 1))
        expected.append((copies * weights[:, :, None, None, None, None]).sum(1))
    torch.testing.assert_close(found, torch.cat(expected, 1))


def test_an_absent_modality_saves_its_encoder_and_its_channels():
    network, (image, _) = seeded_network(), seeded_case(1)
    counts = []
    for mask in ("1000", "1100", "1110", "1111"):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image, flags(mask))
        counts.append(counter.get_total_flops())
    steps = np.diff(counts)
    assert (steps == steps[0]).all() and steps[0] > 0.1 * counts[0]


def test_mixed_precision_training_stays_close_and_finite():
    network, (image, classes) = seeded_network().float().train(), seeded_case()
    available, present = flags("0101", "1000"), flags("1111", "1101")
    exact = network(image.float(), available, present, network.loss_features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(image.float(), available, present, network.loss_features)
        terms = segmentation_loss(network, output, classes, present)
    terms["total"].backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    total = segmentation_loss(network, exact, classes, present)["total"]
    assert terms["total"].item() == pytest.approx(total.item(), rel=0.02)


def test_options_decide_size_and_classes():
    network = networks.build("rfnet", width=16)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(8.985e6, rel=1e-4)
    assert (network.name, network.head, network.divisor) == ("rfnet", HEADS["classes"], 8)
    assert network.options == {"width": 16, "classes": 4}
    small = networks.build("rfnet", width=4, classes=5)
    assert small(seeded_case(1)[0].float(), EVERYTHING).logits.shape == (1, 5, 16, 16, 16)


@pytest.mark.parametrize("options", [{"width": 6}, {"width": 0}, {"classes": 1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match=rf"network\.{next(iter(options))}="):
        networks.build("rfnet", **options)


@pytest.mark.parametrize(
    "shape", [(1, 3, 16, 16, 16), (1, 4, 16, 16, 12), (1, 4, 8, 16, 16), (4, 16, 16, 16)]
)
def test_images_that_do_not_fit_are_refused(shape):
    with pytest.raises(ImageError, match="multiples of 8"):
        seeded_network().float()(torch.zeros(shape), EVERYTHING)


def test_a_sample_needs_a_modality_and_fuses_only_what_it_has():
    network, (image, _) = seeded_network().train(), seeded_case()
    with pytest.raises(ImageError, match="at least one"):
        network(image, flags("1000", "0000"))
    with pytest.raises(OptionError, match="not present"):
        network(image, flags("1000", "0100"), flags("1000", "1011"))
