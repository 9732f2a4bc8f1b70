"""The code that the guide on extending shows, installed as a package beside the library."""

from __future__ import annotations

import re
from pathlib import Path

from checkout import ROOT

GUIDE = ROOT / "Resources" / "Docs" / "extending.md"


def install(folder: Path, section: str) -> str:
    """What pip makes of the code in a section of the guide; the name of the package."""
    text = GUIDE.read_text("utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    code, toml = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1] for kind in ("python", "toml"))
    module = re.match(r"# (\w+)\.py", code)[1]
    (folder / f"{module}.py").write_text(code)
    group, entry, place = re.match(r'\[project\.entry-points\."(\S+)"\]\n(\w+) = "(\S+)"', toml).groups()
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    name = module.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry} = {place}\n")
    return name
