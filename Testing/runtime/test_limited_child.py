"""A child that works on what cannot be trusted: it may crash, hang or eat memory, and that is one answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from MissingModalityLib.runtime import limited_child, processes
from MissingModalityLib.runtime.limited_child import ChildEnded, ChildUnavailable, LimitedChild
from processes import wait_for

CHILD = """
import ctypes, os, signal, time
from MissingModalityLib.runtime import limited_child

def answer(request):
    what = request["what"]
    if what == "crash":
        ctypes.string_at(0)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit":
        os._exit(3)
    if what == "hang":
        time.sleep(60)
    if what == "half":
        return {}, Half()
    if what == "hog":
        with limited_child.memory_limit(100 << 20):
            try:
                return {"got": len(bytearray(request["bytes"]))}, b""
            except MemoryError:
                return {"got": None}, b""
    print("noise on stdout")
    os.write(2, b"noise on stderr")
    return {"what": what, "pid": os.getpid()}, bytes(request.get("bytes", 0))

class Half(bytes):
    def __len__(self):
        return 5

limited_child._IDLE_SECONDS = float(os.environ.get("IDLE", 60))
limited_child.serve(answer)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LimitedChild]:
    (tmp_path / "odd_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = LimitedChild("odd_child", seconds=30)
    yield child
    child.close()


def pid(child: LimitedChild) -> int:
    return child.ask({"what": "who"})[0]["pid"]


def test_one_child_answers_many_requests_with_plain_bytes(
    child: LimitedChild, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = [child.ask({"what": "echo", "bytes": count}) for count in (0, 5, 3 << 20)]
    assert [len(content) for _, content in answers] == [0, 5, 3 << 20]
    assert len({answer["pid"] for answer, _ in answers} | {os.getpid()}) == 2
    assert capfd.readouterr() == ("", ""), "what the child prints goes nowhere"


@pytest.mark.parametrize(
    ("what", "how"),
    [("crash", "SIGSEGV"), ("kill", "SIGKILL"), ("exit", "exit code 3")],
)
def test_the_end_of_a_child_is_told_and_the_next_request_gets_a_new_one(
    child: LimitedChild, what: str, how: str
) -> None:
    first = pid(child)
    with pytest.raises(ChildEnded, match=how):
        child.ask({"what": what})
    assert pid(child) != first


def test_a_child_that_takes_too_long_is_killed(child: LimitedChild) -> None:
    first = pid(child)
    child._seconds = 0.3
    with pytest.raises(ChildEnded, match=r"within 0\.3 seconds"):
        child.ask({"what": "hang"})
    child._seconds = 30
    assert pid(child) != first


def test_bytes_that_do_not_come_are_waited_for_no_longer_than_allowed(child: LimitedChild) -> None:
    pid(child)
    child._seconds = 0.5
    with pytest.raises(ChildEnded, match="within"):
        child.ask({"what": "half"})


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_memory_is_bounded_while_the_limit_is_held(child: LimitedChild) -> None:
    assert child.ask({"what": "hog", "bytes": 10 << 20})[0] == {"got": 10 << 20}
    assert child.ask({"what": "hog", "bytes": 200 << 20})[0] == {"got": None}
    assert len(child.ask({"what": "echo", "bytes": 200 << 20})[1]) == 200 << 20


def test_an_idle_child_ends_and_is_replaced(child: LimitedChild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDLE", "0.3")
    first = pid(child)
    process = child._process
    # as it looks when it ends between two requests, unnoticed
    wait_for(lambda: process.poll() is not None)
    monkeypatch.setattr(process, "poll", lambda: None)
    assert pid(child) != first


def test_an_interrupted_request_leaves_no_half_answer(
    child: LimitedChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pid(child)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(limited_child.strict_json, "loads", interrupted)
        with pytest.raises(KeyboardInterrupt):
            child.ask({"what": "echo", "bytes": 1000})
    answer, content = child.ask({"what": "echo", "bytes": 7})
    assert (answer["pid"] != first, len(content)) == (True, 7)


def test_threads_get_their_own_answers(child: LimitedChild) -> None:
    sizes = range(1, 40)
    with ThreadPoolExecutor(4) as threads:
        contents = threads.map(lambda size: child.ask({"what": "echo", "bytes": size})[1], sizes)
        assert list(map(len, contents)) == list(sizes)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_fork_gets_a_child_of_its_own(child: LimitedChild) -> None:
    first = pid(child)
    forked = os.fork()
    if forked == 0:
        os._exit(pid(child) == first)
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
    assert pid(child) == first


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false"])
def test_a_program_that_is_no_python_is_told(
    child: LimitedChild, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(processes, "python_executable", lambda: program)
    with pytest.raises(ChildUnavailable, match=program):
        pid(child)
