"""The Python lines that the README shows, for tests that run them as they stand there."""

from __future__ import annotations

import re

from checkout import ROOT


def lines_with(word: str) -> str:
    """The one Python block of the README that contains ``word``."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if word in block]
    return found
