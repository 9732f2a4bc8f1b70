"""A stand-in for the program that jobs start, so that tests decide what the child process says and does."""

from __future__ import annotations

from pathlib import Path

import pytest

from MissingModalityLib.runtime import processes


def replace_process(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Make jobs run a shell script, kept in ``folder``; its arguments are those of the interpreter."""
    program = folder / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(processes, "python_executable", lambda: str(program))
