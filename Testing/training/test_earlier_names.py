"""Settings and records with names of earlier versions give the plan that they gave then."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from MissingModalityLib.core.aliases import OLD_JOINT_OPTIONS, OLD_SETTINGS
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.setting_texts import as_text
from MissingModalityLib.core.settings import flat
from MissingModalityLib.methods.options import DistillationOptions, JointOptions, SupervisedOptions
from MissingModalityLib.training.plan import Plan, from_json, make_plan, read_config
from MissingModalityLib.training.settings import Settings, SynthesisSettings

EARLIER = {
    "iterations": 7,
    "batch": 3,
    "crop": (16, 16, 16),
    "foreground": 0.5,
    "trained_subsets": ("T1",),
    "subsets": ("T2",),
    "validate_every": 4,
    "beta2": 0.9,
    "power": 0.5,
    "clip": 2.0,
    "average": 0.5,
    "fusion_start": 3,
    "workers": 2,
    "synthesis": "mixup",
    "factor": 8,
    "synthetic": {"clip": True, "alpha": 0.2, "difference": "signed"},
    "teacher_every": 50,
    "feature_weight": 2.0,
    "prediction_weight": 0.5,
    "distilled": "encoder",
    "joint": {
        "teacher": 0.1,
        "student": 0.2,
        "entropy": 0.3,
        "scales": 0.4,
        "divergence": 0.5,
        "standardized": "space",
        "discriminator_rate": 1e-3,
    },
}
"""Every setting that had another name, as run.json held it."""


TODAY = Settings(
    iterations_per_epoch=7,
    batch_size=3,
    patch_size=(16, 16, 16),
    oversample_foreground=0.5,
    training_subsets=("T1",),
    validation_subsets=("T2",),
    validation_interval=4,
    adam_beta2=0.9,
    lr_decay_power=0.5,
    max_grad_norm=2.0,
    ema_decay=0.5,
    supervised=SupervisedOptions(fusion_start_epoch=3),
    num_workers=2,
    synthesis=SynthesisSettings(
        method="mixup", factor=8, clip_to_brain=True, mixup_alpha=0.2, difference="signed"
    ),
    distillation=DistillationOptions(50, 2.0, 0.5, "encoder"),
    joint=JointOptions(
        teacher_weight=0.1,
        student_weight=0.2,
        cross_entropy=0.3,
        multiscale=0.4,
        kl_divergence=0.5,
        standardize_over="space",
        discriminator_learning_rate=1e-3,
    ),
)


def texts(settings: dict) -> dict[str, str]:
    return {name: as_text(value) for name, value in flat(settings).items()}


def test_settings_may_be_given_by_their_earlier_names(tmp_path: Path) -> None:
    assert EARLIER.keys() - {"joint"} == OLD_SETTINGS.keys()
    assert EARLIER["joint"].keys() == OLD_JOINT_OPTIONS.keys()
    assert Settings(**EARLIER) == TODAY
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps({**EARLIER, "validation": 0.25}))
    for given in (
        {**EARLIER, "validation": 0.25},
        {**texts(EARLIER), "validation": "0.25"},
        read_config(path),
    ):
        plan = make_plan("baseline", settings=given)
        assert plan.stages["train"] == replace(
            TODAY, **{name: getattr(plan.stages["train"], name) for name in KEPT}
        )
        assert plan.validation_fraction == 0.25
    of_one = make_plan("aem-kd", settings={"train.batch": "3", "posttrain": {"batch": 4}})
    assert [stage.batch_size for stage in of_one.stages.values()] == [2, 3, 4]


KEPT = ("epochs", "augmentation", "method", "learning_rate", "weight_decay", "precision")
"""Settings that never had another name."""


def test_a_record_with_earlier_names_gives_the_same_plan() -> None:
    record = {
        "architecture": "rfnet",
        "network": {"width": 4},
        "validation": 0.25,
        "exclude": ["a"],
        "stages": {"train": json.loads(json.dumps(EARLIER))},
    }
    today = Plan("rfnet", {"width": 4}, 0.25, ("a",), {"train": TODAY})
    assert from_json(record) == today
    assert Plan(**{**record, "exclude": ("a",), "stages": {"train": TODAY}}) == today


@pytest.mark.parametrize(
    ("old", "new"),
    [("batch", "batch_size"), ("factor", "synthesis.factor"), ("joint.scales", "joint.multiscale")],
)
def test_both_names_of_one_setting_are_refused(old: str, new: str) -> None:
    with pytest.raises(OptionError, match=f"{old} and {new} are two names of one setting"):
        make_plan(settings={old: 2, new: 3})
