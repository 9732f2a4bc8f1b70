"""The script behind `make sequence-check`, on synthetic patients with settings to match."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import sequence_check
from MissingModalityLib.clinical.coarse import RANGE, SHAPE
from MissingModalityLib.clinical.sequence_network import probabilities, read_network
from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.phantom.patient import write_patient
from sequence_views import Sources, Views

QUICK = {"PARTS": 1, "ROUNDS": 2, "STEPS": 5, "PHANTOMS": range(100, 101), "_VIEWS": 1}


@pytest.mark.slow
def test_network_and_card_are_made_of_cases_and_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(2):
        write_patient(tmp_path / "cases", seed, shape=SHAPE, spacing=(4.0, 4.0, 4.0))
    for name, value in QUICK.items():
        monkeypatch.setattr(sequence_check, name, value)
    made = []
    for models in (tmp_path / "one", tmp_path / "two"):
        words = ["--train", tmp_path / "cases", "--test", tmp_path / "cases", "--models", models]
        monkeypatch.setattr(sys, "argv", ["sequence_check", *map(str, words)])
        assert sequence_check.main() == 0
        made.append((models / "sequence-check.safetensors").read_bytes())
    assert made[0] == made[1]
    card = (models / "sequence-check.md").read_text("utf-8")
    assert "Held out: patient_0000." in card
    assert "### cases: " in card
    weights = read_network(models / "sequence-check.safetensors")
    shares = probabilities(np.zeros((2, *SHAPE), np.float32), weights)
    np.testing.assert_allclose(shares.sum(1), 1)


@pytest.fixture(scope="module")
def sources() -> Sources:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_check, "PHANTOMS", QUICK["PHANTOMS"])
        (patient,) = sequence_check.phantoms().values()
    return patient


def test_a_view_has_the_form_of_a_coarse_volume_and_is_drawn_by_its_seed(sources: Sources) -> None:
    views, again, others = (Views(seed).views(sources) for seed in (3, 3, 4))
    for modality in MODALITIES:
        assert views[modality].shape == SHAPE
        assert RANGE[0] <= views[modality].min() < views[modality].max() <= RANGE[1]
        np.testing.assert_array_equal(views[modality], again[modality])
        assert (views[modality] != others[modality]).any()


@pytest.mark.parametrize("kind", ["_lumps", "_ring", "_shaded", "_diffusion", "_labels", "_subtraction"])
def test_other_images_have_the_form_of_a_coarse_volume(sources: Sources, kind: str) -> None:
    views = Views(0)
    volume = getattr(views, kind)(sources, *views._moved(sources[MODALITIES[0]]))
    assert volume.shape == SHAPE
    assert np.isfinite(volume).all()
