"""Student and teacher trained together, of networks that name losses of their own."""

from __future__ import annotations

import pytest
import torch

from masks import flags
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.methods.joint import JointDistillation
from MissingModalityLib.methods.losses import segmentation_loss
from MissingModalityLib.methods.options import JointOptions
from small_networks import small_network

OF_LOGITS = dict.fromkeys(("attention", "multiscale", "style", "adversarial"), 0.0) | {"ramp_epochs": 0}
NETWORKS = ("m2ftrans", "mmformer", "rahved", "rfnet", "robustseg", "uhved")


def batch(network: str) -> dict[str, torch.Tensor]:
    """The student sees all of the first sample, and of an incomplete second one a part."""
    side = 32 if network in ("m2ftrans", "mmformer", "rahved") else 16
    random = torch.Generator().manual_seed(5)
    return {
        "image": torch.randn(2, 4, side, side, side, generator=random),
        "label": torch.randint(0, 4, (2, side, side, side), generator=random, dtype=torch.uint8),
        "available": flags("1111", "0100"),
        "present": flags("1111", "0111"),
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_learn_by_the_losses_that_they_name(name: str) -> None:
    method, data = JointDistillation(JointOptions(**OF_LOGITS)), batch(name)
    pair = method.assemble(small_network(name))
    method.check(pair.student)
    torch.manual_seed(0)  # of latents that are drawn
    terms = method.loss(pair.train(), data, 0)
    terms["total"].backward()
    assert {"logits", "divergence"} < set(terms)
    for network in ("teacher", "student"):
        untaught = [key for key, x in getattr(pair, network).named_parameters() if x.grad is None]
        assert not untaught, network
    torch.manual_seed(0)
    drawn = pair.student(data["image"], data["available"], data["present"], pair.student.loss_features)
    own = segmentation_loss(pair.student, drawn, data["label"], data["present"], image=data["image"])
    for term, value in own.items():
        if term != "total":
            torch.testing.assert_close(terms[f"student_{term}"], 0.6 * value)


def test_all_terms_that_do_not_fit_are_told_at_once() -> None:
    with pytest.raises(OptionError) as refused:
        JointDistillation(JointOptions(presence=1.0)).check(small_network("uhved"))
    remedy = str(refused.value).partition(" Set ")[2]
    assert remedy.rstrip(".").split() == [
        f"joint.{option}=0" for option in ("attention", "multiscale", "style", "adversarial", "presence")
    ]
    options = JointOptions(**{entry.split("=")[0][6:]: 0.0 for entry in remedy.rstrip(".").split()})
    JointDistillation(options).check(small_network("uhved"))
