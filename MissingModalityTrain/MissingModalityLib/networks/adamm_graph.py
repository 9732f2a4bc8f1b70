"""The graph module of AdaMM: what a subset's own bottleneck and the general one have in common, as few nodes.

"No modality left behind: adapting to missing modalities via knowledge distillation for brain tumor
segmentation", arXiv 2509.15017, Graph-guided Adaptive Refinement Module.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .unet import normalization

NODE_EPSILON = 1e-9  # keeps an anchor that no voxel is near from a division by 0


class NodeProjection(nn.Module):
    """Voxels softly assigned to learned anchors; a node is what an anchor's voxels have in common.

    Args:
        channels: of a voxel and of a node.
        nodes: anchors.
        as_public_code: read the nodes' memory as if it had been transposed, as the public code does: then
            every "node" is a mixture of pieces of all.
    """

    def __init__(self, channels: int, nodes: int, as_public_code: bool) -> None:
        super().__init__()
        # close together and equally wide, or sums over so many channels leave every voxel to one or two nodes
        self.anchor = nn.Parameter(0.1 * torch.randn(nodes, channels))
        self.sigma = nn.Parameter(torch.zeros(nodes, channels))
        self.as_public_code = as_public_code

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, N) voxels -> (B, C, K) nodes and (B, K, N) assignments that sum to 1 over K."""
        sharpness = 1 / self.sigma.sigmoid()
        # ((x - anchor) / sigma)^2 multiplied out: voxel-sized products with every anchor are never stored
        squared = sharpness**2
        distance = squared @ x**2 - 2 * (squared * self.anchor) @ x
        distance = distance + (squared * self.anchor**2).sum(1, keepdim=True)
        assigned = (-distance / 2).softmax(1)
        shares = assigned / (assigned.sum(2, keepdim=True) + NODE_EPSILON)
        offsets = shares @ x.transpose(1, 2) - shares.sum(2, keepdim=True) * self.anchor
        nodes = F.normalize(offsets * sharpness, dim=2)
        nodes = F.normalize(nodes.flatten(1), dim=1).view_as(nodes)
        batch, count, channels = nodes.shape
        turned = nodes.view(batch, channels, count) if self.as_public_code else nodes.transpose(1, 2)
        return turned, assigned


class NodeAttention(nn.Module):
    """Self-attention of nodes; one layer makes query, key and value.

    Args:
        channels: of a node.
        as_public_code: scale by the root of the number of nodes in place of the channels'.
    """

    def __init__(self, channels: int, as_public_code: bool) -> None:
        super().__init__()
        self.mix = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self.as_public_code = as_public_code

    def forward(self, nodes: Tensor) -> Tensor:
        """(B, K, C) -> the same shape."""
        mixed = self.mix(nodes)
        scale = mixed.shape[1 if self.as_public_code else 2] ** -0.5
        return self.out(F.scaled_dot_product_attention(mixed, mixed, mixed, scale=scale))


class GraphRefinement(nn.Module):
    """A subset's own bottleneck, refined by nodes that it shares with the general one.

    Args:
        channels: of both bottlenecks.
        nodes: K, how many each is summed up in.
        as_public_code: with the faults of the public code, which its weights need: nodes not transposed, one
            similarity for both directions, attention scaled by the number of nodes, batch normalization.
    """

    def __init__(self, channels: int, nodes: int, as_public_code: bool) -> None:
        super().__init__()
        norm = "batch" if as_public_code else "group"
        self.as_public_code = as_public_code
        self.specific = NodeProjection(channels, nodes, as_public_code)
        self.general = NodeProjection(channels, nodes, as_public_code)
        self.sharpen = _unit(channels, norm)
        self.exchange = nn.Parameter(nn.init.xavier_uniform_(torch.empty(channels, channels)))
        self.attention = NodeAttention(channels, as_public_code)
        self.place = _unit(channels, norm)
        self.merge = _unit(channels, norm)
        self.out = nn.Conv3d(channels, channels, 1)

    def forward(self, specific: Tensor, general: Tensor) -> Tensor:
        """Refine.

        Args:
            specific, general: (B, C, d, h, w), bottleneck by the subset's own layers and by the shared ones.

        Returns:
            What replaces them, of the same shape.
        """
        # sums over all voxels leave the range of half precision
        with torch.autocast(specific.device.type, enabled=False):
            dtype = self.exchange.dtype
            first, first_assigned = self.specific(specific.flatten(2).to(dtype))
            second, second_assigned = self.general(general.flatten(2).to(dtype))
            nodes = self._exchanged(self.sharpen(first[..., None, None])[..., 0, 0], second)
            gates = torch.cat([first_assigned, second_assigned], 1).softmax(1).chunk(2, 1)
            fused = gates[0] * first_assigned + gates[1] * second_assigned
            placed = (nodes.transpose(1, 2) @ fused).unflatten(2, general.shape[2:])
        return self.out(self.merge(self.place(placed) + general + specific))

    def _exchanged(self, specific: Tensor, general: Tensor) -> Tensor:
        """(B, C, K) nodes of both -> (B, K, C) the specific ones after looking at the general ones."""
        specific, general = specific.transpose(1, 2), general.transpose(1, 2)
        alike = general @ specific.transpose(1, 2)
        back = alike if self.as_public_code else alike.transpose(1, 2)
        found = back.softmax(-1) @ general @ self.exchange, alike.softmax(-1) @ specific @ self.exchange
        both = torch.cat([self.attention(nodes) for nodes in found], 1)
        return self.attention(both).chunk(2, 1)[0]


def _unit(channels: int, norm: str) -> nn.Sequential:
    """1x1x1 convolution, normalization, ReLU."""
    convolution = nn.Conv3d(channels, channels, 1, bias=False)
    return nn.Sequential(convolution, normalization(channels, norm), nn.ReLU(True))
