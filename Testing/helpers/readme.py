"""The Python lines that README and the page on Python show, for tests that run them as they stand there."""

from __future__ import annotations

import re

from checkout import ROOT

PAGES = ("README.md", "Resources/Docs/python.md")


def lines_with(word: str) -> str:
    """The one Python block of these pages that contains ``word``."""
    text = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in block]
    return found
