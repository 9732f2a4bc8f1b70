"""Methods by name: what a stage of training minimizes. A method is loaded only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import OptionError
from ..core.registry import Registry

if TYPE_CHECKING:
    from .method import Method

_PACKAGE = __package__


def _check(name: str, method: Any) -> None:
    """Refuse what is no method before a training begins with it."""
    from .method import Method

    if not (isinstance(method, type) and issubclass(method, Method)):
        raise OptionError(f"The method '{name}' is {method!r}. Make it a class derived from Method.")


METHODS: Registry[type[Method]] = Registry(
    "method",
    "missing_modality.methods",
    {
        "supervised": f"{_PACKAGE}.supervised:Supervised",
        "distillation": f"{_PACKAGE}.self_distillation:Distillation",
        "adversarial": f"{_PACKAGE}.adversarial:Adversarial",
        "ensemble": f"{_PACKAGE}.ensemble:Ensemble",
        "joint": f"{_PACKAGE}.joint:JointDistillation",
        "masked": f"{_PACKAGE}.masked:Masked",
        "mutual": f"{_PACKAGE}.mutual:Mutual",
    },
    _check,
)
"""The classes; another package adds its own by the entry point group ``missing_modality.methods``."""
