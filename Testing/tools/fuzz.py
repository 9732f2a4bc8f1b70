"""Opens damaged files for as long as is wanted, and keeps those that are answered wrongly (`make fuzz`).

Small sound files of every kind that a user can give are damaged by a few random edits; hypothesis draws these
and makes what fails as simple as it can. A file must be read, or refused in one message of the library:

- no crash of the process that was given the file, no traceback, no line printed by a library;
- no more main memory than four times the voxels that are read, and a constant;
- no file left or changed in the folder; no answer later than a minute.

Findings lie under ``fuzz/findings`` with a text that says what happened; ``fuzz/log.jsonl`` has a line for
each minute. A later call goes on with other damage, and the log adds up.

    make fuzz MINUTES=240
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure

from MissingModalityLib.__main__ import main as command
from MissingModalityLib.runtime.limited_child import ChildEnded, ChildUnavailable, LimitedChild
from raw_volumes import DATA, metaimage, nifti, nrrd
from small_cases import write_block_case
from small_networks import write_student
from tiny_run import TINY

ROOM = 600 << 20
"""Bytes beside four times the voxels: what libraries load when they are first used, PyTorch above all."""

SECONDS = 60.0
"""For one file, on a machine that has other work too."""

INTERESTING = (0, 1, -1, 2, 7, 8, 127, 255, 348, 352, 1024, 32767, 32768, 65535, 2**31 - 1, -(2**31), 2**62)
WORDS = (
    *(b"nan", b"inf", b"-1", b"0", b"1e308", b"99999999999", b"2000 2000 2000", b"gzip", b"ascii", b""),
    *(b"../x", b"/dev/zero", b"LIST", b"%d", b"None", b"\n", b":", b" = ", b"{", b"[" * 300, b"&a [*a]"),
    b"\xff\xfe",
)
EXAMPLES_AT_ONCE = 100


@dataclass(frozen=True)
class Edit:
    """One change of a file.

    Attributes:
        kind: of change.
        place: where, as a share of the file.
        value: index of what is put there.
        length: bytes concerned.
    """

    kind: str
    place: float
    value: int
    length: int


EDITS = st.builds(
    Edit,
    st.sampled_from(("bit", "number", "float", "word", "token", "cut", "repeat", "end")),
    # half of the changes near the beginning, where headers are
    st.one_of(st.floats(0, 1), st.floats(0, 0.1)),
    st.integers(0, 1 << 16),
    st.integers(1, 64),
)


def changed(content: bytes, edit: Edit) -> bytes:
    """The content after an edit."""
    at = min(len(content) - 1, int(edit.place * len(content))) if content else 0
    number = INTERESTING[edit.value % len(INTERESTING)]
    if edit.kind == "bit" and content:
        return content[:at] + bytes([content[at] ^ (1 << edit.value % 8)]) + content[at + 1 :]
    if edit.kind == "number":
        size = (2, 4, 8)[edit.length % 3]
        put = (number % (1 << 8 * size)).to_bytes(size, "little")
        return content[: at - at % 2] + put + content[at - at % 2 + size :]
    if edit.kind == "float":
        put = struct.pack("<f", (float("nan"), float("inf"), -float("inf"), float(number))[edit.length % 4])
        return content[: at - at % 4] + put + content[at - at % 4 + 4 :]
    if edit.kind == "word":
        return content[:at] + WORDS[edit.value % len(WORDS)] + content[at:]
    if edit.kind == "token":
        return _other_token(content, at, edit.value)
    if edit.kind == "cut":
        return content[:at] + content[at + edit.length :]
    if edit.kind == "repeat":
        return content[:at] + content[at : at + edit.length] * 3 + content[at + edit.length :]
    return content[:at] if edit.value % 2 else content + content[-edit.length :]


def _other_token(content: bytes, at: int, value: int) -> bytes:
    """The word at a place replaced by another one."""
    begin = max(content.rfind(mark, 0, at) for mark in (b" ", b"\n", b",", b":")) + 1
    ends = [end for end in (content.find(mark, at) for mark in (b" ", b"\n", b",", b"}")) if end >= 0]
    end = min(ends, default=len(content))
    choices = (*WORDS, *(str(number).encode() for number in INTERESTING))
    return content[:begin] + choices[value % len(choices)] + content[max(begin, end) :]


@dataclass(frozen=True)
class Target:
    """A sound file: its name, content, how it is packed after the edits, and files beside it."""

    name: str
    content: bytes
    pack: Callable[[bytes], bytes] = bytes
    beside: Mapping[str, bytes] = field(default_factory=dict)


def targets(folder: Path) -> dict[str, Target]:
    """Sound files of every kind."""
    packed = zlib.compress(DATA)
    stated = {"CompressedData": "True", "CompressedDataSize": str(len(packed))}
    dicom = bytes(128) + b"DICM" + bytes(200) + DATA
    student = write_student(folder / "x.safetensors").read_bytes()
    checkpoint, record = _run(folder)
    text = b"epochs: 3\npatch_size: 16\nnetwork:\n  width: 8\nsynthesis:\n  method: none\n"
    return {
        "nii": Target("x.nii", nifti()),
        "nii.gz": Target("x.nii.gz", nifti(), lambda content: gzip.compress(content, 1)),
        "nii.gz as packed": Target("x.nii.gz", gzip.compress(nifti())),
        "mha": Target("x.mha", metaimage()),
        "mha zlib": Target("x.mha", metaimage(packed, **stated)),
        "mhd": Target("x.mhd", metaimage(b"", ElementDataFile="x.raw"), beside={"x.raw": DATA}),
        "nrrd": Target("x.nrrd", nrrd()),
        "nrrd gzip": Target("x.nrrd", nrrd(gzip.compress(DATA), {"encoding": "gzip"})),
        "nrrd text": Target("x.nrrd", nrrd(b" 17" * (len(DATA) // 2), {"encoding": "ascii"})),
        "nrrd hex": Target("x.nrrd", nrrd(DATA.hex().encode(), {"encoding": "hex"})),
        "nhdr": Target("x.nhdr", nrrd(b"", {"data file": "x.raw"}), beside={"x.raw": DATA}),
        "dicom": Target("x.dcm", dicom),
        "dicom as nii": Target("x.nii", dicom),
        "student": Target("x.safetensors", student),
        "student header": Target("x.safetensors", student[8:], _with_length),
        "checkpoint": Target("checkpoint.pt", checkpoint, beside={"run.json": record}),
        "yaml": Target("x.yaml", text),
    }


def _with_length(content: bytes) -> bytes:
    """A student whose first eight bytes fit its header, so that edits get past them."""
    end = content.find(b"}}", 0) + 2 if b"}}" in content else len(content)
    while end < len(content) and content[end : end + 1] in (b" ", b"}"):
        end += 1
    return struct.pack("<Q", end) + content


def _run(folder: Path) -> tuple[bytes, bytes]:
    """Checkpoint and record of a training of a second."""
    for name in "ab":
        write_block_case(folder / "data" / f"BraTS2021_0000{name}")
    values = [f"{key}={json.dumps(value)}" for key, value in TINY.items() if key != "network"]
    values += [f"network.{key}={json.dumps(value)}" for key, value in TINY["network"].items()]
    places = ["--data", str(folder / "data"), "--output", str(folder / "run"), "--device", "cpu"]
    if command(["train", *places, "--progress", "none", "--set", *values]):
        raise RuntimeError("the training that the fuzz run begins with failed")
    return (folder / "run/checkpoint.pt").read_bytes(), (folder / "run/run.json").read_bytes()


class Fuzz:
    """A fuzz run into a folder of findings."""

    def __init__(self, output: Path, folder: Path) -> None:
        self._output, self._folder = output, folder
        (folder / "sound").mkdir()
        self._targets = targets(folder / "sound")
        self._child = LimitedChild("fuzz_child", SECONDS)
        self._known: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.findings: list[str] = []

    def round(self, number: int, deadline: float) -> None:
        """Some examples of a seed; what fails is made simple once and kept."""

        @seed(number)
        @settings(
            max_examples=EXAMPLES_AT_ONCE,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(st.sampled_from(sorted(self._targets)), st.lists(EDITS, min_size=1, max_size=5))
        def attack(kind: str, edits: list[Edit]) -> None:
            if time.monotonic() < deadline:
                self._attack(kind, edits)

        try:
            attack()
        except (AssertionError, FlakyFailure) as finding:
            # what does not happen twice is wrong all the same, and kept as it was first
            cause = finding.exceptions[0] if isinstance(finding, FlakyFailure) else finding
            if not isinstance(cause, AssertionError):
                raise
            signature, name = cause.args
            self._known.add(signature)
            self.findings.append(name)

    def _attack(self, kind: str, edits: Sequence[Edit]) -> None:
        target = self._targets[kind]
        content = target.content
        for edit in edits:
            content = changed(content, edit)
        content = target.pack(content)
        folder = self._folder / "attacked"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        files = {**target.beside, target.name: content}
        for name, text in files.items():
            (folder / name).write_bytes(text)
        problem, outcome = self._problem(folder / target.name)
        if {path.name: path.read_bytes() for path in folder.iterdir()} != files:
            problem = problem or "files were left or changed"
        self.counts[f"{kind}: {outcome}"] += 1
        if problem:
            self._keep(kind, problem, folder, crashed=outcome == "crash")

    def _problem(self, path: Path) -> tuple[str, str]:
        """What was wrong about the answer, empty for a right one; and the kind of answer."""
        try:
            found, _ = self._child.ask({"path": str(path)})
        except ChildEnded as error:
            return f"the process that was given the file {error}", "crash"
        except ChildUnavailable:  # a loaded machine did not start it in time; nothing was given to it
            return "", "not tried"
        outcome = found["outcome"]
        allowed = 4 * found["stated"] + ROOM
        if outcome == "fault":
            return found["message"], outcome
        if found["printed"].strip():
            return f"printed: {found['printed']}", outcome
        if found["memory"] > allowed:
            return f"memory: {found['memory']} bytes where {allowed} are allowed", outcome
        if (
            outcome == "refused"
            and path.name not in found["message"]
            and str(path.parent) not in found["message"]
        ):
            return f"does not name the file: {found['message']}", outcome
        return "", outcome

    def _keep(self, kind: str, problem: str, folder: Path, crashed: bool) -> None:
        last = problem.strip().splitlines()[-1]
        signature = f"{kind.split()[0]} {''.join(sign for sign in last[:60] if not sign.isdigit())}"
        self.counts["findings"] += 1
        if signature in self._known:
            return
        name = f"{kind.replace(' ', '-')}-{hashlib.sha256(signature.encode()).hexdigest()[:8]}"
        kept = self._output / "findings" / name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept)
        (kept / "what-happened.txt").write_text(f"{problem}\n", encoding="utf-8")
        if not crashed:
            raise AssertionError(signature, name)
        # what takes a minute or a new process each time is kept as it is
        self._known.add(signature)
        self.findings.append(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack for some minutes; the exit code is 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--output", type=Path, default=Path("fuzz"))
    options = parser.parse_args(arguments)
    options.output.mkdir(exist_ok=True)
    log = options.output / "log.jsonl"
    earlier = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    number = sum(line["rounds"] for line in earlier)
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(options.output, Path(folder))
        while (begin := time.monotonic()) < end:
            fuzz.counts.clear()
            fuzz.findings.clear()
            rounds = 0
            while time.monotonic() < min(end, begin + 60):
                fuzz.round(number, end)
                number, rounds = number + 1, rounds + 1
            seconds = round(time.monotonic() - begin, 1)
            line = {"seconds": seconds, "rounds": rounds, "findings": fuzz.findings, "counts": fuzz.counts}
            earlier.append(json.loads(json.dumps(line)))
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(line)}\n")
            print(_summary(earlier), flush=True)
    return int(any(line["findings"] for line in earlier))


def _summary(lines: Sequence[Mapping[str, Any]]) -> str:
    minutes = sum(line["seconds"] for line in lines) / 60
    files = sum(count for line in lines for name, count in line["counts"].items() if name != "findings")
    found = sorted({name for line in lines for name in line["findings"]})
    return f"{minutes:.1f} minutes, {files} files, findings: {', '.join(found) or 'none'}"


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    sys.exit(main())
