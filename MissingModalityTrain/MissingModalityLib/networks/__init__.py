"""Segmentation networks: the contract (:mod:`.network`), the registry of names, and those of the library."""

from .registry import NETWORKS, build, network_class

__all__ = ["NETWORKS", "build", "network_class"]
