"""What pyproject.toml cannot say: models from outside the package, equal modes of files, whole links."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

MODELS = Path("Resources", "Models")
REPOSITORY = "MissingModality/SlicerMissingModality"


class BuildWithModels(build_py):
    """Copies Resources/Models into the built package; an editable install reads them where they are."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(MODELS, Path(self.build_lib, "MissingModalityLib") / MODELS, dirs_exist_ok=True)


class WheelOfEqualModes(bdist_wheel):
    """Packs files that all may read: by the umask of whoever checked out, two builds would differ."""

    def write_wheelfile(self, *arguments: str) -> None:
        """Comes last before the files are packed."""
        super().write_wheelfile(*arguments)
        for path in Path(self.bdist_dir).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)


def description() -> str:
    """The README with whole addresses for the files beside it, which a package index does not show."""
    text = Path(__file__).with_name("README.md").read_text("utf-8")
    picture = rf"\1(https://raw.githubusercontent.com/{REPOSITORY}/main/"
    text = re.sub(r"(!\[[^]]*\])\((?!https?:)", picture, text)
    return re.sub(r"\]\((?!https?:|#)", f"](https://github.com/{REPOSITORY}/blob/main/", text)


setup(
    cmdclass={"build_py": BuildWithModels, "bdist_wheel": WheelOfEqualModes},
    long_description=description(),
    long_description_content_type="text/markdown",
)
