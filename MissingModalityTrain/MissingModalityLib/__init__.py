"""Brain tumor segmentation from whatever MRI sequences there are: the library behind panels and command line.

Importing it loads nothing heavy; each public name brings its own file when first used.

    import MissingModalityLib as mm

    labels = mm.segment({"FLAIR": "flair.nii.gz", "T1ce": image}).labels  # files, images, arrays
    run = mm.train(data="cases", recipe="aem-kd", output="run", on_progress=print)
    mm.evaluate_folder(mm.export(run, "student.safetensors"), "test_cases", "results")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Imported with this file, they would bring PyTorch, some seconds, to panels and helps that need a card alone.
_PUBLIC = {
    "Case": "datasets.case",
    "Event": "core.progress",
    "MissingModalityError": "core.errors",
    "Modality": "core.modalities",
    "Plan": "training.plan",
    "Prediction": "inference.prediction",
    "RECIPES": "training.recipes",
    "Settings": "training.settings",
    "Steps": "clinical.steps",
    "Student": "inference.student",
    "Study": "imaging.reading",
    "SynthesisOptions": "synthesis.options",
    "attach_evaluation": "evaluation.attach",
    "bundled_student": "inference.locations",
    "compare_folders": "evaluation.comparison",
    "evaluate_folder": "evaluation.evaluate",
    "evaluate_predictions": "evaluation.foreign",
    "export": "training.stage_students",
    "find_cases": "datasets.discovery",
    "find_studies": "dicom.listing",
    "grow_patient": "phantom.patient",
    "make_plan": "training.plan",
    "plan_training": "training.planning",
    "prepare_cases": "imaging.prepared_folder",
    "read_study": "imaging.reading",
    "segment": "inference.segment_images",
    "segment_dicom": "inference.segment_dicom",
    "segment_files": "inference.segment_files",
    "segment_folder": "inference.segment_folder",
    "select": "training.selection",
    "study": "studies.conduct",
    "synthesize": "synthesis.write",
    "train": "training.run",
    "user_models": "inference.locations",
    "write_dicom_seg": "dicom.segmentation_object",
    "write_segmentation": "imaging.segmentation_file",
}

_ALIASES = {
    "compare": "compare_folders",
    "evaluate": "evaluate_folder",
    "prepare": "prepare_cases",
    "segment_images": "segment",
}
"""Names of the command line, and others that are tried: the same functions."""

_INSTEAD = {
    **dict.fromkeys(("list_models", "models", "list_students"), "bundled_student() and user_models()"),
    **dict.fromkeys(("load_model", "load_student", "load"), "Student.load(path)"),
    **dict.fromkeys(("cases", "load_cases", "list_cases"), "find_cases(folder)"),
    **dict.fromkeys(("infer", "inference", "predict", "run"), "segment(inputs)"),
    "phantom": "grow_patient(seed)",
    "series": "find_studies(folder)",
}
"""For names that are tried and stand for something that is called otherwise here."""

__all__ = ["__version__", *_PUBLIC, *_ALIASES]


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    target = _ALIASES.get(name, name)
    if target not in _PUBLIC:
        instead = _INSTEAD.get(name) or import_module(".core.words", __name__).nearest(name, __all__)
        hint = f": use {instead}" if instead else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    return getattr(import_module(f".{_PUBLIC[target]}", __name__), target)


def __dir__() -> list[str]:
    # else a console would complete only what was used before
    return sorted({*globals(), *__all__})
