"""Whether the tests notice wrong code: breaks the library in one place at a time and runs the tests of it.

    python Testing/tools/mutate.py [--only WORD ...] [--list]

The mutations lie in `Testing/tools/mutations`, a TOML file for each room: under the path of a file of the
library its ``old`` text, which must stand there exactly once, the ``new`` one, ``why`` it matters, and the
``tests`` that should fail, the quickest first. ``equivalent`` says why no test can notice; such a mutation
should stay unnoticed. All work is done in a copy of the checkout. At the end what has failed is run once more
with nothing broken: a test that fails then has noticed nothing. The exit code is 0 when every mutation was
noticed but the equivalent ones, 1 when one was not, 2 when a text does not stand where it should.

PyTorch and the like are imported once and every mutation is tried in a fork, for which Windows has no means.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path("MissingModalityTrain", "MissingModalityLib")
FOLDER = Path(__file__).with_name("mutations")
HEAVY = (
    *("numpy", "scipy.stats", "scipy.optimize", "scipy.ndimage", "scipy.spatial.transform", "SimpleITK"),
    *(
        "torch",
        "torch.optim.swa_utils",
        "monai.networks.nets",
        "monai.inferers",
        "monai.metrics",
        "monai.losses",
    ),
    *("pytest", "hypothesis.extra.numpy", "hypothesis.strategies", "nibabel", "yaml", "safetensors.torch"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg"),
)
LIMIT_S = 600
"""Longer than any of the tests takes on a busy machine: after that a mutation has made an endless loop."""

_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "demo", "runs", "build", "__pycache__", ".*_cache")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)  # names may have spaces
_PASSED, _FAILED_TESTS = 0, 1  # exit codes of pytest; others are no judgment


class MutationError(Exception):
    """A mutation that cannot be made, or tests that cannot judge it."""


@dataclass(frozen=True)
class Mutation:
    """A change that makes the library wrong.

    Attributes:
        file: inside the library.
        old: text that stands in it exactly once.
        new: what takes its place.
        why: it matters.
        tests: arguments of pytest, paths inside ``Testing``.
        equivalent: why no test can notice; empty where one should.
    """

    file: str
    old: str
    new: str
    why: str
    tests: tuple[str, ...]
    equivalent: str = ""

    def changed(self, tree: Path) -> str:
        """The text of the file in a checkout with the change made.

        Raises:
            MutationError: the old text does not stand there exactly once, or nothing would change.
        """
        path = tree / LIBRARY / self.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        count = text.count(self.old)
        if count != 1 or self.old == self.new:
            raise MutationError(
                f"{self.file}: {self.old!r} stands there {count} times and is to become {self.new!r}. Let "
                "the mutation name a text that stands there once."
            )
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Trial:
    """What tests said of a mutation: the exit code of pytest, the first test that failed, and its time."""

    code: int | None
    failed: str
    seconds: float

    @property
    def caught(self) -> bool:
        """Whether a test failed, or never came to an end."""
        return self.code in (None, _FAILED_TESTS)

    @property
    def word(self) -> str:
        """For the line of a mutation."""
        return "caught" if self.caught else "SURVIVED" if self.code == _PASSED else "UNJUDGED"


def read_mutations(folder: Path) -> list[Mutation]:
    """All that lie in the TOML files of a folder.

    Raises:
        MutationError: an entry lacks a key, or has one that none has.
    """
    found = []
    for path in sorted(folder.glob("*.toml")):
        for file, entries in tomllib.loads(path.read_text(encoding="utf-8")).items():
            for entry in entries:
                try:
                    found.append(Mutation(file, **{**entry, "tests": tuple(entry["tests"].split())}))
                except (KeyError, TypeError) as error:
                    raise MutationError(f"{path}: {entry} is no mutation ({error}).") from error
    return found


def problems(mutations: Iterable[Mutation], tree: Path) -> list[str]:
    """Why mutations cannot be made in a checkout, or not be judged there, one sentence each."""
    found = []
    for mutation in mutations:
        try:
            mutation.changed(tree)
        except MutationError as error:
            found.append(str(error))
        for test in mutation.tests:
            if not (tree / "Testing" / test.partition("::")[0]).is_file():
                found.append(
                    f"{mutation.file}: {mutation.old!r} names the tests {test}, which are not there."
                )
    return found


@contextlib.contextmanager
def copied(tree: Path) -> Iterator[Path]:
    """A copy of a checkout in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copy = Path(folder, "checkout")
        shutil.copytree(tree, copy, ignore=_NOT_COPIED)
        if (shared := tree.parent / "shared").is_dir():  # of real cases, which tests look for there
            os.environ.setdefault("MISSINGMODALITY_SHARED", str(shared))
        yield copy


@contextlib.contextmanager
def broken(mutation: Mutation, tree: Path, number: int) -> Iterator[None]:
    """The checkout with the mutation in it; afterwards it is as before, its times included."""
    path = tree / LIBRARY / mutation.file
    before, stat = path.read_bytes(), path.stat()
    path.write_text(mutation.changed(tree), encoding="utf-8")
    os.utime(path, (number, number))  # of its own, so that no compiled file of another mutation fits
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def run_tests(tree: Path, tests: Sequence[str], stop: bool = True) -> tuple[Trial, str]:
    """Tests of a checkout in a process of their own, up to the first that fails, and what pytest printed."""
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", *(["-x"] if stop else [])]
    log, began = tree.parent / "log.txt", time.monotonic()
    arguments = (tree, [*options, *(f"Testing/{test}" for test in tests)], log)
    process = multiprocessing.get_context("fork").Process(target=_run_pytest, args=arguments)
    process.start()
    process.join(LIMIT_S)
    code = process.exitcode
    if code is None:  # its children too, which it has in its group
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    text = log.read_text(encoding="utf-8", errors="replace")
    failed = _FAILED.search(text)
    return Trial(code, failed[1] if failed else "", time.monotonic() - began), text


def _run_pytest(tree: Path, arguments: list[str], log: Path) -> None:
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(tree)
    sys.path.insert(0, str(tree / LIBRARY.parent))
    os.environ["PYTHONPATH"] = str(tree / LIBRARY.parent)
    library = importlib.import_module(LIBRARY.name)
    assert Path(library.__file__).is_relative_to(tree), f"tests would run against {library.__file__}"
    hypothesis = importlib.import_module("hypothesis")
    quick = hypothesis.settings(phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate))
    hypothesis.settings.register_profile("mutations", quick)  # nobody reads the smallest example that fails
    hypothesis.settings.load_profile("mutations")
    code = importlib.import_module("pytest").main(arguments)
    sys.stdout.flush()
    os._exit(int(code))


def try_all(mutations: Sequence[Mutation], tree: Path) -> list[tuple[Mutation, Trial]]:
    """Make each mutation in a copy of a checkout by itself, run its tests, and print what they said.

    Raises:
        MutationError: a test that has failed fails with nothing broken too.
    """
    results = []
    with copied(tree) as copy:
        for number, mutation in enumerate(mutations, 1):
            with broken(mutation, copy, number):
                trial, _ = run_tests(copy, mutation.tests)
            print(_line(number, len(mutations), mutation, trial), flush=True)
            results.append((mutation, trial))
        _check_clean(copy, results)
    return results


def _check_clean(tree: Path, results: Iterable[tuple[Mutation, Trial]]) -> None:
    """Refuse results that rest on tests which fail with nothing broken.

    Raises:
        MutationError: naming the tests.
    """
    failed = sorted({trial.failed.removeprefix("Testing/") for _, trial in results if trial.failed})
    if not failed:
        return
    trial, text = run_tests(tree, failed, stop=False)
    if trial.code != _PASSED:
        raise MutationError(f"Tests fail with nothing broken, so they notice nothing:\n{text[-3000:]}")


def _line(number: int, total: int, mutation: Mutation, trial: Trial) -> str:
    by = trial.failed.rpartition("::")[2] or ("no end" if trial.code is None else "-")
    return f"{number:3}/{total} {trial.word:8} {trial.seconds:6.1f} s  {mutation.file}: {mutation.why} [{by}]"


def summary(results: Sequence[tuple[Mutation, Trial]]) -> tuple[str, bool]:
    """Counts by room, the survivors in full, and whether all is as it should be."""
    tried, caught = Counter(), Counter()
    lines, right = [], True
    for mutation, trial in results:
        if trial.word == "UNJUDGED":
            right = False
            lines.append(
                f"{mutation.file}: {mutation.old!r} was not judged, for pytest ended with {trial.code}: no "
                f"test lies under {' '.join(mutation.tests)}, or what is new cannot be imported."
            )
        elif trial.caught == bool(mutation.equivalent):
            right = False
            verdict = "is called equivalent, and was noticed" if trial.caught else "was not noticed"
            lines.append(f"{mutation.file} {verdict}: {mutation.old!r} -> {mutation.new!r}. {mutation.why}")
        elif mutation.equivalent:
            lines.append(f"{mutation.file}: {mutation.old!r} is equivalent. {mutation.equivalent}")
        if not mutation.equivalent:
            room = mutation.file.partition("/")[0]
            tried[room] += 1
            caught[room] += trial.caught
    rooms = ", ".join(f"{room} {caught[room]}/{tried[room]}" for room in sorted(tried))
    total = f"{caught.total()} of {tried.total()} mutations were noticed ({rooms})."
    return "\n".join([*lines, total]), right


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutations; the exit code is that of the program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", nargs="+", default=[""], help="words of which file, reason or tests have one"
    )
    parser.add_argument("--list", action="store_true", help="only look whether all can be made")
    chosen = parser.parse_args(arguments)
    mutations = [
        mutation
        for mutation in read_mutations(FOLDER)
        if any(word in f"{mutation.file} {mutation.why}" for word in chosen.only)
    ]
    wrong = problems(mutations, ROOT)
    if wrong or chosen.list:
        print("\n".join([*wrong, f"{len(mutations)} mutations, {len(wrong)} problems"]))
        return 2 if wrong else 0
    os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch is there, which conftest.py would be too late for
    for name in HEAVY:
        importlib.import_module(name)
    text, right = summary(try_all(mutations, ROOT))
    print(text)
    return 0 if right else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MutationError as error:
        sys.exit(f"{error}")
