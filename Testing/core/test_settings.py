"""Settings as they come in from Python and from other packages: refused in words, never by Python itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import MissingModalityLib as mm
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.settings import check, setting, with_changes


@dataclass(frozen=True)
class Foreign:
    """Options as a package from outside may annotate them."""

    either: int | float = setting(1, "A number", "any")
    maybe: int | float | None = setting(None, "A number or none", "any")
    word: str | int = setting("a", "A word or a number", "any")

    def __post_init__(self) -> None:
        check(self, "foreign.")


@pytest.mark.parametrize(
    "value", [float("inf"), float("-inf"), float("nan"), 10**400, ".inf", "1e400", "nan"]
)
@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "joint.style"])
def test_a_number_that_is_not_finite_is_no_setting(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=rf"Setting {name}=.*(finite number|out of range)"):
        mm.make_plan(settings={name: value})


@pytest.mark.parametrize("name", ["epochs", "batch_size", "iterations_per_epoch", "num_workers"])
@pytest.mark.parametrize("power", [9, 400, 5000])
def test_a_mistyped_number_is_refused_by_name(name: str, power: int) -> None:
    with pytest.raises(OptionError, match=f"Setting {name}=.* is out of range"):
        mm.Settings(**{name: 10**power})


@pytest.mark.parametrize("crops", [(64, 512), (1024, 192), (512, 256)])
def test_crops_that_no_machine_holds_are_refused_together(crops: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match=r"batch_size=\d+ crops of patch_size=.*Lower one of them"):
        mm.Settings(batch_size=crops[0], patch_size=crops[1])
    assert mm.Settings(batch_size=1, patch_size=crops[1]).patch_size == (crops[1],) * 3


@pytest.mark.parametrize("kind", [mm.Settings, mm.SynthesisOptions, mm.Plan])
def test_an_unknown_keyword_is_answered_with_the_settings_there_are(kind: type) -> None:
    with pytest.raises(OptionError, match=r"Unknown setting 'foo'\. Settings: \w+, "):
        kind(foo=1)


def test_too_many_values_and_one_given_twice_are_told() -> None:
    with pytest.raises(OptionError, match="99 values for"):
        mm.Settings(*range(99))
    with pytest.raises(OptionError, match="epochs is given twice"):
        mm.Settings(3, epochs=4)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("either", 2, 2),
        ("either", "2", 2),
        ("either", 2.5, 2.5),
        ("either", "1e-3", 1e-3),
        ("maybe", "none", None),
        ("maybe", 3, 3),
        ("maybe", "0.5", 0.5),
        ("word", 7, 7),
        ("word", "b", "b"),
    ],
)
def test_an_option_of_two_kinds_takes_either(name: str, value: Any, read: Any) -> None:
    found = getattr(with_changes(Foreign(), {name: value}), name)
    assert found == read and type(found) is type(read)


@pytest.mark.parametrize("value", ["many", [1], float("nan"), True])
def test_an_option_of_two_kinds_refuses_what_is_neither(value: Any) -> None:
    with pytest.raises(OptionError, match=r"foreign\.either="):
        Foreign(either=value)


@pytest.mark.parametrize("value", [3, "print", [print]])
def test_progress_that_cannot_be_called_is_refused_before_any_work(value: Any, tmp_path: Any) -> None:
    calls = [
        lambda: mm.segment_files({}, tmp_path / "a.nii.gz", on_progress=value),
        lambda: mm.segment_dicom(tmp_path, tmp_path / "a.nii.gz", on_progress=value),
        lambda: mm.segment_folder(tmp_path, tmp_path / "out", on_progress=value),
        lambda: mm.evaluate_folder(tmp_path / "s", tmp_path, tmp_path / "out", on_progress=value),
        lambda: mm.prepare_cases(tmp_path, tmp_path / "out", on_progress=value),
        lambda: mm.synthesize(tmp_path, tmp_path / "out", on_progress=value),
        lambda: mm.train(tmp_path, tmp_path / "out", on_progress=value),
        lambda: mm.select(tmp_path, on_progress=value),
        lambda: mm.find_studies(tmp_path, on_progress=value),
    ]
    for call in calls:
        with pytest.raises(OptionError, match="on_progress="):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30, 1.5, True, "7"])
def test_a_seed_that_no_generator_takes_is_refused(seed: Any, tmp_path: Any) -> None:
    for call in (
        lambda: mm.synthesize(tmp_path, tmp_path / "out", seed=seed),
        lambda: mm.grow_patient(seed, (4, 4, 4)),
    ):
        with pytest.raises(OptionError, match="seed="):
            call()
