"""How `make docs` makes a site of the Markdown files, as they are, and of the library's docstrings."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import MissingModalityLib

START = "README"
INDEX = Path(__file__).parents[1] / "README.md"

project = MODULE = MissingModalityLib.__name__
author = project_copyright = "MissingModality contributors"
release = MissingModalityLib.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = START
include_patterns = ["*.md", "Resources/Docs/**.md", "Resources/Models/*.md"]
exclude_patterns = [".*", "build", "demo", "fuzz", "runs", "Testing"]
html_theme = "furo"
html_title = f"MissingModality {release}"
html_logo = "../../Icons/MissingModality.png"
html_show_sphinx = html_show_sourcelink = False
myst_heading_anchors = 4  # links to headings, as GitHub names them


def add_navigation(app: Sphinx, name: str, content: list[str]) -> None:
    """Makes the navigation from the links of the index, which GitHub shows as a page like any other."""
    if name != START:
        return
    folder = INDEX.parent.relative_to(app.srcdir).as_posix()
    contents = [_contents("Documentation", [f"{folder}/README"])]
    for title, body in re.findall(r"^## (.+)\n([^#]*)", INDEX.read_text("utf-8"), re.MULTILINE):
        pages = re.findall(r"^- \[[^]]*\]\((\S+)\.md\)", body, re.MULTILINE)
        contents.append(_contents(title, [f"{folder}/{page}" for page in pages]))
    content[0] += "".join(contents)


def _contents(title: str, pages: list[str]) -> str:
    """A directive that puts pages into the navigation, and shows nothing where it stands."""
    return "\n".join(["\n\n```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```\n"])


def link_to_public_name(app: Sphinx, env: Any, node: Any, text: nodes.Element) -> nodes.Element | None:
    """Docstrings name functions by the file that defines them, the site by the module that all import."""
    name = node.get("reftarget", "").rpartition(".")[2]
    if name not in MissingModalityLib.__all__:
        return None
    shown = nodes.literal("", name)
    return env.domains["py"].resolve_xref(
        env, node["refdoc"], app.builder, "obj", f"{MODULE}.{name}", node, shown
    )


def begin_with_readme(app: Sphinx, error: Exception | None) -> None:
    """The README is what a browser shows that opens the folder."""
    if error is None:
        shutil.copy(Path(app.outdir, f"{START}.html"), Path(app.outdir, "index.html"))


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
    app.connect("missing-reference", link_to_public_name)
    app.connect("build-finished", begin_with_readme)
