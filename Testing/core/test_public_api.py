"""The contract with people who program against the library: names, parameters and defaults stay.

A change here breaks their scripts. Adding a name, or a parameter with a default at the end, does not.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import MissingModalityLib as mm
import readme
from MissingModalityLib.inference.student import Student
from small_cases import write_block_cases
from small_patient import AS_GIVEN
from tiny_run import TINY

FUNCTIONS = {
    "bundled_student": "",
    "attach_evaluation": "student, evaluation, cross_validation=()",
    "compare_folders": "folders, output=None, published=None",
    "evaluate_folder": (
        "student, data, output, device='auto', convention=None, hd95_rule='penalty', on_progress=None, "
        "cases=None, resection_cavity='background', hd95_definition='directed', "
        "metrics=('dice', 'hd95', 'lesion_dice', 'lesion_hd95'), calibration=None"
    ),
    "evaluate_predictions": (
        "predictions, data, output, labels=None, convention=None, hd95_rule='penalty', on_progress=None, "
        "cases=None, resection_cavity='background', hd95_definition='directed', "
        "metrics=('dice', 'hd95', 'lesion_dice', 'lesion_hd95')"
    ),
    "export": "run, output, card=None",
    "find_cases": "folder, convention=None",
    "find_studies": "folder, on_progress=None, one_visit=False",
    "grow_patient": "seed, shape=(155, 240, 240), spacing=(1.0, 1.0, 1.0), tumor=True",
    "make_plan": "recipe='baseline', network=None, preset='paper', stages=None, settings=None",
    "plan_training": (
        "data, recipe='baseline', network=None, preset='paper', settings=None, device='auto', gpu=None, "
        "memory=None, measure=False"
    ),
    "prepare_cases": "data, output, convention=None, on_progress=None",
    "read_study": "case",
    "segment_dicom": (
        "folder, output, student=None, device='auto', labels='classes', patient=None, study=None, "
        "on_progress=None, steps=None, steps_output=None, grid=None, regions=False, overwrite=False, "
        "series=None, one_visit=False, precision='auto'"
    ),
    "segment_files": (
        "inputs, output, student=None, device='auto', labels='classes', on_progress=None, steps=None, "
        "steps_output=None, grid=None, overwrite=False, precision='auto'"
    ),
    "segment_folder": (
        "data, output, student=None, device='auto', labels='classes', suffix='.seg.nrrd', on_progress=None, "
        "steps=None, grid=None, regions=False, precision='auto'"
    ),
    "segment": (
        "inputs, output=None, student=None, device='auto', labels='classes', on_progress=None, steps=None, "
        "grid=None, affine=None, spacing=None, overwrite=False, precision='auto'"
    ),
    "select": "run, smoothing_mm=(), overlap=(), mirror=(), mirror_windows=(), "
    "device='auto', on_progress=None, data=None",
    "study": (
        "name, data, output, preset='paper', seeds=1, test=None, lists=None, data_set=None, steps=None, "
        "settings=None, prepared=None, device='auto', convention=None, run=None, train=True, on_progress=None"
    ),
    "synthesize": (
        "data, output, factor=4, method='aem', seed=0, options=None, convention=None, on_progress=None"
    ),
    "train": (
        "data, output, recipe='baseline', network=None, preset='paper', stages=None, settings=None, "
        "config=None, initial=None, resume=False, restart=None, seed=0, device='auto', convention=None, "
        "prepared=None, on_progress=None, *, folds=None, fold=None, cases=None, validation_cases=None, "
        "accept_changes=False, track=()"
    ),
    "user_models": "",
    "write_dicom_seg": (
        "labels, source, output, regions=False, algorithm=None, description='Brain tumor segmentation', "
        "corrected=()"
    ),
    "write_segmentation": "classes, output, labels='classes', computed=()",
}
ALIASES = {
    "compare": "compare_folders",
    "evaluate": "evaluate_folder",
    "prepare": "prepare_cases",
    "segment_images": "segment",
}
CLASSES = {
    "Case": "name, folder, layout, images, label=None, convention=None, former=(), beside=()",
    "Event": "stage, step, total, message='', values=<factory>",
    "Plan": (
        "network='segresnet', network_options=<factory>, validation_fraction=0.1, exclude=(), "
        "stages=<factory>, resection_cavity='background', patient=None, "
        "missing_rates=()"
    ),
    "Settings": (
        "epochs=300, iterations_per_epoch=150, batch_size=2, patch_size=(80, 80, 80), "
        "oversample_foreground=0.0, augmentation='paper', training_subsets=(), subset_weights=('uniform',), "
        "all_modalities_epochs=0, synthesis=<factory>, "
        "method='supervised', supervised=<factory>, distillation=<factory>, joint=<factory>, "
        "other_methods=<factory>, learning_rate=0.0002, adam_beta2=0.999, weight_decay=0.0001, "
        "lr_decay_power=0.9, max_grad_norm=0.0, ema_decay=0.0, precision='auto', validation_interval=25, "
        "validation_subsets=('FLAIR+T1ce+T1+T2', 'FLAIR+T1ce', 'T1ce', 'T2'), num_workers=0, "
        "optimizer='adam', lr_schedule='poly', lr_warmup_steps=0, lr_decay_fraction=0.2, "
        "case_cache='auto', compile='none', ensemble=<factory>, case_order='endless', "
        "adversarial=<factory>, masked=<factory>, mutual=<factory>"
    ),
    "Prediction": (
        "labels, subset, seconds, device, warnings, presence=None, estimated_dice=None, grades=None"
    ),
    "Steps": "registration='auto', stripping='auto', brain_mask=None, content_check=True, bias_field='auto'",
    "Student": "network, card=None",
    "Study": "images, names=<factory>, warnings=(), brain=None, checked=False",
    "SynthesisOptions": (
        "difference='absolute', tumors=1, placement='aligned', clip_to_brain=False, max_scale_change=0.0, "
        "max_rotation_deg=0.0, flip=False, feather_mm=0.0, mixup_alpha=0.4, "
        "grown=<factory>"
    ),
}
METHODS = {
    "Student.load": "path",
    "Student.predict": "self, study, device='auto', on_progress=None, target=None",
    "Student.save": "self, path, half=False",
}
SETTINGS = {**TINY, "epochs": 1, "iterations_per_epoch": 1, "validation_subsets": "FLAIR"}
OTHERS = {"MissingModalityError", "Modality", "RECIPES", "__version__"}


def parameters(function: Any) -> str:
    """Names, kinds and defaults as they stand in the code, without types."""
    signature = inspect.signature(function)
    bare = [item.replace(annotation=inspect.Parameter.empty) for item in signature.parameters.values()]
    return str(inspect.Signature(bare))[1:-1]


def test_nothing_is_public_but_what_is_frozen_here() -> None:
    assert set(mm.__all__) == {*FUNCTIONS, *CLASSES, *OTHERS, *ALIASES}
    assert set(mm.__all__) <= set(dir(mm))
    with pytest.raises(AttributeError, match="no attribute 'segment_everything'"):
        _ = mm.segment_everything


@pytest.mark.parametrize("alias", ALIASES)
def test_names_that_people_try_are_the_same_functions(alias: str) -> None:
    assert getattr(mm, alias) is getattr(mm, ALIASES[alias])


@pytest.mark.parametrize(
    ("tried", "told"),
    [
        ("load_student", "use Student.load"),
        ("list_models", "use bundled_student"),
        ("predict", "use segment"),
        ("segmnt_files", "use segment_files"),
    ],
)
def test_other_names_that_people_try_are_answered_with_the_right_one(tried: str, told: str) -> None:
    with pytest.raises(AttributeError, match=rf"no attribute '{tried}': {told}"):
        getattr(mm, tried)


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_functions_and_classes_keep_their_parameters(name: str) -> None:
    assert parameters(getattr(mm, name)) == {**FUNCTIONS, **CLASSES}[name]


@pytest.mark.parametrize("name", METHODS)
def test_methods_keep_their_parameters(name: str) -> None:
    assert parameters(getattr(Student, name.partition(".")[2])) == METHODS[name]


def test_names_of_modalities_and_kinds_of_errors_stay() -> None:
    from MissingModalityLib.core import errors

    assert [modality.name for modality in mm.Modality] == ["FLAIR", "T1CE", "T1", "T2"]
    kinds = {cls.__name__ for cls in mm.MissingModalityError.__subclasses__()}
    assert kinds >= {"CaseError", "ImageError", "LabelError", "OptionError", "StudentError"}
    assert all(hasattr(errors, kind) for kind in kinds if not kind.startswith("_"))


def explained(item: Any) -> set[str]:
    """Parameters with a line of their own in the docstring, and fields that know their meaning."""
    lines = re.findall(r"^ +(\w+(?:, \w+)*):", inspect.getdoc(item), re.MULTILINE)
    known = {name for line in lines for name in line.split(", ")}
    settings = fields(item) if is_dataclass(item) else ()
    return known | {field.name for field in settings if field.metadata.get("meaning")}


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_every_public_name_is_explained_with_each_of_its_parameters(name: str) -> None:
    item = getattr(mm, name)
    assert inspect.getdoc(item)
    names = set(inspect.signature(item).parameters)
    alone = len(names) == 1 and "Args:" not in inspect.getdoc(item)  # the summary says what it is
    assert alone or names <= explained(item)


def test_importing_the_library_and_making_a_plan_load_nothing_heavy() -> None:
    code = (
        "import sys, MissingModalityLib as mm; mm.make_plan('aem-kd'); mm.SynthesisOptions(); "
        "heavy = {'torch', 'monai', 'numpy', 'SimpleITK', 'scipy', 'matplotlib'} & sys.modules.keys(); "
        "assert not heavy, heavy"
    )
    environment = {"PYTHONPATH": str(Path(mm.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_the_lines_of_the_readme_train_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand there, but on tiny cases and with settings to match."""
    write_block_cases(tmp_path / "cases")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mm, "train", partial(mm.train, settings=SETTINGS, device="cpu"))
    names: dict[str, Any] = {}
    exec(readme.lines_with("mm.train"), names)  # noqa: S102 - lines of our own README
    assert names["run"] == Path("run")
    assert Student.load(names["model"]).card["training"]["stage"] == "posttrain"


def test_the_first_lines_of_the_readme_segment_a_patient(
    student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand there, but the patient is coarse and the network tiny."""
    coarse = {"shape": (22, 24, 26), "spacing": (7.0, 8.0, 7.0)}
    monkeypatch.setattr(mm, "grow_patient", partial(mm.grow_patient, **coarse), raising=False)
    quick = partial(mm.segment, student=student, device="cpu", steps=AS_GIVEN)
    monkeypatch.setattr(mm, "segment", quick, raising=False)
    names: dict[str, Any] = {}
    exec(readme.lines_with("mm.grow_patient"), names)  # noqa: S102 - lines of our own README
    assert names["result"].subset == (mm.Modality.FLAIR, mm.Modality.T1CE)
    assert names["result"].labels.GetSize() == coarse["shape"][::-1]


def test_no_public_name_takes_a_path_alone() -> None:
    """But for a case, which is found and not written by people."""
    callables = {name: getattr(mm, name) for name in (*FUNCTIONS, *CLASSES) if name != "Case"}
    callables |= {name: getattr(Student, name.partition(".")[2]) for name in METHODS}
    refused = [
        f"{name}: {parameter}"
        for name, item in callables.items()
        for parameter in inspect.signature(item).parameters.values()
        if "Path" in str(parameter.annotation) and "str" not in str(parameter.annotation)
    ]
    assert not refused
    assert mm.Steps(brain_mask="brain.nrrd").brain_mask == Path("brain.nrrd")


def test_paths_may_be_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder of cases to a table, as people type it."""
    write_block_cases(tmp_path / "cases")
    monkeypatch.chdir(tmp_path)
    events: list[mm.Event] = []
    mm.prepare_cases("cases", "prepared", on_progress=events.append)
    mm.train("cases", "run", settings=SETTINGS, device="cpu", prepared="prepared", on_progress=events.append)
    mm.export("run", "student.safetensors")
    mm.train("cases", "more", settings=SETTINGS, device="cpu", initial="student.safetensors")
    unseen = json.loads(Path("run/run.json").read_text("utf-8"))["validation"]
    mm.evaluate_folder(
        "student.safetensors", "cases", "scores", device="cpu", on_progress=events.append, cases=unseen
    )
    mm.attach_evaluation("student.safetensors", "scores")
    mm.compare_folders({"one": ["scores"], "same": ["scores"]}, "table")
    mm.synthesize("cases", "synthetic", factor=2, on_progress=events.append)
    mm.segment_files(
        {mm.Modality.FLAIR: "cases/patient_a/flair.nii.gz"},
        "tumor.nii.gz",
        student="student.safetensors",
        device="cpu",
        on_progress=events.append,
    )
    assert {"prepare", "train", "Evaluating", "write", "segment"} <= {event.stage for event in events}
    assert (tmp_path / "table" / "comparison.md").exists() and (tmp_path / "tumor.nii.gz").exists()
