"""A head is told from a brain, and a study's brain is what half of its volumes, or FLAIR, take for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from heads import BRAIN_MM, GRID, ball, brain, brain_mask, head
from MissingModalityLib.clinical import stripping
from MissingModalityLib.clinical.installed_tools import Tool
from MissingModalityLib.clinical.mask_checks import implausible_masks
from MissingModalityLib.clinical.stripping import grown, needs_stripping, strip
from MissingModalityLib.core.errors import ImageError, NetworksMissing
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging import plausibility
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.imaging.volumes import read_here

FLAIR, T1CE, T1, T2 = Modality
THICK = Grid((56, 66, 18), (3.0, 3.0, 9.0), (-82.5, -97.5, -76.5), GRID.direction)


@pytest.fixture(autouse=True)
def true_limits(monkeypatch: pytest.MonkeyPatch, true_head_sizes: dict[str, float]) -> None:
    """Heads of these tests have a person's size."""
    for name, size in true_head_sizes.items():
        monkeypatch.setattr(plausibility, name, size)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[int, sitk.Image]:
    """What deepbet finds in the volume with this number in its voxel (0, 0, 0), each once."""
    masks: dict[int, sitk.Image] = {}
    monkeypatch.setattr(stripping, "TOOLS", ())
    monkeypatch.setattr(stripping, "load_networks", lambda: None)
    monkeypatch.setattr(stripping, "find_brain", lambda image, networks: masks.pop(int(image[0, 0, 0])))
    return masks


def study(*images: sitk.Image) -> Study:
    """Volumes in channel order; the n-th one carries n in its voxel (0, 0, 0)."""
    volumes = {}
    for modality, image in zip(Modality, images, strict=False):
        image[0, 0, 0] = int(modality)
        volumes[modality] = image
    return Study(volumes, {modality: f"{modality.title}.nii.gz" for modality in volumes})


def array(mask: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(mask).astype(bool)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


def slab(image: sitk.Image) -> sitk.Image:
    """Its middle 40 mm, in a field of view with much air."""
    return sitk.ConstantPad(image[:, :, 15:25], (16, 12, 0), (16, 12, 0), 0)


@pytest.mark.parametrize(
    "image",
    [head(), head(air=0), slab(head(air=0)), head(THICK)],
    ids=["noise in the air", "air set to 0", "ten slices, air set to 0", "thick slices"],
)
def test_a_head_needs_stripping(image: sitk.Image) -> None:
    assert needs_stripping(image)


def z_scored() -> sitk.Image:
    """With a background of a negative constant, as a whole volume with its air is normalized."""
    return (brain() - 400.0) / 120.0


@pytest.mark.parametrize(
    "image",
    [brain(), brain(THICK), z_scored(), slab(brain())],
    ids=["plain", "thick", "z-scored", "ten slices"],
)
def test_a_brain_alone_does_not(image: sitk.Image) -> None:
    assert not needs_stripping(image)


def test_real_volumes_are_told_apart(real_case: Callable[[str], Path], shared: Path) -> None:
    raw = real_case("TCGA-FG-6692_native_unstripped")
    for name in ("flair", "t1"):
        assert needs_stripping(read_here(raw / f"{name}.nii.gz")), name
    assert needs_stripping(read_here(shared / "data" / "raw" / "TCGA_DU_6408_19860521" / "t1ce.nii.gz"))
    for case in ("BraTS2021_00000", "brats_2013_pat0001_1"):
        assert not needs_stripping(read_here(real_case(case) / "flair.nii.gz")), case


def test_the_brain_is_what_one_of_two_sequences_shows(found: dict[int, sitk.Image]) -> None:
    bump = (0.0, BRAIN_MM[1], 0.0)
    first, second = brain_mask(), brain_mask()
    extended = array(second) | ball((12, 12, 12), center=bump)
    found |= {FLAIR: first, T1CE: GRID.to_image(extended.astype(np.uint8))}
    result = strip(study(head(), head(seed=1)))
    assert array(result.mask)[extended].all()
    assert array(result.mask).sum() == extended.sum()
    assert result.volume_cm3 == pytest.approx(extended.sum() * 0.064)
    assert result.method == "deepbet 1.0.2 in FLAIR and T1ce"
    assert result.warnings == ()


def test_what_flair_alone_takes_for_brain_is_kept(found: dict[int, sitk.Image]) -> None:
    extended = array(brain_mask()) | ball((12, 12, 12), center=(0.0, BRAIN_MM[1], 0.0))
    found |= {FLAIR: GRID.to_image(extended.astype(np.uint8)), T1CE: brain_mask(), T1: brain_mask()}
    mask = strip(study(*(head(seed=seed) for seed in range(3)))).mask
    np.testing.assert_array_equal(array(mask), extended)


def test_what_one_of_four_sequences_takes_for_brain_is_none(found: dict[int, sitk.Image]) -> None:
    bump = ball((12, 12, 12), center=(0.0, BRAIN_MM[1], 0.0))
    extended = GRID.to_image((array(brain_mask()) | bump).astype(np.uint8))
    found |= {FLAIR: brain_mask(), T1CE: brain_mask(), T1: brain_mask(), T2: extended}
    alone = array(strip(study(*(head(seed=seed) for seed in range(4)))).mask)
    np.testing.assert_array_equal(alone, array(brain_mask()))
    found |= {FLAIR: brain_mask(), T1CE: extended, T1: extended, T2: brain_mask()}
    assert array(strip(study(*(head(seed=seed) for seed in range(4)))).mask)[bump].all()


@pytest.mark.parametrize(("volumes", "is_grown"), [(1, True), (2, False), (3, False), (4, False)])
def test_the_brain_of_one_volume_is_grown(
    volumes: int, is_grown: bool, found: dict[int, sitk.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripping, "grown", lambda mask: mask * 0 + 1)
    found |= {modality: brain_mask() for modality in list(Modality)[:volumes]}
    mask = strip(study(*(head(seed=seed) for seed in range(volumes)))).mask
    assert array(mask).all() == is_grown


def test_t2_is_asked_only_where_no_other_volume_shows_the_place(found: dict[int, sitk.Image]) -> None:
    upper = slice(None), slice(None), slice(10, None)
    found |= {FLAIR: brain_mask()[upper], T2: brain_mask(grow_mm=8)}
    first, second = head(), head(seed=1)[upper]
    first[0, 0, 0], second[0, 0, 0] = int(T2), int(FLAIR)
    mask = array(strip(Study({T2: first, FLAIR: second})).mask)
    np.testing.assert_array_equal(mask[12:], array(brain_mask())[12:])
    np.testing.assert_array_equal(mask[:8], array(brain_mask(grow_mm=8))[:8])


@pytest.mark.parametrize("whole", [FLAIR, T2])
def test_where_a_volume_shows_the_whole_brain_a_part_is_not_asked(
    whole: Modality, found: dict[int, sitk.Image]
) -> None:
    half = slice(None), slice(None), slice(0, GRID.size[2] // 2)
    found |= {whole: brain_mask(), T1CE: brain_mask(center=(0, 35, 0))[half]}
    first, second = head(), head(seed=1)[half]
    first[0, 0, 0], second[0, 0, 0] = int(whole), int(T1CE)
    result = strip(Study({whole: first, T1CE: second}))
    np.testing.assert_array_equal(array(result.mask), array(brain_mask()))
    assert result.warnings == ()


def test_a_volume_does_not_vote_where_it_has_no_voxels(found: dict[int, sitk.Image]) -> None:
    half = slice(None), slice(None), slice(0, GRID.size[2] // 2)
    lower = brain_mask()[half]
    found |= {FLAIR: brain_mask(), T1CE: lower, T1: lower}
    result = strip(study(head(), head(seed=1)[half], head(seed=2)[half]))
    np.testing.assert_array_equal(array(result.mask), array(brain_mask()))


def test_the_rim_is_measured_in_millimeters_along_each_axis() -> None:
    grid = Grid((21, 21, 9), (1.0, 0.7, 4.0), (0.0, 0.0, 0.0), GRID.direction)
    one = np.zeros(grid.size[::-1], np.uint8)
    one[4, 10, 10] = 1
    inside = np.argwhere(array(grown(grid.to_image(one)))) - [4, 10, 10]
    assert {tuple(map(int, each)) for each in inside} == {
        (0, y, x) for y in (-2, -1, 0, 1, 2) for x in (-1, 0, 1) if np.hypot(0.7 * y, x) <= 1.5
    }


def test_the_mask_lies_on_the_grid_of_the_reference_volume(found: dict[int, sitk.Image]) -> None:
    found |= {FLAIR: brain_mask(THICK), T1CE: brain_mask()}
    given = study(head(THICK), head())
    result = strip(given)
    assert Grid.from_image(result.mask) == THICK
    assert result.mask.GetPixelID() == sitk.sitkUInt8
    assert dice(array(result.mask), array(brain_mask(THICK))) > 0.97


def test_what_is_stripped_already_is_its_own_brain(found: dict[int, sitk.Image]) -> None:
    found |= {FLAIR: brain_mask(grow_mm=4)}
    looked_at = []
    result = strip(study(head(), brain()), on_volume=lambda number, name: looked_at.append((number, name)))
    assert looked_at == [(0, "FLAIR.nii.gz")]
    assert result.method == "deepbet 1.0.2 in FLAIR and the outline of what was stripped already (T1ce)"


def test_stripping_always_looks_at_what_seems_stripped(found: dict[int, sitk.Image]) -> None:
    found |= {FLAIR: brain_mask(grow_mm=-4)}
    assert strip(study(brain()), always=True).method == "deepbet 1.0.2 in FLAIR"
    assert not found
    unchanged = strip(study(brain()))
    assert dice(array(unchanged.mask), array(brain_mask())) > 0.999
    assert unchanged.method == "nothing, for all volumes are stripped already"


def test_a_mask_of_no_brains_size_is_left_out_and_told(found: dict[int, sitk.Image]) -> None:
    found |= {FLAIR: brain_mask(grow_mm=-45), T1CE: brain_mask(), T1: brain_mask(grow_mm=15)}
    result = strip(study(head(), head(seed=1), head(seed=2)))
    assert dice(array(result.mask), array(brain_mask())) > 0.99
    small, large = result.warnings
    assert small.startswith("FLAIR.nii.gz: the brain that was found in it was left out, because it has 3")
    assert large.startswith("T1.nii.gz: ") and "brains have 200 to 2000 cm³" in large


def test_a_mask_unlike_the_others_is_left_out_and_told(found: dict[int, sitk.Image]) -> None:
    found |= {FLAIR: brain_mask(), T1CE: brain_mask(center=(0, 35, 0)), T1: brain_mask(grow_mm=-1)}
    result = strip(study(head(), head(seed=1), head(seed=2)))
    assert dice(array(result.mask), array(brain_mask())) > 0.99
    (warning,) = result.warnings
    assert warning.startswith("T1ce.nii.gz: ") and "hardly agrees" in warning


def test_of_two_masks_that_differ_that_of_t1_is_kept(found: dict[int, sitk.Image]) -> None:
    found |= {FLAIR: brain_mask(center=(0, 35, 0)), T1CE: brain_mask()}
    result = strip(study(head(), head(seed=1)))
    assert dice(array(result.mask), array(brain_mask())) > 0.99
    assert result.warnings[0].startswith("FLAIR.nii.gz: ")


def test_a_brain_stripped_already_counts_more_than_any_mask(found: dict[int, sitk.Image]) -> None:
    found |= {T1CE: brain_mask(center=(0, 35, 0))}
    result = strip(study(brain(), head()))
    assert dice(array(result.mask), array(brain_mask())) > 0.99
    assert result.warnings[0].startswith("T1ce.nii.gz: ")


def test_a_volume_of_few_slices_is_compared_where_it_has_voxels(found: dict[int, sitk.Image]) -> None:
    found |= {FLAIR: brain_mask(), T1CE: slab(brain_mask())}
    result = strip(study(head(), slab(head(seed=1))))
    assert result.warnings == ()
    assert dice(array(result.mask), array(brain_mask())) > 0.99


def test_no_plausible_brain_is_an_error_that_says_what_to_do(found: dict[int, sitk.Image]) -> None:
    found |= {FLAIR: brain_mask(grow_mm=-57.9)}
    with pytest.raises(ImageError, match=r"by deepbet 1.0.2 FLAIR.nii.gz: it has 0 cm³, .* give its mask"):
        strip(study(head()))


def program(folder: Path, mask: sitk.Image, name: str = "find-brains") -> Tool:
    """A program on the path that gives this mask."""
    sitk.WriteImage(mask, str(folder / "mask.nii.gz"))
    script = folder / name
    script.write_text(f'#!/bin/sh\ntest -s "$2" || exit 3\ncp {folder}/mask.nii.gz "$4"\n')
    script.chmod(0o755)
    return Tool("Brain Finder", str(script), ("-i", "{input}", "-m", "{output}"))


def test_a_program_of_the_users_is_asked_where_deepbet_sees_no_brain(
    found: dict[int, sitk.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripping, "TOOLS", (program(tmp_path, brain_mask()),))
    found |= {FLAIR: brain_mask(grow_mm=-57.9)}
    result = strip(study(head()))
    assert result.method == "Brain Finder in FLAIR"
    assert dice(array(result.mask), array(brain_mask())) > 0.99


def test_a_program_of_the_users_is_enough_and_without_one_deepbet_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise NetworksMissing("install deepbet")

    monkeypatch.setattr(stripping, "networks_installed", lambda: False)
    monkeypatch.setattr(stripping, "load_networks", missing)
    monkeypatch.setattr(stripping, "TOOLS", (program(tmp_path, brain_mask()),))
    assert strip(study(head())).method == "Brain Finder in FLAIR"
    monkeypatch.setattr(stripping, "TOOLS", (Tool("Absent", "no-such-program", ()),))
    with pytest.raises(NetworksMissing, match="install deepbet"):
        strip(study(head()))


def test_a_mask_that_is_known_to_be_right_is_kept_whatever_its_volume() -> None:
    small = brain_mask(grow_mm=-50)
    assert set(implausible_masks({T1: small})) == {T1}
    assert not implausible_masks({T1: small}, sure=(T1,))


def test_of_two_masks_that_differ_the_one_that_is_cut_off_goes() -> None:
    whole, shifted = brain_mask(), brain_mask()
    array_of_part = np.roll(sitk.GetArrayFromImage(shifted), 12, axis=2)
    part = Grid.from_image(shifted).to_image(array_of_part)[:, :, :30]
    assert set(implausible_masks({FLAIR: whole, T1CE: part})) == {T1CE}
    both = {FLAIR: whole[:, :, :29], T1CE: part}
    assert set(implausible_masks(both)) == {FLAIR}
