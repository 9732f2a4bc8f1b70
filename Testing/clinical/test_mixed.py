"""Stripped volumes beside raw ones are registered brain to brain."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from heads import brain, brain_mask, head
from MissingModalityLib.clinical import mixed, raw
from MissingModalityLib.clinical.mixed import alike
from MissingModalityLib.clinical.registration import Movement
from MissingModalityLib.clinical.steps import Steps
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.imaging.reading import Study

FLAIR, T1 = Modality.FLAIR, Modality.T1


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What deepbet's first network sees in the tests below."""
    monkeypatch.setattr(mixed, "networks_installed", lambda: True)
    monkeypatch.setattr(mixed, "load_networks", lambda: None)
    monkeypatch.setattr(mixed, "rough_brain", lambda image, networks: brain_mask())


def test_of_the_raw_volumes_of_a_mixed_study_the_brain_alone_is_registered(networks: None) -> None:
    given = Study({FLAIR: brain(), T1: head(seed=1)})
    looked_at = alike(given)
    assert looked_at.images[FLAIR] is given.images[FLAIR]
    values = sitk.GetArrayFromImage(looked_at.images[T1])
    inside = sitk.GetArrayFromImage(brain_mask()) > 0
    np.testing.assert_array_equal(values[inside], sitk.GetArrayFromImage(given.images[T1])[inside])
    assert len(np.unique(values[~inside])) == 1 and values[~inside].max() < values[inside].min()


def test_studies_of_raw_or_of_stripped_volumes_alone_stay_as_they_are(networks: None) -> None:
    for given in (Study({FLAIR: brain(), T1: brain()}), Study({FLAIR: head(), T1: head()})):
        assert alike(given) is given


def test_without_networks_or_a_brain_volumes_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch, networks: None
) -> None:
    given = Study({FLAIR: brain(), T1: head()})
    monkeypatch.setattr(mixed, "rough_brain", lambda image, networks: brain_mask() * 0)
    assert alike(given).images[T1] is given.images[T1]
    monkeypatch.setattr(mixed, "networks_installed", lambda: False)
    assert alike(given) is given


def test_the_volumes_themselves_are_moved_not_their_brains(
    networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    movement = Movement(sitk.Euler3DTransform(), 12.0, 0.0, True, (0.1, 0.9))
    monkeypatch.setattr(raw, "register_study", lambda study, notify: (study, {T1: movement}, ()))
    given = Study({FLAIR: brain(), T1: head()})
    ready = raw.make_ready(given, Steps(stripping="never", content_check=False))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(ready.study.images[T1]), sitk.GetArrayFromImage(given.images[T1])
    )
    assert ready.facts["registration"]["T1"]["moved"]
