"""A student and its teacher as one module, whose two outputs a method compares."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from ..networks.head import Head
from ..networks.output import Kind, Output, chosen
from .information import Regressor
from .method import place_of

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class TeacherStudent(nn.Module):
    """Student and teacher as one module, so that one optimizer and one distributed wrapper hold both.

    Both keep their activations until the gradients of the sum of all losses are computed together.

    Args:
        student, teacher: networks of the same kind.
        kinds: of features to give.
        dropout: which of the two drop out in training: "none", "student" or "both".
        regressor: of what the student's content tells of the teacher's, if it shall.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        kinds: Collection[str],
        dropout: str = "none",
        regressor: Regressor | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher
        self.kinds = kinds
        self.regressor = regressor
        self._without_dropout = {"none": (student, teacher), "student": (teacher,), "both": ()}[dropout]

    @property
    def head(self) -> Head:
        """The student's, which is the teacher's too."""
        return self.student.head

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Output, Output]:
        """Outputs of the student, from its subset, and of the teacher, from all that is present."""
        image, present, where = batch["image"], batch["present"], place_of(self.student, batch)
        student = self._read(self.student(image, batch["available"], present, self.kinds, **where))
        if self.regressor is not None:
            (content,) = chosen(student.features, {Kind.CONTENT}).values()
            student.features.update(self.regressor(content))
        return student, self._read(self.teacher(image, present, present, self.kinds, **where))

    def train(self, mode: bool = True) -> TeacherStudent:
        """As any module, but PyTorch's modules of dropout stay out of the networks that shall have none."""
        super().train(mode)
        for network in self._without_dropout:
            for module in network.modules():
                if isinstance(module, _DROPOUTS):
                    module.eval()
        return self

    def _read(self, output: Output) -> Output:
        """What enters a loss, nothing else: a distributed wrapper waits for gradients of all it returns."""
        return Output(output.logits, chosen(output.features, self.kinds), output.presence)
