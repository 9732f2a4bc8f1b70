"""A trained network in one .safetensors file with everything needed to use it.

The file holds the weights and, in the header, a card in JSON: architecture, modality order, normalization,
spacing, classes, window, how and on what it was trained, license, evaluation. Nothing in it can execute code.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from .. import networks
from ..core.errors import MissingModalityError, StudentError
from ..core.files import atomic_write
from ..core.labels import TumorClass
from ..core.modalities import Subset, availability
from ..core.progress import Event, Progress, ProgressStage
from ..imaging import preparation
from ..networks.output import LESIONS
from ..runtime.devices import choose_device
from .card import FORMAT_VERSION, GATES, HEADER_KEY, MODALITY_ORDER, read_card
from .sliding_window import Inferred, drop_islands, gated, infer, infer_within_memory, to_classes


@dataclass(frozen=True)
class Prediction:
    """Result of :meth:`Student.predict`.

    Attributes:
        labels: uint8 classes 0..3 on the reference volume's own grid.
        subset: the modalities used.
        seconds: wall-clock time of preparation, inference and restoring.
        device: where the network ran.
        warnings: what the user should know, one sentence each.
        presence: probability that the case holds NCR, ED and ET at all; None where the network does not tell.
    """

    labels: sitk.Image
    subset: Subset
    seconds: float
    device: str
    warnings: tuple[str, ...]
    presence: dict[str, float] | None = None


class Student:
    """A network with its card.

    Args:
        network: made by :func:`networks.build`.
        card: facts to keep with it; what can be derived from the network is added here. ``window`` (d, h, w)
            and ``overlap`` say how whole cases are covered, ``smallest_island`` which pieces of tumor are
            too small to be kept (voxels; see :func:`.sliding_window.drop_islands`), ``gate`` what the
            network's word on which classes a case holds at all does (see :func:`.sliding_window.gated`).

    Raises:
        StudentError: the network was made for other classes, such as the five of BraTS 2015.
    """

    def __init__(self, network: nn.Module, card: Mapping[str, Any] | None = None) -> None:
        if network.options.get("classes", len(TumorClass)) != len(TumorClass):
            raise StudentError(
                f"This network has {network.options['classes']} classes; a student has four: background, "
                "NCR, ED and ET. Train it on labels of these."
            )
        self.network = network.eval()
        self.card = {
            "window": [80, 80, 80],
            "overlap": 0.5,
            "smallest_island": 0,
            "gate": GATES[0] if "presence" in network.distilled else "none",
            **(card or {}),
            "format_version": FORMAT_VERSION,
            "network": network.name,
            "options": network.options,
            "head": network.head,
            "modalities": MODALITY_ORDER,
            "classes": [cls.name for cls in TumorClass],
            "spacing_mm": preparation.SPACING_MM,
            "orientation": preparation.ORIENTATION,
            "normalization": "z-score inside the brain, 0 outside",
        }

    def save(self, path: Path, half: bool = False) -> None:
        """Write the file; an existing one is replaced only when the new one is whole.

        Args:
            path: of the .safetensors file.
            half: store the weights as float16, half the size; they are float32 again when loaded.

        Raises:
            StudentError: the folder does not exist or cannot be written to.
        """
        path = Path(path)
        tensors = {
            name: (value.half() if half and value.is_floating_point() else value).contiguous()
            for name, value in self.network.state_dict().items()
        }
        try:
            with atomic_write(path) as temporary:
                temporary.write_bytes(save(tensors, {HEADER_KEY: json.dumps(self.card)}))
        except OSError as error:
            raise StudentError(
                f"{path}: the student cannot be written ({error}). Choose an existing folder on a disk with "
                "free space."
            ) from error

    @classmethod
    def load(cls, path: Path) -> Student:
        """Read a student file.

        Raises:
            StudentError: absent, truncated, not a student, of another format version or unknown architecture.
        """
        path = Path(path)
        card, tensors = read_card(path), _read_weights(path)
        try:
            network = networks.build(card["network"], **card["options"])
            floats = {
                name: value.float() if value.is_floating_point() else value for name, value in tensors.items()
            }
            network.load_state_dict(floats)
            if any(side % network.divisor for side in card["window"]):
                raise StudentError(f"a window of {card['window']} is no multiple of {network.divisor}")
        except (RuntimeError, MissingModalityError) as error:
            raise StudentError(
                f"{path}: the weights do not fit the architecture it names ({error})."
            ) from error
        return cls(network, card)

    def predict(
        self,
        study: preparation.Study,
        device: str | torch.device = "auto",
        on_progress: Progress | None = None,
    ) -> Prediction:
        """Segment one study with the modalities it has.

        Where a GPU's memory does not suffice, smaller windows or the CPU are used; ``warnings`` says so.

        Raises:
            ImageError: see :func:`preparation.prepare`.
            OptionError: the device is not there.
        """
        begin = time.perf_counter()
        chosen = choose_device(device) if isinstance(device, str) else device
        report = on_progress or (lambda event: None)
        report(Event(ProgressStage.PREPARE, 0, 1, "Bringing the volumes onto one grid"))
        prepared = preparation.prepare(study)
        report(Event(ProgressStage.PREPARE, 1, 1))
        notes = list(prepared.warnings)
        inferred = functools.partial(infer_within_memory, on_note=notes.append)
        found, used = self._infer(prepared.image, prepared.available, chosen, report, inferred)
        probabilities = self._gated(found.probabilities, found.presence)
        labels = preparation.restore(self._decided(probabilities, prepared.brain), prepared)
        told = found.presence
        presence = None if told is None else dict(zip(LESIONS, told.tolist(), strict=True))
        seconds = time.perf_counter() - begin
        return Prediction(labels, prepared.subset, seconds, str(used), tuple(notes), presence)

    def classes(
        self,
        prepared: preparation.Prepared,
        device: torch.device | None = None,
        on_progress: Progress | None = None,
    ) -> np.ndarray:
        """Class map (D, H, W) uint8 on the prepared grid; background outside the brain."""
        return self._decided(self.probabilities(prepared, device, on_progress), prepared.brain)

    def classes_of(
        self,
        prepared: preparation.Prepared,
        subsets: Sequence[Subset],
        device: torch.device | None = None,
        on_progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """One class map (D, H, W) uint8 per subset, as if only its modalities had been acquired.

        All are predicted window by window, each modality encoded once, see
        :func:`.sliding_window.infer`; a map is background outside the brain in the subset's own volumes. The
        crop is that of all volumes.
        """
        if not subsets:
            return
        available = np.array([availability(subset) for subset in subsets])
        found = self._infer(prepared.image, available, device, on_progress)
        for number, subset in enumerate(subsets):
            presence = None if found.presence is None else found.presence[number]
            probabilities = self._gated(found.probabilities[number], presence)
            yield self._decided(probabilities, prepared.image[list(subset)].any(axis=0))

    def _gated(self, probabilities: np.ndarray, presence: np.ndarray | None) -> np.ndarray:
        return gated(probabilities, presence, self.network.head, self.card["gate"])

    def _decided(self, probabilities: np.ndarray, brain: np.ndarray) -> np.ndarray:
        """The class map of probabilities (K, D, H, W): nothing outside the brain, no islands."""
        classes = to_classes(probabilities, self.network.head)
        classes[~brain] = TumorClass.BACKGROUND
        return drop_islands(classes, self.card["smallest_island"])

    def probabilities(
        self,
        prepared: preparation.Prepared,
        device: torch.device | None = None,
        on_progress: Progress | None = None,
    ) -> np.ndarray:
        """Gated probabilities (K, D, H, W) float32 on the prepared grid; K as ``network.head`` says."""
        found: Inferred = self._infer(prepared.image, prepared.available, device, on_progress)
        return self._gated(found.probabilities, found.presence)

    def _infer(
        self,
        image: np.ndarray,
        available: np.ndarray,
        device: torch.device | None,
        on_progress: Progress | None,
        inferred: Callable[..., Any] = infer,
    ) -> Any:
        device = device or torch.device("cpu")
        on_window = (
            (lambda done, total: on_progress(Event(ProgressStage.SEGMENT, done, total)))
            if on_progress
            else None
        )
        return inferred(
            self.network,
            image,
            available,
            window=self.card["window"],
            overlap=self.card["overlap"],
            device=device,
            on_window=on_window,
        )


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise StudentError(
            f"{path}: cannot be read as a student file, it is truncated or something else ({error}). "
            "Copy it again or choose another file."
        ) from error
