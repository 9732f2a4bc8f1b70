"""Seconds and peak memory of a training step, and how strongly each loss term teaches when training begins.

Every line is measured in a process of its own, on crops of one patient, by the loop that trains:
one step to warm up, then the mean of the next ones; CPU seconds are those of all threads. Where there are
further terms beside what the labels teach (a teacher trained along, a discriminator, a second subset), five
steps follow in which the gradient of each term with respect to the network (of a pair: the student) is taken
by itself; by then the weights of distances, which rise over the steps before, are what they stay at. Memory
on a CPU is the process's own, with some 0.6 GiB that Python and PyTorch take; on a GPU it is what PyTorch
allocates.
Calls and reads of a further step, an epoch of its own, as step_counts.py has them; with the augmentation of
the preset, whose decisions are reads of the host's own numbers, as the steps that Adam counts on a CPU are.

    make bench                                                         this too: crops of 64^3, preset "light"
    python Testing/tools/bench_training.py --preset paper              networks of the papers' sizes
    python Testing/tools/bench_training.py --preset paper --crop own   and their crops; minutes a step
    python Testing/tools/bench_training.py --lines mst-kd --device cuda
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from bench_child import in_child
from MissingModalityLib.networks.registry import NETWORKS

# The parent imports nothing heavy: the peak memory of a child, as Linux counts it, starts from its parent's.

LINES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "baseline": ("baseline", "segresnet", "train", {}),
    "rfnet": ("baseline", "rfnet", "train", {"supervised.fusion_start_epoch": 0}),
    "aem-kd": ("aem-kd", "rfnet", "posttrain", {}),
    "mst-kd": ("mst-kd", "mstkdnet", "train", {}),
    "mst-kd checkpointing": ("mst-kd", "mstkdnet", "train", {"network.activation_checkpointing": True}),
    "adamm": ("adamm", "adamm", "train", {}),
    "adamm checkpointing": ("adamm", "adamm", "train", {"network.activation_checkpointing": True}),
    "smu-net": ("smu-net", "smunet", "train", {}),
    "acn": ("acn", "acn", "train", {}),
    "ra-hved": ("ra-hved", "rahved", "train", {}),
    "m3ae": ("m3ae", "m3ae", "train", {}),
}
"""Recipe, network, stage and settings; crops one at a time."""
LINES |= {
    name: ("baseline", name, "train", {})
    for name in NETWORKS
    if name not in {network for _, network, _, _ in LINES.values()}
}
SEED = 2021
SUPERVISION = {
    "joint": ("student_dice", "student_entropy"),
    "adversarial": ("dice", "all_dice"),
    "mutual": ("dice", "bce"),
}
"""By method, the terms that compare predictions with labels; the methods whose gradients are taken."""
MEASURED_STEPS = 5
"""In which gradients are taken."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.measure:
        print(json.dumps(_measure(options.measure, options)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.folder = folder
        if not options.data:
            in_child(__file__, "case", options)
        results = []
        for name in options.lines:
            results.append(in_child(__file__, name, options, options.limit) or {"line": name})
            if options.output:  # after each line: somebody may end all of this before the last one
                options.output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(_table(results, options), flush=True)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES), metavar="LINE")
    parser.add_argument("--data", type=Path, metavar="DIR", help="of cases (default: a synthetic patient)")
    parser.add_argument("--preset", default="light", help="of the networks (default: %(default)s)")
    parser.add_argument("--crop", default="64", help="side, z,y,x, or 'own': the preset's (default: 64)")
    parser.add_argument("--precision", default="auto", help="as the setting (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3, help="to time (default: %(default)s)")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="that a line may take; then it failed")
    parser.add_argument("--output", type=Path, help="write the figures as JSON too")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = sys.argv[1:] if arguments is None else list(arguments)
    return parser.parse_args(given, argparse.Namespace(arguments=given))


def _measure(line: str, options: argparse.Namespace) -> dict[str, Any]:
    folder = Path(options.folder)
    if line == "case":
        from MissingModalityLib.phantom.patient import write_patient

        return {"case": str(write_patient(folder / "cases", SEED))}
    from MissingModalityLib.runtime.devices import describe_device
    from step_counts import count

    trainer, settings = _trainer(line, options)
    trainer.train_epoch(trainer.trained, 0)
    start, busy = time.perf_counter(), time.process_time()
    for epoch in range(1, 1 + options.steps):
        trainer.train_epoch(trainer.trained, epoch)
    seconds = (time.perf_counter() - start) / options.steps
    busy = (time.process_time() - busy) / options.steps
    peak = _peak_memory(trainer.stage.device)  # before the profiler, which holds all it has seen
    counts = count(lambda: trainer.train_epoch(trainer.trained, 1 + options.steps))
    return {
        "line": line,
        "crop": settings.patch_size,
        "parameters": sum(parameter.numel() for parameter in trainer.trained.parameters()),
        "seconds": seconds,
        "cpu_seconds": busy,
        "device": describe_device(trainer.stage.device),
        "counts": asdict(counts),
        "peak_gib": peak / 2**30,
        "gradients": _gradients(trainer, 2 + options.steps) if settings.method in SUPERVISION else {},
    }


def _gradients(trainer: Any, epoch: int) -> dict[str, float]:
    """Mean norm over some steps of each term's gradient with respect to the network, by name in the log.

    Of a pair with respect to the student. Further ``supervision``, of what compares with labels together.
    """
    import torch

    # the stage's network is the student of a pair, and the network itself elsewhere
    method, weights = trainer.stage.method, list(trainer.stage.network.parameters())
    loss, norms = method.loss, []

    def recording(*arguments: Any) -> dict[str, Any]:
        terms = loss(*arguments)
        own = SUPERVISION[trainer.stage.settings.method]
        shown = {name: x for name, x in terms.items() if not name.startswith("teacher") and name != "total"}
        shown["supervision"] = sum(terms[name] for name in own if name in terms)
        found = {}
        for name, term in shown.items():
            if term.requires_grad:  # not of a sample that both networks see alike
                parts = torch.autograd.grad(term, weights, retain_graph=True, allow_unused=True)
                squares = [part.float().square().sum() for part in parts if part is not None]
                found[name] = torch.stack(squares).sum().sqrt().item()
        norms.append(found)
        return terms

    method.loss = recording
    for number in range(MEASURED_STEPS):
        trainer.train_epoch(trainer.trained, epoch + number)
    method.loss = loss
    return {name: fmean(found[name] for found in norms if name in found) for name in norms[0]}


def _trainer(line: str, options: argparse.Namespace) -> tuple[Any, Any]:
    """What trains, with epochs of a single step, and its settings."""
    import torch

    from MissingModalityLib import networks
    from MissingModalityLib.core.seeding import SEED_SEQUENCE_RULE
    from MissingModalityLib.datasets.discovery import find_cases
    from MissingModalityLib.imaging.cache import cache_case
    from MissingModalityLib.methods.registry import METHODS
    from MissingModalityLib.runtime.devices import choose_device
    from MissingModalityLib.training.loop import StageRun, Trainer
    from MissingModalityLib.training.plan import make_plan
    from MissingModalityLib.training.run_folder import RunFolder

    recipe, network, stage, changes = LINES[line]
    common = {
        "iterations_per_epoch": 1,
        "batch_size": 1,
        "num_workers": 0,
        "precision": options.precision,
        "oversample_foreground": 1.0,
        # as many epochs as are made here, at the learning rate of the first one
        "epochs": 2 + options.steps + MEASURED_STEPS,
        "lr_schedule": "constant-linear",
        "lr_decay_fraction": 0,
        "joint.ramp_epochs": 1 + options.steps,
        "joint.consistency_ramp_epochs": 1 + options.steps,
    }
    crop = {} if options.crop == "own" else {"patch_size": options.crop}
    plan = make_plan(recipe, network, options.preset, settings={**common, **crop, **changes})
    settings, device = plan.stages[stage], choose_device(options.device)
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    cases = find_cases(options.data or Path(options.folder) / "cases").cases
    case = max(cases, key=lambda case: len(case.images))
    trained = StageRun(
        name=stage,
        stages=[stage],
        folder=RunFolder(Path(options.folder)),
        network=networks.build(plan.network, **plan.network_options).to(device),
        method=METHODS.get(settings.method)(settings.method_options()),
        cases=[cache_case(case, Path(options.folder) / "prepared")],
        held_out=[],
        settings=settings,
        seed=SEED,
        seeding=SEED_SEQUENCE_RULE,
        device=device,
        progress=lambda event: None,
    )
    trainer = Trainer(trained)
    trained.method.begin_epoch(trained.network, 0)
    return trainer, settings


def _peak_memory(device: Any) -> int:
    import torch

    from MissingModalityLib.core.environment import peak_memory

    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()


def _table(results: Sequence[dict[str, Any]], options: argparse.Namespace) -> str:
    width = max(len(result["line"]) for result in results)
    lines = [
        f"One training step, preset {options.preset}, batch 1, {_device(results, options)}",
        f"{'':{width}}  {'crop':>11}  {'million parameters':>18}  {'seconds':>8}  {'CPU s':>6}"
        f"  {'peak GiB':>8}  {'calls':>6}  {'reads':>6}",
    ]
    for result in results:
        if "seconds" not in result:
            lines.append(f"{result['line']:{width}}  failed, see above")
            continue
        lines.append(
            f"{result['line']:{width}}  {'x'.join(map(str, result['crop'])):>11}  "
            f"{result['parameters'] / 1e6:18.1f}  {result['seconds']:8.2f}  "
            f"{result['cpu_seconds']:6.2f}  {result['peak_gib']:8.2f}"
            f"  {result['counts']['calls']:6}  {result['counts']['reads']:6}"
        )
    return "\n".join([*lines, *_ratio(results), *map(_shares, filter(_has_gradients, results))])


def _ratio(results: Sequence[dict[str, Any]]) -> list[str]:
    """How much cheaper for the processor the default network is than the one before, where both are measured.

    In CPU seconds, which do not count what else the computer does meanwhile.
    """
    spent = {result["line"]: result["cpu_seconds"] for result in results if "cpu_seconds" in result}
    if not {"baseline", "gatedfusion"} <= set(spent):
        return []
    ratio = spent["baseline"] / spent["gatedfusion"]
    return [
        f"A step of gatedfusion for one of segresnet (baseline): {ratio:.2f} times cheaper, in CPU seconds"
    ]


def _device(results: Sequence[dict[str, Any]], options: argparse.Namespace) -> str:
    """The processor of the lines that did not fail."""
    names = {result["device"] for result in results if "device" in result}
    threads = f", {options.threads} threads" if options.device == "cpu" else ""
    return f"{' and '.join(names) or options.device}{threads}"


def _has_gradients(result: dict[str, Any]) -> bool:
    return bool(result.get("gradients"))


def _shares(result: dict[str, Any]) -> str:
    """Of a line, norms of the gradients of weighted terms in units of that of what compares with labels."""
    norms = dict(result["gradients"])
    own = norms.pop("supervision")
    shares = ", ".join(f"{name} {norm / own:.2f}" for name, norm in norms.items())
    return f"{result['line']}, gradients over that of what compares with labels: {shares}"


if __name__ == "__main__":
    sys.exit(main())
