"""Settings of the whole process, such as ITK's, that blocks of code in several threads need changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ProcessSwitch(Generic[Value]):
    """A process-wide setting that blocks of code in several threads hold changed, or as it was found.

    Blocks of one kind run side by side; a block of the other kind waits until they have ended, so that nobody
    works under a setting that another thread asked for. The last block out restores what the first found. A
    thread must not open a block of one kind inside a block of the other: it would wait for itself.

    Args:
        read: tells the setting's present value.
        write: sets it.
        changed: the value that blocks ask for.
    """

    def __init__(self, read: Callable[[], Value], write: Callable[[Value], None], changed: Value) -> None:
        self._read, self._write, self._changed = read, write, changed
        self._turn = Condition()
        self._blocks = 0
        self._kind = False
        self._found: Value | None = None

    @contextmanager
    def hold(self, changed: bool = True) -> Iterator[None]:
        """Run a block with the setting changed, or, if not ``changed``, surely as it was found."""
        with self._turn:
            self._turn.wait_for(lambda: not self._blocks or self._kind == changed)
            if not self._blocks:
                self._kind, self._found = changed, self._read()
                if changed:
                    self._write(self._changed)
            self._blocks += 1
        try:
            yield
        finally:
            with self._turn:
                self._blocks -= 1
                if not self._blocks:
                    if changed:
                        self._write(self._found)
                    self._turn.notify_all()
