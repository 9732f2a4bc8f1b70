"""Windows are laid and blended as MONAI's inferer does, to the bit, without MONAI."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor

from command_line import run_child
from MissingModalityLib.inference.blending import blend_windows
from MissingModalityLib.inference.windows import count_windows


@pytest.mark.parametrize(("blending", "mode"), [("gaussian", "gaussian"), ("mean", "constant")])
@pytest.mark.parametrize(
    ("shape", "window", "overlap"),
    [
        ((20, 23, 17), (8, 8, 8), 0.5),
        ((16, 30, 9), (16, 12, 16), 0.25),
        ((5, 7, 6), (8, 8, 8), 0.5),
        ((24, 8, 11), (6, 8, 10), 0.9),
        ((40, 36, 33), (32, 32, 32), 0.0),
    ],
)
def test_windows_are_blended_as_monai_does_to_the_bit(
    shape: tuple[int, ...], window: tuple[int, ...], overlap: float, blending: str, mode: str
) -> None:
    image = torch.rand(1, 2, *shape, generator=torch.Generator().manual_seed(0))
    places, expected_places = [], []
    before = [max(width - side, 0) // 2 for width, side in zip(window, shape, strict=True)]

    def answer(patch: Tensor) -> Tensor:
        return torch.cat([patch.cumsum(2), patch.flip(3)[:, :1]], 1)

    def predict(patch: Tensor, first: tuple[int, ...]) -> Iterator[Tensor]:
        places.append(first)
        yield answer(patch)
        yield answer(2 * patch)

    def expected(patch: Tensor, windows: list) -> Tensor:
        expected_places.append(tuple(s.start - b for s, b in zip(windows[0][2:], before, strict=True)))
        return answer(patch)

    found = blend_windows(image, window, overlap, blending, predict, 2)
    theirs = sliding_window_inference(image, window, 1, expected, overlap, mode, with_coord=True)
    assert torch.equal(found[:1], theirs) and torch.equal(found[1:], 2 * theirs) and found.shape[2:] == shape
    assert places == expected_places and len(places) == count_windows(shape, window, overlap)


def test_windows_are_mirrored_along_an_axis_by_their_number_along_it() -> None:
    image = torch.rand(1, 1, 9, 12, 10, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []

    def predict(patch: Tensor, first: tuple[int, ...]) -> Iterator[Tensor]:
        seen.append(patch)
        yield patch.clone()  # what an answer tells lies where it was seen

    found = blend_windows(image, (6, 6, 10), 0.5, "gaussian", predict, 1, mirror=(0, 1, 2))
    torch.testing.assert_close(found, image)
    for patch, (z, y) in zip(seen, itertools.product((0, 3), (0, 3, 6)), strict=True):
        flipped = [axis for axis, start in ((2, z), (3, y)) if start == 3]
        assert torch.equal(patch, image[:, :, z : z + 6, y : y + 6].flip(flipped))


def test_a_mirrored_window_is_told_where_it_lies_in_the_mirrored_image() -> None:
    sides, window = (9, 14, 5), (6, 6, 8)  # the last one smaller than a window
    image = 1 + torch.arange(9 * 14 * 5.0).reshape(1, 1, *sides)
    mirrored = [image, image.flip(-3), image.flip(-2), image.flip(-3, -2)]

    def predict(patch: Tensor, first: tuple[int, ...]) -> Iterator[Tensor]:
        z, y, x = first
        assert x == -1
        assert any(torch.equal(patch[..., 1:6], of[..., z : z + 6, y : y + 6, :]) for of in mirrored), first
        yield patch.clone()

    blend_windows(image, window, 0.5, "gaussian", predict, 1, mirror=(0, 1))


@pytest.mark.slow
def test_the_bundled_network_is_read_without_monai() -> None:
    code = (
        "import sys; sys.modules['monai'] = None\n"
        "import MissingModalityLib.inference.segment_files\n"
        "from MissingModalityLib.inference.locations import bundled_student\n"
        "from MissingModalityLib.inference.student import Student\n"
        "Student.load(bundled_student())"
    )
    result = run_child(code=code)
    assert result.returncode == 0, result.stderr
