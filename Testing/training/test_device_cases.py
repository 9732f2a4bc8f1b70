"""Cases kept on the device: the same crops and the same runs as from the files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.datasets.discovery import find_cases
from MissingModalityLib.imaging.cache import CachedCase, cache_case
from MissingModalityLib.training import device_cases
from MissingModalityLib.training.device_cases import DeviceCases, keep_cases
from MissingModalityLib.training.run import train
from small_cases import write_block_case
from tiny_run import TINY, assert_same, timeless, weights

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
SIZE = (9, 8, 7)


@pytest.fixture
def cases(tiny_cases: Path, tmp_path: Path) -> list[CachedCase]:
    found = find_cases(tiny_cases).cases
    return [cache_case(case, tmp_path / "prepared") for case in found if case.label]


@pytest.mark.parametrize(
    "start", [(2, 3, 4), (-4, -3, -2), (8, 9, 15), (100, 0, 0)], ids=["inside", "below", "above", "beyond"]
)
def test_crops_are_those_of_the_files(start: tuple[int, int, int], cases: list[CachedCase]) -> None:
    assert {len(case.subset) for case in cases} == {2, 4}
    starts = [start, (0, 0, 0), start]
    image, label = DeviceCases(cases, CPU).cut([2, 1, 0], starts, SIZE)
    for row, (number, corner) in enumerate(zip([2, 1, 0], starts, strict=True)):
        expected, classes = map(torch.from_numpy, cases[number].crop(corner, SIZE))
        assert image[row].equal(expected) and label[row].equal(classes)
    assert image.dtype == torch.float32 and label.dtype == torch.uint8 and image[1].any()


def test_sequences_stand_in_their_own_channels_whichever_a_case_has(tmp_path: Path) -> None:
    write_block_case(tmp_path / "data" / "patient", ("t1ce", "t2"))
    case = cache_case(find_cases(tmp_path / "data").cases[0], tmp_path / "prepared")
    image, _ = DeviceCases([case], CPU).cut([0], [(4, 4, 4)], SIZE)
    assert image[0].equal(torch.from_numpy(case.crop((4, 4, 4), SIZE)[0]))
    assert image[0].flatten(1).any(1).tolist() == [False, True, False, True]


@pytest.mark.parametrize("recipe", ["baseline", "aem"])
def test_a_run_on_kept_cases_is_the_one_on_files(recipe: str, tiny_cases: Path, tmp_path: Path) -> None:
    settings = {**TINY, "batch_size": 2, "augmentation": "strong", "oversample_foreground": 0.5}
    if recipe == "aem":
        settings |= {"epochs": 1, "synthesis.scale": 0.2, "synthesis.rotation": 15, "num_workers": 2}
    runs = [
        train(tiny_cases, tmp_path / where, recipe, settings={**settings, "case_cache": where})
        for where in ("disk", "device")
    ]
    assert timeless(runs[0]) == timeless(runs[1])
    assert_same(*map(weights, runs))


def test_prepared_cases_are_kept_in_half_precision_and_others_to_the_bit(cases: list[CachedCase]) -> None:
    class Finer(CachedCase):
        def crop(self, *arguments: object) -> tuple:
            image, label = super().crop(*arguments)
            return image * 1.0001, label

    finer = Finer(**vars(cases[0]))
    half, single = (DeviceCases([case], CPU)._cases[0].image for case in (cases[0], finer))
    assert (half.dtype, single.dtype) == (torch.float16, torch.float32)
    assert single.equal(torch.from_numpy(finer.crop((0, 0, 0), finer.shape)[0]))


def test_a_case_that_has_gone_is_named(cases: list[CachedCase]) -> None:
    cases[1].path.unlink()
    with pytest.raises(CaseError, match="patient_b"):
        keep_cases(cases, "device", CPU)


@pytest.mark.parametrize(
    ("where", "free", "kept"),
    [("auto", 4.1, True), ("auto", 3.9, False), ("device", 1.1, True), ("disk", 1e6, False)],
)
def test_a_gpu_keeps_cases_that_take_a_quarter_of_its_free_memory(
    where: str, free: float, kept: bool, cases: list[CachedCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = DeviceCases(cases, CPU)._cases
    size = sum(case.image.nbytes + case.label.nbytes for case in needed)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * size), 10**12))
    monkeypatch.setattr(device_cases, "DeviceCases", lambda cases, device: device)
    assert keep_cases(cases, where, CUDA) == (CUDA if kept else None)


def test_cases_that_a_gpu_cannot_hold_are_refused(
    cases: list[CachedCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 10**12))
    with pytest.raises(OptionError, match=r"case_cache=device.*cuda:0 has 0\.0 GiB free"):
        keep_cases(cases, "device", CUDA)


def test_a_cpu_reads_files_unless_it_is_told_otherwise(cases: list[CachedCase]) -> None:
    assert keep_cases(cases, "auto", CPU) is None and keep_cases(cases, "device", CPU) is not None
