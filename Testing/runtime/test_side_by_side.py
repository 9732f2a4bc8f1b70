"""Work for several things at once gives what it gives one after the other."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier

import pytest

from MissingModalityLib.runtime import side_by_side as module
from MissingModalityLib.runtime.side_by_side import side_by_side


def on_cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: count)


def test_as_many_things_as_cores_are_worked_on_at_once_and_results_keep_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_cores(monkeypatch, 2)
    together = Barrier(2, timeout=20)

    def squared(number: int) -> int:
        together.wait()
        return number**2

    assert list(side_by_side(squared, [3, 1, 2, 5])) == [9, 1, 4, 25]


def failing_from(first: int) -> Callable[[int], int]:
    def work(number: int) -> int:
        if number >= first:
            raise ValueError(f"no {number}")
        return number

    return work


def test_the_first_error_in_order_is_raised_after_the_results_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_cores(monkeypatch, 1)
    results = side_by_side(failing_from(1), range(4))
    assert next(results) == 0
    with pytest.raises(ValueError, match="no 1"):
        next(results)


def test_nothing_is_done_where_there_is_nothing() -> None:
    assert list(side_by_side(failing_from(0), [])) == []
