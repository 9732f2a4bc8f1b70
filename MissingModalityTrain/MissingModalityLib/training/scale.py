"""A training on many GPUs, and a hospital's studies on a cluster: predicted, each with its command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any

from ..core.modalities import MODALITIES
from ..core.words import counted
from .dry_step import StepCost, dry_step
from .machines import gpu
from .plan import Plan, make_plan

GPU_COUNTS = (1, 8, 64)

PER_NODE = 8
"""GPUs of a machine, as in NVIDIA's HGX and DGX."""

_LINKS: Mapping[str, float] = {
    "v100": 150e9,
    "a100": 300e9,
    "h100": 450e9,
    "h200": 450e9,
    "rtx4090": 32e9,
}
"""Bytes per second of a GPU in one direction to the others of its machine, by NVIDIA's data sheets: NVLink,
or PCI Express 4."""

_NETWORK = 50e9
"""Bytes per second of a GPU to other machines: an InfiniBand NDR adapter (400 Gbit/s) each, as in a DGX."""

_LINK_ACHIEVED = 0.7
"""Assumed: of either, by sums of gradients of tens of megabytes."""

_DISK = 2e9
"""Assumed: bytes per second that all machines together read from a shared disk."""

_STILL_GOOD = 0.9
"""Of the crops per second that as many GPUs would make without each other."""


@dataclass(frozen=True)
class Scaled:
    """A training on several GPUs that each take as many crops as one did.

    Attributes:
        gpus: how many.
        batch: crops of a step, of all together.
        seconds: of a step.
        crops_per_second: of all together.
        exchanged: bytes that each GPU sends in a step.
        read: bytes per second that all read, where crops come from a disk.
        efficiency: crops per second over those of so many GPUs alone.
        days: to as many crops as the plan's stages see.
        command: to start it.
        breaks: what stands in the way.
    """

    gpus: int
    batch: int
    seconds: float
    crops_per_second: float
    exchanged: float
    read: float
    efficiency: float
    days: float
    command: str
    breaks: tuple[str, ...]


def scaled(plan: Plan, stage: str, cost: StepCost, name: str, gpus: int, options: str = "") -> Scaled:
    """Predict a plan on so many GPUs.

    The gradients' exchange is added whole, though PyTorch hides much of it behind the backward pass: so the
    efficiency is a lower bound.

    Args:
        plan: of one GPU.
        stage: one of the plan, whose steps stand for those of all.
        cost: of its step.
        name: of the kind of GPU in :data:`.machines.GPUS`.
        gpus: how many.
        options: of ``train``, for the command.
    """
    settings, machine = plan.stages[stage], gpu(name)
    alone = machine.seconds(cost, settings.precision != "float32" and machine.has_half)
    exchanged = 2 * (gpus - 1) / gpus * cost.weights  # of a ring of sums
    link = _LINKS[name] if gpus <= PER_NODE else _NETWORK
    seconds = alone + exchanged / (link * _LINK_ACHIEVED)
    batch = gpus * settings.batch_size
    crop = prod(settings.patch_size) * (2 * len(MODALITIES) + 1)  # as prepared files have it
    crops = sum(one.epochs * one.iterations_per_epoch * one.batch_size for one in plan.stages.values())
    found = Scaled(
        gpus,
        batch,
        seconds,
        batch / seconds,
        exchanged,
        batch * crop / seconds,
        alone / seconds,
        crops / batch * seconds / 86400,
        _command(gpus, options, batch, ceil(settings.iterations_per_epoch / gpus)),
        (),
    )
    slow_host = cost.operators * machine.per_operator >= alone
    return replace(found, breaks=tuple(_breaks(found, slow_host)))


def _breaks(found: Scaled, slow_host: bool) -> Iterator[str]:
    if slow_host:
        yield "the host starts operators more slowly than the GPU computes them; take larger crops"
    if found.gpus > 1:
        yield (
            f"a step sees {found.batch} crops in place of {found.batch // found.gpus}, and there are as many "
            "times fewer steps, so the learning rate has to be found anew"
        )
    if found.read > _DISK:
        yield (
            f"{found.read / 1e9:.1f} GB/s of crops, more than the {_DISK / 1e9:g} of a shared disk; "
            "keep the cases on the GPUs (case_cache=device) or on each machine's own disk"
        )
    if found.efficiency < _STILL_GOOD:
        yield "gradients travel longer than a tenth of the step"


def _command(gpus: int, options: str, batch: int, iterations: int) -> str:
    sizes = f"precision=auto batch_size={batch} iterations_per_epoch={iterations}"
    train = f"-m MissingModalityLib train {options} --set {sizes}"
    if gpus == 1:
        return f"python {train}"
    if gpus <= PER_NODE:
        return f"torchrun --standalone --nproc-per-node {gpus} {train}"
    nodes = ceil(gpus / PER_NODE)
    return (
        f"srun --nodes {nodes} --ntasks-per-node 1 --gpus-per-node {PER_NODE} torchrun --nnodes {nodes} "
        f'--nproc-per-node {PER_NODE} --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" '
        f'--rdzv-endpoint "$first:29500" {train}'
    )


STUDIES = 10_000
"""A hospital's archive of some years."""

STUDY_CORE_SECONDS = 40.0
"""Of a raw study of four sequences on one core of an AMD EPYC with bfloat16: registered, stripped, checked
and segmented by the bundled network; measured 20 to 40 beside other programs."""

STUDY_MEMORY = 1.3 * 2**30
"""Bytes at most, measured with it."""

STUDY_GPU_SECONDS = 1.0
"""Of the network on a GPU with its preparation on the host, measured on an NVIDIA H200; registration and
stripping stay on the host."""

STUDY_BYTES = 40e6
"""Assumed: four sequences of 512 x 512 x 30 to 180 voxels, some compressed; the result is below 1 MB."""

CORES, NODE_MEMORY = 64, 256 * 2**30
"""Of a machine of the cluster, assumed."""


def hospital(machines: int) -> dict[str, Any]:
    """10,000 raw studies on so many machines without GPU, a process per core.

    Args:
        machines: of 64 cores and 256 GiB.
    """
    processes = machines * min(CORES, int(NODE_MEMORY / STUDY_MEMORY))
    seconds = STUDIES * STUDY_CORE_SECONDS / processes
    read = STUDIES * STUDY_BYTES / seconds
    return {
        "machines": machines,
        "processes": processes,
        "hours": seconds / 3600,
        "core_hours": STUDIES * STUDY_CORE_SECONDS / 3600,
        "read": read,
        "gpu_share": STUDY_GPU_SECONDS / STUDY_CORE_SECONDS,
        "breaks": tuple(_archive_breaks(processes, read)),
        "command": f"sbatch --array=0-{processes - 1} segment.sh",
    }


def _archive_breaks(processes: int, read: float) -> Iterator[str]:
    if read > _DISK:
        yield f"{read / 1e9:.1f} GB/s of volumes, more than the {_DISK / 1e9:g} of a shared disk"
    if processes > _LONGEST_ARRAY:
        yield (
            f"{processes} tasks, more than the {_LONGEST_ARRAY} of an array by Slurm's default MaxArraySize; "
            "give a task several cores and let it start a process on each"
        )


_LONGEST_ARRAY = 1000


def scale(name: str) -> dict[str, Any]:
    """The predictions of the documentation: three networks as published, but in 16 bits.

    Args:
        name: of the kind of GPU in :data:`.machines.GPUS`.

    Returns:
        ``gpu``, ``trainings`` (by network a list of :class:`Scaled`) and ``hospital`` (a list).

    Raises:
        OptionError: a GPU that is not known.
    """
    half = gpu(name).has_half
    trainings = {}
    for network, recipe in (("rfnet", "aem-kd"), ("segresnet", "aem-kd"), ("dynunet", "nnunet-dropout")):
        plan = make_plan(recipe, network, "paper", settings={"precision": "auto"})
        options = f"--data CASES --prepared PREPARED --output run --recipe {recipe} --network {network}"
        cost = dry_step(plan, "train", half)
        trainings[network] = [scaled(plan, "train", cost, name, count, options) for count in GPU_COUNTS]
    return {"gpu": name, "trainings": trainings, "hospital": [hospital(count) for count in (1, 8, 64)]}


_FIRST_MACHINE = (
    "$first is the first machine of the job; set it in the job's script:",
    "",
    """    first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)""",
)

_SEGMENT_SCRIPT = (
    "segment.sh is a script of yours, started once for each process; with the studies shared out to as many "
    "folders parts/0, parts/1, ... its last lines are:",
    "",
    "    export OMP_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1",
    """    missing-modality segment-folder --data "parts/$SLURM_ARRAY_TASK_ID" """
    """--output "results/$SLURM_ARRAY_TASK_ID\"""",
)


def scale_text(found: Mapping[str, Any]) -> str:
    """For people, as Markdown."""
    lines = [f"GPU: {found['gpu']}. Predicted, not measured."]
    for network, rows in found["trainings"].items():
        lines += [
            "",
            f"{network}:",
            "",
            "| GPUs | batch | s/step | crops/s | MB sent a step | GB/s read | efficiency | hours |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in rows:
            lines.append(
                f"| {row.gpus} | {row.batch} | {row.seconds:.3f} | {row.crops_per_second:.0f} | "
                f"{row.exchanged / 1e6:.0f} | {row.read / 1e9:.2f} | {row.efficiency:.0%} | "
                f"{24 * row.days:.1f} |"
            )
        lines.append("")
        lines += [f"    {row.command}" for row in rows]
        lines.append("")
        lines += [f"- {counted(row.gpus, 'GPU')}: {text}." for row in rows for text in row.breaks]
    lines += ["", *_FIRST_MACHINE, "", f"{STUDIES:,} raw studies on machines of {CORES} cores:", ""]
    lines += ["| machines | processes | hours | GB/s read | command |", "| --- | --- | --- | --- | --- |"]
    for row in found["hospital"]:
        lines.append(
            f"| {row['machines']} | {row['processes']} | {row['hours']:.2f} | {row['read'] / 1e9:.2f} | "
            f"`{row['command']}` |"
        )
    lines += ["", *_SEGMENT_SCRIPT, ""]
    lines += [f"- {row['machines']} machines: {text}." for row in found["hospital"] for text in row["breaks"]]
    return "\n".join(lines)
