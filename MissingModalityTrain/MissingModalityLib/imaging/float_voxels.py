"""Values of NIfTI files that their reader hides: NaN and infinity arrive as 0, odd scaling as none.

ITK's reader zeroes every value that is not finite, so a hole in the brain looks like background. They are
counted in the file's own bytes, in the pass that counts the bytes anyhow.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import ImageError
from ..core.words import counted

_FLOATS = {16: "f4", 64: "f8"}
"""NumPy's names of the datatypes that can hold NaN and that are read."""


@dataclass
class FloatVoxels:
    """The voxels of a NIfTI file, chunk by chunk.

    Attributes:
        dtype: of the voxels; None where these are whole numbers, which are always finite.
        skip: bytes before the first voxel that are still to come.
        left: voxels still to come; what follows them is padding.
        seen: voxels looked at.
        bad: how many of these are NaN or infinite.
    """

    dtype: np.dtype | None
    skip: int
    left: int
    seen: int = 0
    bad: int = 0
    _rest: bytes = b""

    @classmethod
    def of(cls, path: Path, order: str, raw: bytes) -> FloatVoxels:
        """Of the file with this byte order and header, see :func:`.nifti_file.raw_header`.

        Raises:
            ImageError: the header scales the voxels by what is no number.
        """
        slope, intercept = struct.unpack_from(f"{order}2f", raw, 112)
        # 0 and NaN mean that nothing is scaled, whatever the intercept
        scaled = slope != 0 and not math.isnan(slope)
        if scaled and not (math.isfinite(slope) and math.isfinite(intercept)):
            raise ImageError(
                f"{path}: its header scales the voxels by {slope:g} and adds {intercept:g} (scl_slope, "
                "scl_inter), which gives no image. Export the volume again."
            )
        count, *shape = struct.unpack_from(f"{order}8h", raw, 40)
        kind = _FLOATS.get(struct.unpack_from(f"{order}h", raw, 70)[0])
        offset = struct.unpack_from(f"{order}f", raw, 108)[0]
        return cls(
            np.dtype(order + kind) if kind else None,
            int(offset) if math.isfinite(offset) else 0,
            max(0, math.prod(shape[:count])),
        )

    def look(self, chunk: bytes) -> None:
        """Count what is not finite in the next bytes of the file."""
        if self.dtype is None:
            return
        skipped = min(self.skip, len(chunk))
        self.skip -= skipped
        data = self._rest + chunk[skipped:] if self._rest or skipped else chunk
        count = min(len(data) // self.dtype.itemsize, self.left)
        self._rest = data[count * self.dtype.itemsize :] if count < self.left else b""
        values = np.frombuffer(data, self.dtype, count)
        self.left -= count
        self.seen += count
        self.bad += count - int(np.count_nonzero(np.isfinite(values)))

    def check(self, path: Path) -> None:
        """Refuse what was counted.

        Raises:
            ImageError: any voxel is NaN or infinite.
        """
        check_count(str(path), self.bad, self.seen)


def check_count(name: str, bad: int, count: int) -> None:
    """Refuse a volume of which ``bad`` of ``count`` voxels are not finite.

    Raises:
        ImageError: there is one.
    """
    if bad:
        raise ImageError(
            f"{name} holds {counted(bad, 'voxel')} of NaN or infinity ({100 * bad / count:.3g} % of it). "
            "Replace them (usually by 0, outside the brain) or export the volume again."
        )
