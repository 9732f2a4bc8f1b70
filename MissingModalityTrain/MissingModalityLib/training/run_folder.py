"""Where the files of a run lie; imports nothing heavy.

A run's folder holds ``run.json`` (what the run is made of, see :class:`.record.RunRecord`), ``prepared/``
(the case cache, unless another folder was given), ``checkpoint.pt`` (the state after the last whole epoch,
see :mod:`.checkpoints`), ``log.jsonl`` (one :class:`.log.LogLine` per epoch) and, for every stage that is
over, its student: ``pretrain.safetensors``, ``train.safetensors`` and so on. A process that trains holds
``run.lock``, see :mod:`~..runtime.lock`; one in the background also leaves the files that
:mod:`~..runtime.background` names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..inference.locations import STUDENT_SUFFIX


@dataclass(frozen=True)
class RunFolder:
    """Names in a run's folder.

    Attributes:
        path: of the folder, which need not be there.
    """

    path: Path

    @property
    def record(self) -> Path:
        """See :class:`.record.RunRecord`."""
        return self.path / "run.json"

    @property
    def checkpoint(self) -> Path:
        """See :mod:`.checkpoints`."""
        return self.path / "checkpoint.pt"

    @property
    def log(self) -> Path:
        """See :class:`.log.LogLine`."""
        return self.path / "log.jsonl"

    @property
    def prepared(self) -> Path:
        """The folder of prepared cases, where the run was given no other."""
        return self.path / "prepared"

    def student(self, stage: str) -> Path:
        """The student that a stage ended with."""
        return self.path / f"{stage}{STUDENT_SUFFIX}"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to resume or export; asked of any text that a user may have typed."""
        # unlike Path.is_file, it takes a name that no system can have for none
        return os.path.isfile(self.checkpoint)
