"""Seconds and peak memory of whole-case segmentation, beside the protocols in use today (`make bench`).

Measured in one run, each in a process of its own with the same number of threads:

- the student on all volumes of a case and on a single one: from images in memory to the label map on the
  patient's grid, preparation included;
- the protocol of the public RFNet code in this project's own RFNet with random weights: all encoders, windows
  of 80^3 voxels with 50 % overlap over the full image, plain average of the probabilities; preparation is not
  counted. A few windows are timed and the time scaled to all of them, unless --full is given;
- MONAI's SegResNet with 32 initial filters and random weights on the whole image at once, likewise without
  preparation. Both baselines compute in float32, as they are commonly run.

A second table compares the region-aware fusion of one RFNet window at full resolution with the same sums made
from a copy of every modality's features per region, as the paper writes them down. A third one compares all
15 subsets of an RFNet window predicted together, each modality encoded once, with one subset after the other.
The last one times what growing a donor's tumor in a recipient takes, from prepared cases in memory.

    make bench                          a synthetic patient of 240x240x155 voxels
    make bench CASE=folder              a case of your own
    python Testing/tools/bench.py --full      time every window (several minutes)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from bench_child import SEED, in_child, use_threads, warn_when_busy

# The parent imports nothing heavy: the peak memory of a child, as Linux counts it, starts from its parent's.

IMAGES, ARRAY = "images", "volume.npy"
FUSION_REPEATS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.measure:
        print(json.dumps(MEASURES[options.measure](options)))
        return 0
    warn_when_busy(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        case = _in_child("case", options)
        print(f"{case['description']}; {options.threads} CPU threads ({case['device']})", flush=True)
        tables = [[_in_child(name, options) for name in names] for names in TABLES]
    for results in tables:
        print(_table(results), flush=True)
    if options.output:
        report = {"case": case, "threads": options.threads, "tables": tables}
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--case", default=os.environ.get("CASE"), help="folder of a case; default: synthetic")
    parser.add_argument("--student", type=Path, help="default: the bundled one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--windows", type=int, default=3, help="RFNet windows to time (default 3)")
    parser.add_argument("--full", action="store_true", help="time all RFNet windows")
    parser.add_argument("--output", type=Path, help="write the figures as JSON too")
    sizes = parser.add_argument_group("sizes (smaller ones to try the script)")
    sizes.add_argument("--shape", type=int, nargs=3, default=(155, 240, 240), help="synthetic case, z y x")
    sizes.add_argument("--width", type=int, default=16, help="RFNet")
    sizes.add_argument("--window", type=int, default=80, help="RFNet")
    sizes.add_argument("--filters", type=int, default=32, help="SegResNet, a multiple of 8")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = sys.argv[1:] if arguments is None else list(arguments)
    return parser.parse_args(given, argparse.Namespace(arguments=given))


def _in_child(measure: str, options: argparse.Namespace) -> dict[str, Any]:
    result = in_child(__file__, measure, options)
    if result is None:
        raise SystemExit(f"The measurement '{measure}' failed; see above.")
    return result


def _make_case(options: argparse.Namespace) -> dict[str, Any]:
    """Put the case where the measurements find it: one image per modality, and all as one z-scored array."""
    import numpy as np
    import SimpleITK as sitk
    import torch

    from MissingModalityLib.core.modalities import MODALITIES, subset_name
    from MissingModalityLib.imaging.grid import Grid
    from MissingModalityLib.runtime.devices import describe_device

    images, origin = _images(options)
    grid = Grid.from_image(next(iter(images.values())))
    volume = np.zeros((len(MODALITIES), *reversed(grid.size)), np.float32)
    (options.folder / IMAGES).mkdir()
    for modality, image in images.items():
        sitk.WriteImage(image, str(options.folder / IMAGES / f"{modality.name}.nrrd"))
        floats = sitk.Cast(image, sitk.sitkFloat32)
        array = sitk.GetArrayFromImage(grid.resample(floats, sitk.sitkLinear, 0.0))
        inside = array[array != 0]
        volume[modality] = np.where(array != 0, (array - inside.mean()) / inside.std(), 0)
    np.save(options.folder / ARRAY, volume)
    size = "x".join(map(str, grid.size))
    return {
        "description": f"{origin}, {size} voxels, {subset_name(images)}",
        "device": describe_device(torch.device("cpu")),
    }


def _images(options: argparse.Namespace) -> tuple[dict[Any, Any], str]:
    if options.case:
        from MissingModalityLib.datasets.discovery import find_cases
        from MissingModalityLib.imaging.reading import read_study

        listing = find_cases(Path(options.case))
        if not listing.cases:
            raise SystemExit(f"{options.case} holds no case.\n{listing.describe()}")
        return dict(read_study(listing.cases[0]).images), listing.cases[0].name
    from MissingModalityLib.phantom.patient import grow_patient

    return grow_patient(SEED, shape=tuple(options.shape))[0], f"synthetic patient (seed {SEED})"


def _student(options: argparse.Namespace, only_one: bool) -> dict[str, Any]:
    import SimpleITK as sitk

    from MissingModalityLib.core.modalities import Modality, subset_name
    from MissingModalityLib.imaging.reading import Study
    from MissingModalityLib.inference.locations import bundled_student
    from MissingModalityLib.inference.student import Student

    path = options.student or bundled_student()
    student = Student.load(path)
    files = {Modality[file.stem]: file for file in (options.folder / IMAGES).iterdir()}
    chosen = sorted(files)[:1] if only_one else sorted(files)
    study = Study(
        {modality: sitk.ReadImage(str(files[modality])) for modality in chosen},
        {modality: files[modality].name for modality in chosen},
    )
    use_threads(options.threads)
    prediction = student.predict(study, device="cpu")
    return _result(f"student {path.stem}, {subset_name(chosen)}", prediction.seconds)


def _rfnet(options: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import torch

    from MissingModalityLib import networks

    torch.manual_seed(SEED)
    network = networks.build("rfnet", width=options.width).eval()
    volume = torch.from_numpy(np.load(options.folder / ARRAY))[None]
    available = torch.ones(1, 4, dtype=torch.bool)
    boxes = list(windows(volume.shape[2:], options.window))
    count = len(boxes) if options.full else min(options.windows, len(boxes))
    chosen = [boxes[index * len(boxes) // count] for index in range(count)]
    total = torch.zeros(1, 4, *volume.shape[2:])
    hits = torch.zeros(volume.shape[2:])
    use_threads(options.threads)
    with torch.inference_mode():
        if not options.full:
            network(volume[(..., *boxes[0])], available)  # the first window pays for warming up
        start = time.perf_counter()
        for box in chosen:
            total[(..., *box)] += network(volume[(..., *box)], available).logits.softmax(1)
            hits[box] += 1
        seconds = (time.perf_counter() - start) * len(boxes) / count
        start = time.perf_counter()
        (total / hits.clamp(min=1)).argmax(1)
        seconds += time.perf_counter() - start
    scaled = (
        f"ESTIMATED: {count} of {len(boxes)} windows timed, time scaled to all of them (--full times all)"
    )
    return _result(
        f"public RFNet protocol, width {options.width}, {len(boxes)} windows of {options.window}^3",
        seconds,
        f"all {len(boxes)} windows timed" if count == len(boxes) else scaled,
    )


def _segresnet(options: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import torch
    from monai.networks.nets import SegResNet

    torch.manual_seed(SEED)
    blocks = {"blocks_down": (1, 2, 2, 4), "blocks_up": (1, 1, 1)}
    network = SegResNet(init_filters=options.filters, in_channels=4, out_channels=3, **blocks).eval()
    volume = torch.from_numpy(np.load(options.folder / ARRAY))[None]
    use_threads(options.threads)
    with torch.inference_mode():
        start = time.perf_counter()
        missing = [-side % 8 for side in volume.shape[2:]]
        padding = [amount for side in reversed(missing) for amount in (0, side)]
        network(torch.nn.functional.pad(volume, padding)).sigmoid().gt(0.5)
        seconds = time.perf_counter() - start
    return _result(f"MONAI SegResNet, {options.filters} filters, whole image", seconds)


def _fusion(options: argparse.Namespace, copies: bool) -> dict[str, Any]:
    import torch

    from MissingModalityLib.networks.rfnet_fusion import RegionFusion

    torch.manual_seed(SEED)
    fusion = RegionFusion(options.width, regions=4).eval()
    stack = torch.randn(1, 4, options.width, *[options.window] * 3)
    maps = torch.randn(1, 4, *[options.window] * 3).softmax(1)
    used = range(4)

    def by_copies() -> torch.Tensor:
        copied = stack[:, None] * maps[:, :, None, None]
        weights = fusion._weights(stack, used, maps)[..., None, None, None, None]
        return (copied * weights).sum(2).flatten(1, 2)

    compute = by_copies if copies else lambda: fusion._region_sums(stack, used, maps)
    use_threads(options.threads)
    with torch.inference_mode():
        start = time.perf_counter()
        for _ in range(FUSION_REPEATS):
            compute()
        seconds = (time.perf_counter() - start) / FUSION_REPEATS
    title = (
        "the same from copies per modality and region" if copies else "region sums of one window, this RFNet"
    )
    return _result(title, seconds)


def _subsets(options: argparse.Namespace, together: bool) -> dict[str, Any]:
    import numpy as np
    import torch

    from MissingModalityLib import networks
    from MissingModalityLib.core.modalities import SUBSETS, availability
    from MissingModalityLib.inference.sliding_window import infer

    torch.manual_seed(SEED)
    network = networks.build("rfnet", width=options.width).eval()
    size = (options.window,) * 3
    image = np.random.default_rng(SEED).standard_normal((4, *size), np.float32)
    flags = np.array([availability(subset) for subset in SUBSETS])
    how = {"window": size, "overlap": 0.0, "device": torch.device("cpu")}
    use_threads(options.threads)
    infer(network, image, flags[-1], **how)  # pays for warming up
    start = time.perf_counter()
    for chosen in [flags] if together else flags:
        infer(network, image, chosen, **how)
    seconds = time.perf_counter() - start
    return _result(f"15 subsets of one window, {'together' if together else 'one by one'}", seconds)


def _asymmetry(options: argparse.Namespace, with_plane: bool) -> dict[str, Any]:
    import numpy as np
    import torch

    from MissingModalityLib.imaging.boxes import tightest_box
    from MissingModalityLib.imaging.preparation import prepare
    from MissingModalityLib.imaging.reading import Study
    from MissingModalityLib.phantom.patient import grow_patient
    from MissingModalityLib.synthesis.error_map import tumor_part
    from MissingModalityLib.synthesis.midsagittal_plane import find_plane
    from MissingModalityLib.synthesis.transplant import centered, transplant

    def patient(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, label = grow_patient(seed, shape=tuple(options.shape))
        prepared = prepare(Study(images, {modality: modality.title for modality in images}), label)
        return torch.from_numpy(prepared.image), torch.from_numpy(prepared.label)

    (donor, tumor), (image, label) = patient(SEED), patient(SEED + 1)
    use_threads(options.threads)
    plane = find_plane(donor)  # the first one pays for warming up
    start = time.perf_counter()
    if with_plane:
        plane = find_plane(donor)
    box = tightest_box(tumor.numpy() > 0)
    place = np.add(centered(label.shape, tumor.shape), [edge.start for edge in box])
    transplant(image, label, tumor_part(donor, tumor, plane, box), tumor[box], place.tolist())
    seconds = time.perf_counter() - start
    size = "x".join(map(str, donor.shape))
    title = f"a tumor of {size} transplanted" if with_plane else "the same with the plane known"
    return _result(title, seconds)


def windows(shape: Sequence[int], side: int) -> Iterator[tuple[slice, ...]]:
    """Boxes at half-window steps, the last one of each axis flush with its end."""
    starts = [[*range(0, max(size - side, 0), side // 2), max(size - side, 0)] for size in shape]
    for corner in product(*starts):
        yield tuple(slice(start, start + side) for start in corner)


def _result(title: str, seconds: float, note: str = "") -> dict[str, Any]:
    from MissingModalityLib.core.environment import peak_memory

    return {"title": title, "seconds": seconds, "peak_gib": peak_memory() / 2**30, "note": note}


def _table(results: Sequence[dict[str, Any]]) -> str:
    first = results[0]
    width = max(len(result["title"]) for result in results)
    lines = [f"{'':{width}}  {'seconds':>9}  {'peak GiB':>8}  {'time':>7}  {'memory':>7}"]
    for result in results:
        time_ratio, memory_ratio = (result[key] / first[key] for key in ("seconds", "peak_gib"))
        lines.append(
            f"{result['title']:{width}}  {result['seconds']:9.2f}  {result['peak_gib']:8.2f}  "
            f"{time_ratio:6.2f}x  {memory_ratio:6.2f}x"
        )
    lines += [f"  {result['title']}: {result['note']}" for result in results if result["note"]]
    return "\n".join(("", *lines))


MEASURES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "case": _make_case,
    "student_all": lambda options: _student(options, only_one=False),
    "student_one": lambda options: _student(options, only_one=True),
    "rfnet": _rfnet,
    "segresnet": _segresnet,
    "fusion": lambda options: _fusion(options, copies=False),
    "fusion_copies": lambda options: _fusion(options, copies=True),
    "subsets": lambda options: _subsets(options, together=True),
    "subsets_apart": lambda options: _subsets(options, together=False),
    "asymmetry": lambda options: _asymmetry(options, with_plane=True),
    "asymmetry_rest": lambda options: _asymmetry(options, with_plane=False),
}

TABLES = (
    ("student_all", "student_one", "rfnet", "segresnet"),
    ("fusion", "fusion_copies"),
    ("subsets", "subsets_apart"),
    ("asymmetry", "asymmetry_rest"),
)
"""What is measured; ratios are to the first of each table."""

if __name__ == "__main__":
    sys.exit(main())
