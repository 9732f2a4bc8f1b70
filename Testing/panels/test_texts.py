"""Texts of the panels: marked so that translators find them, and links that lead somewhere."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import slicer_standin
from checkout import LIBRARY, ROOT
from MissingModalityLib.core.segments import CAVITY_SEGMENT, REGION_SEGMENTS, SEGMENTS

MODULES = ("MissingModalitySeg", "MissingModalityTrain")
FOLDERS = ("MissingModalityPanelLib", "MissingModalityTrainLib")


def panel_files() -> list[Path]:
    files = {Path(slicer_standin.load_module(name).__file__) for name in MODULES}
    folders = [LIBRARY / name for name in FOLDERS]
    folders.append(Path(sys.modules["MissingModalitySegLib"].__file__).parent)
    return sorted(files.union(*(folder.glob("*.py") for folder in folders)))


def marked(path: Path) -> Iterator[ast.expr]:
    """What stands in ``_(...)``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            yield node.args[0]


def test_only_literal_texts_are_marked_for_translation_as_no_tool_finds_others() -> None:
    found = [(path, text) for path in panel_files() for text in marked(path)]
    assert len(found) > 100
    wrong = [f"{path.name}:{text.lineno}" for path, text in found if not isinstance(text, ast.Constant)]
    assert wrong == []


def test_segments_are_named_as_in_the_library() -> None:
    segment_name = sys.modules["MissingModalityPanelLib.segmentnames"].segmentName
    for segment in (*SEGMENTS, CAVITY_SEGMENT, *REGION_SEGMENTS):
        assert segment_name(segment.id) == segment.name


@pytest.mark.parametrize("name", MODULES)
def test_the_help_of_a_module_leads_to_pages_that_are_there(name: str) -> None:
    module = slicer_standin.load_module(name)
    parent = slicer_standin.module_parent(name)
    getattr(module, name)(parent)
    links = re.findall(r'href="([^"]+)"', parent.helpText)
    ours = [link for link in links if "SlicerMissingModality" in link]
    assert any(link.endswith("tutorial.md") for link in ours) and len(links) > len(ours)
    for link in ours:
        assert (ROOT / link.partition("/main/")[2]).exists(), link
