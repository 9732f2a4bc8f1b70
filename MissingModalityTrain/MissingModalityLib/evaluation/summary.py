"""The summary of an evaluation: the file ``summary.json`` in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .measures import TABLE_METRICS

EVALUATION_FOLDER = "evaluation"
"""Inside a run's folder, or in that of a cross-validation."""


@dataclass(frozen=True)
class EvaluationSummary:
    """What is written into the folder of an evaluation, as JSON with these keys.

    Results are passed on, so it holds no path of the machine: files are named inside the folder of the data.

    Attributes:
        student: name of the student file.
        weights_sha256: of its weights, see :func:`~..inference.weights.weights_sha256`.
        data: name of the folder of the cases; of parts that were joined all names that it had.
        date: of the evaluation (ISO 8601, UTC).
        device: description of what computed.
        processes: that shared the cases.
        prediction: what beside the weights decides a prediction, see :func:`.evaluate.prediction_facts`;
            older summaries lack it.
        versions: of the library and what computes, see :func:`.environment.versions`.
        hd95_rule: a key of :data:`.hd95_rules.HD95_RULES`.
        cases: per scored case its ``name``, ``modalities``, ``reference_voxels`` of WT, TC, ET and,
            where it was scored, RC, and ``voxels_sha256`` of its volumes by sequence, which earlier versions
            lack.
        skipped: ``path`` inside the data, or name of a case, and ``reason``.
        subsets, averages, empty: see :func:`.averages.summarize`; shares are 0..1, distances in mm.
        seconds: from the first file read to the last score; of one that was stopped, of its last part.
        resection_cavity: a key of :data:`~..core.labels.CAVITY_RULES`; older summaries lack it and the next.
        warnings: ``case``, empty for one about all of them, and ``warning``.
        unforeseen: names of skipped cases that a fault of the program kept out; ``failures.log`` beside the
            summary has the tracebacks.
        hd95_definition: a key of :data:`.hd95_rules.HD95_DEFINITIONS`; older ones lack it and those after.
        metrics: of :data:`.measures.MEASURES` and :data:`.measures.AGREEMENTS`, those of the tables.
        scores_sha256: of the text of ``cases.csv``, see :func:`.rows_file.scores_sha256`.
        model: what the student is, see :func:`.trained_alike.model_facts`; empty for label maps.
        further_sequences: see :func:`.gains.further_sequences`; older summaries lack it and the next.
        estimates: of Dice, by the student itself, see :func:`.estimate_scores.score_estimates`; empty where
            its card had no calibration, and of several students joined.
    """

    student: str
    weights_sha256: str
    data: str
    date: str
    device: str
    processes: int
    prediction: Mapping[str, Any]
    versions: Mapping[str, str]
    hd95_rule: str
    cases: Sequence[Mapping[str, Any]]
    skipped: Sequence[Mapping[str, str]]
    subsets: Sequence[Mapping[str, Any]]
    averages: Mapping[str, Any]
    empty: Mapping[str, Any]
    seconds: float
    resection_cavity: str = "background"
    warnings: Sequence[Mapping[str, str]] = ()
    unforeseen: Sequence[str] = ()
    hd95_definition: str = "directed"
    metrics: Sequence[str] = TABLE_METRICS
    scores_sha256: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    further_sequences: Mapping[str, Any] = field(default_factory=dict)
    estimates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values in the order above."""
        return asdict(self)
