"""Where the files of a run lie; imports nothing heavy.

A run's folder holds ``run.json`` (what the run is made of, see :class:`.record.RunRecord`), ``prepared/``
(the case cache, unless another folder was given), ``checkpoint.pt`` (the state after the last whole epoch,
see :mod:`.checkpoints`), ``log.jsonl`` (one :class:`.log.LogLine` per epoch), ``log.csv`` (the same as a
table), ``progress.png`` (its curves), where asked for ``tensorboard/`` and, for every stage that is over, its
student: ``pretrain.safetensors``, ``train.safetensors`` and so on. A process that trains holds
``run.lock``, see :mod:`~..runtime.lock`; one in the background also leaves the files that
:mod:`~..runtime.background` names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import MissingModalityError
from ..core.files import leaving_no_empty_folder, remove_all
from ..inference.locations import STUDENT_SUFFIX
from ..runtime import lock


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
    def table(self) -> Path:
        """The log as a table, see :func:`.log.to_csv`."""
        return self.path / "log.csv"

    @property
    def picture(self) -> Path:
        """The log as curves, see :mod:`.progress_picture`."""
        return self.path / "progress.png"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files, see :mod:`.followers`."""
        return self.path / "tensorboard"

    @property
    def mlflow_id(self) -> Path:
        """A text file with the identifier that MLflow has given to the run."""
        return self.path / "mlflow_run_id.txt"

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

    @property
    def holds_folds(self) -> bool:
        """Whether it is the folder of a cross-validation, of which a fold has begun."""
        with suppress(OSError):  # a text that a user has typed may be no name
            return any(self.path.glob(f"fold*/{self.record.name}"))
        return False


@contextmanager
def leaving_nothing(folder: RunFolder) -> Iterator[None]:
    """Remove what a run that is refused in this block has made, unless it has become one by its record.

    Of the folder of a cross-validation, unless one of its folds has.

    What was there before stays, and what others have put there. Of a run that is interrupted the prepared
    cases stay too, for they may have taken long and are used by the next try.
    """
    places = (folder.path / lock.FILE_NAME, folder.prepared)
    made = [place for place in places if not place.exists()]
    with leaving_no_empty_folder(folder.path):
        try:
            yield
        except MissingModalityError:
            if not folder.record.exists() and not folder.holds_folds:
                remove_all(made)
            raise
