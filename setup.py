"""What pyproject.toml cannot say of the wheel: models from outside the package, and equal modes of files."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

MODELS = Path("Resources", "Models")


class BuildWithModels(build_py):
    """Copies Resources/Models into the built package; an editable install reads them where they are."""

    def run(self) -> None:
        super().run()
        if MODELS.is_dir() and not self.editable_mode:
            shutil.copytree(MODELS, Path(self.build_lib, "MissingModalityLib") / MODELS, dirs_exist_ok=True)


class WheelOfEqualModes(bdist_wheel):
    """Packs files that all may read: by the umask of whoever checked out, two builds would differ."""

    def write_wheelfile(self, *arguments: str) -> None:
        """Comes last before the files are packed."""
        super().write_wheelfile(*arguments)
        for path in Path(self.bdist_dir).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)


setup(cmdclass={"build_py": BuildWithModels, "bdist_wheel": WheelOfEqualModes})
