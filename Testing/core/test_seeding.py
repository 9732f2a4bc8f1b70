"""Seeds of generators: old runs keep their rule, new ones have one whose values never collide or move."""

from __future__ import annotations

from itertools import product

import pytest

from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.seeding import (
    HASH_RULE,
    SEED_SEQUENCE_RULE,
    check_seed,
    epoch_seed,
    method_seed,
)


def test_the_old_rule_is_the_hash_of_the_tuple() -> None:
    for place in product((0, 7, 2**40), (0, 2), (0, 299), (0, 3)):
        assert epoch_seed(HASH_RULE, *place) == hash(place) % 2**63
        assert method_seed(HASH_RULE, *place[:2]) == 0


def test_the_new_rule_gives_the_values_that_runs_were_made_with() -> None:
    assert [epoch_seed(SEED_SEQUENCE_RULE, 3, 1, 20, rank) for rank in (0, 1)] == [
        6158260526063294846,
        8525112401214402085,
    ]
    assert method_seed(SEED_SEQUENCE_RULE, 3, 1) == 5802721725971528900


def test_no_two_places_of_a_run_share_a_seed() -> None:
    seeds = (0, 1, 5, 2**32, 2**32 + 5, 2**61 - 1, 2**63 - 1)
    places = list(product(seeds, (0, 1, 2), (0, 1, 2), (0, 1)))
    drawn = [epoch_seed(SEED_SEQUENCE_RULE, *place) for place in places]
    drawn += [method_seed(SEED_SEQUENCE_RULE, seed, stage) for seed, stage in product(seeds, (0, 1, 2))]
    assert len(set(drawn)) == len(drawn) and all(0 <= seed < 2**63 for seed in drawn)
    assert epoch_seed(HASH_RULE, 2**61 - 1, 0, 0, 0) == epoch_seed(HASH_RULE, 0, 0, 0, 0), "the old fault"


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64, 1.5, "0", None, True], ids=repr)
def test_what_is_no_seed_is_refused(seed: object) -> None:
    with pytest.raises(OptionError, match=r"seed=.*at least 0 and below 2\*\*63"):
        check_seed(seed)
    assert check_seed(2**63 - 1) == 2**63 - 1
