"""A synthetic patient for tutorials and self-tests: grown on this computer, nothing is downloaded."""

import slicer
from slicer.i18n import tr as _


def registerSampleData():
    """Offer the patient in Slicer's Sample Data module."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="MissingModality",
        sampleName="SyntheticBrainTumor",
        sampleDescription=_("Synthetic patient with a brain tumor: FLAIR, T1ce, T1 and T2"),
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
    from MissingModalityLib.phantom import grow_patient

    images, _label = grow_patient(seed, **options)
    return {
        modality: mrml.add_volume(slicer.mrmlScene, image, f"Synthetic {modality.title}")
        for modality, image in images.items()
    }
