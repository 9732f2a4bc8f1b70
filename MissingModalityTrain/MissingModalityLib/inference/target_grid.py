"""On which volume's voxels a result lies: the first volume's, or by choice those of another one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import OptionError
from ..core.modalities import Modality, modality_named
from ..imaging.grid import Grid
from ..imaging.reading import Study, with_grid_checked
from ..imaging.volumes import read_image

GridChoice = Modality | Path
"""One of the given volumes by its modality, or the file of any other one."""

_MOST_OUTSIDE = 0.01
"""Share of a tumor outside a grid from which on it is told; the border of a slice takes less."""


@dataclass(frozen=True)
class TargetGrid:
    """Where the voxels of a result lie.

    Attributes:
        name: of the volume.
        sampled: its voxels in the space of the reference volume, in which the tumor is found.
        written: its voxels by its own header; others where it was moved onto the reference volume.
    """

    name: str
    sampled: Grid
    written: Grid

    def stamp(self, labels: sitk.Image) -> sitk.Image:
        """Labels on ``sampled`` under the volume's own header."""
        placed = sitk.Image(labels)
        placed.SetOrigin(self.written.origin)
        placed.SetSpacing(self.written.spacing)
        placed.SetDirection(self.written.direction)
        return placed

    def warnings(self, tumor: np.ndarray, grid: Grid) -> list[str]:
        """A sentence where part of the tumor lies outside.

        Args:
            tumor: (D, H, W) bool.
            grid: of its voxels, in the space of the reference volume.
        """
        found = np.argwhere(tumor)[:, ::-1]
        if not len(found):
            return []
        outside = 1 - float(np.mean(self.sampled.covers(grid.points(found))))
        if outside < _MOST_OUTSIDE:
            return []
        return [
            f"{self.name} does not cover {outside:.0%} of the tumor, so the result on its grid lacks that "
            "part, and its volumes are too small."
        ]


def parse_grid(choice: Modality | Path | str | None) -> GridChoice | None:
    """A text as a modality, by any of its names (``t1ce``, ``T1c``), or else as a file; all else as it is."""
    if choice is None or isinstance(choice, (Modality, Path)):
        return choice
    try:
        return modality_named(choice)
    except OptionError:
        return Path(choice)


def check_grid_choice(choice: GridChoice | None, given: Iterable[Modality]) -> None:
    """Raise OptionError where the result is to lie on a volume that is not given."""
    if isinstance(choice, Modality) and choice not in given:
        raise OptionError(
            f"The result cannot lie on the grid of {choice.title}, for there is no such volume. Choose one "
            f"of {', '.join(modality.title for modality in sorted(given))}, or name a file."
        )


def grid_told(study: Study, choice: GridChoice | None, files: Iterable[Path] = ()) -> Study:
    """A study with what the user should know about the header of a chosen file.

    Args:
        study: the volumes.
        choice: where it is no file, there is nothing to tell beyond what is told of the volumes.
        files: of the volumes; none of DICOM.

    Raises:
        ImageError: as :func:`~..imaging.reading.with_grid_checked`.
    """
    return with_grid_checked(study, choice, files) if isinstance(choice, Path) else study


def target_grid(choice: GridChoice | None, given: Study, ready: Study) -> TargetGrid | None:
    """The grid that was chosen.

    Args:
        choice: None for the first volume.
        given: volumes with their own headers.
        ready: the same after registration, in the space of the first one.

    Returns:
        None for the first volume, on whose grid results lie by themselves.

    Raises:
        OptionError: there is no such volume.
        ImageError: the file cannot be read.
    """
    if choice is None or choice == given.reference:
        return None
    if isinstance(choice, Modality):
        check_grid_choice(choice, given.images)
        grids = (Grid.from_image(study.images[choice]) for study in (ready, given))
        return TargetGrid(given.names[choice], *grids)
    grid = Grid.from_image(read_image(choice))
    return TargetGrid(str(choice), grid, grid)
