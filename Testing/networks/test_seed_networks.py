"""U-HVED, RobustSeg, mmFormer and M2FTrans equal the published networks, U-HeMIS its definition."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cached_property

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from features import named
from freeze_networks import FROZEN, NAMES, record
from masks import flags
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.methods.restoring import appearance_divergence, latent_divergence
from MissingModalityLib.networks import m2ftrans_blocks, mmformer_blocks, uhved
from MissingModalityLib.networks.network import Network
from MissingModalityLib.networks.output import Feature, Kind
from MissingModalityLib.networks.reference import load_reference
from MissingModalityLib.networks.uhemis import moments
from small_networks import small_network

MASKS = ("1111", "1000", "0101")
EVERYTHING = flags("1111")
RESTORING = {"uhved": ("Flair", "T1c", "T1", "T2"), "robustseg": ("flair", "t1c", "t1", "t2")}


class Published:
    """Arrays of the public code of one network."""

    def __init__(self, name: str, path: object) -> None:
        self.name = name
        with np.load(path) as data:
            self.arrays = {key: data[key] for key in data.files}

    def __getitem__(self, name: str) -> Tensor:
        value = torch.from_numpy(np.array(self.arrays[name]))
        return value.double() if value.is_floating_point() else value

    @cached_property
    def network(self) -> Network:
        """In evaluation mode; not to be changed."""
        return load_reference(self.name, {k: v for k, v in self.arrays.items() if k[:2] == "w/"}).double()


@pytest.fixture(scope="module", params=[*RESTORING, "mmformer", "m2ftrans"])
def public(request: pytest.FixtureRequest, golden) -> Published:
    return Published(request.param, golden(request.param))


@pytest.fixture
def training(public: Published, monkeypatch: pytest.MonkeyPatch):
    """Output of one step as published, T1ce and T2 being fused and all present, without dropout."""
    for blocks in (mmformer_blocks, m2ftrans_blocks):
        monkeypatch.setattr(blocks, "DROPOUT", 0.0)
    if public.name == "uhved":
        noise = (public[f"in/noise_{level}"] for level in range(4))
        monkeypatch.setattr(uhved.torch, "randn_like", lambda _: next(noise))
    network = deepcopy(public.network).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network, network(public["in/x"], flags("0101"), EVERYTHING, features=True)


@torch.no_grad()
@pytest.mark.parametrize("mask", MASKS)
def test_probabilities_of_subsets_are_the_published_ones(public: Published, mask: str) -> None:
    found = public.network(public["in/x"], flags(mask)).logits.softmax(1)[..., ::4, ::4, ::4]
    np.testing.assert_allclose(found, public[f"mask{mask}/pred@f64s4"], atol=1e-7)


@torch.no_grad()
def test_probabilities_of_a_batch_are_the_published_ones(public: Published) -> None:
    available = public["in/mask_extra"]
    if public.name == "uhved":  # its public code reads the flags of the first sample alone
        available = available[:1].expand(2, 4)
    found = public.network(public["in/x_extra"], available).logits.softmax(1)[..., ::4, ::4, ::4]
    np.testing.assert_allclose(found, public["extra/pred@f64s4"], atol=1e-7)


def test_images_are_restored_as_published(public: Published, training) -> None:
    restored = named(training[1].features)
    if public.name not in RESTORING:
        pytest.skip("restores no images")
    part, step = ("train_bn/{}@s4", 4) if public.name == "uhved" else ("train/reconstruct_{}@s2", 2)
    for modality, name in zip(MODALITIES, RESTORING[public.name], strict=True):
        found = restored[f"restored/{modality.name}"].detach()[..., ::step, ::step, ::step]
        # what was stored is in single precision
        np.testing.assert_allclose(found, public[part.format(name)], atol=1e-4)


def test_losses_are_the_published_ones_where_they_follow_the_paper(public: Published, training) -> None:
    network, output = training
    labels = public["in/target_labels"]
    terms = segmentation_loss(network, output, labels, EVERYTHING, image=public["in/x"])
    same = {}
    if public.name in RESTORING:
        same = {"restored": 0.1 * public["loss/rec@f64"]}
    if public.name in ("mmformer", "m2ftrans"):
        names = {"fused": "fuse", "separate": "sep", "region": "prm"}
        same = {
            f"{ours}_{kind}": public[f"loss/{theirs}_{kind}@f64"]
            for ours, theirs in names.items()
            for kind in ("ce", "dice")
        }
    if public.name == "robustseg":
        same |= {kind: public[f"loss/{kind}@f64"] for kind in ("ce", "dice")}
        # without the bound on logarithms of squared scales that are nearly 0
        np.testing.assert_allclose(terms["appearance"].detach(), 0.1 * public["loss/kl@f64"], rtol=1e-3)
    for name, value in same.items():
        np.testing.assert_allclose(terms[name].detach(), value, rtol=1e-7)
    np.testing.assert_allclose(
        terms["total"].detach(), sum(v.detach() for k, v in terms.items() if k != "total")
    )


@pytest.mark.parametrize("name", NAMES)
def test_networks_compute_what_they_did_when_they_were_frozen(name: str) -> None:
    with np.load(FROZEN) as stored:
        frozen = {key: stored[key] for key in stored.files if key.startswith(f"{name}/")}
    found = record(name)
    assert set(found) == set(frozen)
    for key, value in frozen.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-6, atol=1e-9, err_msg=key)


def test_product_of_gaussians_is_that_of_their_densities() -> None:
    random = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 1, 3, 1, 1, 1, 1, generator=random, dtype=torch.float64)
    found, found_log = uhved.product(mean, log_variance, torch.tensor([[True, False, True]]))
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    experts = [Normal(0.0, 1.0), *(Normal(m, (0.5 * v).exp()) for m, v in _pairs(mean, log_variance))]
    density = sum(expert.log_prob(x) for expert in (experts[0], experts[1], experts[3])).exp()
    density = density / density.sum()
    expected = (density * x).sum()
    torch.testing.assert_close(found.flatten()[0], expected)
    torch.testing.assert_close(found_log.exp().flatten()[0], (density * (x - expected) ** 2).sum())


def _pairs(mean: Tensor, log_variance: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(mean.flatten(), log_variance.flatten(), strict=True)


def test_extreme_log_variances_stay_finite() -> None:
    maps = torch.tensor([1e30, 3.0, -1e30, 200.0]).view(1, 2, 2, 1, 1, 1)
    mean, log_variance = uhved.gaussians(maps, 2)
    for value in uhved.product(mean, log_variance, torch.tensor([[True, True]])):
        assert value.isfinite().all()


def test_divergence_of_latents_is_over_all_subsets_of_what_a_case_has() -> None:
    random = torch.Generator().manual_seed(0)
    maps = [torch.randn(2 if m else 1, 2, 1, 1, 1, generator=random) for m in (0, 1)]
    features = {Feature(Kind.ENCODER, 1, m): maps[m] for m in MODALITIES[:2]}
    present = flags("0100", "1100")
    rows = [[maps[1][0]], [maps[0][0], maps[1][1]]]

    def posterior(members: list[Tensor]) -> Normal:
        precision = 1 + sum((-x[1]).exp() for x in members)
        mean = sum((-x[1]).exp() * x[0] for x in members) / precision
        return Normal(mean, precision**-0.5)

    prior, expected = Normal(0.0, 1.0), []
    for own in rows:
        subsets = [[x] for x in own] + ([own] if len(own) > 1 else [])
        near = [kl_divergence(posterior(own), posterior(s)) for s in subsets[:-1]]
        small = [kl_divergence(posterior(s), prior) for s in subsets]
        expected.append(sum(near) / max(len(near), 1) + sum(small) / len(small))
    torch.testing.assert_close(latent_divergence(features, present), torch.stack(expected).mean())


def test_divergence_of_appearances_is_that_of_normal_distributions() -> None:
    looks = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    expected = kl_divergence(Normal(looks[:, :3], looks[:, 3:].abs()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(appearance_divergence(looks), expected)
    assert appearance_divergence(torch.zeros(1, 6)).isfinite().all()


def test_moments_are_over_the_modalities_a_sample_has() -> None:
    stack = torch.randn(2, 3, 2, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    stack[1, :2] = 0
    found = moments(stack, torch.tensor([[True] * 3, [False, False, True]]))
    torch.testing.assert_close(found[0, :2], stack[0].mean(0))
    torch.testing.assert_close(found[0, 2:], stack[0].var(0, correction=0))
    torch.testing.assert_close(found[1, :2], stack[1, 2])
    assert not found[1, 2:].any()


@pytest.mark.parametrize("name", ["uhved", "robustseg"])
def test_incomplete_cases_restore_what_they_have_and_learn_nothing_from_the_rest(name: str) -> None:
    network = small_network(name).train()
    image = torch.randn(2, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    present, available = flags("1101", "0100"), flags("0101", "0100")
    losses = []
    for garbage in (0.0, float("nan")):
        image[~present] = garbage
        torch.manual_seed(0)
        output = network(image, available, present, network.loss_features)
        restored = {f.modality.name: len(x) for f, x in output.features.items() if f.kind == Kind.RESTORED}
        assert restored == {"FLAIR": 1, "T1CE": 2, "T2": 1}
        classes = torch.ones(2, 16, 16, 16, dtype=torch.uint8)
        losses.append(segmentation_loss(network, output, classes, present, image=image))
    assert all(value.isfinite() and value == losses[1][term] for term, value in losses[0].items())


@pytest.mark.parametrize("name", ["uhved", "robustseg"])
def test_a_restoring_loss_without_images_is_refused(name: str) -> None:
    network = small_network(name).train()
    output = network(torch.randn(1, 4, 16, 16, 16), EVERYTHING, features=network.loss_features)
    with pytest.raises(OptionError, match="restored images"):
        segmentation_loss(network, output, torch.ones(1, 16, 16, 16, dtype=torch.uint8))


def test_only_crops_of_one_side_fit_weights_per_voxel() -> None:
    network = small_network("robustseg", voxel_norm_side=16).train()
    image = torch.randn(1, 4, 24, 24, 24)
    assert network.eval()(image, EVERYTHING).logits.shape[2:] == (24, 24, 24)
    with pytest.raises(OptionError, match="voxel_norm_side"):
        network.train()(image, EVERYTHING, features=[Kind.RESTORED])


@torch.no_grad()
@pytest.mark.parametrize("name", ["m2ftrans", "mmformer", "rfnet", "robustseg", "uhemis", "uhved"])
def test_samples_of_unlike_subsets_equal_single_runs(name: str) -> None:
    network = small_network(name).double().eval()
    image = torch.randn(3, 4, 32, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    available = flags("0101", "0010", "1111")
    batch = network(image, available).logits
    for row, found in enumerate(batch):
        single = network(image[row : row + 1], available[row : row + 1]).logits[0]
        torch.testing.assert_close(found, single, rtol=1e-9, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize(("literal", "share"), [(False, 1.0), (True, 0.25)])
def test_a_voxel_of_fused_tokens_holds_those_of_its_place(literal: bool, share: float) -> None:
    """Of the public code's, those of T2 fill a quarter of the image, and nothing of it is elsewhere."""
    network = small_network("mmformer", as_public_code=literal).double().eval()
    network.attend.forward = lambda tokens, known=None: tokens  # attention spreads what a token holds
    given = []
    network.fused.fusions[4].register_forward_hook(lambda _, args, __: given.append(args[0]))
    image = torch.randn(1, 4, 32, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    network(image, EVERYTHING)
    network.encoders[3].embed.bias += 1.0
    network(image, EVERYTHING)
    changed = (given[0] - given[1]).abs().amax((0, 1, 2)) > 0
    assert changed.double().mean() == share
