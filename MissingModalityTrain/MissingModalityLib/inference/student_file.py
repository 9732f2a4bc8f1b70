"""The network in a student file: made as its card says, once card and weights have been found to fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..core.checksum import check_checksum
from ..core.errors import StudentError
from ..core.file_names import require_text
from ..networks.network import Network
from ..networks.options import named_today
from ..networks.registry import NETWORKS, network_class, network_options
from .card import Card, unreadable
from .weights import as_float32, check_finite, check_fit, weights_sha256


def network_in(path: Path, card: Card) -> Network:
    """The network of a student file.

    Args:
        path: of the file.
        card: what :func:`.card.read_card` has found in it.

    Raises:
        StudentError: the file has changed since it was written, the network is not there, or card and
            weights do not fit it.
    """
    has_checksum, tensors = _read_weights(path)
    if card.network not in NETWORKS:
        raise StudentError(f"{path}: {_absent_network(card)}")
    try:
        network = _network_of(card, tensors)
        _check_facts(card, network)
        if not has_checksum:
            _check_evaluated(card, network)
    except Exception as error:  # a network from outside may raise anything on options that it cannot use
        raise StudentError(
            f"{path}: card or weights do not fit the network '{card.network}' that it names "
            f"({str(error).rstrip('.')}). "
            "Export it again, with the version that it was trained with."
        ) from error
    return network


def _absent_network(card: Card) -> str:
    """What is wrong where the network of a card is not known, and what to do."""
    if card.network_package:
        # no command to copy: whoever made the file chose the name, and an index may have another's under it
        return (
            f"its network '{card.network}' comes with the package '{card.network_package}', which is not "
            "installed here. Install that package from whoever gave you the model, or register the network."
        )
    return f"its network '{card.network}' is unknown. Choose a model of one of: {', '.join(NETWORKS)}."


def _network_of(card: Card, tensors: Mapping[str, torch.Tensor]) -> Network:
    """The network that a card names, with weights.

    Raises:
        StudentError: a weight is missing, too many, of another shape or kind, or no finite number.
    """
    make, options = network_class(card.network), network_options(card.network, **card.options)
    try:
        with torch.device("meta"):
            skeleton = make(options)
    except RuntimeError:  # one from outside may compute with its weights when made
        pass
    else:  # before the network takes memory, of which wrong options may ask too much
        check_fit(skeleton, tensors)
    network = make(options)
    check_fit(network, tensors)
    floats = as_float32(tensors)  # checked after it: a float64 may be too large for it
    check_finite(floats)
    network.load_state_dict(floats, strict=False)  # names of weights that have two stand there once
    return network


def _check_facts(card: Card, network: Network) -> None:
    """Hold what a card says of its network against the network that its options make.

    Raises:
        StudentError: it says otherwise.
    """
    if card.head not in ("", network.head.name):
        raise StudentError(
            f"its card says head={card.head!r:.60}, but its options make '{network.head.name}'"
        )
    package = NETWORKS.package(card.network)
    # a package may be called otherwise where it is registered by hand; ours never is
    if card.network_package and not package:
        raise StudentError(
            f"its card says that it comes with the package '{card.network_package}', and it is one of ours"
        )
    for name, value in named_today(card.network, card.options).items():
        # a number given as a text would pass for what --set was given
        if _plain(value) != _plain(network.options[name]):
            raise StudentError(f"the option {name} is {value!r:.60} and should be {network.options[name]!r}")
    if any(side % network.divisor for side in card.window):
        raise StudentError(f"a window of {card.window} is no multiple of {network.divisor}")


def _check_evaluated(card: Card, network: Network) -> None:
    """Hold the weights against those that the card's evaluation is of, which is all that old files tell.

    Raises:
        StudentError: they are others.
    """
    evaluated = (card.evaluation or {}).get("weights_sha256")
    if evaluated and evaluated != weights_sha256(network):
        raise StudentError("its weights are others than those that the evaluation in its card is of")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _read_weights(path: Path) -> tuple[bool, dict[str, torch.Tensor]]:
    """Whether the file has a checksum, which then is right, and its weights by name."""
    require_text(path, StudentError, "Rename the file or the folders that it lies in.")
    try:
        has_checksum = check_checksum(path)
        with safe_open(path, "pt") as file:
            return has_checksum, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise unreadable(path, error) from error
