"""Gains over patients: their errors are those of a sample of patients, and chance is not taken for a gain."""

from __future__ import annotations

import numpy as np
import pytest

from MissingModalityLib.evaluation.worth import LEAST_GAIN, Gain, best_value, gains_over

FOUR = ["a", "b", "c", "d"]


def test_the_error_of_a_prediction_each_is_that_of_a_mean() -> None:
    differences = np.array([0.1, 0.3, -0.2, 0.4])
    gain = Gain.of(differences, FOUR)
    assert gain.mean == pytest.approx(differences.mean())
    assert gain.error == pytest.approx(differences.std(ddof=1) / 2)


def test_predictions_of_the_same_patients_make_nothing_surer() -> None:
    differences = np.array([0.1, 0.3, -0.2, 0.4])
    once, often = Gain.of(differences, FOUR), Gain.of(np.tile(differences, 15), FOUR * 15)
    assert often.mean == pytest.approx(once.mean) and often.error == pytest.approx(once.error)


def test_patients_with_more_subsets_count_as_the_mean_counts_them() -> None:
    gain = Gain.of(np.array([0.0, 0.0, 0.0, 0.4]), ["a", "a", "a", "b"])
    # sums of what differs from the mean, 0.1: -0.3 and 0.3
    assert gain.error == pytest.approx(np.sqrt(2 * (0.3**2 + 0.3**2)) / 4)


def test_nothing_is_known_of_one_patient() -> None:
    gain = Gain.of(np.full(15, 0.5), ["a"] * 15)
    assert gain.error == float("inf") and not gain.worth


def test_the_surest_of_gains_is_not_taken_for_the_largest_nor_chance_for_either() -> None:
    present = np.zeros(4)
    scores = {
        0: present,
        1: np.array([0.1, 0.1, 0.1, 0.1]),
        2: np.array([0.2, 0.3, 0.2, 0.3]),
        3: np.array([2.0, 0.0, 0.0, 0.0]),
        4: np.full(4, LEAST_GAIN / 2),
    }
    gains = gains_over(scores, 0, FOUR)
    assert sorted(gains) == [1, 2, 3, 4]
    assert [value for value, gain in gains.items() if gain.worth] == [1, 2]
    assert best_value(gains, 0) == 2
    assert best_value({value: gains[value] for value in (3, 4)}, 0) == 0


def test_the_error_of_few_patients_is_itself_uncertain() -> None:
    three = Gain.of(np.array([0.1] * 3 + [0.0] * 5), [str(number) for number in range(8)])
    assert three.mean > 2 * three.error and not three.worth
    assert Gain.of(np.array([0.1] * 8 + [0.0] * 2), [str(number) for number in range(10)]).worth
    assert Gain.of(np.full(2, 0.1), FOUR[:2]).worth
    many = [str(number) for number in range(1000)]
    # of many patients the quantile is 1.96, and twice the error is asked for still
    wave = np.tile([1.0, -1.0], 500) / 10
    error = Gain.of(wave, many).error
    assert not Gain.of(wave + 1.98 * error, many).worth and Gain.of(wave + 2.01 * error, many).worth


def test_no_number_is_no_gain() -> None:
    assert not Gain.of(np.array([0.1, np.nan, 0.1]), FOUR[:3]).worth
    assert best_value({1: Gain.of(np.array([np.nan, 0.1]), FOUR[:2])}, 0) == 0
