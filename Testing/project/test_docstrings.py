"""What docstrings refer to is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("MissingModalityTrain", "MissingModalitySeg", "Scripts")

# as Sphinx reads them: what follows the dots is the end of a dotted name, anywhere in the library
REFERENCE = re.compile(r":(?:func|class|meth|data|attr|mod):`~?\.+([\w.]+)`")


def sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def names_of(nodes: list[ast.stmt], front: str) -> Iterator[str]:
    """Dotted names of what is defined at the top of a module or class."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield f"{front}.{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from names_of(node.body, f"{front}.{node.name}")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = [name for target in targets for name in ast.walk(target)]
            yield from (f"{front}.{name.id}" for name in found if isinstance(name, ast.Name))


def test_references_lead_to_something() -> None:
    known = set()
    for path in sources():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        known |= {module, *names_of(ast.parse(path.read_text("utf-8")).body, module)}
    ends = {".".join(parts[i:]) for parts in (name.split(".") for name in known) for i in range(len(parts))}
    lost = [
        f"{path.name}: {match[0]}"
        for path in sources()
        for match in REFERENCE.finditer(path.read_text("utf-8"))
        if match[1] not in ends
    ]
    assert not lost
