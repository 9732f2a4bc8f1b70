"""The program behind `make mutations`, and that its mutations can be made in this checkout."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mutate
from checkout import ROOT
from mutate import FOLDER, Mutation, MutationError, Trial, problems, read_mutations, summary

LEAST = 80

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="mutations are tried in forks")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with one function in its library and one test of it."""
    library, tests = tmp_path / "checkout" / mutate.LIBRARY, tmp_path / "checkout" / "Testing"
    library.mkdir(parents=True)
    tests.mkdir()
    (library / "__init__.py").touch()
    (library / "numbers.py").write_text("def larger(one, other):\n    return max(one, other)\n")
    (tests / "test_numbers.py").write_text(
        "from MissingModalityLib.numbers import larger\n\n\n"
        "def test_the_larger_one():\n    assert larger(2, 3) == 3\n\n\n"
        "def test_of_equal_ones_either():\n    assert larger(4, 4) == 4\n"
    )
    (tmp_path / "checkout" / "pytest.ini").write_text("[pytest]\n")
    return tmp_path / "checkout"


def mutation(old: str, new: str, test: str = "test_numbers.py", equivalent: str = "") -> Mutation:
    return Mutation("numbers.py", old, new, "a reason", (test,), equivalent)


def trial(code: int | None, failed: str = "") -> Trial:
    return Trial(code, failed, 1.0)


@pytest.fixture
def said(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`said(mutation)` has a child process try it, as a test process already has this library loaded."""

    def in_child(*mutations: Mutation) -> str:
        code = (
            "import sys; from pathlib import Path; from mutate import *\n"
            f"results = try_all({list(mutations)!r}, Path({str(tree)!r}))\n"
            "print(summary(results)[0])"
        )
        tools = str(ROOT / "Testing" / "tools")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": tools}
        )
        return done.stdout + done.stderr

    return in_child


def test_wrong_code_is_noticed_where_a_test_reads_it(said: Callable[..., str], tree: Path) -> None:
    noticed = mutation("max(", "min(")
    unnoticed = mutation("max(", "min(", "test_numbers.py::test_of_equal_ones_either")
    absent = mutation("max(", "min(", "test_numbers.py::test_absent")
    text = said(noticed, unnoticed, absent, mutation("max(", "max(("))
    assert "1/4 caught" in text and "[test_the_larger_one]" in text
    assert "2/4 SURVIVED" in text and "numbers.py was not noticed: 'max(' -> 'min('. a reason" in text
    assert text.count("was not judged, for pytest ended with") == 2
    assert text.endswith("1 of 4 mutations were noticed (numbers.py 1/4).\n")
    assert "max(" in (tree / mutate.LIBRARY / "numbers.py").read_text(), "the checkout itself stays whole"


def test_tests_that_fail_with_nothing_broken_notice_nothing(said: Callable[..., str], tree: Path) -> None:
    (tree / "Testing" / "test_numbers.py").write_text("def test_nothing():\n    assert False\n")
    assert "Tests fail with nothing broken" in said(mutation("max(", "min("))


@pytest.mark.parametrize("old", ["nowhere", "one", "max("], ids=["absent", "twice", "unchanged"])
def test_a_text_that_does_not_stand_there_once_is_refused(tree: Path, old: str) -> None:
    with pytest.raises(MutationError, match=r"numbers.py: .* stands there \d times"):
        mutation(old, "max(").changed(tree)
    assert len(problems([mutation(old, "max(", "test_absent.py")], tree)) == 2


def test_only_mutations_called_equivalent_may_stay_unnoticed() -> None:
    plain, equivalent = mutation("max(", "min("), mutation("max(", "min(", equivalent="both are alike")
    assert summary([(plain, trial(1)), (equivalent, trial(0))])[1]
    assert not summary([(plain, trial(0))])[1]
    assert not summary([(equivalent, trial(1))])[1]
    assert summary([(plain, trial(None))])[1], "what never ends is noticed"


def test_an_entry_without_reason_is_named(tmp_path: Path) -> None:
    (tmp_path / "room.toml").write_text('[["a.py"]]\nold = "1"\nnew = "2"\ntests = "test_a.py"\n')
    with pytest.raises(MutationError, match=r"room\.toml: .* is no mutation .*why"):
        read_mutations(tmp_path)


def test_every_mutation_can_be_made_in_this_checkout() -> None:
    mutations = read_mutations(FOLDER)
    assert len(mutations) >= LEAST
    assert not problems(mutations, ROOT), "name the text that stands there now, or take the entry out"
