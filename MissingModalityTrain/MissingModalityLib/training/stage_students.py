"""From a run to student files: one after every stage, and the export of the last checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .. import networks
from ..core.errors import OptionError, StudentError
from ..inference.student import Student
from .checkpoints import read_checkpoint
from .recipes import Plan, from_json
from .record import read_record

SUFFIX = ".safetensors"


def export(run: Path | str, output: Path | str, card: Mapping[str, Any] | None = None) -> Path:
    """Write the student of a run's last checkpoint.

    Args:
        run: folder of the run, finished or not.
        output: the .safetensors file to write.
        card: further facts for the header, e.g. ``{"license": "...", "gate": "hard"}``; see
            :class:`~..student.Student`.

    Raises:
        CaseError: ``run`` is not a training run.
        StudentError: it has no whole checkpoint, or ``output`` cannot be written.
        OptionError: ``output`` does not end in .safetensors, or there is nothing to gate.
    """
    run, output = Path(run), Path(output)
    if output.suffix != SUFFIX:
        raise OptionError(f"{output}: a student file ends in {SUFFIX}. Give it that ending.")
    record = read_record(run)
    state = read_checkpoint(run)
    plan = from_json(record["settings"])
    network = networks.build(plan.network, **plan.network_options)
    network.load_state_dict(_trained_weights(state))
    if card and "gate" in card and "presence" not in network.distilled:
        raise OptionError(f"{run}: network {network.name} does not tell presence. Export it without a gate.")
    facts = {**_card(record, plan, state["stage"], state["epoch"]), **(card or {})}
    Student(network, facts).save(output, half=True)
    return output


def stage_file(run: Path, stage: str) -> Path:
    """Where the student that a stage ended with is kept."""
    return run / f"{stage}{SUFFIX}"


def keep_stage(run: Path, record: Mapping[str, Any], stage: str, network: nn.Module) -> None:
    """Write the student that a stage ended with; the next stage begins with its weights, to the bit."""
    plan = from_json(record["settings"])
    card = _card(record, plan, stage, plan.stages[stage].epochs)
    Student(network, card).save(stage_file(run, stage))


def drop_stages(run: Path, stages: Sequence[str]) -> None:
    """Remove the students of stages that are to be made again."""
    for stage in stages:
        path = stage_file(run, stage)
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
    prefix = "module."
    averaged = state["averaged"].items()
    return {name.removeprefix(prefix): value for name, value in averaged if name.startswith(prefix)}


def _card(record: Mapping[str, Any], plan: Plan, stage: str, epochs: int) -> dict[str, Any]:
    training = {
        # a run of a whole plan has neither
        **{name: record[name] for name in ("recipe", "preset") if record[name]},
        "settings": record["settings"],
        "seed": record["seed"],
        "stage": stage,
        "epochs_done": epochs,
        "cases": record["cases"],
        "validation": record["validation"],
        "versions": record["versions"],
    }
    return {"window": list(plan.stages[stage].patch_size), "training": training}
