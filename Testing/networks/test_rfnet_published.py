"""RFNet with the public weights gives the numbers that the public code gave."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from features import named
from masks import flags
from MissingModalityLib import networks
from MissingModalityLib.core.errors import OptionError, StudentError
from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.methods.region_aware import region_aware_loss
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.reference import load_reference
from MissingModalityLib.networks.reference_names import REFERENCES
from MissingModalityLib.networks.rfnet import RFNet

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
