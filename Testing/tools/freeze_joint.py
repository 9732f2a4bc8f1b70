"""Record what AdaMM and MST-KDNet compute now, into their fixtures.

    PYTHONPATH=Testing/helpers python Testing/tools/freeze_joint.py

Run it only after the networks equal the published numbers (test_adamm.py and test_mstkdnet.py with the shared
folder); the files then hold later versions to what our own variants, which have no public numbers, give.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from features import named
from masks import flags
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.networks import build

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
OPTIONS = {
    "adamm": {"width": 8, "adapter_channels": 4, "graph_nodes": 4, "dropout": 0.0},
    "mstkdnet": {
        "width": 8,
        "embedding_size": 8,
        "num_layers": 4,
        "num_heads": 2,
        "mlp_size": 16,
        "decoder_channels": 16,
        "position_grid": (1, 1, 2),
        "dropout": 0.0,
    },
}
SIDES = {"adamm": (16, 16, 24), "mstkdnet": (32, 32, 64)}


def seeded(name: str, **options: object) -> nn.Module:
    """Weights from numpy's frozen legacy generator, the same on every machine and version; float64."""
    network = build(name, **{**OPTIONS[name], **options}).double()
    random = np.random.RandomState(2025)
    for key, value in sorted(network.named_parameters()):
        fan_in = value[0].numel() if value.ndim > 1 else 100
        drawn = torch.from_numpy(random.standard_normal(value.shape) * fan_in**-0.5)
        value.data.copy_(1 + drawn if "norm" in key and key.endswith("weight") else drawn)
    return network.eval()


def case(name: str, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Image (batch, 4, D, H, W) float64, classes (batch, D, H, W) uint8; ED is in the first sample only."""
    random = np.random.RandomState(7)
    image = random.standard_normal((batch, 4, *SIDES[name]))
    classes = random.randint(0, 4, (batch, *SIDES[name])).astype(np.uint8)
    classes[1:][classes[1:] == 2] = 0
    return torch.from_numpy(image), torch.from_numpy(classes)


def record(network: nn.Module) -> dict[str, np.ndarray]:
    """Of one training step of two unlike samples: logits, presence, features, losses and gradient norms."""
    image, classes = case(network.name)
    image = image.to(next(network.parameters()).dtype)
    available = flags("1111", "0101")
    output = network.train()(image, available, features=True)
    terms = segmentation_loss(network, output, classes)
    terms["total"].backward()
    found = {"logits": output.logits[..., ::4, ::4, ::4]}
    # content is one of the features of style again
    features = {name: x for name, x in named(output.features).items() if name != "content"}
    found |= {f"features/{name}": thinned(x) for name, x in features.items()}
    found |= {f"loss/{name}": value for name, value in terms.items()}
    if output.presence is not None:
        found["presence"] = output.presence
    norms = [p.grad.norm() for _, p in sorted(network.named_parameters()) if p.grad is not None]
    found["gradient_norms"] = torch.stack(norms)
    return {name: value.detach().numpy().astype(np.float32) for name, value in found.items()}


def thinned(x: Tensor) -> Tensor:
    """A few voxels of every volume, all of what is none."""
    return x[:, :, ::2, ::2, ::2][..., :3, :3, :3] if x.ndim == 5 else x


def fixture(name: str) -> Path:
    return FIXTURES / f"{name}_frozen.npz"


if __name__ == "__main__":
    for name in OPTIONS:
        np.savez_compressed(fixture(name), **record(seeded(name)))
        print(f"{fixture(name)}: {fixture(name).stat().st_size / 1000:.0f} kB")
