"""Prints how well skulls are stripped: the table of Resources/Docs/stripping.md.

    python Testing/tools/measure_stripping.py SHARED_DATA [--only NAME] [--stripped FOLDER] [--sheets FOLDER]

For each raw case with the sequences it has, and for the union that is used: volume of the brain, Dice with
the HD-BET mask where there is one, share of the manual whole tumor that lies outside, and CPU seconds
without those of registration, which the case with volumes on grids of their own goes through first. For
each volume of stripped cases: whether it would be stripped again, and the share of its brain that would stay.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import SimpleITK as sitk

from MissingModalityLib.clinical import stripping
from MissingModalityLib.clinical.brain_mask import find_brain
from MissingModalityLib.clinical.brain_networks import load_networks
from MissingModalityLib.clinical.mask_checks import MM3_PER_CM3, on_grid, volume_mm3
from MissingModalityLib.clinical.registration import follow, register
from MissingModalityLib.clinical.stripping import needs_stripping, strip
from MissingModalityLib.core.modalities import MODALITIES, Modality
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.imaging.volumes import read_here

NATIVE = {"TCGA_FG_6692_native": "TCGA-FG-6692_native_unstripped"}
"""Cases whose volumes lie apart from their masks."""

SLICES = 8


def volumes(folder: Path) -> dict[Modality, sitk.Image]:
    """In channel order."""
    paths = {modality: folder / f"{modality.title.lower()}.nii.gz" for modality in MODALITIES}
    return {modality: read_here(path) for modality, path in paths.items() if path.is_file()}


def raw_cases(data: Path, only: list[str]) -> Iterator[tuple[Path, dict[Modality, sitk.Image]]]:
    """Folder of the masks and volumes of each raw case, or of those named."""
    for folder in sorted((data / "raw").iterdir()):
        if not only or folder.name in only:
            other = NATIVE.get(folder.name)
            if other:  # moved between the sequences; the tumor was drawn on T1
                yield folder, registered(volumes(data / "cases" / "other" / other), Modality.T1)
            else:
                yield folder, volumes(folder)


def registered(images: dict[Modality, sitk.Image], reference: Modality) -> dict[Modality, sitk.Image]:
    """The same in one space, the reference first."""
    first = images.pop(reference)
    return {reference: first} | {
        modality: follow(image, register(first, image, (reference.title, modality.title)))
        for modality, image in images.items()
    }


def dice_with_reference(mask: sitk.Image, folder: Path, modality: Modality) -> str:
    path = folder / f"brainmask_{modality.title.lower()}.nii.gz"
    if not path.is_file():
        return "-"
    found, expected = sitk.GetArrayFromImage(mask) > 0, sitk.GetArrayFromImage(read_here(path)) > 0
    return f"{2 * (found & expected).sum() / (found.sum() + expected.sum()):.3f}"


def tumor_lost(mask: sitk.Image, tumor: sitk.Image) -> str:
    labeled = sitk.GetArrayFromImage(tumor) > 0
    return f"{1 - on_grid(mask, Grid.from_image(tumor))[labeled].mean():.2%}"


def row(name: str, mask: sitk.Image, folder: Path, modality: Modality, seconds: float) -> None:
    tumor = read_here(next(folder.glob("whole_tumor*.nii.gz")))
    volume = volume_mm3(mask) / MM3_PER_CM3
    scores = (dice_with_reference(mask, folder, modality), tumor_lost(mask, tumor))
    print(f"| {name} | {volume:.0f} | {' | '.join(scores)} | {seconds:.1f} |", flush=True)


def measure_raw(folder: Path, images: dict[Modality, sitk.Image], sheets: Path | None) -> None:
    masks, spent = {}, {}
    for modality, image in images.items():
        start = time.process_time()
        masks[id(image)] = find_brain(image, load_networks())
        spent[modality] = time.process_time() - start
        row(f"{folder.name} {modality.title}", masks[id(image)], folder, modality, spent[modality])
    stripping.find_brain = lambda image, networks: masks[id(image)]  # each network run once
    start = time.process_time()
    brain = strip(Study(images, {modality: modality.title for modality in images}))
    seconds = time.process_time() - start + sum(spent.values())
    row(f"{folder.name} **all**", brain.mask, folder, Modality.T1, seconds)
    for warning in brain.warnings:
        print(f"  {warning}")
    if sheets:
        outlines = {modality: masks[id(image)] for modality, image in images.items()}
        draw(images, outlines, brain.mask, sheets / f"{folder.name}.png")


def draw(
    images: Mapping[Modality, sitk.Image], masks: Mapping[Modality, sitk.Image], brain: sitk.Image, path: Path
) -> None:
    """A row for each volume: slices with the outline of its mask in red, of the study's brain in yellow."""
    figure, axes = plt.subplots(len(images), SLICES, figsize=(2.4 * SLICES, 2.6 * len(images)), squeeze=False)
    for (modality, image), line in zip(images.items(), axes, strict=True):
        array = sitk.GetArrayFromImage(image)
        outlines = {"red": sitk.GetArrayFromImage(masks[modality])}
        outlines["yellow"] = on_grid(brain, Grid.from_image(image))
        for number, axis in zip(np.linspace(1, len(array) - 2, SLICES).astype(int), line, strict=True):
            axis.imshow(array[number], cmap="gray", vmax=np.percentile(array, 99.5))
            for color, mask in outlines.items():
                if mask[number].any():
                    axis.contour(mask[number], [0.5], colors=color, linewidths=0.7)
            axis.set_axis_off()
        line[0].set_title(modality.title)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)


def measure_stripped(folder: Path) -> None:
    for modality, image in volumes(folder).items():
        own = sitk.GetArrayFromImage(stripping._own_brain(image)) > 0
        kept = sitk.GetArrayFromImage(find_brain(image, load_networks()))[own].mean()
        print(f"| {folder.name} {modality.title} | {needs_stripping(image)} | {kept:.2%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with raw and cases")
    parser.add_argument("--only", nargs="*", default=[], help="names of raw cases")
    parser.add_argument("--stripped", type=Path, nargs="*", default=(), help="folders of stripped cases")
    parser.add_argument("--sheets", type=Path, help="folder for pictures")
    options = parser.parse_args()
    print("| raw case, sequence | cm³ | Dice with HD-BET | tumor lost | CPU s |\n|---|---|---|---|---|")
    for folder, images in raw_cases(options.data, options.only):
        measure_raw(folder, images, options.sheets)
    print("\n| stripped case, sequence | stripped again | brain kept |\n|---|---|---|")
    for folder in options.stripped:
        measure_stripped(folder)


if __name__ == "__main__":
    main()
