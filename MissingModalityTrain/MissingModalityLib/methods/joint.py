"""Distillation from a teacher that sees every modality and is trained along: MST-KDNet's and AdaMM's method.

Zhu et al., "Bridging the gap in missing modalities", MICCAI 2025, Eq. 12; "No modality left behind" (AdaMM,
arXiv 2509.15017). Where the public codes differ from what the papers describe, the description is followed:
the teacher is no target of its student (its side of every distance is detached), both background channels
are supervised by their own predictions, and the discriminator keeps its optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import OptionError
from ..networks.head import Head
from ..networks.output import PRESENCE, Feature, Kind, Output, chosen
from ..runtime import distributed
from .adversary import Adversary
from .attention import attention_distance, scale_distance
from .ignored import without_ignored
from .information import Regressor, entropy_map, information_distance
from .logits import logit_distance, probability_distance, standardized_divergence
from .losses import segmentation_loss
from .method import Method, unwrap_ddp
from .options import JointOptions
from .plain import channel_losses, presence_target
from .style import Discriminator, style_distance
from .teacher_student import TeacherStudent

READ_BY = {
    "attention": Kind.ATTENTION,
    "multiscale": Kind.SCALE,
    "style": Kind.STYLE,
    "adversarial": Kind.ADVERSARIAL,
    "content": Kind.CONTENT,
    "information": Kind.CONTENT,
}
"""Option -> kind of the features that its term reads."""


class JointDistillation(Method):
    """Both networks learn from the labels, and the student from the teacher of the same moment.

    The teacher begins with the student's weights. A network that names a loss of its own learns from the
    labels by that one, without which its further decoders would learn nothing; others by the papers' Dice.
    """

    Options: ClassVar[type] = JointOptions

    def __init__(self, options: JointOptions | None = None, fresh: bool = True) -> None:
        super().__init__(options, fresh)
        self.teacher: nn.Module | None = None
        self.discriminator: Discriminator | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._styles: tuple[Tensor, Tensor] | None = None
        self.doubts: Adversary | None = None
        self.regressor: Regressor | None = None

    def check(self, network: nn.Module) -> None:
        """Hold the terms against what the network offers.

        Raises:
            OptionError: a term with a weight reads what the network does not have, or nothing would train
                what the network says of presence or at coarser levels.
        """
        if Kind.DEEP in network.loss_features:
            raise OptionError(
                "Setting network.deep_supervision=True: the method joint would train no logits of coarser "
                "levels. Set network.deep_supervision=false."
            )
        lacking = [
            option
            for option, kind in (*READ_BY.items(), ("presence", PRESENCE))
            if getattr(self.options, option) and kind not in network.distillable_features
        ]
        if lacking:
            given = ", ".join(f"joint.{option}={getattr(self.options, option)}" for option in lacking)
            raise OptionError(
                f"Setting {given}: network {network.name} has no such features to distill. Set "
                f"{' '.join(f'joint.{option}=0' for option in lacking)}."
            )
        if PRESENCE in network.distillable_features and not self.options.presence:
            raise OptionError(
                "Setting joint.presence=0.0: nothing would teach the network which classes are present. Set "
                "network.presence=false too."
            )

    def assemble(self, network: nn.Module, seed: int = 0) -> nn.Module:
        """Student and teacher; beside them discriminators."""
        self.teacher, device = deepcopy(network), next(network.parameters()).device
        if self.options.adversarial:
            # its own draw, alike on all processes, which leaves the run's other draws as they are without it
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.discriminator = Discriminator(network.style_channels).to(device)
            self._optimizer = torch.optim.Adam(
                self.discriminator.parameters(), self.options.discriminator_learning_rate
            )
        if self.options.doubt:
            self.doubts = Adversary(
                lambda: Discriminator(network.head.channels),
                device,
                seed,
                self.options.discriminator_learning_rate,
            )
        if self.options.information:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.regressor = Regressor(network.style_channels).to(device)
        kinds = {kind for option, kind in READ_BY.items() if getattr(self.options, option)}
        kinds |= set(network.loss_features)
        return TeacherStudent(network, self.teacher, kinds, self.options.dropout, self.regressor)

    def clipped_apart(self, trained: nn.Module) -> Sequence[Iterable[nn.Parameter]]:
        """Student and teacher: a distance that the student is far from takes nothing from the teacher."""
        if self.options.clip_together:
            return super().clipped_apart(trained)
        told = [] if self.regressor is None else self.regressor.parameters()
        return [*trained.student.parameters(), *told], trained.teacher.parameters()

    def state_dict(self) -> dict[str, Any]:
        """Teacher, discriminator and the discriminator's optimizer."""
        state = {"teacher": self.teacher.state_dict()}
        if self.discriminator is not None:
            state["discriminator"] = self.discriminator.state_dict()
            state["discriminator_optimizer"] = self._optimizer.state_dict()
        if self.doubts is not None:
            state |= self.doubts.state_dict("doubts")
        if self.regressor is not None:
            state["regressor"] = self.regressor.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :meth:`.method.Method.load_state_dict`."""
        self.teacher.load_state_dict(state["teacher"])
        if self.discriminator is not None:
            self.discriminator.load_state_dict(state["discriminator"])
            self._optimizer.load_state_dict(state["discriminator_optimizer"])
        if self.doubts is not None:
            self.doubts.load_state_dict(state, "doubts")
        if self.regressor is not None:
            self.regressor.load_state_dict(state["regressor"])

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """Terms by name, weighted: ``student_*``, ``teacher_*``, and one per option of a weight above 0.

        Args:
            network: from :meth:`assemble`, possibly wrapped.
            batch: as for :class:`.supervised.Supervised`.
            epoch: tells how far the weights of the distances have risen.
        """
        pair = unwrap_ddp(network)
        head = pair.head
        student, teacher = (without_ignored(output, batch, head) for output in network(batch))
        with torch.autocast(student.logits.device.type, enabled=False):
            terms = self._taught("student", pair.student, student, batch)
            terms |= self._taught("teacher", pair.teacher, teacher, batch)
            teacher = _detached(teacher)
            if self.options.adversarial:
                self._keep_styles(student, teacher)
            if self.doubts is not None:
                self.doubts.keep(entropy_map(student.logits, head), entropy_map(teacher.logits, head))
            terms |= self._distances_of_rows(student, teacher, self._rows(batch), head, epoch)
        return {**terms, "total": sum(terms.values())}

    def finish_step(self) -> None:
        """Train the discriminator on the styles of the step."""
        if self.doubts is not None:
            self.doubts.step()
        if self._styles is None:
            return
        self._optimizer.zero_grad(set_to_none=True)
        self.discriminator.requires_grad_(True)
        self.discriminator.loss(*self._styles).backward()
        # by hand, since the discriminator is outside the module that the distributed wrapper holds
        for parameter in self.discriminator.parameters():
            parameter.grad = distributed.mean(parameter.grad)
        self._optimizer.step()
        self._styles = None

    def _taught(
        self, name: str, network: nn.Module, output: Output, batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """What one of the two networks learns from the labels."""
        if network.loss == "plain":
            return self._own_losses(name, output, batch["label"], network.head)
        terms = segmentation_loss(network, output, batch["label"], batch["present"], image=batch["image"])
        weight = getattr(self.options, f"{name}_weight")
        return {f"{name}_{term}": weight * value for term, value in terms.items() if term != "total"}

    def _own_losses(self, name: str, output: Output, label: Tensor, head: Head) -> dict[str, Tensor]:
        """Segmentation and presence of one of the two networks."""
        options, terms = self.options, {}
        weight = getattr(options, f"{name}_weight")
        dice, entropy = channel_losses(output.logits.float(), label, head)
        if options.presence:
            presence = output.presence
            truth = presence_target(label, presence.dtype)
            terms[f"{name}_presence"] = options.presence * F.binary_cross_entropy(presence, truth)
            if head.has_background:
                doubt = distributed.mean((presence - truth).detach().abs().mean(0))
                further = dice.new_ones(len(dice) - 1 - len(doubt))
                dice = dice * torch.cat([dice.new_ones(1), 1 + doubt, further])
        terms[f"{name}_dice"] = weight * (dice.sum() if options.dice == "sum" else dice.mean())
        if options.cross_entropy:
            terms[f"{name}_entropy"] = weight * options.cross_entropy * entropy
        return terms

    def _rows(self, batch: Mapping[str, Tensor]) -> list[int]:
        """Samples whose distances count: those of which the teacher sees more than the student.

        Where both see the same subset of an incomplete case, the teacher has layers for it, in AdaMM, that
        such cases alone have trained, and knows nothing that the student does not.
        """
        if self.options.equal_subsets:
            return list(range(len(batch["present"])))
        more = (batch["available"] != batch["present"]).any(1)
        return [row for row, counts in enumerate(more.tolist()) if counts]

    def _distances_of_rows(
        self, student: Output, teacher: Output, rows: Sequence[int], head: Head, epoch: int
    ) -> dict[str, Tensor]:
        """:meth:`_distances` of some samples; those of the others are 0 in the means over the batch."""
        samples = len(student.logits)
        if len(rows) == samples:
            return self._distances(student, teacher, head, epoch)
        if not rows:
            return {name: student.logits.new_zeros((), dtype=torch.float32) for name in self._weights(epoch)}
        terms = self._distances(_of_rows(student, rows), _of_rows(teacher, rows), head, epoch)
        return {name: term * (len(rows) / samples) for name, term in terms.items()}

    def _weights(self, epoch: int) -> dict[str, float]:
        """Of the distances of an epoch, by name in the log; none of weight 0."""
        options = self.options
        risen = ramp(epoch, options.ramp_epochs)
        weights = {
            "attention": options.attention * risen,
            "scales": options.multiscale * risen,
            "logits": options.logits * risen,
            "divergence": options.kl_divergence * risen,
            "style": options.style * risen,
            "adversarial": options.adversarial * risen,
            "consistency": options.consistency * ramp(epoch, options.consistency_ramp_epochs),
            "content": options.content * risen,
            "doubt": options.doubt * risen,
            "information": options.information * risen,
        }
        return {name: weight for name, weight in weights.items() if weight}

    def _distances(self, student: Output, teacher: Output, head: Head, epoch: int) -> dict[str, Tensor]:
        """Weighted distances between student and teacher, by name in the log."""
        options = self.options
        axis = 1 if options.standardize_over == "classes" else -1
        kinds = {kind: _pairs(student, teacher, kind) for kind in READ_BY.values()}
        # distances as functions: a term of weight 0 may read features that the network does not have
        distances = {
            "attention": lambda: attention_distance(*kinds[Kind.ATTENTION], options.extremes),
            "scales": lambda: scale_distance(*kinds[Kind.SCALE]),
            "logits": lambda: logit_distance(student.logits, teacher.logits),
            "divergence": lambda: standardized_divergence(
                student.logits, teacher.logits, options.temperature, axis
            ),
            "style": lambda: style_distance(*kinds[Kind.STYLE]),
            "adversarial": lambda: self._adversarial(kinds[Kind.ADVERSARIAL][0][0]),
            "consistency": lambda: probability_distance(student.logits, teacher.logits, head),
            "content": lambda: scale_distance(*kinds[Kind.CONTENT]),
            "doubt": lambda: self.doubts.generator_loss(entropy_map(student.logits, head)),
            "information": lambda: information_distance(student.features, *kinds[Kind.CONTENT][1]),
        }
        return {name: weight * distances[name]() for name, weight in self._weights(epoch).items()}

    def _keep_styles(self, student: Output, teacher: Output) -> None:
        """For the discriminator's step, which takes all samples: processes must make it together."""
        (mine,), (theirs,) = _pairs(student, teacher, Kind.ADVERSARIAL)
        self._styles = mine.detach().float(), theirs.float()

    def _adversarial(self, student: Tensor) -> Tensor:
        """The generator's loss of the student's style."""
        # frozen: the student's loss must leave no gradient in it, and it saves computing them
        self.discriminator.requires_grad_(False)
        return self.discriminator.generator_loss(student.float())


def ramp(epoch: int, epochs: int) -> float:
    """How far a weight has risen: from exp(-5) to 1 over some epochs, slowly at both ends; 1 without any.

    Laine and Aila, "Temporal ensembling for semi-supervised learning", ICLR 2017, as in both public codes.
    """
    return math.exp(-5 * (1 - epoch / epochs) ** 2) if epoch < epochs else 1.0


def _pairs(student: Output, teacher: Output, kind: str) -> tuple[list[Tensor], list[Tensor]]:
    """The student's and the teacher's features of a kind, in the same order."""
    features = list(chosen(teacher.features, {kind}))
    return [student.features[key] for key in features], [teacher.features[key] for key in features]


def _of_rows(output: Output, rows: Sequence[int]) -> Output:
    """Some samples of an output, without features of single modalities, which not every sample has."""
    features: dict[Feature, Tensor] = {
        key: x[rows] for key, x in output.features.items() if key.modality is None
    }
    return Output(output.logits[rows], features)


def _detached(output: Output) -> Output:
    features: dict[Feature, Tensor] = {key: x.detach() for key, x in output.features.items()}
    return Output(output.logits.detach(), features)
