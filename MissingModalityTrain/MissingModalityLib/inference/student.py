"""A trained network in one .safetensors file with everything needed to use it.

The file holds the weights and, in the header, a :class:`.card.Card` in JSON: network, modality order,
normalization, spacing, classes, window, how and on what it was trained, license, evaluation. Nothing in it
can execute code, and the network that it names must be known already.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save

from ..core.checksum import with_checksum
from ..core.errors import OptionError, StudentError
from ..core.files import atomic_write, explain_write_errors
from ..core.kinds import check_kind, checked
from ..core.labels import REGIONS, TUMOR_CLASSES, TumorClass
from ..core.modalities import Subset, availability
from ..core.progress import Event, Progress, ProgressStage, reporter
from ..imaging.grid import Grid
from ..imaging.prepared import Prepared
from ..networks.head import THRESHOLD
from ..networks.heads import FIVE_CLASSES
from ..networks.network import Network
from ..networks.output import PRESENCE
from ..networks.registry import NETWORKS
from ..runtime.devices import choose_device
from .card import FIXED, GATES, HEADER_KEY, PRECISIONS, Card, read_card
from .decision import decide, dropped_enhancing, smooth
from .dice_estimate import estimate, grades
from .doubt import features
from .expected_dice import Grade
from .places import places_of
from .prediction import Prediction, SubsetResult
from .sliding_window import RawPrediction, apply_presence_gate, infer, infer_within_memory
from .student_file import network_in
from .weights import distinct_weights, first_not_finite, half_precision

if TYPE_CHECKING:
    from ..imaging.reading import Study
    from .target_grid import TargetGrid


class Student:
    """A network with its card.

    Args:
        network: made by :func:`~..networks.registry.build`; it is put into evaluation mode.
        card: facts to keep with it, see :class:`.card.Card`; what can be derived from the network is added
            here.

    Attributes:
        path: of the file that it was loaded from, for messages; None for one made otherwise.
        precision: of its computation, one of :data:`.card.PRECISIONS`; ``auto`` unless set.

    Raises:
        StudentError: the network was made for other classes.
        OptionError: a fact of the wrong kind or out of its range.
    """

    def __init__(self, network: Network, card: Mapping[str, Any] | None = None) -> None:
        if network.options.get("classes", len(TumorClass)) not in (len(TumorClass), FIVE_CLASSES.channels):
            raise StudentError(
                f"This network has {network.options['classes']} classes; a model has {len(TumorClass)}: "
                f"{', '.join(cls.name for cls in TumorClass)}, or {FIVE_CLASSES.channels}, those of BraTS "
                "2015. Train it on labels of these."
            )
        self.path: Path | None = None
        self.precision = PRECISIONS[0]
        self.network = network.eval()
        defaults = Card(network.name, network.options)
        derived = {
            # of files that this version writes, whatever the facts were taken from
            **{name: defaults[name] for name in FIXED},
            "network": network.name,
            "options": network.options,
            "network_package": NETWORKS.package(network.name),
            "head": network.head.name,
        }
        gate = GATES[0] if PRESENCE in network.distillable_features else "none"
        # what follows from the network comes last: facts of an earlier card cannot say otherwise
        self.card = Card.from_json({"gate": gate, **(card or {}), **derived})
        by_region = {
            "thresholds": self.card.thresholds is not None,
            "smoothing_mm by region": isinstance(self.card.smoothing_mm, Mapping),
        }
        unfit = [name for name, is_set in by_region.items() if is_set]
        if unfit and not network.head.takes_thresholds:
            raise OptionError(
                f"{' and '.join(unfit)} cannot be set for a network with the head '{network.head.name}'. "
                "Leave them out, or choose a network whose head is regions."
            )

    def save(self, path: Path | str, half: bool = False) -> None:
        """Write the file; an existing one is replaced only when the new one is whole.

        Args:
            path: of the .safetensors file.
            half: store the weights as float16, half the size; they are float32 again when loaded. Those
                beyond the range of float16 stay as they are.

        Raises:
            StudentError: a weight is no finite number, or the folder does not exist or cannot be written to.
            OptionError: a fact of the card is nothing that JSON can hold.
        """
        path = Path(path)
        weights = distinct_weights(self.network)
        name = first_not_finite(weights)
        if name is not None:
            raise StudentError(
                f"{path}: was not written, because the weight {name} holds NaN or infinity. Train with a "
                "lower learning_rate."
            )
        stored = half_precision(weights) if half else weights
        tensors = {name: value.contiguous() for name, value in stored.items()}
        remedy = "Choose an existing folder on a disk with free space."
        with explain_write_errors(path, remedy, StudentError), atomic_write(path) as temporary:
            temporary.write_bytes(with_checksum(save(tensors, {HEADER_KEY: self.card.to_json()})))

    @classmethod
    @checked
    def load(cls, path: Path | str) -> Student:
        """Read a student file.

        Raises:
            StudentError: absent, truncated, changed since it was written, not a student, made for what this
                version does not do, of a network that is not there, or weights that do not fit it or are no
                finite numbers.
        """
        path = Path(path)
        card = read_card(path)
        network = network_in(path, card)
        try:
            student = cls(network, card)
        except (StudentError, OptionError) as error:
            raise StudentError(f"{path}: {error}") from error
        student.path = path
        return student

    def predict(
        self,
        study: Study,
        device: str | torch.device = "auto",
        on_progress: Progress | None = None,
        target: TargetGrid | None = None,
    ) -> Prediction:
        """Segment one study with the modalities it has, see :func:`.places.places_of`.

        Where a GPU's memory does not suffice, smaller windows or the CPU are used; ``warnings`` says so.

        Args:
            study: volumes in one space.
            device: see :func:`~..runtime.devices.choose_device`.
            on_progress: called with the stages ``prepare`` and ``segment``.
            target: where the labels are to lie; on the reference volume's own grid where None.

        Raises:
            ImageError: see :func:`~..imaging.preparation.prepare`.
            StudentError: the network answers with values that are no finite numbers.
            OptionError: the device is not there.
        """
        # training scores prepared cases with a student, where there may be no SimpleITK to read volumes with
        from ..imaging.preparation import prepare, to_grid, to_reference_grid
        from ..imaging.reading import Study

        check_kind("study", study, Study)
        begin = time.perf_counter()
        chosen = choose_device(device) if isinstance(device, str) else device
        report = reporter(on_progress)
        report(Event(ProgressStage.PREPARE, 0, 1, "Bringing the volumes onto one grid"))
        prepared = prepare(study)
        report(Event(ProgressStage.PREPARE, 1, 1))
        grids = {modality: Grid.from_image(image) for modality, image in study.images.items()}
        places = places_of(prepared, grids, study.names)
        notes = [*prepared.warnings, *places.told]
        inferred = functools.partial(infer_within_memory, on_note=notes.append)
        found, used = self._infer(prepared.image, places.available, chosen, report, inferred)
        probabilities, present = places.together(found, self._apply_gate)
        classes = self._decided(probabilities, prepared.brain)
        notes += self._told_of(classes, probabilities, prepared.brain)
        if target is None:
            labels = to_reference_grid(classes, prepared)
        else:
            labels = target.stamp(to_grid(classes, prepared, target.sampled))
            notes += target.warnings(classes > 0, prepared.grid)
        presence = None
        if present is not None:
            names = (cls.name for cls in TUMOR_CLASSES)
            presence = dict(zip(names, present.tolist(), strict=True))
        estimates = self._estimates(probabilities, classes, places.subset)
        seconds = time.perf_counter() - begin
        return Prediction(labels, places.used, seconds, str(used), tuple(notes), presence, *estimates)

    def _estimates(
        self, probabilities: np.ndarray, classes: np.ndarray, subset: Subset
    ) -> tuple[dict[str, float] | None, dict[str, Grade] | None]:
        """Dice of each region and how far to trust it; None where the card has no calibration."""
        calibration = self.card.calibration
        if calibration is None:
            return None, None
        regions = self.network.head.region_probabilities(probabilities)
        estimated = estimate(self._features(regions, classes), subset, calibration)
        return estimated, grades(estimated, calibration)

    def classes(
        self,
        prepared: Prepared,
        device: torch.device | None = None,
        on_progress: Progress | None = None,
    ) -> np.ndarray:
        """Class map (D, H, W) uint8 on the prepared grid; background outside the brain."""
        return self._decided(self.probabilities(prepared, device, on_progress), prepared.brain)

    def classes_of(
        self,
        prepared: Prepared,
        subsets: Sequence[Subset],
        device: torch.device | None = None,
        on_progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """One class map (D, H, W) uint8 per subset, as if only its modalities had been acquired.

        All are predicted window by window, each modality encoded once, see
        :func:`.sliding_window.infer`; a map is background outside the brain in the subset's own volumes. The
        crop is that of all volumes.
        """
        for probabilities, brain in self.probabilities_of(prepared, subsets, device, on_progress):
            yield self._decided(probabilities, brain)

    def results_of(
        self,
        prepared: Prepared,
        subsets: Sequence[Subset],
        device: torch.device | None = None,
        on_progress: Progress | None = None,
    ) -> Iterator[SubsetResult]:
        """What :meth:`classes_of` gives, with what the probabilities tell of it."""
        for probabilities, brain, presence in self._answers(prepared, subsets, device, on_progress):
            classes = self._decided(probabilities, brain)
            regions = self.network.head.region_probabilities(probabilities)
            yield SubsetResult(classes, self._features(regions, classes), regions, brain, presence)

    def _features(self, regions: np.ndarray, classes: np.ndarray) -> dict[str, dict[str, float]]:
        return features(regions, self.thresholds, classes)

    def probabilities_of(
        self,
        prepared: Prepared,
        subsets: Sequence[Subset],
        device: torch.device | None = None,
        on_progress: Progress | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Gated, smoothed probabilities (K, D, H, W) and brain (D, H, W) bool of each subset.

        All subsets are predicted together, see :meth:`classes_of`; a brain is that of the subset's volumes.
        """
        for probabilities, brain, _ in self._answers(prepared, subsets, device, on_progress):
            yield probabilities, brain

    def _answers(
        self,
        prepared: Prepared,
        subsets: Sequence[Subset],
        device: torch.device | None,
        on_progress: Progress | None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """What :meth:`probabilities_of` gives, and the presence of NCR, ED and ET."""
        if not subsets:
            return
        available = np.array([availability(subset) for subset in subsets])
        found = self._infer(prepared.image, available, device, on_progress)
        for number, subset in enumerate(subsets):
            presence = None if found.presence is None else found.presence[number]
            probabilities = self._apply_gate(found.probabilities[number], presence)
            yield probabilities, prepared.image[list(subset)].any(axis=0), presence

    @property
    def blending(self) -> str:
        """How windows are blended, one of :data:`.card.BLENDINGS`."""
        return self.card.blending or "gaussian"

    @property
    def thresholds(self) -> dict[str, float]:
        """By region the probability from which on a voxel belongs to it."""
        return self.card.thresholds or dict.fromkeys(REGIONS, THRESHOLD)

    def _apply_gate(self, probabilities: np.ndarray, presence: np.ndarray | None) -> np.ndarray:
        gated = apply_presence_gate(probabilities, presence, self.network.head, self.card.gate)
        return smooth(gated, self.card.smoothing_mm or 0)

    def _decided(self, probabilities: np.ndarray, brain: np.ndarray) -> np.ndarray:
        """The class map of probabilities (K, D, H, W), see :func:`.decision.decide`."""
        return decide(probabilities, brain, self.network.head, self.card)

    def _told_of(self, classes: np.ndarray, probabilities: np.ndarray, brain: np.ndarray) -> list[str]:
        """What a person would look for in vain: enhancing tumor that was found and is too little to show."""
        dropped = dropped_enhancing(classes, probabilities, brain, self.network.head, self.card)
        if not dropped:
            return []
        found, least = (f"{voxels / 1000:.2f} cm³" for voxels in (dropped, self.card.min_enhancing_voxels))
        return [
            f"Enhancing tumor of {found} was found and marked as necrotic or non-enhancing core, since this "
            f"model shows none of less than {least} in all. Look for it on the images."
        ]

    def probabilities(
        self,
        prepared: Prepared,
        device: torch.device | None = None,
        on_progress: Progress | None = None,
    ) -> np.ndarray:
        """Gated, smoothed probabilities (K, D, H, W) float32 on the prepared grid, see ``network.head``."""
        found: RawPrediction = self._infer(prepared.image, prepared.available, device, on_progress)
        return self._apply_gate(found.probabilities, found.presence)

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
        found = inferred(
            self.network,
            image,
            available,
            window=self.card.window,
            overlap=self.card.overlap,
            blending=self.blending,
            precision=self.precision,
            mirror=self.card.mirror or (),
            mirror_windows=self.card.mirror_windows or (),
            device=device,
            on_window=on_window,
        )
        self._check_answer(found[0] if isinstance(found, tuple) else found)
        return found

    def _check_answer(self, found: RawPrediction) -> None:
        """Refuse an answer that is no number, since NaN is above no threshold and would become background.

        Raises:
            StudentError: naming the student.
        """
        # a sum needs no memory, and of probabilities it cannot overflow
        sums = [values.sum() for values in (found.probabilities, found.presence) if values is not None]
        if not np.isfinite(sums).all():
            raise StudentError(
                f"{self.path or self.network.name}: the network's answer holds values that are no finite "
                "numbers, so nothing can be said of a tumor. Its weights may be damaged or too large: use "
                "another model, or export this one again. If the device is a GPU, try --device cpu too."
            )
