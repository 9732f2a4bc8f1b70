"""Brain tumor segmentation from whatever MRI sequences there are: the library behind panels and command line.

Importing it loads nothing heavy; each public name brings its own file when first used.

    import MissingModalityLib as mm

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
    "Settings": "training.settings",
    "Steps": "clinical.steps",
    "Student": "inference.student",
    "Study": "imaging.reading",
    "SynthesisOptions": "synthesis.options",
    "attach_evaluation": "evaluation.attach",
    "compare_folders": "evaluation.comparison",
    "evaluate_folder": "evaluation.evaluate",
    "export": "training.stage_students",
    "find_cases": "datasets.discovery",
    "find_studies": "dicom.listing",
    "grow_patient": "phantom.patient",
    "make_plan": "training.plan",
    "prepare_cases": "imaging.prepared_folder",
    "read_study": "imaging.reading",
    "segment_dicom": "inference.segment_dicom",
    "segment_files": "inference.segment_files",
    "segment_folder": "inference.segment_folder",
    "select": "training.selection",
    "synthesize": "synthesis.write",
    "train": "training.run",
    "write_dicom_seg": "dicom.segmentation_object",
    "write_segmentation": "imaging.segmentation_file",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """A public name, imported now (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    # else a console would complete only what was used before
    return sorted({*globals(), *_PUBLIC})
