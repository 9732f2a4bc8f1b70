"""Brain extraction by a program that the user has: SynthStrip of FreeSurfer, or HD-BET.

Hoopes et al., "SynthStrip: skull-stripping for any brain image", NeuroImage 260, 119474 (2022); command
``mri_synthstrip`` since FreeSurfer 7.3. Isensee et al., "Automated brain extraction of multisequence MRI
using artificial neural networks", Human Brain Mapping 40 (2019); command ``hd-bet`` of version 2.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import ImageError
from ..imaging.grid import Grid
from ..imaging.volumes import read_image, write_image
from ..runtime.processes import WITHOUT_CONSOLE

_TIME_LIMIT_S = 1800
"""For one volume; SynthStrip takes a minute without a graphics card, HD-BET some."""


@dataclass(frozen=True)
class Tool:
    """A program on the user's path.

    Attributes:
        name: as people know it.
        command: of the program.
        arguments: what it is called with; ``{input}`` and ``{output}`` are files. What it writes is the mask
            or the volume with zeros around the brain.
    """

    name: str
    command: str
    arguments: Sequence[str]

    def installed(self) -> bool:
        """Whether the program is found."""
        return shutil.which(self.command) is not None

    def find_brain(self, image: sitk.Image) -> sitk.Image:
        """The brain in a volume, uint8, 1 inside, on its own grid.

        Raises:
            ImageError: the program ended with an error, wrote nothing that can be read, or took half an hour.
        """
        with tempfile.TemporaryDirectory(prefix="missing-modality-") as folder:
            files = {name: str(Path(folder, f"{name}.nii.gz")) for name in ("input", "output")}
            write_image(image, Path(files["input"]))
            self._run([argument.format(**files) for argument in self.arguments])
            return _mask(read_image(Path(files["output"])), image)

    def _run(self, arguments: Sequence[str]) -> None:
        program = shutil.which(self.command)
        try:
            done = subprocess.run(  # noqa: S603 - a list and no shell; the files are our own
                [program or self.command, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIME_LIMIT_S,
                check=False,
                creationflags=WITHOUT_CONSOLE,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failure(type(error).__name__) from error
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise self._failure(lines[-1] if lines else f"exit code {done.returncode}")

    def _failure(self, reason: str) -> ImageError:
        return ImageError(
            f"{self.name} ({self.command}) has found no brain: {reason}. Try it in a terminal on the same "
            "volume, or give a mask of the brain."
        )


TOOLS = (
    Tool("SynthStrip", "mri_synthstrip", ("-i", "{input}", "-m", "{output}")),
    Tool("HD-BET", "hd-bet", ("-i", "{input}", "-o", "{output}", "-device", "cpu", "--disable_tta")),
)
"""In the order in which they are asked: SynthStrip is the faster one without a graphics card."""


def _mask(written: sitk.Image, image: sitk.Image) -> sitk.Image:
    """What a tool wrote as a mask on the volume's grid; zeros inside the brain are holes."""
    inside = (sitk.GetArrayFromImage(written) != 0).astype(np.uint8)
    filled = sitk.BinaryFillhole(Grid.from_image(written).to_image(inside))
    mask = sitk.Resample(filled, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    mask.CopyInformation(image)
    return mask
