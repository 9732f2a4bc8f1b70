"""Puts the bundled models, which lie outside the package, into the wheel: pyproject.toml cannot say that."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MODELS = Path("Resources", "Models")


class BuildWithModels(build_py):
    """Copies Resources/Models into the built package; an editable install reads them where they are."""

    def run(self) -> None:
        super().run()
        if MODELS.is_dir() and not self.editable_mode:
            shutil.copytree(MODELS, Path(self.build_lib, "MissingModalityLib") / MODELS, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithModels})
