"""Examples for property tests: the same ones in every run, and few, so that the suite stays quick."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def examples(count: int) -> settings:
    """As a decorator under ``given``: that many examples, which do not differ from run to run."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,  # a busy machine is no fault
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


SPACINGS = st.tuples(*[st.sampled_from((0.94, 1.0, 1.3, 2.0, 3.7))] * 3)
"""mm per voxel along three axes."""
