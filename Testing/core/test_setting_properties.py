"""Settings as texts, as a command line and YAML have them, mean the values that they were made from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.setting_texts import as_text
from MissingModalityLib.core.settings import at_least, check, flat, fraction, with_changes, within
from MissingModalityLib.training.augmentation_levels import AUGMENTATIONS
from MissingModalityLib.training.plan import Plan, from_json, to_json
from MissingModalityLib.training.settings import Settings, change_settings

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "epochs": st.integers(1, 10**4),
    "batch_size": st.integers(1, 64),
    "patch_size": st.tuples(*[st.integers(8, 200)] * 3),
    "oversample_foreground": st.floats(0, 1),
    "learning_rate": st.floats(1e-12, 1),
    "weight_decay": st.floats(0, 1),
    "ema_decay": st.floats(0, 1, exclude_max=True),
    "augmentation": st.sampled_from(AUGMENTATIONS),
    "training_subsets": st.sets(st.sampled_from(("T2", "FLAIR+T1ce", "FLAIR+T1ce+T1+T2"))).map(tuple),
    "supervised.region_weights": st.tuples(*[st.floats(0.001, 9)] * 3),
    "supervised.consistency_trains_superset": st.booleans(),
    "distillation.teacher_update_interval": st.integers(1, 99),
    "joint.temperature": st.floats(0.01, 99),
    "synthesis.factor": st.integers(2, 9),
}
CHANGES = st.fixed_dictionaries({}, optional=VALUES)


@given(CHANGES)
@examples(60)
def test_texts_of_settings_mean_the_values_they_were_made_from(changes: dict[str, Any]) -> None:
    by_value = change_settings(Settings(), changes)
    by_text = change_settings(Settings(), {name: as_text(value) for name, value in changes.items()})
    assert by_text == by_value
    found = flat({item.name: getattr(by_text, item.name) for item in fields(Settings)})
    assert all(found[name] == value for name, value in changes.items() if name in found)


@given(CHANGES)
@examples(20)
def test_a_plan_comes_back_from_its_json(changes: dict[str, Any]) -> None:
    plan = Plan(stages={"train": change_settings(Settings(), changes)})
    assert from_json(to_json(plan)) == plan


@dataclass(frozen=True)
class Limited:
    count: int = at_least(2, 2, "at least two")
    weight: float = at_least(0, 1.0, "without end, but finite")
    share: float = fraction(0.5, "below one")
    level: float = within(0, 1, 0.5, "one included")

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize("changes", [{"count": "2"}, {"share": "0"}, {"level": "0"}, {"level": "1"}], ids=str)
def test_limits_that_a_setting_names_are_allowed(changes: dict[str, str]) -> None:
    ((name, text),) = changes.items()
    assert getattr(with_changes(Limited(), changes), name) == float(text)


@pytest.mark.parametrize(
    "changes",
    [
        *({"count": "1"}, {"count": "2.5"}, {"count": "true"}, {"weight": "1e999"}, {"weight": "-1e-9"}),
        *({"share": "1"}, {"share": "-0.001"}, {"share": "nan"}, {"level": "1.001"}, {"level": "1e999"}),
    ],
    ids=str,
)
def test_what_lies_beyond_the_limits_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=next(iter(changes))):
        with_changes(Limited(), changes)
