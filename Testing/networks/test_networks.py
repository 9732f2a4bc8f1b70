"""What every network promises: 15 subsets, no influence of missing channels, options that build it again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields

import pytest
import torch
from monai.networks.nets import DynUNet
from torch import Tensor

from MissingModalityLib.core.errors import ImageError, OptionError
from MissingModalityLib.core.modalities import SUBSETS, availability
from MissingModalityLib.networks import NETWORKS, build
from MissingModalityLib.networks.heads import HEADS
from MissingModalityLib.networks.network import Network
from MissingModalityLib.networks.options import HEAD_NAMES, OPTIONS
from MissingModalityLib.networks.output import PRESENCE, Feature, Kind
from processes import environment
from small_networks import small_network

SIDES = {name: 32 if name in ("m2ftrans", "mmformer", "mstkdnet", "rahved") else 16 for name in NETWORKS}


@pytest.fixture(params=NETWORKS.names())
def a_network(request: pytest.FixtureRequest) -> Network:
    return small_network(request.param).eval()


def image(network: Network, batch: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randn(batch, 4, *[SIDES[network.name]] * 3, generator=random)


def test_it_keeps_to_the_contract(a_network: Network) -> None:
    assert isinstance(a_network, Network) and a_network.name in NETWORKS
    assert SIDES[a_network.name] % a_network.divisor == 0
    assert a_network.head in HEADS.values()
    assert json.loads(json.dumps(a_network.options)) == a_network.options
    assert list(a_network.options) == [item.name for item in fields(OPTIONS[a_network.name])]
    assert type(a_network).Options is OPTIONS[a_network.name]


@torch.inference_mode()
def test_features_are_given_if_asked_for_and_of_the_kinds_that_are_asked_for(a_network: Network) -> None:
    available = torch.tensor([[True, True, False, True]])
    for network in (a_network.eval(), a_network.train()):
        assert not network(image(a_network), available).features
        everything = network(image(a_network), available, features=True).features
        assert all(isinstance(feature, Feature) for feature in everything)
        for kind in {feature.kind for feature in everything}:
            some = network(image(a_network), available, features=(kind,)).features
            assert list(some) == [feature for feature in everything if feature.kind == kind]
        offered = {*network.distillable_features, *network.loss_features} - {PRESENCE}
        assert offered - {Kind.SEPARATE} <= {feature.kind for feature in everything}
        assert {Kind.FUSED, Kind.DECODER} <= {feature.kind for feature in everything}


@torch.inference_mode()
def test_presence_is_told_where_it_is_promised(a_network: Network) -> None:
    presence = a_network(image(a_network), torch.tensor([[True] * 4])).presence
    assert (presence is not None) == (PRESENCE in a_network.distillable_features)
    assert presence is None or (presence.shape == (1, 3) and ((presence >= 0) & (presence <= 1)).all())


def test_parameters_without_a_part_are_promised(a_network: Network) -> None:
    output = a_network.train()(image(a_network), torch.tensor([[True, False, False, False]]))
    terms = [output.logits.sum(), *([] if output.presence is None else [output.presence.sum()])]
    sum(terms).backward()
    unused = [name for name, parameter in a_network.named_parameters() if parameter.grad is None]
    assert not unused or a_network.find_unused_parameters


@torch.inference_mode()
def test_all_subsets_run_and_differ(a_network: Network) -> None:
    results = [a_network(image(a_network), torch.tensor([availability(subset)])).logits for subset in SUBSETS]
    for number, first in enumerate(results):
        assert (
            first.shape == (1, a_network.head.channels, *image(a_network).shape[2:])
            and torch.isfinite(first).all()
        )
        assert all((first - second).abs().max() > 1e-4 for second in results[:number])


@torch.inference_mode()
def test_a_missing_channel_never_changes_the_output(a_network: Network) -> None:
    available = torch.tensor([availability(subset) for subset in SUBSETS[:-1]])
    filled = image(a_network, len(available))
    expected = a_network(filled, available).logits
    for sample, channels in zip(filled, ~available, strict=True):
        count = int(channels.sum())
        garbage = torch.tensor([0.0, torch.nan, torch.inf, 1e30]).roll(count)[:count]
        sample[channels] = garbage[:, None, None, None]
    assert torch.equal(a_network(filled, available).logits, expected)


def test_gradients_of_missing_channels_are_zero(a_network: Network) -> None:
    given = image(a_network).requires_grad_()
    available = torch.tensor([[True, False, False, True]])
    a_network.train()(given, available).logits.square().mean().backward()
    assert torch.equal(given.grad[~available], torch.zeros_like(given.grad[~available]))
    assert given.grad[available].abs().max() > 0


@torch.inference_mode()
def test_name_and_options_build_the_same_network_again(a_network: Network) -> None:
    twin = build(a_network.name, **a_network.options).eval()
    twin.load_state_dict(a_network.state_dict())
    available = torch.tensor([[True, True, False, False]])
    assert torch.equal(
        twin(image(a_network), available).logits, a_network(image(a_network), available).logits
    )


@torch.inference_mode()
def test_flags_tell_a_missing_channel_from_an_empty_one() -> None:
    torch.manual_seed(0)
    blank = torch.randn(1, 4, 16, 16, 16)
    blank[:, 1] = 0
    with_t1ce, without = torch.tensor([[True] * 4]), torch.tensor([[True, False, True, True]])
    for flags, same in ((True, False), (False, True)):
        network = small_network("segresnet", availability_channels=flags).eval()
        assert torch.equal(network(blank, with_t1ce).logits, network(blank, without).logits) is same


@pytest.mark.parametrize("name", ["unet", "", "os:system"])
def test_unknown_networks_are_refused_and_the_known_ones_listed(name: str) -> None:
    with pytest.raises(OptionError, match=", ".join(sorted(NETWORKS))):
        build(name)


@pytest.mark.parametrize("name", NETWORKS.names())
@pytest.mark.parametrize("width", [-8, 0, 7, 1.5, True, "wide", None, [8], 10**9, float("nan")])
def test_an_impossible_width_is_refused_as_it_was_given(name: str, width: object) -> None:
    with pytest.raises(OptionError, match=r"network\.width="):
        build(name, width=width)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("segresnet", "blocks", 1),
        ("segresnet", "blocks", ()),
        ("segresnet", "blocks", (1, 0)),
        ("segresnet", "blocks", (1,) * 40),
        ("segresnet", "blocks", (1, 10**6)),
        ("segresnet", "availability_channels", "maybe"),
        ("segresnet", "head", "voxels"),
        ("segresnet", "dropout", 1.0),
        ("segresnet", "dropout", float("inf")),
        ("segresnet", "space_to_depth", 0),
        ("dynunet", "levels", 9),
        ("dynunet", "deep_supervision", "maybe"),
        ("gatedfusion", "blocks", (0,)),
        ("gatedfusion", "space_to_depth", 5),
        ("rfnet", "classes", 1),
        ("rfnet", "classes", 10**6),
        ("mstkdnet", "num_heads", 0),
        ("mstkdnet", "num_heads", 5),
        ("mmformer", "num_heads", 5),
        ("m2ftrans", "num_heads", 3),
        ("mstkdnet", "num_layers", 10**6),
        ("mstkdnet", "position_grid", (0, 1, 1)),
        ("mstkdnet", "position_grid", (10**6, 10**6, 10**6)),
        ("mstkdnet", "norm", "layer"),
        ("adamm", "graph_nodes", 0),
        ("adamm", "adapter_channels", -1),
        ("adamm", "presence", "perhaps"),
    ],
)
def test_an_impossible_option_is_refused_as_it_was_given(name: str, option: str, value: object) -> None:
    with pytest.raises(OptionError, match=rf"network\.{option}="):
        build(name, **{option: value})


@pytest.mark.parametrize("name", NETWORKS.names())
def test_unknown_options_are_refused_and_the_known_ones_listed(name: str) -> None:
    with pytest.raises(OptionError, match=r"network\.depth.*width"):
        build(name, depth=3)


@pytest.mark.parametrize("text", ["no", "false", "False"])
def test_no_means_no(text: str) -> None:
    network = small_network("adamm", presence=text, garm=text)
    assert network.presence is None and network.garm is None
    assert network.options["presence"] is False


def test_earlier_names_of_options_are_read() -> None:
    network = build("segresnet", filters=8, blocks=[1, 1], flags=False, fold=2)
    assert network.options == {
        **{"width": 8, "blocks": [1, 1], "availability_channels": False, "head": "regions"},
        **{"dropout": 0.0, "space_to_depth": 2, "deep_supervision": False, "presence": False},
    }
    with pytest.raises(OptionError, match="two names"):
        build("segresnet", filters=8, width=8)


@torch.no_grad()
def test_nnunets_network_is_monais_and_supervises_all_but_its_two_coarsest_levels() -> None:
    network = build("dynunet", width=2, levels=5)
    published = DynUNet(3, 4, 4, [3] * 5, [1, 2, 2, 2, 2], [2] * 4, filters=[2, 4, 8, 16, 32])
    weights = published.state_dict()
    network.body.load_state_dict({k: x for k, x in weights.items() if not k.startswith("skip_layers")})
    given = torch.randn(1, 4, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    found = network(given, torch.tensor([[True] * 4]), features=network.loss_features)
    assert torch.equal(found.logits, published(given))
    assert [str(feature) for feature in found.features] == ["deep/2", "deep/3"]
    with pytest.raises(ImageError, match=r"at least 32, or lower network\.levels"):
        network(given[..., :16], torch.tensor([[True] * 4]))


def test_heads_have_the_names_that_options_know() -> None:
    assert tuple(HEADS) == HEAD_NAMES


def test_names_and_options_are_known_without_pytorch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from MissingModalityLib.networks import NETWORKS\n"
        "from MissingModalityLib.networks.registry import network_options\n"
        "print(*NETWORKS, *(network_options(name).width for name in NETWORKS))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout.split() == [*NETWORKS, *(str(OPTIONS[name]().width) for name in NETWORKS)], done.stderr


class NoNetwork:
    name = "none"


def test_what_is_no_network_cannot_be_registered() -> None:
    with pytest.raises(OptionError, match="no subclass"):
        NETWORKS.register("none", NoNetwork)


class DictOptions(Network):
    """Its options are not those that student files are made from."""

    name = "dict-options"
    Options = dict


def test_what_has_no_options_of_a_network_cannot_be_registered() -> None:
    with pytest.raises(OptionError, match="NetworkOptions"):
        NETWORKS.register("dict-options", DictOptions)
