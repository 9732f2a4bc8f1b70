"""AdaMM equals the published network as one variant; ours gives each sample its own subset's result."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import published
from features import named
from freeze_joint import case, fixture, record, seeded
from freeze_rfnet import assert_as_frozen
from masks import flags
from MissingModalityLib import networks
from MissingModalityLib.core.errors import ImageError, OptionError, StudentError
from MissingModalityLib.core.modalities import SUBSETS, availability
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.networks.adamm_graph import GraphRefinement, NodeAttention, NodeProjection
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.reference import load_reference
from published import PRECISIONS, TRAINED, Published, theirs_of, without_dropout

LACKING = torch.tensor([availability(subset) for subset in SUBSETS[:-1]])


@pytest.fixture(scope="module")
def public(golden) -> Published:
    return Published("adamm", golden("adamm"))


def graph_outputs(network) -> dict[str, torch.Tensor]:
    """Filled by the next forward, under the published names."""
    seen = {}

    def of_projection(name):
        def keep(module, inputs, outputs):
            seen[f"gem/{name}_nodes"], seen[f"gem/{name}_assign"] = outputs

        return keep

    network.garm.specific.register_forward_hook(of_projection("contour"))
    network.garm.general.register_forward_hook(of_projection("region"))
    network.garm.register_forward_hook(lambda module, inputs, output: seen.update({"gem/out": output}))
    return seen


def outputs(output) -> dict[str, torch.Tensor]:
    style = [named(output.features)[f"style/{name}"] for name in ("encoder", "style", "content")]
    found = {"style": style[1], "content": style[2], "global_gs": torch.cat(style, 1)}
    return {**theirs_of(output.logits), **found, "cls_probs": output.presence}


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
class TestPublishedNumbers:
    @pytest.mark.parametrize("mask", published.MASKS)
    def test_of_subsets(self, public, mask, dtype):
        network = public.network(dtype)
        graph = graph_outputs(network)
        with torch.no_grad():
            output = network(public.image(dtype), published.available(mask), features=True)
        assert bool(graph) == (mask != "1111")
        public.check(f"mask{mask}", {**outputs(output), **graph}, dtype)

    def test_of_a_batch(self, public, dtype):
        image = public.image(dtype, "in/x_extra")
        with torch.no_grad():
            output = public.network(dtype)(image, published.available(TRAINED, len(image)), features=True)
        public.check("extra", outputs(output), dtype)

    def test_of_a_training_step(self, public, dtype):
        network = without_dropout(public.network(dtype))
        output = network(public.image(dtype), published.available(TRAINED), features=True)
        public.check("train_nodrop", outputs(output), dtype)
        public.check_statistics(network)
        style, content = (named(output.features)[f"style/{name}"] for name in ("style", "content"))
        loss = public.probe(output.logits[:, 1].sigmoid(), style, content) + output.presence.sum()
        public.check_probe(loss, dtype)
        loss.backward()
        public.check_gradients(network)


class TestPublicCheckpoints:
    def test_are_loaded_as_published_without_what_is_never_read(self, public):
        network = public.network(torch.float32)
        assert network.options["as_public_code"] and not network.training
        sizes = [network.options[name] for name in ("width", "adapter_channels", "graph_nodes")]
        assert sizes == [8, 8, 8]
        read = {public.theirs(network, name) for name in network.state_dict() if "num_batches" not in name}
        left = {name for name in public.weights() if "num_batches" not in name} - read
        assert all(".0000." in name or name.startswith("adagem.") for name in left)
        assert not any(word in name for name in read for word in ("e2r", "region_conv", "0000", "1111"))

    def test_missing_and_unknown_names_are_told(self, public):
        weights = public.weights()
        lacking = {name: value for name, value in weights.items() if name != "cls_bn1.running_var"}
        with pytest.raises(StudentError, match=r"missing cls_bn1\.running_var"):
            load_reference("adamm", lacking)
        with pytest.raises(StudentError, match=r"unknown enc_adapters\.1111"):
            load_reference("adamm", {**weights, "enc_adapters.1111.0.down.bias": np.zeros(8)})
        with pytest.raises(StudentError, match=r"adagem\.contour_proj0\.anchor"):
            load_reference("adamm", {"conv1a.weight": weights["conv1a.weight"]} | adapters_of(weights))


def adapters_of(weights) -> dict[str, np.ndarray]:
    return {name: value for name, value in weights.items() if name.startswith("enc_adapters")}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float32, 2e-3)])
def test_outputs_equal_the_frozen_ones(dtype, tolerance):
    assert_as_frozen(record(seeded("adamm").to(dtype)), fixture("adamm"), tolerance)


class TestGraph:
    """Where the published graph differs from ours, and that nothing else does."""

    def test_nodes_are_transposed_not_read_as_if_they_were(self):
        torch.manual_seed(0)
        voxels = torch.randn(2, 6, 50, dtype=torch.float64)
        ours = NodeProjection(6, 3, as_public_code=False).double()
        theirs = NodeProjection(6, 3, as_public_code=True).double()
        theirs.load_state_dict(ours.state_dict())
        (nodes, assigned), (scrambled, same) = ours(voxels), theirs(voxels)
        assert torch.equal(assigned, same)
        torch.testing.assert_close(assigned.sum(1), torch.ones(2, 50, dtype=torch.float64))
        assert torch.equal(nodes.transpose(1, 2).flatten(), scrambled.flatten())
        assert not torch.allclose(nodes, scrambled)
        offsets = (voxels[:, None] - ours.anchor[..., None]) / ours.sigma.sigmoid()[..., None]
        expected = (-0.5 * offsets.square().sum(2)).softmax(1)
        torch.testing.assert_close(assigned, expected)
        means = (expected[:, :, None] * offsets).sum(3) / expected.sum(2, keepdim=True)
        unit = means / means.norm(dim=2, keepdim=True) / 3**0.5
        torch.testing.assert_close(nodes, unit.transpose(1, 2))

    def test_a_new_ones_nodes_share_the_voxels(self):
        torch.manual_seed(0)
        network = networks.build("adamm").eval()
        nodes = graph_outputs(network)
        with torch.no_grad():
            network(torch.randn(1, 4, 32, 32, 32), flags("1001"))
        for name in ("gem/contour_assign", "gem/region_assign"):
            assert nodes[name].mean(2).min() > 0.02

    def test_attention_is_scaled_by_channels_not_by_nodes(self):
        torch.manual_seed(0)
        attention, nodes = NodeAttention(6, as_public_code=False), torch.randn(2, 3, 6)
        mixed = attention.mix(nodes)
        for attention.as_public_code, size in ((False, 6), (True, 3)):
            shares = (mixed @ mixed.transpose(1, 2) / size**0.5).softmax(-1)
            torch.testing.assert_close(attention(nodes), attention.out(shares @ mixed))

    def test_each_graph_looks_at_the_other_by_its_own_similarity(self):
        torch.manual_seed(0)
        graph = GraphRefinement(8, 3, as_public_code=False)
        specific, general = torch.randn(1, 8, 3), torch.randn(1, 8, 3)
        given = []
        graph.attention.register_forward_hook(lambda module, inputs, output: given.append(inputs[0]))
        for graph.as_public_code in (False, True):
            graph._exchanged(specific, general)
        alike = specific.transpose(1, 2) @ general  # row: node of the subset's graph
        to_specific = alike.softmax(-1) @ general.transpose(1, 2) @ graph.exchange
        to_general = alike.transpose(1, 2).softmax(-1) @ specific.transpose(1, 2) @ graph.exchange
        torch.testing.assert_close(given[0], to_specific)
        torch.testing.assert_close(given[1], to_general)
        torch.testing.assert_close(given[4], to_general)
        assert not torch.allclose(given[3], to_specific)

    def test_only_the_published_one_has_statistics_over_the_batch(self):
        names = [name for name, _ in seeded("adamm", as_public_code=True).named_buffers()]
        assert {name.rpartition(".")[0] for name in names} == {
            *(f"garm.{part}.1" for part in ("sharpen", "place", "merge")),
            "presence.1",
        }
        assert not list(seeded("adamm").buffers())


@pytest.mark.parametrize("variant", [{}, {"garm": False}, {"as_public_code": True}], ids=str)
def test_samples_of_unlike_subsets_equal_single_runs(variant):
    network, (image, _) = seeded("adamm", **variant), case("adamm", 4)
    network.train(not variant.get("as_public_code"))
    image[1, 0] = float("nan")
    available = flags("1111", "0101", "1000", "0101")
    with torch.no_grad():
        batch = network(image, available, features=True)
        for row in range(4):
            single = network(image[row : row + 1], available[row : row + 1], features=True)
            torch.testing.assert_close(batch.logits[row], single.logits[0])
            torch.testing.assert_close(batch.presence[row], single.presence[0])
            for name, value in single.features.items():
                torch.testing.assert_close(batch.features[name][row], value[0])


def test_in_training_the_published_variant_makes_samples_depend_on_others():
    network, (image, _) = seeded("adamm", as_public_code=True).train(), case("adamm")
    available = flags("0101", "0101")
    with torch.no_grad():
        batch, single = network(image, available).logits[:1], network(image[:1], available[:1]).logits
    assert (batch - single).abs().max() > 1e-3


def test_of_the_adapters_only_those_of_the_batchs_subsets_run_and_learn():
    network, (image, classes) = seeded("adamm").train(), case("adamm")
    output = network(image, flags("1010", "1111"))
    segmentation_loss(network, output, classes)["total"].backward()
    learned = {name.split(".")[0] for name, p in network.banks.named_parameters() if p.grad is not None}
    assert learned == {"1010"} and network.find_unused_parameters
    untouched = [name for name, p in network.named_parameters() if p.grad is None]
    assert untouched and all(name.startswith("banks.") for name in untouched)


def test_adapters_of_absent_subsets_cost_nothing():
    network, (image, _) = seeded("adamm"), case("adamm", 3)
    costs = {}
    for masks in (("1111",), ("0101",), ("1000",), ("1111", "0101", "1000"), ("0101", "0101")):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image[: len(masks)], flags(*masks))
        costs[masks] = counter.get_total_flops()
    assert costs["1111",] < costs["0101",] == costs["1000",]
    assert costs["1111", "0101", "1000"] == costs["1111",] + 2 * costs["0101",]
    assert costs["0101", "0101"] == 2 * costs["0101",]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_content_of_missing_channels_never_reaches_outputs_or_gradients(value):
    image, classes = case("adamm")
    available = flags("0101", "1000")
    results = []
    for filling in (0.0, value):
        network = seeded("adamm").train()
        fed = image.clone()
        fed[~available] = filling
        fed.requires_grad_()
        output = network(fed, available, features=True)
        segmentation_loss(network, output, classes)["total"].backward()
        tensors = {
            "logits": output.logits,
            "presence": output.presence,
            "input": fed.grad,
            **named(output.features),
        }
        tensors |= {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        results.append(tensors)
    assert results[0].keys() == results[1].keys()
    for name, tensor in results[0].items():
        assert tensor.isfinite().all() and torch.equal(tensor, results[1][name]), name


@pytest.mark.parametrize("options", [{}, {"garm": False}, {"presence": False, "head": "classes"}], ids=str)
def test_ablations_leave_out_their_part_and_no_parameter_is_dead(options):
    network = seeded("adamm", **options).float().train()
    image = torch.randn(len(LACKING), 4, 8, 8, 8)
    output = network(image, LACKING)
    classes = torch.randint(0, 4, (len(image), 8, 8, 8), dtype=torch.uint8)
    terms = segmentation_loss(network, output, classes)
    terms["total"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert (output.presence is None) == ("presence" not in terms) == ("presence" in options)
    parts = {name.split(".")[0] for name, _ in network.named_parameters()}
    assert {"garm", "presence"} - parts == set(options) - {"head"}


def test_without_the_graph_both_bottlenecks_are_averaged():
    network, (image, _) = seeded("adamm", garm=False), case("adamm", 1)
    seen = []
    bank = network.banks["0101"]
    for module in (network.bottleneck, bank.bottleneck):
        module.register_forward_hook(lambda module, inputs, output: seen.append(output))
    network.dropout.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        network(image, flags("0101"))
    torch.testing.assert_close(seen[2], (seen[0] + seen[1]) / 2)


def test_options_build_the_same_network_again_and_decide_its_size():
    network = networks.build("adamm")
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(6.78e6, rel=5e-3)
    assert (network.name, network.head, network.divisor) == ("adamm", HEADS["sigmoids"], 8)
    network = seeded("adamm", graph_nodes=3, garm=True, head="regions", activation_checkpointing=True)
    again = networks.build("adamm", **network.options).double().eval()
    again.load_state_dict(network.state_dict())
    image, available = case("adamm", 1)[0], flags("0110")
    with torch.no_grad():
        assert torch.equal(network(image, available).logits, again(image, available).logits)
    assert network.garm.general.anchor.shape == (3, 64)


def test_recomputing_gives_the_same_gradients():
    image, classes = case("adamm")
    found = []
    for recompute in (False, True):
        network = seeded("adamm", activation_checkpointing=recompute).train()
        segmentation_loss(network, network(image, flags("0101", "1111")), classes)["total"].backward()
        found.append([p.grad for p in network.parameters() if p.grad is not None])
    torch.testing.assert_close(*found)


def test_mixed_precision_stays_close_and_the_graph_keeps_to_single():
    network, (image, classes) = seeded("adamm").float(), case("adamm")
    available = flags("0101", "1111")
    exact = segmentation_loss(network, network(image.float(), available), classes)["total"]
    nodes = graph_outputs(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(image.float(), available)
        terms = segmentation_loss(network, output, classes)
    assert output.presence.dtype == nodes["gem/region_nodes"].dtype == torch.float32
    assert terms["total"].item() == pytest.approx(exact.item(), rel=0.03)
    terms["presence"].backward()  # not of all: some CPUs fill parts of 3x3x3 gradients at random
    assert all(p.grad.isfinite().all() for p in network.garm.parameters())


def test_what_does_not_fit_is_refused():
    for option, value in {"head": "voxels", "adapter_channels": 0, "graph_nodes": 0, "width": 6}.items():
        with pytest.raises(OptionError, match=rf"network\.{option}={value}"):
            networks.build("adamm", **{option: value})
    with pytest.raises(ImageError, match="at least one"):
        seeded("adamm")(case("adamm")[0], flags("1000", "0000"))
