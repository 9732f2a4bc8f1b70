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
from MissingModalityLib.core.errors import ImageError, OptionError, StudentError
from MissingModalityLib.core.modalities import MODALITIES, SUBSETS, availability
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.methods.region_aware import region_aware_loss
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.reference import load_reference
from MissingModalityLib.networks.reference_names import REFERENCES
from MissingModalityLib.networks.rfnet import RFNet
from MissingModalityLib.networks.rfnet_fusion import RegionFusion

MASKS = ("1111", "1000", "0101")
EVERYTHING = flags("1111")
MAPS = {"full": 1, "up2": 2, "up4": 3, "up8": 4}
TERMS = {"fuse": "fused", "sep": "separate", "prm": "region"}


@pytest.fixture(scope="module")
def public(golden) -> dict[str, np.ndarray]:
    with np.load(golden("rfnet")) as data:
        return {name: data[name] for name in data.files}


def published_network(public, dtype=torch.float64) -> RFNet:
    return load_reference("rfnet", {name: value for name, value in public.items() if name[:2] == "w/"}).to(
        dtype
    )


def volume(public, name: str, dtype=torch.float64) -> torch.Tensor:
    return torch.from_numpy(public[name]).to(dtype)


def close(found: torch.Tensor, public, name: str, atol: float, rtol: float = 0) -> None:
    """Compare with `name`, or with its subsample `name`@sN."""
    stored = next(key for key in public if key.split("@s")[0] == name and not key.endswith("@stat"))
    step = int(stored.split("@s")[1]) if "@s" in stored else 1
    shown = found.detach()[..., ::step, ::step, ::step]
    np.testing.assert_allclose(shown.numpy(), public[stored], atol=atol, rtol=rtol)
    if f"{name}@stat" in public:
        full = found.detach().double()
        stat = [full.mean(), full.std(correction=0), full.abs().max(), full.norm()]
        np.testing.assert_allclose(stat, public[f"{name}@stat"], rtol=1e-3, atol=1e-4)


class TestPublishedNumbers:
    @pytest.mark.parametrize("mask", MASKS)
    def test_logits_of_subsets_in_double_precision(self, public, mask):
        with torch.no_grad():
            logits = published_network(public)(volume(public, "in/x"), flags(mask)).logits[..., ::4, ::4, ::4]
        np.testing.assert_allclose(logits, public[f"mask{mask}/logits@f64s4"], atol=1e-5)

    @pytest.mark.parametrize("mask", MASKS)
    def test_logits_and_probabilities_of_subsets_in_single_precision(self, public, mask):
        with torch.no_grad():
            network = published_network(public, torch.float32)
            logits = network(volume(public, "in/x", torch.float32), flags(mask)).logits
        close(logits, public, f"mask{mask}/logits", atol=1e-3, rtol=1e-4)
        close(logits.softmax(1), public, f"mask{mask}/pred", atol=5e-4, rtol=1e-4)

    @pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-4), (torch.float32, 1e-3)])
    def test_batch_of_unlike_subsets(self, public, dtype, atol):
        image, available = volume(public, "in/x_extra", dtype), torch.from_numpy(public["in/mask_extra"])
        with torch.no_grad():
            logits = published_network(public, dtype)(image, available).logits
        close(logits, public, "extra/logits", atol)
        close(logits.softmax(1), public, "extra/pred", atol)
        if dtype is torch.float64:
            stored = public["extra/logits@f64s4"]
            np.testing.assert_allclose(logits[..., ::4, ::4, ::4], stored, atol=1e-5)

    @pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-4), (torch.float32, 5e-4)])
    def test_training_outputs(self, public, dtype, atol):
        output = self.training_output(public, dtype)
        close(output.logits.softmax(1), public, "train/fuse", atol)
        for modality in MODALITIES:
            own = named(output.features)[f"separate/{modality.name}"].softmax(1)
            close(own, public, f"train/sep/{modality.name.lower()}", atol)
        for name, level in MAPS.items():
            close(named(output.features)[f"regions/{level}"], public, f"train/prm/{name}", atol)
        for level in (1, 2, 3, 4):
            levels = [named(output.features)[f"encoder/{level}/{modality.name}"] for modality in MODALITIES]
            close(torch.stack(levels, 1), public, f"train/enc/x{level}", atol)

    @pytest.mark.parametrize(
        ("dtype", "suffix", "rtol"), [(torch.float64, "@f64", 1e-6), (torch.float32, "", 1e-4)]
    )
    def test_losses(self, public, dtype, suffix, rtol):
        terms = self.losses(public, self.training_output(public, dtype))
        for theirs, ours in TERMS.items():
            for kind in ("ce", "dice"):
                stored = public[f"loss/{theirs}_{kind}{suffix}"]
                np.testing.assert_allclose(terms[f"{ours}_{kind}"].item(), stored, rtol=rtol)
        np.testing.assert_allclose(terms["total"].item(), public[f"loss/total{suffix}"], rtol=rtol)

    def test_gradients_of_every_parameter_in_double_precision(self, public):
        found = self.gradients(public, torch.float64)
        stored = public["gradstat@f64"]
        np.testing.assert_allclose(found, stored, rtol=1e-5, atol=1e-6 * np.abs(stored).max())

    def test_gradient_norms_in_single_precision(self, public):
        found, stored = self.gradients(public, torch.float32)[:, 1], public["gradstat"][:, 1]
        counted = stored > 1e-4 * stored.max()  # biases before a normalization have only noise
        np.testing.assert_allclose(found[counted], stored[counted], rtol=2e-2)

    def gradients(self, public, dtype) -> np.ndarray:
        """[sum, norm] of each gradient in the stored order; exactly the stored parameters have one."""
        network = published_network(public, dtype).train()
        self.losses(public, self.run_training(network, public, dtype))["total"].backward()
        theirs = {ours: name for name, ours in REFERENCES["rfnet"].names(network.options)}
        gradients = {}
        for name, value in network.named_parameters():
            module, kind = name.rsplit(".", 1)
            if value.grad is not None:
                gradients[f"{theirs[module]}.{kind}"] = [value.grad.sum().item(), value.grad.norm().item()]
        assert set(gradients) == set(public["gradstat_names"])
        return np.array([gradients[name] for name in public["gradstat_names"]])

    def training_output(self, public, dtype):
        return self.run_training(published_network(public, dtype).train(), public, dtype)

    def run_training(self, network, public, dtype):
        return network(volume(public, "in/x", dtype), flags("0101"), EVERYTHING, features=True)

    def losses(self, public, output):
        classes = torch.from_numpy(public["in/target_labels"])
        terms = region_aware_loss(output, classes, HEADS["classes"], EVERYTHING)
        return {**terms, "total": sum(terms.values())}


class TestPublicCheckpoints:
    def test_prefixes_counters_and_whole_checkpoints_are_understood(self, public):
        plain = {name[2:]: value for name, value in public.items() if name[:2] == "w/"}
        forms = (
            {f"module.{name}": torch.from_numpy(value) for name, value in plain.items()},
            {**plain, "decoder_sep.bn.num_batches_tracked": np.int64(3)},
            {"epoch": 3, "state_dict": plain},
        )
        expected = published_network(public, torch.float32).state_dict()
        for form in forms:
            loaded = load_reference("rfnet", form)
            assert not loaded.training and loaded.options == {"width": 4, "classes": 4}
            assert all(torch.equal(expected[name], value) for name, value in loaded.state_dict().items())

    def test_missing_unknown_and_misshapen_entries_are_named(self):
        weights = reference_weights(networks.build("rfnet", width=4, classes=5))
        assert load_reference("rfnet", weights).options == {"width": 4, "classes": 5}
        lacking = {name: value for name, value in weights.items() if name != "t1_encoder.e2_c1.conv.bias"}
        with pytest.raises(StudentError, match=r"missing t1_encoder\.e2_c1\.conv\.bias"):
            load_reference("rfnet", lacking)
        with pytest.raises(StudentError, match=r"unknown stray\.weight"):
            load_reference("rfnet", {**weights, "stray.weight": torch.zeros(1)})
        with pytest.raises(StudentError, match=r"d3_c1.*\(2, 2\)"):
            load_reference("rfnet", {**weights, "decoder_sep.d3_c1.conv.weight": torch.zeros(2, 2)})
        with pytest.raises(StudentError, match="seg_layer"):
            load_reference("rfnet", {})

    def test_unknown_network_is_refused(self):
        with pytest.raises(OptionError, match="rfnet"):
            load_reference("unheard-of", {})


def reference_weights(network: RFNet) -> dict[str, torch.Tensor]:
    """The network's own weights under the public code's names and shapes."""
    state = network.state_dict()
    table = (
        (t, o, kind) for t, o in REFERENCES["rfnet"].names(network.options) for kind in ("weight", "bias")
    )
    values = {f"{theirs}.{kind}": state[f"{ours}.{kind}"] for theirs, ours, kind in table}
    return {name: x[..., None, None, None] if x.ndim == 2 else x for name, x in values.items()}


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
