"""An ensemble in one network: trained on the labels and on what several students predict.

Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv:1503.02531, 2015. The targets
are the mean of the teachers' probabilities from all modalities that a case has, so the network also learns
what the subset that it sees leaves out.

A teacher that was trained on a case repeats its label and teaches nothing more. Dao et al., "Knowledge
distillation as semiparametric inference", ICLR 2021, show that this biases the student, and let each part of
the data be taught by a teacher trained without it. So here: the folds of a cross-validation are teachers of
the cases that they held out. A case that every teacher learned from, or none, has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..core.errors import OptionError
from ..inference.learned import Learned
from ..inference.student import Student
from ..inference.weights import weights_sha256
from .method import place_of, unwrap_ddp
from .options import EnsembleOptions
from .self_distillation import distillation_loss
from .supervised import Supervised


class Ensemble(Supervised):
    """Supervised training plus frozen students that see all that a case has."""

    Options: ClassVar[type] = EnsembleOptions

    def __init__(self, options: EnsembleOptions | None = None, fresh: bool = True) -> None:
        super().__init__(options, fresh)
        self.teachers: list[nn.Module] = []
        self.teachers_of: list[list[int]] = []

    def check(self, network: nn.Module) -> None:
        """Refuse to begin without teachers, with one that is there twice, or that means something else."""
        if not self.options.teachers:
            raise OptionError(
                "Setting ensemble.teachers names no model. Give the model files of the ensemble, joined "
                "by commas."
            )
        known: dict[str, str] = {}
        for path in self.options.teachers:
            teacher = Student.load(Path(path)).network
            weights, head = weights_sha256(teacher), teacher.head
            if weights in known:  # it would count twice in the mean
                same = "is named twice" if known[weights] == path else f"has the weights of {known[weights]}"
                raise OptionError(f"Setting ensemble.teachers: {path} {same}. Name each model once.")
            known[weights] = path
            if head != network.head:
                raise OptionError(
                    f"Setting ensemble.teachers: the head of {path} is '{head.name}', that of the network to "
                    f"train is '{network.head.name}'. Choose teachers of the same head."
                )

    def know_cases(self, names: Sequence[str], contents: Sequence[Mapping[str, str]]) -> None:
        """Load the teachers, and choose those of each case: by its voxels, whatever it is called."""
        students = [Student.load(Path(path)) for path in self.options.teachers]
        self.teachers = [student.network.requires_grad_(False) for student in students]
        learned = [Learned(student.card.get("training")) for student in students]
        everyone = list(range(len(students)))
        unseen = [
            [number for number in everyone if not learned[number].has(name, content)]
            for name, content in zip(names, contents, strict=True)
        ]
        self.teachers_of = [numbers or everyone for numbers in unseen]

    def begin_epoch(self, network: nn.Module, epoch: int) -> None:
        """Bring the teachers to where the network is."""
        device = next(network.parameters()).device
        self.teachers = [teacher.to(device).eval() for teacher in self.teachers]

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """Terms of :class:`Supervised` plus ``ensemble_kl`` and ``ensemble_dice``.

        Args:
            network: the student.
            batch: as for :class:`Supervised`, and ``case`` (B,), numbers of the cases of the stage.
            epoch: counts from 0 within the stage.
        """
        head = unwrap_ddp(network).head
        with torch.no_grad():  # before the student, while no activations of the student are held
            target = head.logits(self._mean(batch))
        output, terms = self._outcome(network, batch, epoch)
        del terms["total"]
        with torch.autocast(output.logits.device.type, enabled=False):
            pair = distillation_loss(output.logits, target, head)
        for kind, value in zip(("kl", "dice"), pair, strict=True):
            terms[f"ensemble_{kind}"] = self.options.weight * value
        return {**terms, "total": sum(terms.values())}

    def modalities_read(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """All that a case has, which is what the teachers see."""
        return batch["present"]

    def _mean(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Probabilities (B, K, D, H, W), of each sample the mean over the teachers of its case."""
        # one number per sample is read from the device; asking all teachers of all would take far longer
        groups = [self.teachers_of[number] for number in batch["case"].tolist()]
        image, present = batch["image"], batch["present"]
        found: list[list[Tensor]] = [[] for _ in groups]
        for number, teacher in enumerate(self.teachers):
            rows = [row for row, group in enumerate(groups) if number in group]
            if not rows:
                continue
            where = {name: place[rows] for name, place in place_of(teacher, batch).items()}
            logits = teacher(image[rows], present[rows], **where).logits.float()
            for row, probabilities in zip(rows, teacher.head.probabilities(logits), strict=True):
                found[row].append(probabilities)
        return torch.stack([torch.stack(of_sample).mean(0) for of_sample in found])
