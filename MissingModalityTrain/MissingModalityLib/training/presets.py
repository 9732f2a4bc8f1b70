"""Presets: for each network, how large it is and what its stages look like by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..core.errors import OptionError
from ..core.modalities import MODALITIES, subset_name
from ..core.words import unknown_name
from ..methods.options import AdversarialOptions, JointOptions, MutualOptions, SupervisedOptions
from ..networks.registry import NETWORKS
from .settings import CONTRAST_PAIR, Settings, change_settings

Preset = tuple[Settings, Mapping[str, Any]]
"""The settings of a stage and the options of the network."""

PRESET_NAMES = ("paper", "light", "quick")

_QUICK = Settings(
    epochs=4,
    iterations_per_epoch=10,
    batch_size=1,
    patch_size=(64, 64, 64),
    oversample_foreground=0.67,
    learning_rate=1e-3,
    validation_interval=4,
    validation_subsets=(subset_name(MODALITIES), subset_name(CONTRAST_PAIR)),
)
"""A trial of minutes that shows whether data and machine work; 40 steps a stage teach little."""

_JOINT = Settings(
    epochs=250,
    iterations_per_epoch=1080,
    batch_size=1,
    patch_size=(128, 192, 160),
    augmentation="flips",
    learning_rate=1e-4,
    optimizer="adam-plain",
    weight_decay=1e-5,
    precision="float32",
    num_workers=4,
)
"""MST-KDNet and AdaMM see every one of about 1,080 cases once in an epoch."""
_RFNET = Settings(precision="float32", num_workers=4)
"""Of RFNet's public training script, which AEM+KD trains its three networks by."""
_LIGHT = Settings(
    epochs=80,
    iterations_per_epoch=50,
    batch_size=1,
    patch_size=(96, 96, 96),
    oversample_foreground=0.67,
    augmentation="strong",
    learning_rate=1e-3,
    max_grad_norm=1.0,
    ema_decay=0.99,  # a mean over about 100 steps, two epochs
    validation_interval=10,
    joint=JointOptions(cross_entropy=1.0, ramp_epochs=10, consistency_ramp_epochs=10),
)
"""Hours on two cores of a CPU; what the bundled student is trained with, but for length and optimizer."""
_QUICK_JOINT = replace(
    _QUICK,
    max_grad_norm=1.0,
    joint=JointOptions(cross_entropy=1.0, ramp_epochs=2, consistency_ramp_epochs=2),
)

_MUTUAL = MutualOptions(consistency=4.0, content=0.4)

PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "segresnet": {
        "paper": (
            Settings(
                iterations_per_epoch=250,
                # the box of a brain, about 140 x 172 x 140 mm, in multiples of the divisor, 16
                patch_size=(144, 176, 144),
                oversample_foreground=0.67,
                augmentation="strong",
                learning_rate=2e-3,
                max_grad_norm=1.0,
                ema_decay=0.999,  # a mean over about 1 / (1 - 0.999) = 1,000 steps, four epochs
                num_workers=4,
            ),
            {"space_to_depth": 2},
        ),
        "light": (replace(_LIGHT, patch_size=(128, 128, 128)), {"space_to_depth": 2}),
        "quick": (
            replace(_QUICK, max_grad_norm=1.0, patch_size=(96, 96, 96), learning_rate=4e-3),
            {"width": 8, "space_to_depth": 2},
        ),
    },
    "gatedfusion": {
        "paper": (
            Settings(
                iterations_per_epoch=250,
                patch_size=(128, 128, 128),
                oversample_foreground=0.67,
                augmentation="strong",
                learning_rate=1e-3,
                max_grad_norm=1.0,
                ema_decay=0.999,
                num_workers=4,
            ),
            {},
        ),
        "light": (replace(_LIGHT, patch_size=(128, 128, 128)), {}),
        "quick": (replace(_QUICK, max_grad_norm=1.0, learning_rate=4e-3), {"width": 8}),
    },
    "dynunet": {
        # what nnU-Net plans for BraTS; its step is SGD's, with which the recipe nnunet-dropout trains
        "paper": (
            Settings(
                epochs=1000,
                iterations_per_epoch=250,
                patch_size=(128, 128, 128),
                learning_rate=3e-4,
                weight_decay=3e-5,
                num_workers=4,
            ),
            {},
        ),
        "light": (_LIGHT, {"width": 16, "levels": 5}),
        "quick": (replace(_QUICK, max_grad_norm=1.0), {"width": 8, "levels": 5}),
    },
    "rfnet": {
        "paper": (replace(_RFNET, supervised=SupervisedOptions(20)), {}),
        "light": (replace(_LIGHT, patch_size=(80, 80, 80), supervised=SupervisedOptions(10)), {"width": 8}),
        "quick": (_QUICK, {"width": 4}),
    },
    "mmformer": {
        # an epoch of its public code is one pass over 190 cases in batches of 8
        "paper": (
            Settings(
                epochs=1000, iterations_per_epoch=24, batch_size=8, patch_size=(128, 128, 128), num_workers=4
            ),
            {},
        ),
        "light": (
            _LIGHT,
            {"token_size": 128, "mlp_size": 512, "position_side": 6},  # crops of 96 voxels, tokens of 16
        ),
        "quick": (_QUICK, {"width": 4, "token_size": 32, "mlp_size": 64, "position_side": 4}),
    },
    "m2ftrans": {
        "paper": (replace(_RFNET, epochs=1000, batch_size=4, optimizer="adamw"), {}),
        "light": (replace(_LIGHT, patch_size=(80, 80, 80)), {"width": 8, "mlp_size": 512}),
        # crops of 64 voxels in tokens of 16
        "quick": (_QUICK, {"width": 4, "mlp_size": 64, "position_side": 4}),
    },
    "m3ae": {
        "paper": (
            Settings(
                iterations_per_epoch=228,  # each of four fifths of BraTS 2018's cases once
                batch_size=1,  # which the second stage sees twice
                patch_size=(128, 128, 128),
                augmentation="flips",
                learning_rate=3e-4,
                lr_schedule="cosine",
                optimizer="adam-plain",
                precision="float32",
                num_workers=4,
            ),
            {},
        ),
        # with the published weights, 0.1, the gradients of both distances were 0.006 and 0.09 of those of the
        # labels after 20 steps (bench_training.py, quick, 32^3), too little to teach
        "light": (replace(_LIGHT, mutual=_MUTUAL), {"width": 8, "substitute_size": [160, 192, 160]}),
        "quick": (replace(_QUICK, mutual=_MUTUAL), {"width": 8, "substitute_size": [96, 96, 96]}),
    },
    "robustseg": {
        "paper": (_RFNET, {}),
        "light": (replace(_LIGHT, patch_size=(80, 80, 80)), {"width": 8}),
        "quick": (_QUICK, {"width": 4}),
    },
    "rahved": {
        "paper": (
            replace(
                _RFNET,
                epochs=360,
                iterations_per_epoch=199,  # one pass over the training cases of BraTS 2018, one a step
                batch_size=1,
                patch_size=(112, 112, 112),
                learning_rate=1e-4,
                optimizer="adam-plain",
                weight_decay=1e-5,
            ),
            {},
        ),
        # the discriminator's published 0.1 gave 1.5 of the gradient of the labels after 20 steps
        # (bench_training.py, quick, 32^3)
        "light": (replace(_LIGHT, adversarial=AdversarialOptions(0.03)), {"width": 8}),
        "quick": (replace(_QUICK, adversarial=AdversarialOptions(0.03)), {"width": 4}),
    },
    "uhemis": {
        "paper": (_RFNET, {}),
        "light": (replace(_LIGHT, patch_size=(80, 80, 80)), {}),
        "quick": (_QUICK, {"width": 4}),
    },
    "uhved": {
        "paper": (_RFNET, {}),
        "light": (replace(_LIGHT, patch_size=(80, 80, 80)), {}),
        "quick": (_QUICK, {"width": 4}),
    },
    "smunet": {
        # an epoch sees each of four fifths of BraTS 2018's cases once
        "paper": (replace(_JOINT, iterations_per_epoch=228), {}),
        "light": (_LIGHT, {"width": 8}),
        "quick": (_QUICK_JOINT, {"width": 8}),
    },
    "acn": {
        # an epoch sees each case of two of three folds of BraTS 2018 once
        "paper": (replace(_JOINT, epochs=300, iterations_per_epoch=190), {}),
        "light": (_LIGHT, {"width": 8}),
        "quick": (_QUICK_JOINT, {"width": 8}),
    },
    "mstkdnet": {
        # student and teacher part the more slowly, the lower the learning rate: so weights differ
        "paper": (
            replace(_JOINT, adam_beta2=0.99, joint=JointOptions(kl_divergence=3.0, multiscale=0.4)),
            {},
        ),
        "light": (
            replace(
                _LIGHT,
                joint=replace(
                    _LIGHT.joint,
                    attention=0.05,
                    multiscale=0.03,
                    logits=0.02,
                    kl_divergence=0.5,
                    style=0.2,
                    adversarial=0.2,
                ),
            ),
            {
                "embedding_size": 192,
                "num_layers": 4,
                "num_heads": 6,
                "mlp_size": 512,
                "decoder_channels": 128,
                "position_grid": [3, 3, 3],  # crops of 96 voxels in tokens of 32
            },
        ),
        "quick": (
            replace(
                _QUICK_JOINT,
                joint=replace(
                    _QUICK_JOINT.joint,
                    attention=0.05,
                    multiscale=0.08,
                    logits=0.02,
                    style=0.2,
                    adversarial=0.3,
                ),
            ),
            {
                "width": 8,
                "embedding_size": 48,
                "num_layers": 4,
                "num_heads": 4,
                "mlp_size": 96,
                "decoder_channels": 32,
                "position_grid": [2, 2, 2],  # crops of 64 voxels in tokens of 32
            },
        ),
    },
    "adamm": {
        "paper": (replace(_JOINT, epochs=200), {}),
        "light": (_LIGHT, {"width": 8, "adapter_channels": 16}),
        "quick": (_QUICK_JOINT, {"width": 8, "adapter_channels": 8}),
    },
}
"""For each network and preset, the settings of a stage and the options of the network.

segresnet is the light network that a laptop can train and run, of no paper: its "paper" preset has the
AEM+KD paper's 300 epochs, and space_to_depth lets a step see a whole brain. rfnet is the one of that paper,
with the settings of its public training script, which trains uhved and robustseg by them too, and uhemis
here; mmformer and m2ftrans have those of their own scripts; mstkdnet and adamm are those of their papers.
"light" networks have fewer or narrower layers, and crops that a laptop can hold.
"""


_OF_NO_PAPER = ("segresnet", "gatedfusion", "dynunet")


def validation_fraction(network: str, preset: str) -> float:
    """Share of the cases that a preset holds out; the papers train on all that they do not test on."""
    published = preset == "paper" and network in PRESETS and network not in _OF_NO_PAPER
    return 0.0 if published else 0.1


_OF_ANY_NETWORK = {"paper": Settings(), "light": _LIGHT, "quick": _QUICK}
"""What the settings of a network from outside begin with; the network's own ``presets`` come on top."""


def network_preset(network: str, name: str) -> Preset:
    """What a preset says of a network.

    Raises:
        OptionError: unknown network or preset.
    """
    for what, given, names in (("network", network, NETWORKS), ("preset", name, PRESET_NAMES)):
        if given not in names:
            raise OptionError(unknown_name(what, given, names))
    if network in PRESETS:
        return PRESETS[network][name]
    settings, options = NETWORKS.get(network).presets.get(name, ({}, {}))
    return change_settings(_OF_ANY_NETWORK[name], settings), options
