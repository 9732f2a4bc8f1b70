"""Seeds of the random generators of a run: one rule from (seed, stage, epoch, rank) to a generator's seed.

``run.json`` names the rule as ``seeding``. Runs begun before there was that key have rule 1, Python's
``hash``, which is no promise of the language and gives unlike tuples one seed (``hash((-1,)) ==
hash((-2,))``); they keep it, to go on to the bit. Rule 2 is numpy's ``SeedSequence``, whose values numpy
promises to keep.

Patches and pairs of synthetic cases need no rule here: they are drawn by ``numpy.random.default_rng`` from
(seed, stage, epoch, index), under both rules alike.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from .errors import OptionError

HASH_RULE, SEED_SEQUENCE_RULE = 1, 2

RULES = (HASH_RULE, SEED_SEQUENCE_RULE)

_SEED_END = 2**63
"""PyTorch raises for 2**64 and more; numbers of 63 bits are also whole in every language that reads run.json
as signed 64-bit integers."""


class _Purpose(IntEnum):
    """Keeps apart what is drawn at the same place of a run; a number once given stays."""

    EPOCH = 0
    METHOD = 1


def check_seed(seed: Any) -> int:
    """The seed of a run that begins.

    Raises:
        OptionError: no whole number, or one outside 0 <= seed < 2**63.
    """
    if type(seed) is not int or not 0 <= seed < _SEED_END:
        raise OptionError(
            f"seed={seed!r}: a seed is a whole number of at least 0 and below 2**63. Choose another."
        )
    return seed


def epoch_seed(rule: int, seed: int, stage: int, epoch: int, rank: int) -> int:
    """Seed of PyTorch's generator in one epoch (dropout), another on every process.

    Args:
        rule: one of :data:`RULES`.
        seed: of the run.
        stage: its number among the run's stages, from 0.
        epoch: counts from 0 within the stage.
        rank: of the process.

    Returns:
        0 <= seed < 2**63.
    """
    if rule == HASH_RULE:
        return hash((seed, stage, epoch, rank)) % _SEED_END
    return _sequence_seed(seed, _Purpose.EPOCH, stage, epoch, rank)


def method_seed(rule: int, seed: int, stage: int) -> int:
    """Seed of what a method draws before a stage begins, alike on all processes (a discriminator's weights).

    Under rule 1 it is 0, whatever the run's seed, as it was then.
    """
    return 0 if rule == HASH_RULE else _sequence_seed(seed, _Purpose.METHOD, stage)


def _sequence_seed(seed: int, *key: int) -> int:
    # as spawn key, not behind the seed: there a seed of 2**32 or more is two words and runs into the key
    (state,) = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)
    return int(state) % _SEED_END
