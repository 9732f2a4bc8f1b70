"""What shows a training outside of it after an epoch: a picture in its folder, TensorBoard, MLflow.

None of them may end a training or slow it down: one that fails is left out, which is told once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from time import monotonic
from typing import Any, Protocol, Self

from ..core.errors import OptionError
from ..core.files import read_text
from ..core.words import unknown_name
from . import log
from .log import LogLine
from .record import RunRecord
from .run_folder import RunFolder

TRACKERS = ("tensorboard", "mlflow")
"""Programs of others that show trainings, by the names of their packages."""

_SHARE = 0.02
"""Of the time of a training that drawing may take: where epochs are short, some get no picture."""

_FIRST_COST_S = 0.5
"""Of a picture, before one was drawn: matplotlib is imported for the first."""

_SHORT_S = 10.0
"""A stage that took less ends without a picture: the trial is over before anybody looks."""

_LOG = logging.getLogger(__name__)


def check_trackers(names: Sequence[str]) -> None:
    """Raise OptionError where a tracker is unknown or its package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise OptionError(unknown_name("tracker", name, TRACKERS))
        if find_spec(name) is None:
            raise OptionError(
                f"track={name}: the Python package '{name}' is not installed. Install it with "
                f'pip install "missing-modality[{name}]", or leave track={name} out.'
            )


class Tracker(Protocol):
    """A program that shows the epochs of a run; made when the first one of this process is in the log."""

    def __call__(self, line: LogLine) -> None:
        """A further epoch is over."""

    def close(self, failed: bool) -> None:
        """The training has ended."""


class Followers:
    """All that follow a run; trackers begin after its first epoch, so a run that is refused begins none."""

    def __init__(self, folder: RunFolder, record: RunRecord, track: Sequence[str]) -> None:
        self._follow: dict[str, Callable[[LogLine], None]] = {folder.picture.name: Picture(folder, record)}
        self._follow |= {name: partial(self._begin, name, folder, record) for name in track}
        self._begun: dict[str, Tracker] = {}

    def __enter__(self) -> Self:
        return self

    def __call__(self, line: LogLine) -> None:
        """An epoch is over and in the log."""
        for name, follow in list(self._follow.items()):
            self._guarded(name, follow, line)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """End what was begun elsewhere."""
        for name, tracker in self._begun.items():
            self._guarded(name, tracker.close, error is not None)

    def _begin(self, name: str, folder: RunFolder, record: RunRecord, line: LogLine) -> None:
        kinds: dict[str, Callable[[RunFolder, RunRecord], Tracker]] = {
            "tensorboard": TensorBoard,
            "mlflow": MLflow,
        }
        self._begun[name] = self._follow[name] = kinds[name](folder, record)

    def _guarded(self, name: str, act: Callable[[Any], None], value: Any) -> None:
        try:
            act(value)
        except Exception as error:  # of another's program, or of a disk or a server
            self._follow.pop(name, None)
            _LOG.warning("Warning: %s is left out, and the training goes on (%s).", name, error)


class Picture:
    """``progress.png``."""

    def __init__(self, folder: RunFolder, record: RunRecord) -> None:
        self._folder, self._record = folder, record
        self._began = self._drawn = monotonic()
        self._cost = _FIRST_COST_S

    def __call__(self, line: LogLine) -> None:
        """Draw, unless the last one was drawn too short a time ago."""
        now = monotonic()
        last = line.epoch >= self._record.plan.stages[line.stage].epochs
        due = now - self._drawn >= self._cost / _SHARE or (last and now - self._began >= _SHORT_S)
        if due:
            draw(self._folder)
            self._drawn = monotonic()
            self._cost = self._drawn - now


def draw(folder: RunFolder) -> None:
    """The curves of the log, in the run's folder."""
    from .progress_picture import draw_progress

    draw_progress(log.read(folder), folder.picture, folder.path.resolve().name)


class TensorBoard:
    """Event files in ``tensorboard/``, with one chart for each number of a stage."""

    def __init__(self, folder: RunFolder, record: RunRecord) -> None:
        """Write all epochs of the log: of those that a run has made anew, only the last."""
        from torch.utils.tensorboard import SummaryWriter

        for earlier in folder.tensorboard.glob("events.out.tfevents.*"):
            earlier.unlink()
        self._writer = SummaryWriter(str(folder.tensorboard))
        for line in log.read(folder):
            self(line)

    def __call__(self, line: LogLine) -> None:
        """Write one epoch."""
        for name, value in line.numbers().items():
            self._writer.add_scalar(f"{line.stage}/{name}", value, line.epoch)
        self._writer.flush()

    def close(self, failed: bool) -> None:
        """The files tell nothing of how it ended."""
        self._writer.close()


class MLflow:
    """A run of MLflow, where its own environment variables say; a run that is resumed goes on there."""

    def __init__(self, folder: RunFolder, record: RunRecord) -> None:
        import mlflow

        self._mlflow = mlflow
        known = read_text(folder.mlflow_id).strip() if folder.mlflow_id.exists() else None
        run = mlflow.start_run(run_id=known, run_name=folder.path.resolve().name)
        folder.mlflow_id.write_text(run.info.run_id, "utf-8")
        lines = log.read(folder)
        if known is None:
            asked = {name: getattr(record, name) for name in ("data", "recipe", "preset", "seed")}
            mlflow.log_params({**asked, "network": record.plan.network})
        for line in lines[-1:] if known else lines:
            self(line)

    def __call__(self, line: LogLine) -> None:
        """Log one epoch."""
        # MLflow takes no plus sign in a name
        named = {
            re.sub(r"[^\w./ -]", "_", f"{line.stage}/{name}"): value for name, value in line.numbers().items()
        }
        self._mlflow.log_metrics(named, step=line.epoch)

    def close(self, failed: bool) -> None:
        """Tell MLflow how it ended."""
        self._mlflow.end_run("FAILED" if failed else "FINISHED")
