"""The five classes of BraTS 2015: kept apart for the network that learns them, one core everywhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch.nn import functional as F

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.labels import NON_ENHANCING, TumorClass
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.evaluation.evaluate import evaluate_folder
from MissingModalityLib.imaging.cache import cache_case
from MissingModalityLib.imaging.reading import read_label
from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks.heads import FIVE_CLASSES, HEADS
from MissingModalityLib.synthesis.transplant import fuse_labels
from MissingModalityLib.training.run import train
from MissingModalityLib.training.stage_students import export
from small_cases import write_block_case
from small_networks import small_network
from tiny_run import QUICK

FIVE = "brats2015-five"
LABEL = torch.tensor([0, TumorClass.NCR, TumorClass.ED, NON_ENHANCING, TumorClass.ET]).view(1, 1, 1, 5)


def write_case(folder: Path, patient: int) -> None:
    """A case whose label has the four numbers of BraTS 2015."""
    path = write_block_case(folder, patient=patient)
    (label,) = path.glob("*seg*")
    image = sitk.ReadImage(str(label))
    array = sitk.GetArrayFromImage(image)
    array[11, 9:12, 9:12] = 3
    changed = sitk.GetImageFromArray(array)
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(label))


def test_channels_are_the_numbers_of_the_files_and_class_maps_have_one_core() -> None:
    target = FIVE_CLASSES.target(LABEL, torch.float32)
    assert target.argmax(1).flatten().tolist() == [0, 1, 2, 3, 4]
    assert FIVE_CLASSES.class_map(target[0].numpy()).flatten().tolist() == [0, 1, 2, 1, 3]
    regions = FIVE_CLASSES.region_probabilities(target[0].numpy())[:, 0, 0]
    assert regions.tolist() == [[0, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1]]
    assert small_network("rfnet", classes=5).head == FIVE_CLASSES


def test_losses_compare_the_channel_of_each_class() -> None:
    logits = torch.randn(1, 5, 1, 1, 5, generator=torch.Generator().manual_seed(0))
    target = FIVE_CLASSES.target(LABEL, torch.float32)
    expected = F.cross_entropy(logits, torch.arange(5).view(1, 1, 1, 5))
    torch.testing.assert_close(FIVE_CLASSES.label_entropy(logits, LABEL, target), expected)
    torch.testing.assert_close(FIVE_CLASSES.voxel_entropies(logits, LABEL, target).mean(), expected)
    weights = FIVE_CLASSES.channel_weights((1.0, 2.0, 3.0))
    known = HEADS["classes"].channel_weights((1.0, 2.0, 3.0))
    assert weights == [known[number] for number in (0, 1, 2, 1, 3)]
    voxels = FIVE_CLASSES.voxel_weights(torch.tensor(weights), LABEL)
    torch.testing.assert_close(voxels.flatten(), torch.tensor(weights))


def test_transplanted_cores_keep_their_parts() -> None:
    one = torch.tensor([0, 2, NON_ENHANCING, NON_ENHANCING, NON_ENHANCING], dtype=torch.uint8)
    other = torch.tensor([NON_ENHANCING, NON_ENHANCING, 1, 3, 0], dtype=torch.uint8)
    assert fuse_labels(one, other).tolist() == [NON_ENHANCING, NON_ENHANCING, 1, 3, NON_ENHANCING]


def test_a_prepared_case_tells_the_parts_to_who_asks_and_one_core_to_all_others(tmp_path: Path) -> None:
    write_case(tmp_path / "data" / "a", 0)
    (case,) = find_cases(tmp_path / "data", FIVE).cases
    assert NON_ENHANCING not in sitk.GetArrayViewFromImage(read_label(case))
    cached = cache_case(case, tmp_path / "prepared")
    assert cached.non_enhancing_voxels == 9
    assert cache_case(case, tmp_path / "prepared") == cached  # read again from the file
    whole = ((0, 0, 0), cached.shape)
    apart, together = replace(cached, apart=True).crop(*whole)[1], cached.crop(*whole)[1]
    assert (apart == NON_ENHANCING).sum() == 9
    assert np.array_equal(np.where(apart == NON_ENHANCING, TumorClass.NCR, apart), together)
    assert np.array_equal(replace(cached, apart=True).load().label, together)
    assert cached.tumor_classes() == {TumorClass.NCR, TumorClass.ED, TumorClass.ET}


@pytest.mark.slow
def test_a_run_learns_five_classes_and_its_model_tells_the_regions(tmp_path: Path) -> None:
    for patient in range(2):
        write_case(tmp_path / "data" / f"patient_{patient}", patient)
    settings = {**QUICK, "epochs": 1, "iterations_per_epoch": 1, "validation_interval": 1}
    settings |= {"network.width": 4, "network.classes": 5, "validation_fraction": 0.5}
    settings |= {"validation_subsets": "FLAIR+T1ce", "training_subsets": "FLAIR+T1ce"}
    five = {"network": "rfnet", "settings": settings, "device": "cpu"}
    run = train(tmp_path / "data", tmp_path / "run", convention=FIVE, **five)
    student = Student.load(export(run, tmp_path / "student.safetensors"))
    assert student.card["head"] == "five-classes"
    prepared = cache_case(find_cases(tmp_path / "data", FIVE).cases[0], tmp_path / "prepared").load()
    assert set(np.unique(student.classes(prepared))) <= {0, 1, 2, 3}
    exported, data = tmp_path / "student.safetensors", tmp_path / "data"
    scored = evaluate_folder(exported, data, tmp_path / "scores", device="cpu", convention=FIVE)
    labels = [case["reference_voxels"] for case in scored["cases"]]
    assert all(0 < label["ET"] < label["TC"] < label["WT"] and len(label) == 3 for label in labels)
    with pytest.raises(OptionError, match=f"no label tells the non-enhancing core.*{FIVE}"):
        train(tmp_path / "data", tmp_path / "other", convention="brats2015", **five)
