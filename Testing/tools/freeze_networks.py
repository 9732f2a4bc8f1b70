"""Record what networks of the papers' tables compute now, into fixtures/networks_frozen.npz.

    PYTHONPATH=Testing/helpers python Testing/tools/freeze_networks.py

Run it only after the networks equal the published numbers (test_seed_networks.py with the shared folder); the
file then holds later versions to them where that folder is absent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from masks import flags
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.networks.network import Network
from small_networks import small_network

FROZEN = Path(__file__).resolve().parents[1] / "fixtures" / "networks_frozen.npz"
NAMES = ("m2ftrans",)
MASKS = ("1111", "1000", "0101")
SIDE = 32
STEP = 8  # of the voxels that are kept


def seeded(name: str) -> Network:
    """Weights from numpy's frozen legacy generator, the same on every machine and version; float64."""
    network = small_network(name).double()
    random = np.random.RandomState(2021)
    for key, value in sorted(network.state_dict().items()):
        fan_in = value[0].numel() if value.ndim > 1 else 100
        value.copy_(torch.from_numpy(random.standard_normal(value.shape) * (2 / fan_in) ** 0.5))
        value += key.endswith("weight") and value.ndim == 1  # scales of normalizations
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network.eval()


def record(name: str) -> dict[str, np.ndarray]:
    """Logits per subset; losses and the norm of the gradient of one step, in evaluation mode."""
    network, random = seeded(name), np.random.RandomState(7)
    image = torch.from_numpy(random.standard_normal((1, 4, SIDE, SIDE, SIDE)))
    classes = torch.from_numpy(random.randint(0, 4, (1, SIDE, SIDE, SIDE)).astype(np.uint8))
    with torch.no_grad():
        logits = {mask: network(image, flags(mask)).logits for mask in MASKS}
    # nobody is present on its own: separate decoders are for training mode
    output = network(image, flags("0111"), features=network.loss_features)
    terms = segmentation_loss(network, output, classes, flags("0000"))
    terms["total"].backward()
    norm = sum(x.grad.square().sum() for x in network.parameters() if x.grad is not None).sqrt()
    found = {f"{name}/logits/{mask}": x[..., ::STEP, ::STEP, ::STEP] for mask, x in logits.items()}
    found |= {f"{name}/loss/{term}": value for term, value in terms.items()}
    found[f"{name}/gradient"] = norm
    return {key: value.detach().numpy() for key, value in found.items()}


if __name__ == "__main__":
    np.savez_compressed(FROZEN, **{key: value for name in NAMES for key, value in record(name).items()})
    print(f"{FROZEN}: {FROZEN.stat().st_size / 1000:.0f} kB")
