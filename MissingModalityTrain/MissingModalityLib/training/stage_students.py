"""From a run to student files: one after every stage, and the export of the last checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from torch import Tensor, nn

from .. import networks
from ..core.errors import OptionError, StudentError
from ..core.kinds import checked
from ..datasets.patients import volumes_of
from ..inference.card import read_card
from ..inference.descent import MODELS_BEFORE
from ..inference.learned import BEFORE, Learned
from ..inference.locations import STUDENT_SUFFIX
from ..inference.student import Student
from ..inference.weights import as_float32, check_fit, distinct_weights, half_precision, weights_sha256
from .checkpoints import read_checkpoint, steps_of_stage
from .models_before import models_before
from .record import RunRecord
from .run_folder import RunFolder


@checked
def export(run: Path | str, output: Path | str, card: Mapping[str, Any] | None = None) -> Path:
    """Write the student of a run's last checkpoint.

    Args:
        run: folder of the run, finished or not.
        output: the .safetensors file to write; a model that is there is replaced with all that was stored in
            it.
        card: further facts for the header, e.g. ``{"license": "...", "gate": "hard"}``; see
            :class:`~..inference.student.Student`.

    Raises:
        CaseError: ``run`` is not a training run.
        StudentError: it has no whole checkpoint of finite weights, or ``output`` cannot be written.
        OptionError: ``output`` does not end in .safetensors or is a stage's own student, or there is nothing
            to gate.
    """
    run, output = Path(run), Path(output)
    if output.suffix != STUDENT_SUFFIX:
        raise OptionError(f"{output}: a model file ends in {STUDENT_SUFFIX}. Give it that ending.")
    folder = RunFolder(run)
    record = RunRecord.read(folder)
    if os.path.realpath(output) in (os.path.realpath(folder.student(name)) for name in record.plan.stages):
        raise OptionError(f"{output}: the run itself goes on from this model. Choose another name or folder.")
    state = read_checkpoint(folder)
    network = networks.build(record.plan.network, **record.plan.network_options)
    try:
        weights = _trained_weights(state)
        own = distinct_weights(network)
        check_fit(network, {name: value for name, value in weights.items() if name in own})
        network.load_state_dict(weights)
        stage, epoch = state["stage"], state["epoch"]
        steps = steps_of_stage(state, record.plan.stages[stage])
    except (StudentError, LookupError, RuntimeError, TypeError, AttributeError) as error:
        raise StudentError(
            f"{folder.checkpoint}: does not fit the network that {folder.record} names ({error}). Put back "
            "copies of both, or train again."
        ) from error
    if card and "gate" in card and "presence" not in network.distillable_features:
        raise OptionError(f"{run}: network {network.name} does not tell presence. Export it without a gate.")
    facts = {**_card(folder, record, stage, epoch, steps), **(card or {})}
    Student(network, facts).save(output, half=True)
    return output


def sha256_of(student: Path, exported: bool) -> str:
    """SHA-256 of the weights of a run's student, or of those that :func:`export` writes of it.

    Raises:
        StudentError: the file cannot be used.
    """
    network = Student.load(student).network
    if exported:
        network.load_state_dict(as_float32(half_precision(network.state_dict())))
    return weights_sha256(network)


def keep_stage(folder: RunFolder, record: RunRecord, stage: str, network: nn.Module, steps: int) -> None:
    """Write the student that a stage ended with, after so many steps; the next stage begins with its weights,
    to the bit.

    A file of these very weights stays as it is, with what has been chosen for it since.
    """
    student = Student(network, _card(folder, record, stage, record.plan.stages[stage].epochs, steps))
    path = folder.student(stage)
    if not _has_weights(path, student):
        student.save(path)


def _has_weights(path: Path, student: Student) -> bool:
    """Whether a file holds a student's weights."""
    try:
        found = Student.load(path)
    except StudentError:  # none, or a damaged one
        return False
    return weights_sha256(found.network) == weights_sha256(student.network)


def drop_stages(folder: RunFolder, stages: Sequence[str]) -> None:
    """Remove the students of stages that are to be made again."""
    for stage in stages:
        path = folder.student(stage)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StudentError(
                f"{path}: cannot be removed, though its stage begins anew ({error}). Close what has it open, "
                "or move it away, and resume."
            ) from error


def load_weights(network: nn.Module, path: Path) -> None:
    """Put the weights of a student file into a network.

    Raises:
        StudentError: no student, or one of another architecture.
    """
    student = Student.load(path)
    if (student.network.name, student.network.options) != (network.name, network.options):
        raise StudentError(
            f"{path}: its network is {student.network.name} with {student.network.options}, the run's is "
            f"{network.name} with {network.options}. Set the network and its options as the file has them."
        )
    network.load_state_dict(student.network.state_dict())


def _trained_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Of a checkpoint: the running average where there is one."""
    if "averaged" not in state:
        return state["network"]
    prefix = "module."  # of PyTorch's AveragedModel, whose state also counts its updates
    averaged = state["averaged"].items()
    return {name.removeprefix(prefix): value for name, value in averaged if name.startswith(prefix)}


def _card(folder: RunFolder, record: RunRecord, stage: str, epochs: int, steps: int) -> dict[str, Any]:
    content = record.to_json()
    training = {
        # a run of a whole plan has neither
        **{name: content[name] for name in ("recipe", "preset") if content[name]},
        "settings": _without_folders(content["settings"]),
        "seed": record.seed,
        "stage": stage,
        "epochs_done": epochs,
        "steps": _steps_before(folder, record, stage) + steps,
        "cases": content["cases"],
        "validation": content["validation"],
        "voxels_sha256": {
            name: sorted(volumes_of(volumes)) for name, volumes in record.contents.items() if volumes
        },
        MODELS_BEFORE: models_before(record, stage),  # also where it is empty: there was none
        "versions": content["versions"],
    }
    if before := _learned_before(record, training):
        training[BEFORE] = before
    return {"window": list(record.plan.stages[stage].patch_size), "training": training}


def _steps_before(folder: RunFolder, record: RunRecord, stage: str) -> int:
    """Steps of the stages before one, as the model that it began with tells them, or else the settings."""
    stages = list(record.plan.stages)
    earlier = stages[: stages.index(stage)]
    if not earlier:
        return 0
    with suppress(StudentError):  # it may have been moved away when the stage had begun
        told = (read_card(folder.student(earlier[-1])).get("training") or {}).get("steps")
        if told is not None:
            return int(told)
    settings = [record.plan.stages[name] for name in earlier]
    return sum(one.epochs * one.iterations_per_epoch for one in settings)


def _learned_before(record: RunRecord, training: Mapping[str, Any]) -> dict[str, list[str]]:
    """Cases that models before this run learned from, without those that it trains on itself."""
    own = Learned(training)
    return {
        name: list(volumes)
        for name, volumes in record.learned_before.items()
        if not own.has(name, dict(zip(volumes, volumes, strict=True)))
    }


def _without_folders(value: Any) -> Any:
    """Settings with names of files and folders, without where they lie on a computer."""
    if isinstance(value, Mapping):
        return {name: _without_folders(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    if isinstance(value, str):
        for kind in (PurePosixPath, PureWindowsPath):
            if kind(value).is_absolute():
                return kind(value).name
    return value
