"""Which steps raw volumes go through before they are segmented; needs nothing heavy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import OptionError
from ..core.kinds import takes_known_names

REGISTRATION = ("auto", "never")
STRIPPING = ("auto", "never", "always")
BIAS_FIELD = ("auto", "never")


@takes_known_names
@dataclass(frozen=True)
class Steps:
    """What is done to volumes before a student sees them.

    Attributes:
        registration: ``auto`` moves volumes onto the first one where that makes them agree better, ``never``
            trusts the headers.
        stripping: ``auto`` looks for the brain where a volume still has its skull, ``always`` in every study,
            ``never`` takes all that is not background for brain.
        brain_mask: file of a mask of the brain, nonzero inside, in the patient's space on any grid; in place
            of stripping.
        content_check: whether voxels are asked which sequences they are of.
        bias_field: ``auto`` frees volumes that still have their skull of the coil's unevenness, ``never``
            takes intensities as they are.

    Raises:
        OptionError: an unknown name or word, or a mask where stripping is to be done always.
    """

    registration: str = "auto"
    stripping: str = "auto"
    brain_mask: Path | str | None = None
    content_check: bool = True
    bias_field: str = "auto"

    def __post_init__(self) -> None:
        choices = {"registration": REGISTRATION, "stripping": STRIPPING, "bias_field": BIAS_FIELD}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise OptionError(
                    f"{name}={getattr(self, name)} is unknown. Choose one of: {', '.join(known)}."
                )
        if self.brain_mask is not None:  # whoever asks which files are read looks for paths
            object.__setattr__(self, "brain_mask", Path(self.brain_mask))
        if self.brain_mask is not None and self.stripping == "always":
            raise OptionError(
                f"{self.brain_mask}: a brain mask takes the place of stripping. Leave out the mask or "
                "stripping=always."
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, as the report has them."""
        return {**asdict(self), "brain_mask": self.brain_mask and str(self.brain_mask)}
