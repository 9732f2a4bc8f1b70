"""What a stage minimizes, apart from how it is minimized: the loop's side knows this class only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..networks.network import placed
from .options import NoOptions


class Method(ABC):
    """Owns the loss of a stage and any network beside the one that is trained.

    Args:
        options: of the class :attr:`Options`; default its defaults.
        fresh: whether the weights that the stage begins with have never been trained.

    Attributes:
        Options: frozen dataclass of what can be set, each setting as METHOD.OPTION.
        needs_trained_network: whether the weights that a stage begins with must have been trained.
    """

    Options: ClassVar[type] = NoOptions
    needs_trained_network: ClassVar[bool] = False

    def __init__(self, options: Any = None, fresh: bool = True) -> None:
        self.options = self.Options() if options is None else options
        self.fresh = fresh

    def check(self, network: nn.Module) -> None:
        """Called with a network of the kind to train before anything is written.

        Raises:
            OptionError: the method is not for such a network.
        """
        return

    def assemble(self, network: nn.Module, seed: int = 0) -> nn.Module:
        """What the optimizer trains and :meth:`loss` is called with: the network, or a module around it.

        Called once, before all that follows.

        Args:
            network: the one to train.
            seed: of the weights of further networks that the method makes; the same on all processes.
        """
        return network

    def know_cases(self, names: Sequence[str], contents: Sequence[Mapping[str, str]]) -> None:
        """Called once, before the first epoch, with the cases that ``batch["case"]`` counts.

        Args:
            names: of the cases.
            contents: of each the SHA-256 of its voxels by sequence; empty where it is synthetic.
        """
        return

    def begin_epoch(self, network: nn.Module, epoch: int) -> None:
        """Prepare an epoch; called before each one, also before the first after a resume.

        Args:
            network: the trained one itself, never its distributed wrapper.
            epoch: counts from 0 within the stage.
        """
        return

    def modalities_read(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, 4) bool, modalities whose voxels :meth:`loss` looks at; others are neither moved nor augmented.

        Args:
            network: the trained one itself, never its distributed wrapper.
            batch: as for :meth:`loss`, before it goes to the device of the network.
        """
        return batch["present"]

    @abstractmethod
    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """Named scalars; ``total`` is minimized and is the sum of all others.

        Args:
            network: from :meth:`assemble`, in training mode, possibly wrapped for distributed training.
            batch: stacked :class:`~..training.samples.PatchDataset`; and ``ignored`` (B, D, H, W) bool, where
                the label, background there, is not to be learned, if a case of the stage has such voxels.
            epoch: counts from 0 within the stage.
        """

    def clipped_apart(self, trained: nn.Module) -> Sequence[Iterable[nn.Parameter]]:
        """Groups of weights, which together are all of ``trained``; ``max_grad_norm`` limits each by itself.

        Args:
            trained: from :meth:`assemble`.
        """
        return (trained.parameters(),)

    def finish_step(self) -> None:
        """Train what the method trains on its own; called after every step of the optimizer."""
        return

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold beside the trained network: tensors and plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`; called before the first :meth:`begin_epoch`.

        Raises:
            KeyError: the state lacks something, so it is one of another method.
        """
        return


def unwrap_ddp(network: nn.Module) -> nn.Module:
    """The network whose attributes may be read; a distributed wrapper shows only ``forward``."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def place_of(network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Where the crops of a batch lie, for the networks that read it, see :func:`~..networks.network.placed`.

    Args:
        network: the one to be called, possibly wrapped for distributed training.
        batch: as for :meth:`Method.loss`.
    """
    return placed(unwrap_ddp(network), batch.get("place"))
