"""Post-training by distillation: an older copy of the network, shown one modality more, is the teacher.

Liu et al., "Enhancing incomplete multi-modal brain tumor segmentation with intra-modal asymmetry and
inter-modal dependency", Sec. 3.3: L_post = L_kd + L_seg (Eq. 8), L_kd the mean squared error of intermediate
features (Eq. 7), the teacher's segmentations extra supervision. Where the paper leaves a choice:

- Which features: those after fusion. Features of single modalities taken before missing ones are masked out,
  as in the public code, are the same for every subset and can teach nothing about what is missing.
- Eq. 7 at several levels: one mean over all elements per level, summed over the levels.
- Which distance between segmentations: the Kullback-Leibler divergence and the Dice loss with squares in its
  denominator (Milletari et al., 2016). Like cross entropy and Dice they pair a term per voxel with one per
  class, but both are 0, and least, exactly where the student agrees with the teacher; against soft targets
  weighted cross entropy and plain Dice are least elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import OptionError
from ..networks.heads import HEADS
from ..networks.output import Feature, Kind, chosen
from ..runtime import distributed
from .method import place_of, unwrap_ddp
from .options import DistillationOptions
from .soft_targets import distillation_loss
from .supervised import Supervised

FEATURES = {"fused": (Kind.FUSED, Kind.DECODER), "encoder": (Kind.ENCODER,)}
"""Option -> kinds of features."""
LEAST_PROBABILITY = 1e-7
"""Keeps logarithms of region maps finite."""


class Distillation(Supervised):
    """Supervised training plus a frozen teacher that sees at least what the student sees.

    The teacher is copied from the student before the first epoch and again after every
    ``teacher_update_interval`` epochs. It runs in evaluation mode without gradients.
    """

    name: ClassVar[str] = "distillation"
    Options: ClassVar[type] = DistillationOptions
    needs_trained_network: ClassVar[bool] = True  # it teaches what it knows to itself

    def __init__(self, options: DistillationOptions | None = None, fresh: bool = True) -> None:
        super().__init__(options, fresh=False)
        self.teacher: nn.Module | None = None
        self._weights: Mapping[str, Tensor] = {}

    def begin_epoch(self, network: nn.Module, epoch: int) -> None:
        """Copy the student where the teacher is due; after a resume, make the stored teacher again."""
        if self.teacher is not None and epoch % self.options.teacher_update_interval:
            return
        self.teacher = deepcopy(network).requires_grad_(False).eval()
        if epoch % self.options.teacher_update_interval:
            self.teacher.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """The teacher's weights."""
        return {"teacher": self._weights if self.teacher is None else self.teacher.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`.method.Method.load_state_dict`."""
        # kept until begin_epoch, which has the network that the teacher is copied from
        self._weights, self.teacher = state["teacher"], None

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """Terms of :class:`Supervised` plus ``teacher_features``, ``teacher_kl`` and ``teacher_dice``.

        A network with region maps adds ``teacher_region_kl`` and ``teacher_region_dice``, sums over levels.

        Args:
            network: the student.
            batch: as for :class:`Supervised`, and ``teacher`` (B, 4) bool, what the teacher may see:
                ``available`` and more, all of it present.
            epoch: counts from 0 within the stage.

        Raises:
            OptionError: the network has no features of the kind to distill.
        """
        with torch.no_grad():  # before the student, while no activations of the student are held
            where = place_of(self.teacher, batch)
            taught = self.teacher(batch["image"], batch["teacher"], features=True, **where)
        output, terms = self._outcome(network, batch, epoch, features=True)
        del terms["total"]
        head = unwrap_ddp(network).head
        with torch.autocast(output.logits.device.type, enabled=False):
            distance = self._feature_distance(output.features, taught.features, batch)
            terms["teacher_features"] = self.options.feature_weight * distance
            pairs = {"": distillation_loss(output.logits, taught.logits, head)}
            maps = [
                distillation_loss(_logarithm(output.features[feature]), _logarithm(x), HEADS["classes"])
                for feature, x in taught.features.items()
                if feature.kind == Kind.REGIONS
            ]
            if maps:
                pairs["region_"] = tuple(sum(of_levels) for of_levels in zip(*maps, strict=True))
        for group, pair in pairs.items():
            for kind, value in zip(("kl", "dice"), pair, strict=True):
                terms[f"teacher_{group}{kind}"] = self.options.prediction_weight * value
        return {**terms, "total": sum(terms.values())}

    def modalities_read(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """What the teacher sees, or all for networks that train on single modalities."""
        return batch["present"] if network.reads_present else batch["teacher"]

    def _feature_distance(
        self,
        student: Mapping[Feature, Tensor],
        teacher: Mapping[Feature, Tensor],
        batch: Mapping[str, Tensor],
    ) -> Tensor:
        """Eq. 7: mean square over the elements of a level, summed over the levels."""
        squares: dict[int | str, list[Tensor]] = {}
        elements: dict[int | str, int] = {}
        for level, x, target in self._pairs(student, teacher, batch):
            squares.setdefault(level, []).append(F.mse_loss(x.float(), target.float(), reduction="sum"))
            elements[level] = elements.get(level, 0) + target.numel()
        if not squares:
            raise OptionError(
                f"The network has no '{self.options.features}' features to distill. "
                f"Choose features={' or '.join(name for name in FEATURES if name != self.options.features)}."
            )
        # processes may hold different numbers of modalities, so the mean of their means would not do
        sums = distributed.total(torch.stack([sum(values) for values in squares.values()]))
        return (sums / distributed.total(sums.new_tensor(list(elements.values())))).sum()

    def _pairs(
        self,
        student: Mapping[Feature, Tensor],
        teacher: Mapping[Feature, Tensor],
        batch: Mapping[str, Tensor],
    ) -> Iterator[tuple[int | str, Tensor, Tensor]]:
        """(level, student's feature, teacher's feature) of the chosen kinds."""
        for feature, target in chosen(teacher, FEATURES[self.options.features]).items():
            x, m = student[feature], feature.modality
            if m is not None:  # one row per sample that has it: keep those whose teacher sees it
                x = x[batch["teacher"][batch["present"][:, m], m]]
            yield feature.level, x, target


def _logarithm(probabilities: Tensor) -> Tensor:
    """Logits of probabilities (softmax undoes it)."""
    return probabilities.float().clamp(min=LEAST_PROBABILITY).log()
