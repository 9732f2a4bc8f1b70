"""How often volumes of a study are told to be exchanged, mirrored, copies, turned or no brains, and are so.

    python Testing/tools/measure_doubts.py sound FOLDER_OF_CASES
    python Testing/tools/measure_doubts.py mirrored FOLDER_OF_CASES --every 3
    python Testing/tools/measure_doubts.py strangers FOLDER_OF_CASES --every 3
    python Testing/tools/measure_doubts.py copies FOLDER_OF_CASES --every 6
    python Testing/tools/measure_doubts.py turned FOLDER_OF_CASES --every 6
    python Testing/tools/measure_doubts.py masks FOLDER_OF_CASES --every 14
    python Testing/tools/measure_doubts.py exchanged FOLDER_OF_CASES --every 5

Cases hold stripped volumes that lie in one space. ``mirrored`` mirrors one of two sequences by its header and
lays it over the other, ``strangers`` does so with a volume of the case before; pairs of sequences take turns.
``copies`` resamples and rescales a volume, ``turned`` lays it six ways by its header, ``masks`` puts brains
back into heads and holds their masks, where they lie and 10 mm aside, against the quick guess. ``exchanged``
gives T1 and T1ce as what they are and as each other, as they come and scanned anew (T1 in slices of 5.5 mm,
coil, noise; not moved, the brain known). One line each.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MissingModalityLib.clinical.alignment import align
from MissingModalityLib.clinical.anatomy import views
from MissingModalityLib.clinical.brain_checks import check_brain, not_background
from MissingModalityLib.clinical.brain_mask import rough_brain
from MissingModalityLib.clinical.brain_networks import load_networks
from MissingModalityLib.clinical.brain_shape import how_it_lies
from MissingModalityLib.clinical.content import check_content
from MissingModalityLib.clinical.copies import rank_correlation
from MissingModalityLib.clinical.heads import Head
from MissingModalityLib.clinical.mask_checks import dice
from MissingModalityLib.clinical.registration import Movement, follow
from MissingModalityLib.clinical.relations import check_relations
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.datasets.case import Case
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.reading import Study, read_study
from MissingModalityLib.phantom.acquisition import acquire
from MissingModalityLib.phantom.head import put_into_head
from MissingModalityLib.phantom.raw_patient import plan_acquisitions

WAYS = {
    "upside down": np.diag([1, 1, -1]),
    "back to front": np.diag([1, -1, 1]),
    "both": np.diag([1, -1, -1]),
    "y and z exchanged": np.eye(3)[[0, 2, 1]],
    "x and z exchanged": np.eye(3)[[2, 1, 0]],
    "axes rotated": np.eye(3)[[1, 2, 0]],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="one of so many cases")
    options = parser.parse_args()
    cases = find_cases(options.folder).cases
    for number, case in list(enumerate(cases))[:: options.every]:
        for line in KINDS[options.kind](number, case, cases[number - 1]):
            print(case.name, line, flush=True)


def sound(number: int, case: Case, before: Case) -> Iterator[str]:
    study = read_study(case)
    seen = views(study)
    ranks = {f"{a.title}+{b.title}": rank_correlation(seen[a], seen[b]) for a, b in combinations(seen, 2)}
    yield f"{[*check_brain(study), *check_relations(study)]} " + " ".join(
        f"{pair} {rank:.3f}" for pair, rank in ranks.items()
    )


def mirrored(number: int, case: Case, before: Case) -> Iterator[str]:
    yield from _laid(number, read_study(case), read_study(case), np.diag([-1.0, 1.0, 1.0]))


def strangers(number: int, case: Case, before: Case) -> Iterator[str]:
    yield from _laid(number, read_study(case), read_study(before), np.eye(3))


def _laid(number: int, study: Study, other: Study, columns: np.ndarray) -> Iterator[str]:
    pairs = [pair for pair in combinations(study.images, 2) if pair[1] in other.images]
    first, second = pairs[number % len(pairs)]
    moving = _under(other.images[second], columns)
    found = align(Head(study.images[first]), Head(moving))
    laid = follow(moving, Movement(found, 0.0, 0.0, True, (0.0, 0.0)))
    told = check_relations(Study({first: study.images[first], second: laid}))
    yield f"{first.title}+{second.title}: {[sentence[:40] for sentence in told]}"


def copies(number: int, case: Case, before: Case) -> Iterator[str]:
    study = read_study(case)
    image = sitk.Cast(study.images[study.reference], sitk.sitkFloat32)
    brain = image > 0
    noise = sitk.AdditiveGaussianNoise(image * 0, 0.1 * float(np.std(sitk.GetArrayViewFromImage(image))))
    changed = {
        "1.2 mm": _at(image, (1.2, 1.2, 1.2), 0.0),
        "0.8 x 0.8 x 3 mm, turned": _at(image, (0.8, 0.8, 3.0), 0.07),
        "slices of 5 mm": sitk.BinShrink(image, (1, 1, 5)),
        "gamma": sitk.Sqrt(sitk.Abs(image)),
        "inverted": sitk.Mask(image * -1 + float(sitk.GetArrayViewFromImage(image).max()), brain),
        "noise": sitk.Mask(image + noise, brain),
        "smoothed by 2 mm": sitk.Mask(sitk.SmoothingRecursiveGaussian(image, 2.0), brain),
    }
    for what, copy in changed.items():
        seen = views(Study({Modality.FLAIR: image, Modality.T2: copy}))
        yield f"{what} {rank_correlation(*seen.values()):.3f}"


def turned_headers(number: int, case: Case, before: Case) -> Iterator[str]:
    study = read_study(case)
    for what, columns in WAYS.items():
        yield f"{what}: {how_it_lies(not_background(_under(study.images[study.reference], columns)))}"


def masks(number: int, case: Case, before: Case) -> Iterator[str]:
    images, networks = read_study(case).images, load_networks()
    for modality, head in put_into_head(images, number).items():
        truth, guess = not_background(images[modality]), rough_brain(head, networks)
        aside = sitk.Image(truth)
        aside.SetOrigin(np.add(truth.GetOrigin(), (0, 10, 0)).tolist())
        yield f"{modality.title} Dice {dice(truth, guess):.3f}, 10 mm aside {dice(aside, guess):.3f}"


def exchanged(number: int, case: Case, before: Case) -> Iterator[str]:
    images, pair = read_study(case).images, (Modality.T1, Modality.T1CE)
    if not set(pair) <= set(images):
        return
    planned, still = plan_acquisitions(number), {"shift": (0.0,) * 3, "angles": (0.0,) * 3}
    raw = {
        one: acquire(
            sitk.Cast(images[one], sitk.sitkFloat32), replace(planned[one], **still), (number, int(one))
        )
        for one in pair
    }
    brain = not_background(images[Modality.T1])
    for what, volumes, mask in (("stripped", images, None), ("raw", raw, brain)):
        for way, given in (("right", pair), ("exchanged", pair[::-1])):
            study = Study(dict(zip(pair, (volumes[one] for one in given), strict=True)), {}, brain=mask)
            yield f"{what}, {way}: {[sentence[:40] for sentence in check_content(study)]}"


KINDS = {
    "sound": sound,
    "mirrored": mirrored,
    "strangers": strangers,
    "copies": copies,
    "turned": turned_headers,
    "masks": masks,
    "exchanged": exchanged,
}


def _under(image: sitk.Image, columns: np.ndarray) -> sitk.Image:
    """The same voxels under other axes."""
    image = sitk.Image(image)
    image.SetDirection((np.reshape(image.GetDirection(), (3, 3)) @ columns).ravel().tolist())
    return image


def _at(image: sitk.Image, spacing: tuple[float, ...], radians: float) -> sitk.Image:
    """The same image on another grid, a little elsewhere and turned about z."""
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.0, 0.0, radians)
    size = [
        int(n * s / step) for n, s, step in zip(image.GetSize(), image.GetSpacing(), spacing, strict=True)
    ]
    origin = np.add(image.GetOrigin(), 0.7).tolist()
    return sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, origin, spacing, turn.GetMatrix(), 0.0
    )


if __name__ == "__main__":
    main()
