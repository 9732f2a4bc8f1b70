"""Synthetic patients for tutorials and self-tests: grown on this computer, nothing is downloaded."""

import slicer

SAMPLE_NAME = "SyntheticBrainTumor"
RAW_SAMPLE_NAME = "SyntheticBrainTumorRaw"


def registerSampleData():
    """Offer both patients in Slicer's Sample Data module."""
    import SampleData  # a module of Slicer, which is there when all modules are

    for name, addPatient in ((SAMPLE_NAME, addSyntheticPatient), (RAW_SAMPLE_NAME, addRawPatient)):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="MissingModality",
            sampleName=name,
            uris=[],  # nothing to download: the functions below make the nodes themselves
            fileNames=[],
            customDownloader=lambda source, addPatient=addPatient: list(addPatient(seed=1).values()),
        )


def addSyntheticPatient(seed, **options):
    """Grow a patient into the scene whose volumes are stripped and registered.

    Args:
        seed: which patient.
        options: passed on to ``MissingModalityLib.phantom.grow_patient``.

    Returns:
        Volume nodes by ``Modality``.
    """
    from MissingModalityLib.phantom.patient import grow_patient

    images, _label = grow_patient(seed, **options)
    return _addVolumes(images, "Synthetic {}")


def addRawPatient(seed, **options):
    """Grow a patient into the scene as a scanner gives him: skull on, grids of their own, moved in between.

    Args:
        seed: which patient.
        options: passed on to ``MissingModalityLib.phantom.raw_patient.grow_raw_patient``.

    Returns:
        Volume nodes by ``Modality``.
    """
    from MissingModalityLib.phantom.raw_patient import grow_raw_patient

    return _addVolumes(grow_raw_patient(seed, **options).volumes, "Raw {}")


def _addVolumes(images, name):
    from MissingModalityLib import mrml

    return {
        modality: mrml.add_volume(slicer.mrmlScene, image, name.format(modality.title))
        for modality, image in images.items()
    }
