"""Medical Segmentation Decathlon Task01: one 4-D file per case, described in dataset.json."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from ..core import strict_json
from ..core.files import image_suffix, read_text
from ..core.modalities import Modality
from .case import Case, ImageFile, Skipped
from .layout import FolderContents, Layout, stem, unusable

IMAGE_FOLDERS = ("imagesTr", "imagesTs")
LABEL_FOLDERS = ("labelsTr", "labelsTs")
DESCRIPTION = "dataset.json"

_CHANNELS = {
    **dict.fromkeys(("flair", "t2f"), Modality.FLAIR),
    **dict.fromkeys(("t1gd", "t1ce", "t1c"), Modality.T1CE),
    **dict.fromkeys(("t1w", "t1", "t1n"), Modality.T1),
    **dict.fromkeys(("t2w", "t2"), Modality.T2),
}
# the order in the dataset.json that comes with Task01_BrainTumour
_PUBLISHED_CHANNELS = ("FLAIR", "T1w", "t1gd", "T2w")
# copies of dataset.json differ in the spelling
_PUBLISHED_LABELS = {"1": ("edema", "oedema"), "2": "non-enhancing", "3": "enhancing"}


_CHANNEL_NAME = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")
_SINGLE_CHANNEL = (
    "single channel of nnU-Net, which splits a case into files that end in _0000, _0001 ...; give each "
    "channel the name of its sequence, such as CASE_flair.nii.gz, CASE_t1.nii.gz (nnU-Net's dataset.json "
    "names them), and put them beside CASE_seg.nii.gz into another folder than imagesTr"
)
_LABEL_OF_SINGLE_CHANNELS = "label of a case whose single channels are named as by nnU-Net"


class Decathlon(Layout):
    """A folder with ``imagesTr`` or ``imagesTs``, ``labelsTr`` and ``dataset.json``."""

    def contents(self, folder: Path, entries: Collection[str]) -> FolderContents | None:
        """See :meth:`.Layout.contents`."""
        if not any(name in entries and (folder / name).is_dir() for name in IMAGE_FOLDERS):
            return None
        found = list(_search(folder))
        return FolderContents(
            tuple(item for item in found if isinstance(item, Case)),
            tuple(item for item in found if isinstance(item, Skipped)),
            frozenset((*IMAGE_FOLDERS, *LABEL_FOLDERS, DESCRIPTION)),
        )

    def hint(self, path: Path) -> str | None:
        """Files found without the folder above them."""
        if path.parent.name in IMAGE_FOLDERS and _is_single_channel(path):
            return _SINGLE_CHANNEL
        if path.parent.name in (*IMAGE_FOLDERS, *LABEL_FOLDERS):
            return "file of the Decathlon; give the folder above imagesTr, where its dataset.json is"
        return None


def _search(root: Path) -> Iterator[Case | Skipped]:
    """Cases of a folder that holds imagesTr or imagesTs, and what could not be used."""
    every = [path for name in IMAGE_FOLDERS for path in _files(root / name)]
    single = [path for path in every if _is_single_channel(path)]
    files = [path for path in every if not _is_single_channel(path)]
    yield from (Skipped(path, _SINGLE_CHANNEL) for path in single)
    try:
        channels, convention = _description(root, files)
    except ValueError as error:
        yield from (Skipped(path, str(error)) for path in files)
        return
    used = {label for path in single if (label := _label_of(path, _single_channel_base(path)))}
    yield from (Skipped(path, _LABEL_OF_SINGLE_CHANNELS) for path in sorted(used))
    for path in files:
        if reason := unusable(path):
            yield Skipped(path, reason)
        else:
            label = _label_of(path)
            used.add(label)
            images = {modality: ImageFile(path, channels[modality]) for modality in sorted(channels)}
            yield Case(stem(path), path.parent, "msd", images, label, convention)
    for path in (path for name in LABEL_FOLDERS for path in _files(root / name)):
        if path not in used:
            yield Skipped(path, unusable(path) or "label without any volume of the same case")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _label_of(path: Path, name: str | None = None) -> Path | None:
    """The label of an image, or of one called ``name`` (without suffix), if it is there."""
    file = path.name if name is None else name + image_suffix(path)
    label = path.parent.parent / path.parent.name.replace("images", "labels") / file
    return label if label.is_file() else None


def _single_channel_base(path: Path) -> str | None:
    """Name of the case of ``BRATS_001_0000.nii.gz``; None for names of another form."""
    found = _CHANNEL_NAME.match(stem(path))
    return found["case"] if found else None


def _is_single_channel(path: Path) -> bool:
    """Whether a file is one channel of a case of nnU-Net.

    The number of a case may have four digits too; those of channels begin at 0000.
    """
    case = _single_channel_base(path)
    if unusable(path) or case is None or _label_of(path):
        return False
    return path.with_name(f"{case}_0000{image_suffix(path)}").is_file() or _label_of(path, case) is not None


def _description(root: Path, files: list[Path]) -> tuple[dict[Modality, int], str | None]:
    """Modality -> channel, and the label convention, from dataset.json.

    Without that file the published order is taken for files named as published (BRATS_001.nii.gz).

    Raises:
        ValueError: channels or labels cannot be known; the message is the reason.
    """
    path = root / DESCRIPTION
    if not path.is_file():
        # a guess about foreign files could swap modalities without anyone noticing
        if not any(file.name.startswith("BRATS_") for file in files):
            raise ValueError(f"there is no {DESCRIPTION} beside imagesTr that names the channels")
        return _channels(list(_PUBLISHED_CHANNELS)), "msd"
    try:
        description = strict_json.loads(read_text(path))
        names = description.get("modality") or description["channel_names"]
        order = [str(names[str(index)]) for index in range(len(names))]
        published = _labels_as_published(description.get("labels", {}))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path.name} does not name the channels ({error!r})") from error
    return _channels(order), "msd" if published else None


def _channels(names: list[str]) -> dict[Modality, int]:
    channels: dict[Modality, int] = {}
    for index, name in enumerate(names):
        modality = _CHANNELS.get(name.lower())
        if modality is None:
            raise ValueError(
                f"{DESCRIPTION} calls channel {index} '{name}', which is none of {', '.join(_CHANNELS)}"
            )
        if modality in channels:
            raise ValueError(f"{DESCRIPTION} names two channels for {modality.title}")
        channels[modality] = index
    return channels


def _labels_as_published(labels: dict[str, str]) -> bool:
    return all(
        str(labels.get(value, "")).lower().startswith(word) for value, word in _PUBLISHED_LABELS.items()
    )
