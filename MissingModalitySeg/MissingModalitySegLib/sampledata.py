"""A synthetic patient for tutorials and self-tests: grown on this computer, nothing is downloaded."""

import slicer

SAMPLE_NAME = "SyntheticBrainTumor"


def registerSampleData():
    """Offer the patient in Slicer's Sample Data module."""
    import SampleData  # a module of Slicer, which is there when all modules are

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="MissingModality",
        sampleName=SAMPLE_NAME,
        uris=[],  # nothing to download: the function below makes the nodes itself
        fileNames=[],
        customDownloader=lambda source: list(addSyntheticPatient(seed=1).values()),
    )


def addSyntheticPatient(seed, **options):
    """Grow a patient into the scene.

    Args:
        seed: which patient.
        options: passed on to ``MissingModalityLib.phantom.grow_patient``.

    Returns:
        Volume nodes by ``Modality``.
    """
    from MissingModalityLib import mrml
    from MissingModalityLib.phantom.patient import grow_patient

    images, _label = grow_patient(seed, **options)
    return {
        modality: mrml.add_volume(slicer.mrmlScene, image, f"Synthetic {modality.title}")
        for modality, image in images.items()
    }
