"""The card that a student is published with: what it is, what it was made from, how good it is, its limits.

    python -m MissingModalityLib.evaluation.model_card STUDENT EVALUATION_DIR OUTPUT.md

Every number comes from the student file or from an evaluation of these very weights. Source and population of
the training data, license and limits are texts of the student's own card (``data_note``, ``license``,
``limits``); nothing is said about what they do not tell.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import MissingModalityError
from ..core.files import explain_write_errors, file_sha256, write_text
from ..core.labels import CAVITY_REGION
from ..core.modalities import in_words
from ..core.words import counted
from ..inference.card import SELECTED, Card
from ..inference.student import Student
from .belonging import check_cross_validation, check_weights, choice_of
from .estimate_scores import score_estimates
from .evaluate import read_evaluation
from .facts import facts_table, flattened
from .known_cases import trained_on
from .made_from import data_section, training_cases, training_section
from .metrics import scored_regions
from .pooling import pool_evaluations
from .rows_file import row_of
from .tables import estimate_notes, markdown_lines, notes, score_tables
from .trained_alike import model_facts, other_methods

_LITERATURE = (
    "B. H. Menze et al., The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS), IEEE Transactions "
    "on Medical Imaging 34(10), 2015. doi:10.1109/TMI.2014.2377694",
    "S. Bakas et al., Advancing The Cancer Genome Atlas glioma MRI collections with expert segmentation "
    "labels and radiomic features, Scientific Data 4:170117, 2017. doi:10.1038/sdata.2017.117",
    "S. Bakas et al., Identifying the Best Machine Learning Algorithms for Brain Tumor Segmentation, "
    "Progression Assessment, and Overall Survival Prediction in the BRATS Challenge, arXiv:1811.02629, 2018.",
    "U. Baid et al., The RSNA-ASNR-MICCAI BraTS 2021 Benchmark on Brain Tumor Segmentation and Radiogenomic "
    "Classification, arXiv:2107.02314, 2021.",
)

DISCLAIMER = (
    "> **For research use only. This is not a medical device.** It has not been reviewed by any authority "
    "and must not be used for diagnosis, treatment planning or any other clinical decision."
)

_TOLD_ELSEWHERE = ("training", "evaluation", "calibration", "license", "name", "data_note", "limits")
"""Entries of a student's card that are not lines of the first table."""


def write_model_card(
    student_path: Path,
    evaluation: Mapping[str, Any],
    output: Path,
    cross_validation: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the card of a student as Markdown.

    Args:
        student_path: a student file; its header tells architecture, training and license.
        evaluation: a result of :func:`.evaluate.evaluate_folder` or ``read_evaluation`` for it.
        output: a ``.md`` file; an existing one is replaced.
        cross_validation: evaluations as :func:`.attach.attach_evaluation` takes them.

    Raises:
        StudentError: the student file cannot be used.
        CaseError: the evaluation is of other weights, the cross-validation of another way to decide, or the
            card cannot be written.
    """
    student = Student.load(student_path)
    check_weights(student, evaluation, student_path)
    check_cross_validation(student, cross_validation, student_path)
    sections = (
        f"# Model card: {student.card.get('name', student_path.stem)}\n\n{DISCLAIMER}\n",
        _summary(student, student_path),
        data_section(student.card),
        training_section(student.card),
        _scores(student.card, evaluation, trained_on(student_path, evaluation)),
        *([_together(student.card, evaluation, cross_validation)] if cross_validation else []),
        *([_estimates(student.card.calibration, evaluation)] if student.card.calibration else []),
        _limits(student.card, evaluation),
        _references(),
    )
    with explain_write_errors(output, "Choose a file in an existing folder."):
        write_text("\n".join(sections), output)


def _summary(student: Student, path: Path) -> str:
    card = student.card
    parameters = sum(tensor.numel() for tensor in student.network.parameters())
    # megabytes of 10^6 bytes, as the pages that students are downloaded from count them
    facts = {
        "file": f"{path.name}, {path.stat().st_size / 1e6:.2f} MB",
        "SHA-256": file_sha256(path),
        "parameters": f"{parameters / 1e6:.2f} million",
        "license": card.get("license") or "not stated in the file",
        **flattened({key: value for key, value in card.items() if key not in _TOLD_ELSEWHERE}),
    }
    cavity = (
        "Tells the resection cavity (RC) too, which is none of these. " if student.network.head.cavity else ""
    )
    text = (
        f"Segments brain tumors in MRI from any non-empty subset of {in_words()}: necrotic "
        "or non-enhancing core, edema and enhancing tumor (ET); whole tumor (WT) is all three, tumor core "
        "(TC) all but edema. "
        f"{cavity}Made for the 3D Slicer extension MissingModality."
    )
    return f"## What it is\n\n{text}\n\n{facts_table(facts)}"


def _scores(card: Mapping[str, Any], evaluation: Mapping[str, Any], known: Sequence[str]) -> str:
    cases, pooled = evaluation["cases"], pool_evaluations([evaluation])
    about = (
        f"On {counted(len(cases), 'case')} of '{evaluation['data']}', {evaluation['date']}, "
        f"{evaluation['device']}. Each case was scored on every subset of the volumes that it "
        f"has. {_left_out(pooled)}" + _overlap([case["name"] for case in cases], training_cases(card), known)
    )
    parts = [f"## Evaluation\n\n{about}\n", *score_tables(pooled), notes(pooled)]
    parts += [_case_scores(case, evaluation["rows"]) for case in cases]
    return "\n".join(parts)


def _left_out(pooled: Mapping[str, Any]) -> str:
    """Which patients stand in no row of a table, since they would not stand in all."""
    if not pooled["left_out"]:
        return ""
    return (
        f"Every row is over the same {_cases(pooled)}; left out of all rows for lack of a "
        f"sequence: {len(pooled['left_out'])} ({', '.join(pooled['left_out'])}). "
    )


def _cases(evaluation: Mapping[str, Any]) -> str:
    return counted(len(evaluation["cases"]), "case")


def _together(
    card: Card, evaluation: Mapping[str, Any], cross_validation: Sequence[Mapping[str, Any]]
) -> str:
    pooled = pool_evaluations([evaluation, *cross_validation])
    about = (
        f"{_cases(pooled)} of {pooled['data']}: those above, and training cases scored by other "
        "models of the same network and recipe, which learned without them and may have made fewer steps. "
        f"{_other_methods(card, cross_validation)}{_chosen(card)}{_left_out(pooled)}"
        "What the panel says to expect of a subset stands here."
    )
    return "\n".join([f"## Evaluation and cross-validation together\n\n{about}\n", *score_tables(pooled)])


def _other_methods(card: Card, cross_validation: Sequence[Mapping[str, Any]]) -> str:
    """That the models of a cross-validation were trained by other methods than this one, if they were."""
    own = model_facts(card)
    told = [other_methods(evaluation.get("model") or {}, own) for evaluation in cross_validation]
    unlike = "; ".join(dict.fromkeys(filter(None, told)))
    if not unlike:
        return ""
    return (
        f"Their method was another one ({unlike} as here): this model may be better or worse than they are. "
    )


def _chosen(card: Card) -> str:
    """That choices flatter the scores of those that they were made on; no file says on whom that was."""
    without = Card(card.network, card.options)
    names = [name for name in SELECTED if choice_of(card, name) != choice_of(without, name)]
    if not names:
        return ""
    return (
        f"Where any of {', '.join(name.replace('_', ' ') for name in names)} was chosen on these training "
        "cases, their scores are somewhat better than those of new ones. "
    )


def _estimates(calibration: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """How well the student knows the quality of its own results.

    Those evaluated are judged by the calibration that the student has now, which it may have got after them.
    """
    about = (
        "With each result the model estimates its Dice from its own probabilities. Fitted to "
        f"{counted(calibration['results'], 'result')} of {counted(calibration['patients'], 'patient')}, each "
        "by a model of this kind that had not learned from the patient; the numbers are of patients that "
        "were left out of the fit in turn (nested cross-validation)."
    )
    # in the units of the tables above and of the sentence below
    head = ["region", "mean error in points", "graded doubtful, % of those below 50", "% of the others"]
    body = [
        [region, *(_share_text(fitted[name]) for name in ("mean_error", "flagged", "false_alarms"))]
        for region, fitted in calibration["regions"].items()
    ]
    here = estimate_notes(score_estimates(map(row_of, evaluation["rows"]), calibration))
    on_these = [f"On the cases of '{evaluation['data']}'. {note}\n" for note in here]
    return "\n".join([f"## Estimated Dice\n\n{about}\n", markdown_lines(head, body), *on_these])


def _share_text(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _overlap(tested: Sequence[str], trained: Container[str], known: Container[str]) -> str:
    """Which evaluated cases the student knows, as far as the file tells: by name, or ``known`` by voxels."""
    if not trained:  # silence is no proof that the cases are new
        return "The model file names no training cases, so it is not known whether these are among them."
    seen = [name for name in tested if name in trained or name in known]
    if seen:
        return f"**Known from training: {', '.join(seen)}.**"
    return "None of them is among the training cases that the model file names."


def _case_scores(case: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """One case: a line per subset, Dice in % and HD95 in mm per region."""
    by_subset: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row["case"] == case["name"]:
            by_subset.setdefault(row["subset"], {})[row["region"]] = row
    regions = scored_regions(CAVITY_REGION in next(iter(by_subset.values())))
    head = ["subset", *(f"{name} {region}" for name in ("Dice", "HD95") for region in regions)]
    body = [
        [
            subset,
            *(f"{100 * scores[region]['dice']:.1f}" for region in regions),
            *(f"{scores[region]['hd95']:.1f}" for region in regions),
        ]
        for subset, scores in by_subset.items()
    ]
    volumes = ", ".join(f"{region} {count}" for region, count in case["reference_voxels"].items())
    return f"### {case['name']}\n\nVoxels in the reference: {volumes}.\n\n{markdown_lines(head, body)}"


def _limits(card: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    lines = [
        *card.get("limits", ()),
        f"Tested on {_cases(evaluation)}. Their scores promise nothing for other scanners, "
        "protocols or patients; the spread between the cases above is part of the result.",
        "Expects skull-stripped volumes of one patient and visit that are aligned with each other; it "
        "neither registers nor strips.",
        "What a missing sequence costs stands in the lines of the subsets without it.",
        "It always answers: a volume without tumor, or one that is no brain at all, can get a segmentation "
        "too. Look at every result.",
    ]
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in lines)


def _references() -> str:
    lines = "".join(f"- {reference}\n" for reference in _LITERATURE)
    return f"## References\n\nClasses, regions and scores are those of the BraTS challenges:\n\n{lines}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a model card from the command line; 2 for bad input."""
    parser = argparse.ArgumentParser(description="Write the model card of an evaluated model.")
    parser.add_argument("student", type=Path, help="a model file (.safetensors)")
    parser.add_argument("evaluation", type=Path, help="folder that 'missing-modality evaluate' has written")
    parser.add_argument("output", type=Path, help="a .md file")
    parser.add_argument(
        "--cross-validation",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="evaluations of training cases by models of its network and recipe that learned without them",
    )
    options = parser.parse_args(arguments)
    try:
        others = [read_evaluation(folder) for folder in options.cross_validation]
        write_model_card(options.student, read_evaluation(options.evaluation), options.output, others)
    except MissingModalityError as error:
        print(f"missing-modality: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
