"""Synthetic patients for tutorials and self-tests: grown on this computer, nothing is downloaded."""

import subprocess
import tempfile
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from MissingModalityLib import __version__
from MissingModalityLib.core.modalities import MODALITIES
from MissingModalityLib.runtime.processes import (
    PROGRAM,
    WITHOUT_CONSOLE,
    child_environment,
    python_executable,
)

SAMPLE_NAME = "SyntheticBrainTumor"
RAW_SAMPLE_NAME = "SyntheticBrainTumorRaw"
SEED = 1
WAIT_SECONDS = 0.05
"""Pause between two turns of the event loop while a patient grows."""


def registerSampleData(iconFolder):
    """Offer both patients in Slicer's Sample Data module, and to ``SampleData.downloadSample``.

    Args:
        iconFolder: with a picture <sample name>.png for each.
    """
    import SampleData  # a module of Slicer, which is there when all modules are

    class GrownSource(SampleData.SampleDataSource):
        """A source whose files come into being when they are first asked for.

        Slicer calls a source's ``customDownloader`` for its button alone; scripts get what ``uris`` says.
        """

        @property
        def uris(self):
            return grownFiles(self.sampleName, self.fileNames)

        @uris.setter
        def uris(self, uris):
            """The files take their place, see the getter."""

        def __str__(self):
            return self.sampleName  # by which sources are compared, without growing a patient

    if not hasattr(slicer.modules, "sampleDataSources"):
        slicer.modules.sampleDataSources = {}
    sources = slicer.modules.sampleDataSources.setdefault(_("Brain tumor MRI"), [])
    for name, nodeName in ((SAMPLE_NAME, "Synthetic {}"), (RAW_SAMPLE_NAME, "Raw {}")):
        source = GrownSource(
            sampleName=name,
            uris=[""] * len(MODALITIES),
            # of this version: Slicer keeps the files that it has got by their names
            fileNames=[f"{name}-{__version__}-{modality.name.lower()}.nii.gz" for modality in MODALITIES],
            nodeNames=[nodeName.format(modality.title) for modality in MODALITIES],
            # some Slicers take a file without type for a volume, others ask their readers; all know this word
            loadFileType="VolumeFile",
            thumbnailFileName=str(Path(iconFolder) / f"{name}.png"),
        )
        if source not in sources:
            sources.append(source)


def grownFiles(name, fileNames):
    """Addresses of a sample's files, one for each sequence in channel order.

    A patient that Slicer has kept is not grown again. Otherwise that takes a minute or so, in a process of
    its own, while the application stays alive under a wait cursor.

    Args:
        name: of the sample.
        fileNames: under which Slicer keeps its files.

    Raises:
        RuntimeError: the patient could not be grown.
    """
    cache = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory())
    if all((cache / file).is_file() for file in fileNames):
        return [(cache / file).as_uri() for file in fileNames]
    # kept until the application ends: Slicer copies the files after this has returned
    folder = tempfile.mkdtemp(prefix="MissingModality-", dir=slicer.app.temporaryPath)
    slicer.util.showStatusMessage(_("Growing a synthetic patient, which takes about a minute..."))
    with slicer.util.WaitCursor():
        _grow(folder, name == RAW_SAMPLE_NAME)
    slicer.util.showStatusMessage("")
    (patient,) = Path(folder).iterdir()
    return [(patient / f"{modality.name.lower()}.nii.gz").as_uri() for modality in MODALITIES]


def _grow(folder, isRaw):
    """Write a patient below a folder, while the application draws itself."""
    arguments = ["phantom", "--output", folder, "--seed", str(SEED), *(["--raw"] if isRaw else [])]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [python_executable(), "-m", PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=child_environment(),
        creationflags=WITHOUT_CONSOLE,
        text=True,
    )
    error = None
    while error is None:
        try:
            error = process.communicate(timeout=WAIT_SECONDS)[1]
        except subprocess.TimeoutExpired:
            # no input: a second click would start a second patient
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
    if process.returncode:
        raise RuntimeError(_("The synthetic patient could not be grown: {error}").format(error=error.strip()))


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
