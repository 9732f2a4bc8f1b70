"""Record what RFNet computes now, into fixtures/rfnet_frozen.npz.

    PYTHONPATH=Testing/helpers python Testing/tools/freeze_rfnet.py

Run it only after the network equals the numbers of test_rfnet_published.py, which need the shared folder; the
file then holds later versions to them where that folder is absent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from features import named
from masks import flags
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.networks import build
from MissingModalityLib.networks.rfnet import RFNet

FROZEN = Path(__file__).resolve().parents[1] / "fixtures" / "rfnet_frozen.npz"
MASKS = ("1111", "1000", "0101")
SIDE = 16


def seeded_network(width: int = 4) -> RFNet:
    """Weights from numpy's frozen legacy generator, the same on every machine and version; float64."""
    network = build("rfnet", width=width).double()
    random = np.random.RandomState(2021)
    for name, value in sorted(network.state_dict().items()):
        fan_in = value[0].numel() if name.endswith("weight") else 100
        value.copy_(torch.from_numpy(random.standard_normal(value.shape) * (2 / fan_in) ** 0.5))
    return network.eval()


def seeded_case(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (batch, 4, 16, 16, 16) float64 and classes (batch, 16, 16, 16) uint8."""
    random = np.random.RandomState(7)
    image = random.standard_normal((batch, 4, SIDE, SIDE, SIDE))
    classes = random.randint(0, 4, (batch, SIDE, SIDE, SIDE)).astype(np.uint8)
    return torch.from_numpy(image), torch.from_numpy(classes)


def assert_as_frozen(found: dict[str, np.ndarray], path: Path, tolerance: float) -> None:
    """What a network computes now is what it computed when the file was written."""
    with np.load(path) as frozen:
        assert set(frozen.files) == set(found)
        for name in frozen.files:
            np.testing.assert_allclose(
                found[name], frozen[name], atol=tolerance, rtol=tolerance, err_msg=name
            )


def record(network: RFNet) -> dict[str, np.ndarray]:
    """Logits per subset; features, losses and gradient norms of one training step of two unlike samples."""
    image, classes = seeded_case()
    image = image.to(network.fused.head.weight.dtype)
    with torch.no_grad():
        found = {f"logits/{mask}": network(image[:1], flags(mask)).logits for mask in MASKS}
    present = flags("1111", "1101")
    output = network.train()(image, flags("0101", "1000"), present, features=True)
    terms = segmentation_loss(network, output, classes, present)
    terms["total"].backward()
    found |= {f"features/{name}": x[..., ::4, ::4, ::4] for name, x in named(output.features).items()}
    found |= {f"loss/{name}": value for name, value in terms.items()}
    norms = [value.grad.norm() for _, value in sorted(network.named_parameters())]
    found["gradient_norms"] = torch.stack(norms)
    return {name: value.detach().numpy().astype(np.float32) for name, value in found.items()}


if __name__ == "__main__":
    FROZEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(FROZEN, **record(seeded_network()))
    print(f"{FROZEN}: {FROZEN.stat().st_size / 1000:.0f} kB")
