"""Which sequences volumes are of, by their voxels."""

from __future__ import annotations

from ..imaging.reading import Study


def check_content(study: Study) -> tuple[str, ...]:
    """Sentences about volumes that are not what they were given as; names are believed."""
    return ()
