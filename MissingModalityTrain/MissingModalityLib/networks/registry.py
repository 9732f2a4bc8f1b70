"""Networks by name. Every one of them is made by :func:`build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.errors import OptionError
from ..core.registry import Registry
from ..core.settings import with_changes
from .options import OPTIONS, PREFIX, NetworkOptions, named_today

if TYPE_CHECKING:
    from .network import Network


def _check(name: str, item: Any) -> None:
    """Raise OptionError where a class from outside is no network, or goes by another name."""
    from .network import Network

    if not (isinstance(item, type) and issubclass(item, Network)):
        raise OptionError(f"The network '{name}' is {item!r}, and no subclass of networks.network.Network.")
    if getattr(item, "name", None) != name or not hasattr(item, "Options"):
        raise OptionError(
            f"The network class {item.__qualname__} is registered as '{name}'. Give it name = '{name}' and "
            "its Options as class attributes."
        )
    if not (isinstance(item.Options, type) and issubclass(item.Options, NetworkOptions)):
        raise OptionError(
            f"The options of the network '{name}' are {item.Options!r}. Derive them from "
            "networks.options.NetworkOptions."
        )


NETWORKS: Registry[type[Network]] = Registry(
    kind="network",
    group="missing_modality.networks",
    # the modules import PyTorch, which only happens when a network is asked for
    builtin={
        "acn": f"{__package__}.smunet:ACN",
        "adamm": f"{__package__}.adamm:AdaMM",
        "dynunet": f"{__package__}.dynunet:DynUNet",
        "gatedfusion": f"{__package__}.gatedfusion:GatedFusion",
        "m2ftrans": f"{__package__}.m2ftrans:M2FTrans",
        "m3ae": f"{__package__}.m3ae:M3AE",
        "mmformer": f"{__package__}.mmformer:MMFormer",
        "mstkdnet": f"{__package__}.mstkdnet:MSTKDNet",
        "rahved": f"{__package__}.rahved:RAHVED",
        "rfnet": f"{__package__}.rfnet:RFNet",
        "robustseg": f"{__package__}.robustseg:RobustSeg",
        "segresnet": f"{__package__}.segresnet:EarlyFusionSegResNet",
        "smunet": f"{__package__}.smunet:SMUNet",
        "uhemis": f"{__package__}.uhemis:UHeMIS",
        "uhved": f"{__package__}.uhved:UHVED",
    },
    check=_check,
)


def network_class(name: str) -> type[Network]:
    """The class of a network.

    Raises:
        OptionError: unknown name.
    """
    return NETWORKS.get(name)


def network_options(name: str, /, **options: Any) -> NetworkOptions:
    """Checked options of a network; for those of the library nothing heavy is imported.

    Args:
        name: in :data:`NETWORKS`.
        options: values, or texts as ``--set`` takes them, put over the defaults; earlier names are read.

    Raises:
        OptionError: unknown name or option, or an option out of range.
    """
    kind = OPTIONS[name] if name in OPTIONS else network_class(name).Options
    return with_changes(kind(), named_today(name, options), PREFIX)


def build(name: str, /, **options: Any) -> Network:
    """Make a network with fresh weights.

    Args:
        name, options: as for :func:`network_options`.

    Raises:
        OptionError: as :func:`network_options`.
    """
    checked = network_options(name, **options)
    return network_class(name)(checked)
