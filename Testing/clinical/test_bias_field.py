"""Raw volumes are freed of the coil's unevenness."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MissingModalityLib.clinical import bias_field, raw
from MissingModalityLib.clinical.bias_field import even_out, evened
from MissingModalityLib.clinical.steps import Steps
from MissingModalityLib.clinical.stripping import Brain
from MissingModalityLib.core.modalities import Modality
from MissingModalityLib.core.progress import Event
from MissingModalityLib.imaging.grid import Grid
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.phantom.patient import grow_patient
from MissingModalityLib.runtime import side_by_side

FLAIR, T1 = Modality.FLAIR, Modality.T1
Uneven = tuple[sitk.Image, sitk.Image, sitk.Image]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bias_field, "_ITERATIONS", 2)


@pytest.fixture(scope="module")
def uneven() -> Uneven:
    """A FLAIR with a tumor in air, darker on the left and brighter on the right; the same even; its brain."""
    even = sitk.Cast(grow_patient(4, (26, 34, 28), (6.0,) * 3)[0][FLAIR], sitk.sitkFloat32)
    values = sitk.GetArrayFromImage(even)
    ramp = np.exp(np.linspace(-0.4, 0.4, values.shape[2], dtype=np.float32))
    grid = Grid.from_image(even)
    return grid.to_image(values * ramp + 1), even, grid.to_image((values > 0).astype(np.uint8))


def ramp_left(image: sitk.Image, even: sitk.Image, brain: sitk.Image) -> float:
    """Brightness of the right half over that of the left, beside what is true."""
    inside = sitk.GetArrayFromImage(brain) > 0
    share = sitk.GetArrayFromImage(image) / np.maximum(sitk.GetArrayFromImage(even), 1)
    half = inside.shape[2] // 2
    left, right = (
        np.median(share[:, :, part][inside[:, :, part]]) for part in (slice(half), slice(half, None))
    )
    return float(right / left)


@pytest.mark.parametrize("below_zero", [0.0, 500.0, -32768.0])
def test_what_the_coil_has_made_uneven_is_evened_out(
    uneven: Uneven, below_zero: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, even, brain = uneven
    monkeypatch.setattr(bias_field, "_ITERATIONS", 6)
    assert ramp_left(image, even, brain) > 1.2
    found, ratio = evened(image - below_zero, brain)
    assert ramp_left(found + below_zero, even, brain) == pytest.approx(1, abs=0.08)
    assert 1.4 < ratio < 2.2
    assert Grid.from_image(found) == Grid.from_image(image)


def test_the_result_is_the_same_whatever_number_of_threads_the_process_has(uneven: Uneven) -> None:
    image, _, brain = uneven
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    results = []
    for threads in (1, 2):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        results.append(sitk.GetArrayFromImage(evened(image, brain)[0]))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    np.testing.assert_array_equal(*results)


def test_volumes_are_evened_out_side_by_side_as_each_by_itself(
    uneven: Uneven, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, even, brain = uneven
    monkeypatch.setattr(bias_field, "needs_stripping", lambda volume: True)
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 2)
    given = Study({FLAIR: image, T1: even}, {FLAIR: "f.nii", T1: "t1.nii"}, brain=brain)
    found, _ = even_out(given, lambda event: None)
    for modality, volume in given.images.items():
        alone = sitk.GetArrayFromImage(evened(volume, brain)[0])
        np.testing.assert_array_equal(sitk.GetArrayFromImage(found.images[modality]), alone)


def test_what_lies_beside_the_brain_stays_as_it_is(uneven: Uneven) -> None:
    image, _, brain = uneven
    inside = sitk.BinaryErode(brain, (2, 2, 2))
    found = sitk.GetArrayFromImage(evened(image, inside)[0])
    changed = found != sitk.GetArrayFromImage(image)
    assert changed.any() and not changed[sitk.GetArrayFromImage(inside) == 0].any()


def test_a_volume_that_shows_little_of_the_brain_stays_as_it_is(uneven: Uneven) -> None:
    image, _, brain = uneven
    for mask in (brain * 0, sitk.Mask(brain, sitk.BinaryErode(brain, (9, 9, 9)))):
        assert evened(image, mask) == (image, None)


def test_stripped_volumes_stay_as_they_are(uneven: Uneven, monkeypatch: pytest.MonkeyPatch) -> None:
    image, even, brain = uneven
    monkeypatch.setattr(bias_field, "needs_stripping", lambda volume: volume is image)
    events: list[Event] = []
    given = Study({FLAIR: image, T1: even}, {FLAIR: "f.nii", T1: "t1.nii"}, brain=brain)
    found, ratios = even_out(given, events.append)
    assert found.images[T1] is even and found.images[FLAIR] is not image
    assert list(ratios) == ["FLAIR"] and ratios["FLAIR"] > 1.1
    assert [event.message for event in events] == ["f.nii"]


def test_raw_volumes_are_evened_out_unless_nobody_wants_it(
    uneven: Uneven, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _, brain = uneven
    monkeypatch.setattr(raw, "needs_stripping", lambda volume: True)
    monkeypatch.setattr(bias_field, "needs_stripping", lambda volume: True)
    monkeypatch.setattr(raw, "strip", lambda study, always, on_volume: Brain(brain, "a rule", 1.0))
    given = Study({FLAIR: image}, {FLAIR: "f.nii"})
    done = raw.make_ready(given, Steps(content_check=False))
    assert done.facts["bias_field"].keys() == {"FLAIR"} and done.study.images[FLAIR] is not image
    left = raw.make_ready(given, Steps(content_check=False, bias_field="never"))
    assert "bias_field" not in left.facts and left.study.images[FLAIR] is image
