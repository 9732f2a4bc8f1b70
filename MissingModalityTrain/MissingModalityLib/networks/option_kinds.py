"""What options of networks are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ..core.errors import OptionError
from ..core.settings import check, setting

PREFIX = "network."
"""What options of a network are called by in ``--set``."""


def whole(default: int, low: int, high: int, meaning: str, multiple_of: int = 1) -> Any:
    """A whole number from ``low`` to ``high`` (included), if asked for a multiple of another."""
    kind = "a whole number" if multiple_of == 1 else f"a multiple of {multiple_of}"
    return setting(default, meaning, f"{kind} from {low} to {high}", is_whole(low, high, multiple_of))


def is_whole(low: int, high: int, multiple_of: int = 1) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high and value % multiple_of == 0


@dataclass(frozen=True)
class NetworkOptions:
    """Base of the options of a network: frozen, checked when made, and plain values for JSON files.

    Raises:
        OptionError: a value of the wrong kind or out of its range, named as ``network.OPTION=value``.
    """

    def __post_init__(self) -> None:
        check(self, PREFIX)

    def to_json(self) -> dict[str, Any]:
        """Values by option; lists in place of tuples, as they come back from a file."""
        return {name: list(x) if isinstance(x, tuple) else x for name, x in asdict(self).items()}


def require_heads_divide(num_heads: int, size: int, what: str) -> None:
    """Raise OptionError where attention heads cannot share ``size`` channels, named by ``what``, equally."""
    if size % num_heads:
        raise OptionError(
            f"Setting {PREFIX}num_heads={num_heads} must be a divisor of {what}. Change one of them."
        )
