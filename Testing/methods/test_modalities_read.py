"""What a method says that it reads of a batch is all that it reads."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from masks import flags
from MissingModalityLib.methods.options import SupervisedOptions
from MissingModalityLib.methods.self_distillation import Distillation
from MissingModalityLib.methods.supervised import Supervised
from small_networks import small_network


def batch() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(5)
    return {
        "image": torch.randn(2, 4, 16, 16, 16, generator=random),
        "label": torch.randint(0, 4, (2, 16, 16, 16), generator=random, dtype=torch.uint8),
        "available": flags("0100", "1010"),
        "teacher": flags("0101", "1011"),
        "present": flags("1101", "1111"),
    }


def options(superset: str) -> SupervisedOptions:
    return SupervisedOptions(consistency_weight=0.5, consistency_superset=superset)


@pytest.mark.parametrize(
    ("method", "name", "read"),
    [
        (Supervised, "segresnet", "available"),
        (partial(Supervised, options("all")), "segresnet", "present"),
        (partial(Supervised, options("one_more")), "segresnet", "teacher"),
        (Supervised, "adamm", "available"),
        (Supervised, "rfnet", "present"),
        (Distillation, "segresnet", "teacher"),
        (Distillation, "rfnet", "present"),
    ],
)
def test_what_a_method_does_not_read_changes_no_term_of_its_loss(method, name, read):
    network, given = small_network(name).train(), batch()
    trained = method()
    trained.begin_epoch(network, 0)
    modalities = trained.modalities_read(network, given)
    assert torch.equal(modalities, given[read])
    emptied = given | {"image": given["image"].masked_fill(~modalities[:, :, None, None, None], 0)}
    assert not torch.equal(emptied["image"], given["image"])
    terms = []
    for one in (given, emptied):
        torch.manual_seed(0)  # of dropout
        terms.append(trained.loss(network, one, 0))
    before, after = terms
    assert before.keys() == after.keys() and all(torch.equal(before[term], after[term]) for term in before)
