"""A discriminator that a method trains beside the network, with an optimizer of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime import distributed


class Adversary:
    """Tells what a student gives from what its teacher gives, step by step.

    Args:
        make: a discriminator with ``loss`` and ``generator_loss``, as :class:`.style.Discriminator` has them.
        device: of it.
        seed: of its weights, the same on all processes.
        learning_rate: of Adam.
    """

    def __init__(
        self, make: Callable[[], nn.Module], device: torch.device, seed: int, learning_rate: float
    ) -> None:
        # its own draw, alike on all processes, which leaves the run's other draws as they are without it
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = make().to(device)
        self.optimizer = torch.optim.Adam(self.module.parameters(), learning_rate)
        self._pair: tuple[Tensor, Tensor] | None = None

    def keep(self, student: Tensor, teacher: Tensor) -> None:
        """What the next :meth:`step` learns from, (B, C, D, H, W) each."""
        self._pair = student.detach(), teacher.detach()

    def generator_loss(self, student: Tensor) -> Tensor:
        """What the student minimizes; it leaves no gradient in the discriminator."""
        self.module.requires_grad_(False)
        return self.module.generator_loss(student)

    def step(self, weight: float = 1.0) -> None:
        """Train on what was kept, if anything was; ``weight`` multiplies the loss."""
        if self._pair is None:
            return
        self.optimizer.zero_grad(set_to_none=True)
        self.module.requires_grad_(True)
        (weight * self.module.loss(*self._pair)).backward()
        # by hand, since it is outside the module that the distributed wrapper holds
        for parameter in self.module.parameters():
            parameter.grad = distributed.mean(parameter.grad)
        self.optimizer.step()
        self._pair = None

    def state_dict(self, name: str) -> dict[str, Any]:
        """Weights as ``name`` and the optimizer as ``name_optimizer``."""
        return {name: self.module.state_dict(), f"{name}_optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any], name: str) -> None:
        """Go on from :meth:`state_dict`."""
        self.module.load_state_dict(state[name])
        self.optimizer.load_state_dict(state[f"{name}_optimizer"])
