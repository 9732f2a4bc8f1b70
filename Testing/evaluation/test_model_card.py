"""The model card says what the student file and its evaluation say, and nothing about another student."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from calibrations import constant_calibration
from MissingModalityLib.core.errors import CaseError, StudentError
from MissingModalityLib.evaluation.evaluate import evaluate_folder, read_evaluation
from MissingModalityLib.evaluation.model_card import main, write_model_card
from MissingModalityLib.inference.student import Student
from small_cases import BOTH, write_shell_case
from small_networks import small_network

TRAINING = {
    "recipe": "segresnet",
    "seed": 41,
    "epochs_done": 137,
    "settings": {"crop": [80, 80, 80], "learning_rate": 0.00025},
    "cases": {"BraTS2021_00000": "FLAIR+T1ce+T1+T2", "BraTS2021_00002": "T2"},
    "validation": ["BraTS2021_00002"],
}

NOTES = {
    "data_note": "Adults with untreated glioma, from the archive of the county hospital.",
    "limits": ["Never saw a child.", "Never saw a metastasis."],
}


def save_student(path: Path, seed: int = 3, **card: Any) -> Path:
    network = small_network("segresnet", seed, blocks=(1, 1, 1))
    Student(network, {"window": [40, 40, 40], **card}).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student file ``small.safetensors`` and its evaluation in ``scores``."""
    root = tmp_path_factory.mktemp("card")
    write_shell_case(root / "cases" / "BraTS2021_77777", BOTH)
    save_student(root / "small.safetensors", training=TRAINING, license="CC BY 4.0", **NOTES)
    evaluate_folder(root / "small.safetensors", root / "cases", root / "scores", device="cpu")
    return root


@pytest.fixture(scope="module")
def card(folder: Path) -> str:
    arguments = [str(folder / name) for name in ("small.safetensors", "scores", "small.md")]
    assert main(arguments) == 0
    return (folder / "small.md").read_text()


def test_it_is_not_a_medical_device(card: str) -> None:
    assert "research use only" in card.lower()
    assert "not a medical device" in card


def test_it_identifies_the_file(card: str, folder: Path) -> None:
    content = (folder / "small.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() in card
    assert f"{len(content) / 1e6:.2f} MB" in card
    assert "| network | segresnet |" in card
    assert "| options: width | 8 |" in card
    assert "| license | CC BY 4.0 |" in card


def test_it_names_the_training_cases_and_settings(card: str) -> None:
    assert "2 cases" in card
    assert "| BraTS2021_00000 | FLAIR+T1ce+T1+T2 | training |" in card
    assert "| BraTS2021_00002 | T2 | validation |" in card
    assert "| epochs done | 137 |" in card
    assert "| settings: learning rate | 0.00025 |" in card
    assert "| settings: crop | 80, 80, 80 |" in card


def test_it_tells_source_population_and_limits_in_the_words_of_the_student(card: str) -> None:
    assert NOTES["data_note"] in card.split("## Training data")[1].split("## ")[0]
    for limit in NOTES["limits"]:
        assert f"- {limit}\n" in card.split("## Limits")[1]


def test_it_says_nothing_of_data_that_the_student_does_not_tell(folder: Path, tmp_path: Path) -> None:
    """Case names like those of a public data set say neither license nor population."""
    silent = save_student(tmp_path / "silent.safetensors", training=TRAINING)
    assert main([str(silent), str(folder / "scores"), str(tmp_path / "card.md")]) == 0
    text = (tmp_path / "card.md").read_text()
    assert "| license | not stated in the file |" in text
    assert "does not tell their source and population" in text
    for guessed in ("CC BY", "Cancer Imaging Archive", "adults", "glioma", "children", "enough to show"):
        assert guessed not in text.split("## References")[0], guessed


def test_it_names_the_literature_of_regions_and_scores(card: str) -> None:
    for expected in ("Menze", "Baid", "sdata.2017.117", "1811.02629"):
        assert expected in card.split("## References")[1]


def test_it_prints_every_score_of_every_case(card: str, folder: Path) -> None:
    section = card.split("### BraTS2021_77777")[1].split("## ")[0]
    lines = [line for line in section.splitlines() if re.match(r"\| (T1ce|FLAIR)", line)]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == ["T1ce", "FLAIR", "FLAIR+T1ce"]
    first = (folder / "scores" / "cases.csv").read_text().splitlines()[1].split(",")
    assert first[:3] == ["BraTS2021_77777", "T1ce", "WT"]
    assert lines[0].split(" | ")[1] == f"{100 * float(first[3]):.1f}"
    assert lines[0].split(" | ")[5] == f"{float(first[4]):.1f}"


def test_it_admits_when_it_was_tested_on_training_cases(card: str, folder: Path, tmp_path: Path) -> None:
    assert "None of them is among the training cases that the model file names." in card
    cases = {"BraTS2021_77777": "FLAIR+T1ce"}
    again = save_student(tmp_path / "again.safetensors", training={"cases": cases})
    assert main([str(again), str(folder / "scores"), str(tmp_path / "card.md")]) == 0
    assert "Known from training: BraTS2021_77777." in (tmp_path / "card.md").read_text()


def test_it_admits_what_models_before_it_learned_from_and_patients_of_another_name(
    folder: Path, tmp_path: Path
) -> None:
    (case,) = read_evaluation(folder / "scores")["cases"]
    volumes = [digest for sequence, digest in case["voxels_sha256"].items() if " " not in sequence]
    before = {"another name": volumes}
    again = save_student(tmp_path / "again.safetensors", training={**TRAINING, "learned_before": before})
    assert main([str(again), str(folder / "scores"), str(tmp_path / "card.md")]) == 0
    text = (tmp_path / "card.md").read_text()
    assert "Known from training: BraTS2021_77777." in text
    assert (
        "was taught by had learned from 1 further case (another name)." in text
        and "before" not in (text.split("## Training\n")[1].split("## ")[0])
    )


def test_it_tells_that_models_before_it_had_learned_from_what_it_held_out(
    folder: Path, tmp_path: Path
) -> None:
    """Known by the voxels: a namesake is a further case."""
    before = {"another": ["v2"], "third": ["v3"]}
    cases = {**TRAINING["cases"], "third": "T2"}
    training = {**TRAINING, "cases": cases, "validation": ["BraTS2021_00002", "third"]}
    hashes = {"BraTS2021_00002": ["v2"], "third": ["v9"]}
    for known, told in (
        (hashes, "1 case for validation (BraTS2021_00002) and 1 further case (third)."),
        ({}, "1 case for validation (third) and 1 further case (another)."),
    ):
        of_run = {**training, "learned_before": before, "voxels_sha256": known}
        student = save_student(tmp_path / "s.safetensors", training=of_run)
        assert main([str(student), str(folder / "scores"), str(tmp_path / "card.md")]) == 0
        assert f"had learned from {told}\n" in (tmp_path / "card.md").read_text()


def test_it_tells_with_which_model_it_began_which_taught_it_and_the_steps_in_all(
    folder: Path, tmp_path: Path
) -> None:
    first = {
        **{"stage": "train", "use": "began with", "file": "first.safetensors", "weights_sha256": "f1"},
        **{"steps": 40, "cases": ["p1", "p2"], "models_before": []},
    }
    teacher = {**first, "use": "taught by", "file": "fold0/t.safetensors", "steps": None, "cases": []}
    stages = {"train": {"epochs": 150, "iterations_per_epoch": 10}}
    training = {**TRAINING, "settings": {"stages": stages}, "stage": "train"}

    def text(before: list[dict] | None) -> str:
        entry = {} if before is None else {"models_before": before}
        student = save_student(tmp_path / "s.safetensors", training={**training, **entry})
        assert main([str(student), str(folder / "scores"), str(tmp_path / "card.md")]) == 0
        return (tmp_path / "card.md").read_text().split("## Training\n")[1].split("## Evaluation")[0]

    found = text([first, teacher])
    assert "Its run made 1370 steps. With those of the models that it began with it has made 1410." in found
    assert "| first.safetensors | this model began with it | 40 | p1, p2 | f1 |" in found
    assert (
        "| fold0/t.safetensors | this model was taught by it | not known | nothing that it tells |" in found
    )
    assert "models before" not in found
    earlier = {key: value for key, value in first.items() if key not in ("models_before", "cases")}
    found = text([{**teacher, "models_before": [earlier]}])
    assert "Its run made 1370 steps.\n" in found
    assert "| first.safetensors | fold0/t.safetensors began with it | 40 | not known | f1 |" in found
    # what that one began with, its version did not tell
    assert "it has made at least 1410." in text([earlier])
    assert text([]) == text(None) and "made" not in text([])


def test_it_shows_lesion_wise_scores_and_every_row_over_the_same_patients(
    folder: Path, tmp_path: Path
) -> None:
    write_shell_case(tmp_path / "cases" / "BraTS2021_1")
    write_shell_case(tmp_path / "cases" / "BraTS2021_2", BOTH)
    student = folder / "small.safetensors"
    evaluate_folder(student, tmp_path / "cases", tmp_path / "scores", device="cpu")
    assert main([str(student), str(tmp_path / "scores"), str(tmp_path / "card.md")]) == 0
    section = (tmp_path / "card.md").read_text().split("## Evaluation")[1].split("### ")[0]
    lines = [line for line in section.splitlines() if line.startswith(("| ●", "| ○"))]
    assert len(lines) == 2 * 15 and all(line.endswith("| 1 |") for line in lines)
    assert "lesion-wise HD95 ET" in section
    assert "same 1 case; left out of all rows for lack of a sequence: 1 (BraTS2021_2)." in section


def test_it_tells_cross_validation_and_calibration(card: str, folder: Path, tmp_path: Path) -> None:
    student, scores = str(folder / "small.safetensors"), str(folder / "scores")
    assert "Estimated Dice" not in card and "cross-validation" not in card
    path = save_student(tmp_path / "s.safetensors", calibration=constant_calibration())
    arguments = [str(path), scores, str(tmp_path / "card.md"), "--cross-validation", scores]
    assert main(arguments) == 0
    text = (tmp_path / "card.md").read_text()
    assert "## Evaluation and cross-validation together\n\n1 case of cases: " in text
    # the model itself may have learned from all of them; its cross-validation has not
    assert "180 results of 12 patients, each by a model of this kind that had not learned from" in text
    assert "| WT | 6.0 | 94.0 |  |" in text
    assert "intercept" not in text
    assert "other models of the same network and recipe" in text and "was chosen on these" not in text
    assert main([student, scores, str(tmp_path / "b.md"), "--cross-validation", str(tmp_path)]) == 2


def test_it_tells_that_choices_flatter_the_cases_that_they_were_made_on(folder: Path, tmp_path: Path) -> None:
    path = save_student(tmp_path / "s.safetensors", min_component_voxels=50, mirror_windows=[2])
    scores = evaluate_folder(path, folder / "cases", tmp_path / "scores", device="cpu")
    for cross_validation, told in ([scores], True), ([], False):
        write_model_card(path, scores, tmp_path / "card.md", cross_validation)
        text = (tmp_path / "card.md").read_text()
        assert (
            "Where any of min component voxels, mirror windows was chosen on these training" in text
        ) is told


def test_every_table_has_as_many_cells_in_each_line(card: str) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_an_evaluation_of_other_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    other = save_student(tmp_path / "other.safetensors", seed=4)
    assert main([str(other), str(folder / "scores"), str(tmp_path / "other.md")]) == 2
    assert not (tmp_path / "other.md").exists()


def test_the_header_may_change_after_the_evaluation(folder: Path, card: str, tmp_path: Path) -> None:
    renamed = save_student(tmp_path / "small.safetensors", name="Small one", evaluation={"WT": 0.9})
    assert main([str(renamed), str(folder / "scores"), str(tmp_path / "card.md")]) == 0
    text = (tmp_path / "card.md").read_text()
    assert text.startswith("# Model card: Small one\n")
    assert "does not name the cases" in text
    assert "not known whether these are among them" in text
    assert "None of them" not in text


def test_bad_input_gives_one_message(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.safetensors"), str(folder / "scores"), str(tmp_path / "a.md")]) == 2
    assert "none.safetensors" in capsys.readouterr().err
    assert main([str(folder / "small.safetensors"), str(tmp_path), str(tmp_path / "a.md")]) == 2
    assert "holds no evaluation" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_errors_are_the_librarys_own(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StudentError):
        write_model_card(folder / "scores" / "cases.csv", {}, tmp_path / "a.md")
    with pytest.raises(CaseError, match="other weights"):
        write_model_card(folder / "small.safetensors", {}, tmp_path / "a.md")


def test_it_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "MissingModalityLib.evaluation.model_card", "--help"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "evaluation" in done.stdout
