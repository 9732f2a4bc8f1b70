"""Voxels that no loss looks at, such as a resection cavity under ``resection_cavity=ignore``.

What the network says there is replaced by background for certain, which the label there says too: the loss
does not depend on it and its gradient is 0. Losses need not know of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..networks.head import Head
from ..networks.output import Feature, Kind, Output


def without_ignored(output: Output, batch: Mapping[str, Tensor], head: Head) -> Output:
    """An output that is background wherever the batch ignores the label.

    Args:
        output: of the batch.
        batch: ``ignored`` (B, D, H, W) bool is there if any case has such voxels; ``present`` (B, 4) bool.
        head: of the network.

    Returns:
        The output itself where nothing is ignored; else one of the same presence, its logits and those of
        its features that are compared with labels replaced.
    """
    if "ignored" not in batch:
        return output
    ignored, present = batch["ignored"], batch["present"]
    features = {
        feature: _settled(feature, x, ignored, present, head) for feature, x in output.features.items()
    }
    return Output(_background(output.logits, ignored, head, logits=True), features, output.presence)


def nearest(classes: Tensor, shape: Sequence[int]) -> Tensor:
    """(B, D, H, W) on a grid that ``shape`` divides: of each block its middle voxel; a view."""
    steps = [side // coarse for side, coarse in zip(classes.shape[1:], shape, strict=True)]
    return classes[(slice(None), *(slice(step // 2, None, step) for step in steps))]


def _settled(feature: Feature, x: Tensor, ignored: Tensor, present: Tensor, head: Head) -> Tensor:
    if feature.kind == Kind.DEEP:
        return _background(x, nearest(ignored, x.shape[2:]), head, logits=True)
    if feature.kind == Kind.REGIONS:
        return _background(x, ignored, head, logits=False)
    if feature.kind == Kind.SEPARATE:  # one row for each sample that has the modality
        return _background(x, ignored[present[:, feature.modality]], head, logits=True)
    return x


def _background(x: Tensor, ignored: Tensor, head: Head, logits: bool) -> Tensor:
    certain = head.background((1, 1, *(1,) * ignored[0].ndim))
    values = head.logits(certain) if logits else certain
    return torch.where(ignored[:, None], values.to(x.device, x.dtype), x)
