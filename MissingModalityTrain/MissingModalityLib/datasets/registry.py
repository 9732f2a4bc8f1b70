"""The data set layouts that a search for cases knows, ours and those of other packages."""

from __future__ import annotations

from typing import Any

from ..core.errors import OptionError
from ..core.registry import Registry
from .layout import Layout


def _check(name: str, item: Any) -> None:
    if not (isinstance(item, type) and issubclass(item, Layout)):
        raise OptionError(f"The layout '{name}' is no class derived from datasets.layout.Layout: {item!r}.")


LAYOUTS: Registry[type[Layout]] = Registry(
    kind="layout",
    group="missing_modality.layouts",
    builtin={
        "msd": f"{__package__}.decathlon:Decathlon",
        "dcm2niix": f"{__package__}.converted:Dcm2niix",
        "fets": f"{__package__}.brats:Fets",
        "brats2015": f"{__package__}.brats:Brats2015",
        "brats2021": f"{__package__}.brats:Brats2021",
        "brats2023": f"{__package__}.brats:Brats2023",
        "bids": f"{__package__}.brats:Bids",
        "mixed": f"{__package__}.brats:Mixed",
    },
    check=_check,
)
"""By name. The first one that explains all files of a case is its layout, so ``mixed`` comes last."""


def all_layouts() -> dict[str, Layout]:
    """One object of every layout, in the order in which they are asked: those of other packages come first.

    Raises:
        OptionError: the package of a layout cannot be imported.
    """
    ordered = sorted(LAYOUTS.names(), key=lambda name: not LAYOUTS.package(name))
    return {name: LAYOUTS.get(name)() for name in ordered}
