"""Our way to deepbet's networks and back is the package's own, whatever way the volume lies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from heads import GRID, ball, brain_mask, head
from MissingModalityLib.clinical import brain_mask as our_way
from MissingModalityLib.clinical.brain_mask import find_brain, largest_part
from MissingModalityLib.clinical.brain_networks import BrainNetworks, load_networks, networks_installed
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.volumes import read_here

Package = Callable[[Path, BrainNetworks], np.ndarray]
"""Runs deepbet's own code on a file; a mask in SimpleITK's order."""

OBLIQUE = np.array([[0.0, -0.8, 0.6], [0.0, -0.6, -0.8], [1.0, 0.0, 0.0]])
LYING = Grid(
    (60, 70, 30), (3.0, 3.0, 6.0), tuple((OBLIQUE @ [-88.5, -103.5, -87.0]).tolist()), tuple(OBLIQUE.ravel())
)
"""Sagittal, oblique and flipped."""


class Middle(torch.nn.Module):
    """In place of a network: brain is what is neither dark nor bright, and some of what surrounds it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low, high = x.min(), x.max()
        share = (x - low) / (high - low)
        brain = torch.exp(-(((share - 0.55) / 0.1) ** 2))
        return torch.cat([1 - brain, brain], 1)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """deepbet's own code around given networks, without the packages that it imports and we do not have.

    Of these it needs the largest part of a mask and its holes filled, which scipy does.
    """
    nibabel = pytest.importorskip("nibabel")
    if find_spec("deepbet") is None:
        pytest.skip("deepbet is not installed; by: pip install --no-deps deepbet==1.0.2")
    names = {
        "cc3d": {"connected_components": lambda mask: ndimage.label(mask, np.ones((3, 3, 3)))[0]},
        "fill_voids": {"fill": ndimage.binary_fill_holes},
        "pandas": {},
    }
    for name, content in names.items():
        if find_spec(name) is None:
            module = ModuleType(name)
            vars(module).update(content)
            monkeypatch.setitem(sys.modules, name, module)
    for name in ("deepbet", "deepbet.bet", "deepbet.utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from deepbet import BrainExtraction

    sides = signature(BrainExtraction.run_model).parameters
    assert (sides["small_shape"].default, sides["shape"].default) == ((128,) * 3, (256,) * 3)

    def run(path: Path, networks: BrainNetworks) -> np.ndarray:
        extraction = BrainExtraction.__new__(BrainExtraction)
        extraction.bbox_model, extraction.model = networks.box, networks.brain
        sides = {"small_shape": our_way._BOX_SIDE, "shape": our_way._BRAIN_SIDE}
        shapes = {name: (side,) * 3 for name, side in sides.items()}
        extraction.run_model = partial(extraction.run_model, **shapes)
        mask = extraction.run(nibabel.load(path))[1]
        return np.asanyarray(mask.dataobj).astype(bool).T

    yield run
    for name in ("deepbet", "deepbet.bet", "deepbet.utils"):
        sys.modules.pop(name, None)


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> BrainNetworks:
    """Stand-ins with a fourth of the sides, so that both codes are fast."""
    assert (our_way._BOX_SIDE, our_way._BRAIN_SIDE) == (128, 256)
    monkeypatch.setattr(our_way, "_BOX_SIDE", 32)
    monkeypatch.setattr(our_way, "_BRAIN_SIDE", 64)
    return BrainNetworks(Middle(), Middle())


@pytest.mark.parametrize("grid", [GRID, LYING], ids=["axial", "sagittal, oblique and flipped"])
def test_masks_are_those_of_the_packages_own_code(
    grid: Grid, package: Package, small_networks: BrainNetworks, tmp_path: Path
) -> None:
    path = tmp_path / "head.nii.gz"
    sitk.WriteImage(head(grid), str(path))
    ours = sitk.GetArrayFromImage(find_brain(read_here(path), small_networks)).astype(bool)
    assert dice(ours, sitk.GetArrayFromImage(brain_mask(grid)).astype(bool)) > 0.95
    np.testing.assert_array_equal(ours, package(path, small_networks))


@pytest.mark.slow
def test_masks_of_a_raw_patient_are_the_packages(real_case: Callable[[str], Path], package: Package) -> None:
    path = real_case("TCGA-FG-6692_native_unstripped") / "t1ce.nii.gz"
    networks = load_networks()
    ours = sitk.GetArrayFromImage(find_brain(read_here(path), networks)).astype(bool)
    whole = BrainNetworks(networks.box.whole, networks.brain.whole)
    assert dice(ours, package(path, whole)) >= 0.999


def test_the_networks_find_the_brain_of_a_raw_patient(real_case: Callable[[str], Path], shared: Path) -> None:
    if not networks_installed():
        pytest.skip("deepbet is not installed; by: pip install --no-deps deepbet==1.0.2")
    path = real_case("TCGA-FG-6692_native_unstripped") / "flair.nii.gz"
    reference = shared / "data" / "raw" / "TCGA_FG_6692_native" / "brainmask_flair.nii.gz"
    image = read_here(path)
    mask = find_brain(image, load_networks())
    assert Grid.from_image(mask) == Grid.from_image(image)
    expected = sitk.GetArrayFromImage(read_here(reference)) > 0
    assert dice(sitk.GetArrayFromImage(mask) > 0, expected) > 0.95


def test_no_brain_gives_an_empty_mask(small_networks: BrainNetworks) -> None:
    even = GRID.to_image(np.full(GRID.size[::-1], 7.0, np.float32))
    for image, networks in ((even, small_networks), (head(), BrainNetworks(Nowhere(), Nowhere()))):
        assert not sitk.GetArrayFromImage(find_brain(image, networks)).any()


class Nowhere(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.ones_like(x), torch.zeros_like(x)], 1)


def test_the_largest_part_hangs_together_by_corners_and_is_alone() -> None:
    mask = ball((9, 9, 9)) | ball((30, 30, 30), center=(0, 60, 0))
    mask[3, 3, 3:6] = True
    diagonal = np.zeros((5, 5, 5), bool)
    np.fill_diagonal(diagonal, True)
    np.testing.assert_array_equal(largest_part(mask), ball((30, 30, 30), center=(0, 60, 0)))
    np.testing.assert_array_equal(largest_part(diagonal), diagonal)
    assert not largest_part(np.zeros((3, 3, 3), bool)).any()


class Shown(torch.nn.Module):
    """In place of a network: the same brain, whatever the volume."""

    def __init__(self, brain: torch.Tensor) -> None:
        super().__init__()
        self.brain = brain.float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([1 - self.brain, self.brain])[None]


def test_the_box_around_the_brain_has_a_margin_and_passes_over_what_is_thin() -> None:
    coarse = torch.zeros(128, 128, 128)
    coarse[32:96, 40:88, 24:104] = 1
    coarse[96:120, 64, 64] = 1  # a line, in slices of which it fills less than 2 %
    networks = BrainNetworks(Shown(coarse), Shown(torch.ones(256, 256, 256)))
    noise = np.random.default_rng(0).normal(0, 1, (64, 64, 64)).astype(np.float32)
    found = np.argwhere(sitk.GetArrayFromImage(find_brain(sitk.GetImageFromArray(noise), networks)))
    # half of 80, 48 and 64 voxels, along z, y, x, and a tenth of each on either side
    assert (np.ptp(found, axis=0) + 1).tolist() == [48, 29, 38]
