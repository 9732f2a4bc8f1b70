"""The pictures of scenes show what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer

import scene_view
import slicer_standin
from MissingModalityLib import mrml
from MissingModalityLib.core.segments import SEGMENTS
from small_patient import brain_volume

slicer_standin.install()


def test_all_four_views_show_the_segments_in_their_colors(tmp_path: Path) -> None:
    slicer_standin.new_scene()
    volume = mrml.add_volume(
        slicer.mrmlScene, brain_volume(size=(60, 60, 50), spacing=(3, 3, 3), origin=(-90, -90, -75)), "FLAIR"
    )
    classes = np.zeros((50, 60, 60), np.uint8)
    for value, half in ((2, 12), (1, 8), (3, 4)):
        classes[25 - half : 25 + half, 30 - half : 30 + half, 30 - half : 30 + half] = value
    node = mrml.place_segmentation(mrml.build_segmentation(classes, volume), volume)
    assert scene_view.background_of(node) is volume
    scene_view.draw(volume, node, tmp_path / "views.png")
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "views.png")))[..., :3].astype(int)
    side = scene_view.SIDE
    assert picture.shape == (2 * side, 2 * side, 3)
    quarters = {
        "axial": picture[:side, :side],
        "solid": picture[:side, side:],
        "coronal": picture[side:, :side],
        "sagittal": picture[side:, side:],
    }
    for name, quarter in quarters.items():
        # edema is see-through in 3-D and hides the core in it
        for segment in SEGMENTS if name != "solid" else ():
            near = np.abs(quarter - segment.color).max(axis=-1) < 40
            assert near.sum() > 30, f"{segment.name} in the {name} view"
        assert len(np.unique(quarter.reshape(-1, 3), axis=0)) > 50, name
