"""Seconds and memory of a raw case, from files to the label map, and of starting up (`make bench`).

Every measurement is a process of its own:

- the case one volume after the other on one thread and as the library does it, with the label maps compared;
  then with the network in float32, whose label map may differ in some voxels;
- what each step takes, and the memory that it reaches;
- what the parts of the raw steps take, one after the other, and how long they would take on two cores in the
  order in which they are begun;
- the network's seconds by how many sequences there are, and how far they lie off a straight line;
- printing the help, and reading, checking and building a student, beside importing PyTorch.

CPU seconds do not count what else the computer does.

    make bench                                         a synthetic raw patient, or CASE=folder of a raw one
    python Testing/tools/bench_raw.py --threads 2
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench_child import in_child

# The parent imports nothing heavy: the peak memory of a child, as Linux counts it, starts from its parent's.

SEED = 1
WAYS = {"in-turn": (1, "auto"), "side-by-side": (None, "auto"), "float32": (None, "float32")}
"""Threads (those asked for where None) and precision."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all tables."""
    options = _options(arguments)
    if options.measure:
        print(json.dumps(MEASURES[options.measure](options)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.folder = folder
        if not options.case:
            in_child(__file__, "case", options)
        found = {name: in_child(__file__, name, options) for name in MEASURES if name != "case"}
    if None in found.values():
        return 1
    if options.output:
        options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print("\n".join(_lines(found)), flush=True)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--case", default=os.environ.get("CASE"), help="folder of a raw case")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write the figures as JSON too")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = sys.argv[1:] if arguments is None else list(arguments)
    return parser.parse_args(given, argparse.Namespace(arguments=given))


def _make_case(options: argparse.Namespace) -> dict[str, Any]:
    from MissingModalityLib.phantom.raw_patient import write_raw_patient

    return {"case": str(write_raw_patient(options.folder, SEED))}


def _whole_case(options: argparse.Namespace, way: str) -> dict[str, Any]:
    """Every step of a case, and its label map beside it in the folder."""
    told: dict[str, dict[str, float]] = {}
    threads, precision = WAYS[way]
    threads = threads or options.threads
    with _step("imports", told):
        import numpy as np
        import SimpleITK as sitk
        import torch

        from MissingModalityLib.clinical import raw
        from MissingModalityLib.clinical.steps import Steps
        from MissingModalityLib.datasets.discovery import find_cases
        from MissingModalityLib.imaging.preparation import prepare
        from MissingModalityLib.imaging.reading import read_study
        from MissingModalityLib.inference.locations import bundled_student
        from MissingModalityLib.inference.student import Student
        from MissingModalityLib.runtime import side_by_side
        from MissingModalityLib.runtime.devices import describe_device
    side_by_side.usable_cores = lambda: threads
    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    with _step("student", told):
        student = Student.load(Path(bundled_student()))
        student.precision = precision
    with _step("read", told):
        study = read_study(find_cases(Path(options.case or options.folder)).cases[0])
    parts = _timed_parts() if way == "in-turn" else {}
    with _step("register, strip, check, even out", told):
        study = raw.make_ready(study, Steps()).study
    with _step("prepare", told):
        prepared = prepare(study)
    with _step("segment", told):
        classes = student.classes(prepared)
    np.save(options.folder / f"{way}.npy", classes)
    by_count = {}
    for count in range(1, 1 + len(study.images)) if way == "side-by-side" else ():
        with _step("", by_count):
            list(student.classes_of(prepared, [tuple(study.images)[:count]]))
        by_count[str(count)] = by_count.pop("")
    device = describe_device(torch.device("cpu"))
    return {"steps": told, "threads": threads, "device": device, "sequences": by_count, "parts": parts}


def _timed_parts() -> dict[str, list[float]]:
    """CPU seconds of each part of the raw steps, filled while they run, one after the other."""
    from MissingModalityLib.clinical import bias_field, registration, stripping

    found: dict[str, list[float]] = {}
    for name, (module, function) in {
        "register": (registration, "_register"),
        "strip": (stripping, "_in_head"),
        "even out": (bias_field, "evened"),
    }.items():
        setattr(module, function, _timed(getattr(module, function), found.setdefault(name, [])))
    return found


def _timed(work: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        start = time.process_time()
        try:
            return work(*arguments)
        finally:
            seconds.append(time.process_time() - start)

    return timed


@contextmanager
def _step(name: str, told: dict[str, dict[str, float]]) -> Iterator[None]:
    """Seconds of a block, and the most memory (MiB) that the process held in it, where Linux tells."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    told[name] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": _peak()}


def _peak() -> float:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _differ(options: argparse.Namespace) -> dict[str, Any]:
    """In how many voxels label maps differ from that of one volume after the other."""
    import numpy as np

    maps = {way: np.load(options.folder / f"{way}.npy") for way in WAYS}
    first = maps["in-turn"]
    return {
        "tumor": int(np.count_nonzero(first)),
        **{way: int(np.count_nonzero(one != first)) for way, one in maps.items()},
    }


def _start(options: argparse.Namespace) -> dict[str, float]:
    """CPU seconds of programs that do one thing, each beside an interpreter that does nothing."""
    load = "from MissingModalityLib.inference.student import Student; "
    path = "from MissingModalityLib.inference.locations import bundled_student; "
    programs = {
        "Python alone": "pass",
        "missing-modality --help": "from MissingModalityLib.__main__ import main; main(['--help'])",
        "importing PyTorch": "import torch",
        "importing the student": load,
        "a student ready": f"{load}{path}Student.load(bundled_student())",
    }
    return {name: _cpu_seconds(program) for name, program in programs.items()}


def _cpu_seconds(program: str) -> float:
    """Of a program in a new interpreter, the least of three."""

    def spent() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    return min(spent() for _ in range(3))


MEASURES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "case": _make_case,
    "in-turn": lambda options: _whole_case(options, "in-turn"),
    "side-by-side": lambda options: _whole_case(options, "side-by-side"),
    "float32": lambda options: _whole_case(options, "float32"),
    "differ": _differ,
    "start": _start,
}
"""In the order in which they are made: label maps are compared last."""


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """All tables."""
    straight, sequences = found["in-turn"], found["side-by-side"]["sequences"]
    yield f"A raw case of {len(sequences)} sequences, {straight['device']}"
    yield f"{'':14} {'threads':>7} {'seconds':>8} {'ratio':>6} {'CPU s':>7} {'peak MiB':>8} {'differ':>7}"
    for way in WAYS:
        steps = found[way]["steps"].values()
        wall, cpu = (sum(step[kind] for step in steps) for kind in ("wall", "cpu"))
        ratio = sum(step["wall"] for step in straight["steps"].values()) / wall
        peak = max(step["peak"] for step in steps)
        amounts = f"{found[way]['threads']:7} {wall:8.1f} {ratio:5.2f}x {cpu:7.1f} {peak:8.0f}"
        yield f"{way:14} {amounts} {found['differ'][way]:7}"
    yield f"differ: voxels of the label map, of {found['differ']['tumor']} of tumor; steps: s, CPU s, MiB"
    for name in straight["steps"]:
        step = [found[way]["steps"][name] for way in WAYS]
        yield f"{name:33} " + " | ".join("{wall:6.2f} {cpu:6.2f} {peak:5.0f}".format(**one) for one in step)
    yield from _schedule(straight["parts"], straight["steps"]["register, strip, check, even out"]["cpu"])
    yield _by_sequences(sequences)
    yield from (f"{name:24} {seconds:5.2f} CPU s" for name, seconds in found["start"].items())


def _schedule(parts: dict[str, list[float]], total: float) -> Iterator[str]:
    """How long the raw steps would take on two cores that work at the rate of one, and what lies idle.

    Brains are looked for by threads, which are taken to share evenly; what is in no part is taken to be done
    on one core.
    """
    steps = {
        "registered": _on_two_cores(parts["register"]),
        "the brain found": sum(parts["strip"]) / 2,
        "evened out": _on_two_cores(parts["even out"]),
        "the rest": total - sum(map(sum, parts.values())),
    }
    for name, seconds in parts.items():
        yield f"{name:12} " + " ".join(f"{one:.2f}" for one in seconds) + " CPU s"
    listed = ", ".join(f"{name} {seconds:.1f}" for name, seconds in steps.items())
    yield f"on two cores {sum(steps.values()):.1f} s ({listed}); shared evenly {total / 2:.1f}"


def _on_two_cores(parts: Sequence[float]) -> float:
    """Seconds until parts are done that are begun in order, each when a core is free."""
    cores = [0.0, 0.0]
    for part in parts:
        cores[cores.index(min(cores))] += part
    return max(cores)


def _by_sequences(steps: dict[str, dict[str, float]]) -> str:
    """The network's CPU seconds by sequences, with the straight line through the first and the last."""
    counts, seconds = [int(count) for count in steps], [step["cpu"] for step in steps.values()]
    listed = ", ".join(f"{value:.2f}" for value in seconds)
    if len(counts) < 3:
        return f"segmenting from 1 to {counts[-1]} sequences: {listed} CPU s"
    rise = (seconds[-1] - seconds[0]) / (counts[-1] - counts[0])
    line = [seconds[0] + rise * (count - counts[0]) for count in counts]
    off = max(abs(value - there) / there for value, there in zip(seconds, line, strict=True))
    return (
        f"segmenting from 1 to {counts[-1]} sequences: {listed} CPU s; {rise:.2f} for each more, "
        f"at most {off:.0%} off a straight line"
    )


if __name__ == "__main__":
    sys.exit(main())
