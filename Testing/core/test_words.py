"""Numbers with their nouns, and names that were nearly right."""

from __future__ import annotations

import pytest

from MissingModalityLib.core.words import counted, nearest, unknown_name


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (1, "case", "", "1 case"),
        (0, "case", "", "0 cases"),
        (2, "second", "", "2 seconds"),
        (3, "study", "studies", "3 studies"),
    ],
)
def test_one_is_singular_and_all_other_numbers_are_plural(number, noun, plural, text):
    assert counted(number, noun, plural) == text


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("epoch", "epochs"),
        ("AEMKD", "aem-kd"),
        ("seg", "segment"),
        ("--flare", "--flair"),
        ("x", ""),
        ("zzz", ""),
    ],
)
def test_the_nearest_name_is_told_whatever_its_case(word, meant):
    assert nearest(word, ["epochs", "aem-kd", "segment", "--flair"]) == meant


def test_of_a_name_in_a_group_the_last_part_counts_too():
    told = unknown_name("setting", "train.epoch", ["epochs", "iterations_per_epoch"], "Settings")
    assert (
        told == "Unknown setting 'train.epoch'. Did you mean epochs? Settings: epochs, iterations_per_epoch."
    )
