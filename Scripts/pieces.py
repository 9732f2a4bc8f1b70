"""Files in pieces of a limited size, and whole again: for a way back that takes no large files.

    python Scripts/pieces.py FOLDER OUTPUT      join what lies in pieces in FOLDER

A folder of pieces holds ``manifest.json``, which says of each file which pieces it is made of, with the
SHA-256 of the whole. New pieces have names of their own and the manifest is replaced last, so whoever is
killed while writing leaves the files as they were before, whole.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from MissingModalityLib.core.errors import CaseError, MissingModalityError
from MissingModalityLib.core.files import atomic_write, file_sha256, write_report

MANIFEST = "manifest.json"
LARGEST_PIECE = 15 * 2**20
"""Bytes; below the 16 MiB that some ways back allow."""

_DIGITS = 16
"""Of a file's SHA-256 in the names of its pieces: enough to tell versions apart."""

_PIECE = re.compile(rf"[0-9a-f]{{{_DIGITS}}}\.\d{{3,}}")
"""What pieces are called; other files in their folder are not ours."""


def split(files: Iterable[Path], root: Path, folder: Path, size: int = LARGEST_PIECE) -> None:
    """Put files into pieces, in place of those that the folder held.

    Args:
        files: below ``root``; by their path from there they are named.
        root: of the names.
        folder: for the pieces, made if needed.
        size: bytes of a piece at most.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {path.relative_to(root).as_posix(): _split(path, folder, size) for path in files}
    write_report(manifest, folder / MANIFEST)
    kept = {piece for entry in manifest.values() for piece in entry["pieces"]}
    for path in folder.iterdir():
        if _PIECE.fullmatch(path.name) and path.name not in kept:
            path.unlink()


def join(folder: Path, output: Path) -> list[Path]:
    """Make the files of a folder of pieces again.

    Args:
        folder: of the pieces.
        output: the folder to put them into, made if needed.

    Returns:
        Their paths.

    Raises:
        CaseError: the folder has no manifest, a piece is missing or damaged, or ``output`` holds one of the
            files already.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CaseError(
            f"{folder}: {MANIFEST} cannot be read ({error}). Give the folder of pieces."
        ) from error
    made = []
    for name, entry in manifest.items():
        path = output / name
        if path.exists():
            raise CaseError(f"{path} is there already. Choose another folder.")
        _join(folder, entry, path)
        made.append(path)
    return made


def _split(path: Path, folder: Path, size: int) -> dict[str, object]:
    """Write the pieces of a file that are not there yet; its entry in the manifest."""
    digest = file_sha256(path)
    pieces = []
    with path.open("rb") as file:
        while content := file.read(size):
            pieces.append(f"{digest[:_DIGITS]}.{len(pieces):03d}")
            with atomic_write(folder / pieces[-1]) as temporary:
                temporary.write_bytes(content)
    return {"sha256": digest, "pieces": pieces}


def _join(folder: Path, entry: dict[str, list[str]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        with temporary.open("wb") as file:
            for piece in entry["pieces"]:
                try:
                    file.write((folder / piece).read_bytes())
                except OSError as error:
                    raise CaseError(
                        f"{folder / piece}: this piece of {path.name} cannot be read ({error.strerror}). "
                        "Bring back all files of the folder."
                    ) from error
        if file_sha256(temporary) != entry["sha256"]:
            raise CaseError(f"{folder}: the pieces of {path.name} are damaged. Bring them back again.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Join; 0 done, 2 with a message where that cannot be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of pieces")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder for the whole files")
    options = parser.parse_args(arguments)
    try:
        for path in join(options.folder, options.output):
            print(f"Wrote {path}")
    except MissingModalityError as error:
        print(f"pieces: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
