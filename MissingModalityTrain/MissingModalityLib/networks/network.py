"""The contract of a segmentation network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from .head import Head
from .options import NetworkOptions
from .output import Output


class Network(nn.Module, ABC):
    """A network that segments from any subset of the modalities.

    A subclass sets the attributes below and defines :meth:`forward`; with a name in the registry it can then
    be trained, exported and used like those of the library, see ``Resources/Docs/extending.md``. What a
    missing channel holds, NaN included, must never reach the output: :func:`.output.mask_missing` sees to it.

    Two further methods make many subsets of one image cheaper, where encoding a modality does not depend on
    the others: ``encode(image, present)`` returns anything, which ``fuse(encoded, available)`` makes an
    :class:`.output.Output` of.

    Args:
        options: of the class :attr:`Options`, checked.

    Attributes:
        name: in the registry; student files name the network by it.
        Options: frozen dataclass of what can be set.
        divisor: every side of the image is a multiple of it. Of the class, or set when made.
        head: how the logits are to be read. Set when made.
        distillable_features: kinds of features, and "presence", that methods with a teacher can read beside
            the logits; "adversarial" asks for ``style_channels``, the number of channels of that feature.
        find_unused_parameters: whether parameters can stay without a part in a batch's output, for lack of
            samples whose modalities need them; processes that average gradients must look for them then.
        loss: name in :data:`..methods.losses.LOSSES` of what compares the output with the labels.
        loss_features: kinds of features that this loss reads. Of the class, or set when made.
        reads_present: whether :meth:`forward` looks at modalities that are ``present`` and not ``available``;
            what nothing looks at need not be augmented.
        reads_place: whether :meth:`forward` takes ``place``, where the image lies in its case.
        title: for people, in lists; empty where the name will do.
        presets: name of a preset -> (settings of a stage, options of the network); a network without a preset
            of the chosen name is trained with the common settings and its default options.
    """

    name: ClassVar[str]
    Options: ClassVar[type[NetworkOptions]]
    divisor: int
    head: Head
    distillable_features: tuple[str, ...] = ()
    find_unused_parameters: ClassVar[bool] = False
    loss: ClassVar[str] = "plain"
    loss_features: tuple[str, ...] = ()
    reads_present: ClassVar[bool] = True
    reads_place: ClassVar[bool] = False
    title: ClassVar[str] = ""
    presets: ClassVar[Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        self._options = options

    @property
    def options(self) -> dict[str, Any]:
        """What :func:`.registry.build` needs, with the name, to make the network again; plain values."""
        return self._options.to_json()

    @abstractmethod
    def forward(
        self,
        image: Tensor,
        available: Tensor,
        present: Tensor | None = None,
        features: bool | Collection[str] = False,
    ) -> Output:
        """Segment; voxels of a missing channel are never read.

        Args:
            image: (B, 4, D, H, W), z-scored inside the brain and 0 outside; sides multiples of ``divisor``.
            available: (B, 4) bool, the modalities to look at, at least one per sample.
            present: (B, 4) bool, those that the case really has, ``available`` among them. For networks that
                train on single modalities beside the subset; others do not read it. Default ``available``.
            features: give all features too, or those of these kinds.

        A network that ``reads_place`` takes ``place`` too: (B, 3) integers, the first voxel (z, y, x) of each
        image, counted from the middle of its case's brain box; None where their middles lie on each other.

        Returns:
            Logits (B, ``head.channels``, D, H, W); presence if the network tells it; features if asked for.
        """


def placed(network: nn.Module, place: Tensor | None) -> dict[str, Tensor | None]:
    """``place`` as an argument for the networks that take it; nothing for others.

    Args:
        network: the network itself, never a distributed wrapper.
        place: (B, 3), see :meth:`Network.forward`.
    """
    return {"place": place} if network.reads_place else {}
