"""MST-KDNet equals the published network, whatever the grid of its tokens, and ignores missing channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import published
from features import named
from freeze_joint import OPTIONS, case, fixture, record, seeded
from freeze_rfnet import assert_as_frozen
from masks import flags
from MissingModalityLib import networks
from MissingModalityLib.core.errors import ImageError, OptionError, StudentError
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.reference import load_reference
from MissingModalityLib.training.plan import make_plan
from published import PRECISIONS, TRAINED, Published, theirs_of, without_dropout

LEVELS = ("3", "6", "9", "12")


@pytest.fixture(scope="module")
def public(golden) -> Published:
    return Published("mstkdnet", golden("mstkdnet"))


def outputs(network, *inputs) -> dict[str, torch.Tensor]:
    """By published names; the encoder's end, which the public code matches and the paper does not, too."""
    fused = []
    with network.style.register_forward_pre_hook(lambda module, inputs: fused.append(inputs[0])):
        output = network(*inputs, features=True)
    features = named(output.features)
    pooled, deepest, mixed = fused[0].split([features["style/encoder"].shape[1], 64, 64], 1)
    assert torch.equal(pooled, features["style/encoder"])
    assert torch.equal(mixed, features["style/transformer"])
    style, content = features["adversarial/style"], features["style/content"]
    return {
        **theirs_of(output.logits),
        **{"style": style, "content": content},
        **{"gstyle/c3d": deepest, "gstyle/style": style, "gstyle/c4d": content},
        **{f"unetr_fs/z{level}": features[f"scale/{level}"] for level in LEVELS},
        **{f"attn/l{level}": features[f"attention/{level}"] for level in LEVELS},
    }


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
class TestPublishedNumbers:
    @pytest.mark.parametrize("mask", published.MASKS)
    def test_of_subsets(self, public, mask, dtype):
        with torch.no_grad():
            found = outputs(public.network(dtype), public.image(dtype), published.available(mask))
        public.check(f"mask{mask}", found, dtype)

    def test_of_a_training_step(self, public, dtype):
        network = without_dropout(public.network(dtype))
        found = outputs(network, public.image(dtype), published.available(TRAINED))
        public.check("train_nodrop", found, dtype)
        public.check_statistics(network)
        loss = public.probe(found["uout"][:, 0], found["style"], found["content"])
        public.check_probe(loss, dtype)
        loss.backward()
        public.check_gradients(network)


class TestPublicCheckpoints:
    def test_tell_every_option_but_the_shape_of_the_grid(self, public):
        options = public.network(torch.float32).options
        assert options == {
            **{"width": 8, "embedding_size": 24, "num_layers": 12, "num_heads": 12, "mlp_size": 48},
            **{"decoder_channels": 32, "position_grid": [6], "head": "sigmoids", "norm": "batch"},
            **{"dropout": 0.2, "activation_checkpointing": False},
        }

    def test_a_count_of_tokens_alone_fits_images_of_that_count(self, public):
        network, available = public.network(torch.float32), published.available("1111")
        with torch.no_grad():
            assert network(torch.zeros(1, 4, 96, 64, 32), available).logits.isfinite().all()
            with pytest.raises(ImageError, match="6 tokens, and this image has 4"):
                network(torch.zeros(1, 4, 64, 64, 32), available)

    def test_the_papers_120_tokens_are_those_of_its_volume(self, public):
        weights = public.weights()
        name = "Unetr.transformer.embeddings.position_embeddings"
        network = load_reference("mstkdnet", {**weights, name: np.zeros((1, 120, 24), np.float16)})
        assert network.options["position_grid"] == [5, 6, 4]

    def test_prefixes_and_whole_checkpoints_are_understood(self, public):
        expected = public.network(torch.float32).state_dict()
        prefixed = {f"module.{name}": value for name, value in public.weights().items()}
        for form in (prefixed, {"epoch": 3, "state_dict": public.weights()}):
            loaded = load_reference("mstkdnet", form).state_dict()
            assert all(torch.equal(loaded[name], value) for name, value in expected.items())

    def test_missing_unknown_and_misshapen_entries_are_named(self, public):
        weights = public.weights()
        lacking = {name: value for name, value in weights.items() if name != "convc.bias"}
        with pytest.raises(StudentError, match=r"missing convc\.bias"):
            load_reference("mstkdnet", lacking)
        with pytest.raises(StudentError, match=r"unknown stray\.weight"):
            load_reference("mstkdnet", {**weights, "stray.weight": np.zeros(1)})
        with pytest.raises(StudentError, match=r"convc\.bias.*\(2, 2\)"):
            load_reference("mstkdnet", {**weights, "convc.bias": np.zeros((2, 2))})
        with pytest.raises(StudentError, match="position_embeddings"):
            load_reference("mstkdnet", {})


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float32, 2e-3)])
def test_outputs_equal_the_frozen_ones(dtype, tolerance):
    assert_as_frozen(record(seeded("mstkdnet").to(dtype)), fixture("mstkdnet"), tolerance)


@pytest.mark.parametrize("preset", ["paper", "light", "quick"])
def test_every_preset_learns_positions_for_its_own_crops(preset):
    plan = make_plan("mst-kd", preset=preset)
    with torch.device("meta"):
        network = networks.build(plan.network, **plan.network_options)
    assert network.transformer.grid == tuple(s // network.divisor for s in plan.stages["train"].patch_size)


def test_positions_are_interpolated_to_other_grids():
    network = seeded("mstkdnet", position_grid=(2, 1, 2)).float()
    seen = []
    network.transformer.layers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network.transformer.embed.register_forward_hook(
        lambda module, inputs, output: seen.append(output.flatten(2).transpose(1, 2))
    )
    learned = network.transformer.positions.detach()
    grid = learned.transpose(1, 2).unflatten(2, (2, 1, 2))
    for sides in ((2, 1, 2), (1, 1, 2), (3, 1, 1)):
        seen.clear()
        image = torch.randn(1, 4, *(32 * side for side in sides))
        with torch.no_grad():
            assert network(image, flags("1111")).logits.shape == (1, 4, *image.shape[2:])
        used = (seen[1] - seen[0]).detach()
        fitting = F.interpolate(grid, sides, mode="trilinear").flatten(2).transpose(1, 2)
        expected = learned if sides == (2, 1, 2) else fitting
        torch.testing.assert_close(used, expected, atol=1e-5, rtol=1e-4)


def test_attention_weights_are_formed_only_where_they_are_asked_for():
    network, (image, _) = seeded("mstkdnet", num_layers=8), case("mstkdnet", 1)
    with torch.no_grad():
        plain, told = network(image, flags("1111")), network(image, flags("1111"), features=True)
    torch.testing.assert_close(plain.logits, told.logits)
    assert not plain.features and plain.presence is None
    weights = [named(told.features)[f"attention/{level}"] for level in LEVELS]
    for shares in weights:
        assert shares.shape == (1, 2, 2, 2)
        torch.testing.assert_close(shares.sum(-1), torch.ones(1, 2, 2, dtype=torch.float64))


@pytest.mark.parametrize("value", [float("nan"), 1e30])
def test_content_of_missing_channels_never_reaches_outputs_or_gradients(value):
    image, classes = case("mstkdnet")
    image, available = image.float(), flags("0101", "1000")
    results = []
    for filling in (0.0, value):
        network = seeded("mstkdnet").float().train()
        fed = image.clone()
        fed[~available] = filling
        fed.requires_grad_()
        output = network(fed, available, features=True)
        segmentation_loss(network, output, classes)["total"].backward()
        tensors = {"logits": output.logits, "input": fed.grad, **named(output.features)}
        tensors |= {name: p.grad for name, p in network.named_parameters()}
        results.append(tensors)
    for name, tensor in results[0].items():
        assert tensor.isfinite().all() and torch.equal(tensor, results[1][name]), name


def test_a_sample_is_the_same_alone_and_in_a_batch_unless_as_published():
    image, _ = case("mstkdnet")
    available = flags("0101", "1111")
    for norm, same in (("group", True), ("batch", False)):
        network = seeded("mstkdnet", norm=norm).train()
        with torch.no_grad():
            batch, single = network(image, available).logits[:1], network(image[:1], available[:1]).logits
        assert torch.allclose(batch, single, atol=1e-9) is same


def kept_bytes(network, image, classes) -> tuple[int, list[torch.Tensor]]:
    """What a training step holds for its gradients, beside parameters; the gradients."""
    sizes = {}
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(image, flags("0101", "1111"), features=("attention", "scale"))
        terms = segmentation_loss(network, output, classes)
        terms["total"] = terms["total"] + sum(x.square().sum() for x in output.features.values())
    terms["total"].backward()
    return sum(sizes.values()), [p.grad for p in network.parameters()]


def test_recomputing_gives_the_same_gradients_with_less_memory():
    image, classes = case("mstkdnet")
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)  # the same dropout
        network = seeded("mstkdnet", activation_checkpointing=recompute, dropout=0.3).float().train()
        found.append(kept_bytes(network, image.float(), classes))
    torch.testing.assert_close(found[0][1], found[1][1])
    assert found[1][0] < 0.6 * found[0][0]


def test_layers_whose_attention_is_distilled_are_recomputed_too():
    network, (image, _) = (
        seeded("mstkdnet", activation_checkpointing=True).float().train(),
        case("mstkdnet", 1),
    )
    computed = []
    for layer in network.transformer.layers:
        layer.register_forward_pre_hook(lambda *_: computed.append("forward"))
        layer.norms[0].register_forward_pre_hook(lambda *_: computed.append("inside"))
    output = network(image.float(), flags("1111"), features=("attention",))
    assert computed.count("inside") == 4
    sum(x.square().sum() for x in output.features.values()).backward()
    assert computed.count("inside") == 8 and computed.count("forward") == 4


def test_only_the_kinds_of_features_that_are_wanted_are_given():
    network, (image, _) = seeded("mstkdnet"), case("mstkdnet", 1)
    with torch.no_grad():
        every = named(network(image, flags("0110"), features=True).features)
        kinds = {name.partition("/")[0] for name in every}
        assert set(network.distillable_features) < kinds
        for kind in kinds:
            some = named(network(image, flags("0110"), features={kind}).features)
            assert set(some) == {name for name in every if name.partition("/")[0] == kind}
            torch.testing.assert_close(some, {name: every[name] for name in some})


def test_options_build_the_same_network_again_and_decide_its_size():
    network = seeded("mstkdnet", head="classes", position_grid=(1, 2, 1))
    again = networks.build("mstkdnet", **network.options).double().eval()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        image = case("mstkdnet", 1)[0]
        assert torch.equal(network(image, flags("0110")).logits, again(image, flags("0110")).logits)
    assert (network.name, network.head, network.divisor) == ("mstkdnet", HEADS["classes"], 32)
    with torch.device("meta"):
        published_size = networks.build("mstkdnet")
    assert sum(p.numel() for p in published_size.parameters()) == pytest.approx(154e6, rel=0.02)


@pytest.mark.parametrize(
    "options",
    [
        {"head": "voxels"},
        {"norm": "none"},
        {"num_heads": 3},
        {"num_layers": 6},
        {"decoder_channels": 24},
        {"width": 6},
        {"position_grid": 3},
        {"position_grid": (0, 1, 1)},
        {"position_grid": (64, 64, 64)},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match=rf"network\.{next(iter(options))}="):
        networks.build("mstkdnet", **{**OPTIONS["mstkdnet"], **options})
