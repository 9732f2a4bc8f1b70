"""The card in the header of a student file, read without PyTorch or anything else that Slicer lacks.

A .safetensors file begins with the length of its header (8 bytes, little-endian) and the header, JSON that
names each tensor's place and, under ``__metadata__``, texts; see the format's description at
https://huggingface.co/docs/safetensors. The card is one of these texts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core.errors import StudentError
from ..core.modalities import MODALITIES

FORMAT_VERSION = 1
HEADER_KEY = "missing_modality_student"
MODALITY_ORDER = [modality.name for modality in MODALITIES]

GATES = ("soft", "hard", "none")
"""What a network's word on which classes a case holds at all does to its probabilities."""

_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000
"""Bytes; the same limit as in the safetensors library."""

_KINDS = {
    "format_version": int,
    "network": str,
    "options": dict,
    "modalities": list,
    "window": list,
    "overlap": int | float,
}


def read_card(path: Path | str) -> dict[str, Any]:
    """The card of a student file, without its weights.

    Raises:
        StudentError: absent, truncated, not a student, of another format version or modality order.
    """
    path = Path(path)
    if not path.is_file():
        raise StudentError(
            f"{path}: there is no such student file. Choose a .safetensors file made by 'export'."
        )
    card = _parsed(path, _read_header(path).get("__metadata__", {}).get(HEADER_KEY))
    if card["format_version"] != FORMAT_VERSION:
        raise StudentError(
            f"{path}: student format {card['format_version']}, but this version reads {FORMAT_VERSION}. "
            "Update the extension or export the student again."
        )
    if card["modalities"] != MODALITY_ORDER:
        raise StudentError(
            f"{path}: modality order {card['modalities']} is not {MODALITY_ORDER}. Export it again."
        )
    return card


def _read_header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if not 0 < length <= min(_LONGEST_HEADER, path.stat().st_size):
                raise ValueError("no header")
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if path.stat().st_size < _LENGTH_BYTES + length + max(ends, default=0):
            raise ValueError("weights are missing at its end")
        return header
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise StudentError(
            f"{path}: cannot be read as a student file, it is truncated or something else ({error}). "
            "Copy it again or choose another file."
        ) from error


def _parsed(path: Path, text: str | None) -> dict[str, Any]:
    """The card as JSON of the right kinds; what the network makes of its options shows when it is built."""
    try:
        card = json.loads(text)
        complete = all(isinstance(card[key], kind) for key, kind in _KINDS.items())
        window, overlap, island = card["window"], card["overlap"], card.get("smallest_island", 0)
        sides = len(window) == 3 and all(type(side) is int and side > 0 for side in window)
        usable = sides and 0 <= overlap < 1 and type(island) is int and island >= 0
        usable = usable and card.get("gate", GATES[0]) in GATES
    except (TypeError, ValueError, KeyError, IndexError):
        complete = usable = False
    if not (complete and usable):
        raise StudentError(
            f"{path}: a .safetensors file, but not a student with a complete card. "
            "Choose one made by 'export'."
        )
    return card
