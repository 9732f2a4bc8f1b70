"""Several subsets at once: the numbers of one after the other, each modality encoded once per window."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from MissingModalityLib.core.modalities import MODALITIES, SUBSETS, Modality, availability
from MissingModalityLib.imaging.preparation import prepare
from MissingModalityLib.imaging.reading import Study
from MissingModalityLib.inference import sliding_window as inference
from MissingModalityLib.inference.sliding_window import infer, infer_within_memory
from MissingModalityLib.inference.student import Student
from MissingModalityLib.networks.output import Output
from small_networks import SMALLEST, small_network
from small_patient import brain_volume
from subsets import with_modalities

HOW = {"window": (16, 16, 16), "overlap": 0.5, "device": torch.device("cpu")}
LARGE = ("m2ftrans", "mmformer", "mstkdnet", "rahved")  # networks whose images have sides of 32 or more
SMALL = [name for name in SMALLEST if name not in LARGE]
ALL = np.array([availability(subset) for subset in SUBSETS])


def network(name: str) -> nn.Module:
    return small_network(name).eval()


def image() -> np.ndarray:
    """FLAIR fills the first windows only, so that a window can hold brain for some subsets and not others."""
    volume = np.random.default_rng(0).normal(size=(4, 24, 16, 19)).astype(np.float32)
    volume[Modality.FLAIR, 7:] = 0
    return volume


@pytest.mark.parametrize("name", SMALL)
def test_subsets_together_equal_each_alone(name: str) -> None:
    net, volume = network(name), image()
    together = infer(net, volume, ALL, **HOW)
    assert together.probabilities.shape == (15, network(name).head.channels, 24, 16, 19)
    for number, available in enumerate(ALL):
        alone = infer(net, volume, available, **HOW)
        np.testing.assert_array_equal(together.probabilities[number], alone.probabilities)
        if name == "adamm":
            assert alone.presence.shape == (3,)
            np.testing.assert_array_equal(together.presence[number], alone.presence)
    assert len({found.tobytes() for found in together.probabilities}) == 15
    assert (together.presence is None) == (name != "adamm")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("garbage", [np.nan, 1e30])
def test_what_a_channel_outside_a_subset_holds_changes_nothing(name: str, garbage: float) -> None:
    net, clean = network(name), image()
    subsets = np.array([availability(subset) for subset in ((Modality.T1,), (Modality.T2, Modality.T1))])
    spoiled = clean.copy()
    spoiled[[Modality.FLAIR, Modality.T1CE]] = garbage
    expected = infer(net, clean, subsets, **HOW).probabilities
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(infer(net, spoiled, subsets, **HOW).probabilities, expected)
    # one subset's channel may be garbage to another
    spoiled = clean.copy()
    spoiled[Modality.T2] = garbage
    np.testing.assert_array_equal(infer(net, spoiled, subsets, **HOW).probabilities[0], expected[0])


def test_single_precision_is_that_of_a_processor_without_half(monkeypatch: pytest.MonkeyPatch) -> None:
    net, volume = network("segresnet"), image()
    found = {}
    for native, precision in ((True, "auto"), (True, "float32"), (False, "auto")):
        monkeypatch.setattr(inference, "cpu_has_bfloat16", lambda native=native: native)
        found[native, precision] = infer(net, volume, ALL[-1], **HOW, precision=precision).probabilities
    np.testing.assert_array_equal(found[True, "float32"], found[False, "auto"])
    assert (found[True, "auto"] != found[True, "float32"]).any()


def test_a_layer_called_encode_makes_no_network_that_encodes_apart() -> None:
    net = network("segresnet")
    net.encode = nn.Identity()
    subsets, volume = ALL[:2], image()
    expected = infer(network("segresnet"), volume, subsets, **HOW).probabilities
    np.testing.assert_array_equal(infer(net, volume, subsets, **HOW).probabilities, expected)


def test_every_modality_is_encoded_once_per_window() -> None:
    net, volume = network("rfnet"), image()
    runs = [0] * len(MODALITIES)
    for modality, encoder in enumerate(net.encoders):
        encoder.register_forward_hook(
            lambda *_, modality=modality: runs.__setitem__(modality, runs[modality] + 1)
        )
    windows: list[int] = []
    flags = ALL[~ALL[:, Modality.T1CE]]  # as of a case without T1ce
    infer(net, volume, flags, **HOW, on_window=lambda done, total: windows.append(total))
    assert runs == [4, 0, 4, 4] and windows == [4] * 4


def test_class_maps_of_subsets_are_those_of_the_volumes_alone() -> None:
    study = Study({m: brain_volume(int(m)) for m in MODALITIES}, {m: m.title for m in MODALITIES})
    student = Student(network("segresnet"), {"window": [64, 64, 64]})
    torch.nn.init.zeros_(list(student.network.parameters())[-1])  # a new one sees background only
    whole = prepare(study)
    whole.image[Modality.T2, :12] = 0  # the subset's own brain decides where the background is
    subsets = (SUBSETS[0], SUBSETS[4], SUBSETS[-1])
    maps = list(student.classes_of(whole, subsets))
    for subset, found in zip(subsets, maps, strict=True):
        expected = student.classes(with_modalities(whole, subset))
        brain = whole.image[list(subset)].any(axis=0)
        np.testing.assert_array_equal(found, np.where(brain, expected, 0))
        assert found.dtype == np.uint8
    assert maps[-1].any() and not maps[0][:12].any()
    assert list(student.classes_of(whole, [])) == []


def short_of_memory(limits: dict[str, int], calls: list[tuple[str, int]], kept: list[Any]):
    """``infer`` on devices that hold windows of so many voxels; ``kept`` gets what each attempt has made."""

    def within(network, image, available, *, window, device, **options):
        calls.append((str(device), window[0]))
        activations = torch.zeros(8)
        kept.append(weakref.ref(activations))
        if np.prod(window) > limits[str(device)]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        assert not any(made() is not None for made in kept[:-1]), "an attempt's memory is still held"
        return infer(network, image, available, window=window, device=torch.device("cpu"), **options)

    return within


@pytest.mark.parametrize(
    ("gpu", "tried", "said"),
    [
        (10**9, [("cuda:0", 16)], []),
        (8**3, [("cuda:0", 16), ("cuda:0", 8)], ["smaller windows were tried"]),
        (0, [("cuda:0", 16), ("cuda:0", 8), ("cpu", 16)], ["smaller windows were tried", "the CPU was used"]),
    ],
)
def test_short_of_gpu_memory_windows_get_smaller_then_the_cpu_does_it(
    monkeypatch: pytest.MonkeyPatch, gpu: int, tried: list[tuple[str, int]], said: list[str]
) -> None:
    calls, notes = [], []
    monkeypatch.setattr(inference, "infer", short_of_memory({"cuda:0": gpu, "cpu": 10**9}, calls, []))
    options = {"window": [16] * 3, "overlap": 0.5, "device": torch.device("cuda:0")}
    found, used = infer_within_memory(network("segresnet"), image(), ALL[0], on_note=notes.append, **options)
    assert found.probabilities.shape == (3, 24, 16, 19)
    assert calls == tried and str(used) == tried[-1][0]
    assert len(notes) == len(said) and all(text in note for text, note in zip(said, notes, strict=True))


@pytest.mark.parametrize(("device", "attempts"), [("cuda:0", 3), ("cpu", 1)])
def test_without_enough_memory_anywhere_the_error_comes_through(
    monkeypatch: pytest.MonkeyPatch, device: str, attempts: int
) -> None:
    calls = []
    monkeypatch.setattr(inference, "infer", short_of_memory({"cuda:0": 0, "cpu": 0}, calls, []))
    options = {"window": [16] * 3, "overlap": 0.5, "device": torch.device(device)}
    with pytest.raises(torch.cuda.OutOfMemoryError):
        infer_within_memory(network("segresnet"), image(), ALL[0], on_note=lambda note: None, **options)
    assert len(calls) == attempts


def test_a_student_tells_of_the_step_back_and_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "infer", short_of_memory({"cuda:0": 0, "cpu": 10**9}, [], []))
    student = Student(network("segresnet"), {"window": [32] * 3})
    study = Study({Modality.T1: brain_volume()}, {Modality.T1: "v"})
    prediction = student.predict(study, torch.device("cuda:0"))
    assert prediction.device == "cpu"
    assert any("the CPU was used" in warning for warning in prediction.warnings)


def test_the_middle_of_a_window_outweighs_the_edge_of_its_neighbor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "cpu_has_bfloat16", lambda: False)
    net = network("segresnet")
    sure = torch.full((1, net.head.channels, 16, 16, 16), -9.0)
    sure[:, :, 6:10] = 9.0  # whatever it sees, it finds tumor in the middle of a window alone
    monkeypatch.setattr(net, "forward", lambda *_: Output(sure))
    volume = np.ones((4, 48, 16, 16), np.float32)
    how = {"window": (16, 16, 16), "overlap": 0.5, "device": torch.device("cpu")}
    found = infer(net, volume, np.array([True] * 4), **how).probabilities
    middles = [8 * number + 8 for number in range(5)]  # each lies between two other windows too
    # along the other axes too: beside the middle of the volume all weights are as small as they may be
    assert (found[:, middles, 8, 8] > 0.99).all()
    assert (found[:, [0, 47]] < 0.01).all()
