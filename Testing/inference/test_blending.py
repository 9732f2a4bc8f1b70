"""Windows are laid and blended as MONAI's inferer does, to the bit."""

from __future__ import annotations

import pytest
import torch
from monai.inferers import sliding_window_inference

from MissingModalityLib.inference.blending import blend
from MissingModalityLib.inference.windows import count_windows

MODES = {"gaussian": "gaussian", "mean": "constant"}


@pytest.mark.parametrize("blending", MODES)
@pytest.mark.parametrize(
    ("shape", "size", "overlap"),
    [
        ((24, 16, 19), (16, 16, 16), 0.5),
        ((33, 20, 17), (16, 8, 16), 0.3),
        ((11, 40, 9), (16, 16, 16), 0.0),
        ((16, 16, 16), (16, 16, 16), 0.75),
    ],
)
def test_answers_of_windows_are_blended_as_monai_does(
    shape: tuple[int, ...], size: tuple[int, ...], overlap: float, blending: str
) -> None:
    image = torch.randn(1, 2, *shape, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []

    def predict(window: torch.Tensor) -> torch.Tensor:
        """An answer that depends on where in the order and in the window a voxel lies."""
        seen.append(window.clone())
        return torch.cat([window.cumsum(2).sin(), window + len(seen)], 1)

    found = blend(image, size, overlap, blending, predict)
    own, seen = seen, []
    expected = sliding_window_inference(image, size, 1, predict, overlap=overlap, mode=MODES[blending])
    assert torch.equal(found, expected)
    assert len(own) == len(seen) == count_windows(shape, size, overlap)
    assert all(torch.equal(one, other) for one, other in zip(own, seen, strict=True))
