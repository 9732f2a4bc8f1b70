"""Choices on unseen patients: found where they are worth it, left alone where not, and kept in the file."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mask_scores import score_regions
from MissingModalityLib.core.errors import OptionError
from MissingModalityLib.core.labels import TumorClass
from MissingModalityLib.core.modalities import SUBSETS, Modality
from MissingModalityLib.evaluation import selection
from MissingModalityLib.evaluation.attach import store_choices
from MissingModalityLib.evaluation.selection import Pair, choose
from MissingModalityLib.evaluation.sparse import Sparse
from MissingModalityLib.imaging.cache import CachedCase
from MissingModalityLib.imaging.preparation import Prepared
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.inference.student import Student
from small_cases import prepared_patients
from small_networks import small_network, tiny_student

CPU = torch.device("cpu")
PLAIN = dict.fromkeys(("WT", "TC", "ET"), 0.5)


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch):
    """`telling(make)` makes students whose probabilities are `make(student, prepared)`."""

    def install(make) -> None:
        def probabilities_of(self, prepared, subsets, device=None):
            for subset in subsets:
                yield make(self, prepared).astype(np.float32), prepared.image[list(subset)].any(axis=0)

        monkeypatch.setattr(Student, "probabilities_of", probabilities_of)

    return install


def regions(prepared: Prepared, wt: float, tc: float, et: float) -> np.ndarray:
    """Probabilities that the label's regions have; nothing elsewhere."""
    label = prepared.label
    members = (label > 0, np.isin(label, (TumorClass.NCR, TumorClass.ET)), label == TumorClass.ET)
    return np.stack([mask * value for mask, value in zip(members, (wt, tc, et), strict=True)])


def several(case: CachedCase, number: int = 3) -> list[CachedCase]:
    """Patients who happen to be alike."""
    return [replace(case, name=f"{case.name}{one}") for one in range(number)]


def chosen(
    pairs: Sequence[Pair],
    variants: Mapping[str, Sequence[Any]] | None = None,
    on_progress: Callable[[Any], None] | None = None,
) -> dict[str, Any]:
    """What is chosen on cases of a patient each."""
    patients = {case.name: case.name for _, cases in pairs for case in cases}
    return choose(pairs, patients, variants or {}, CPU, on_progress)


@pytest.mark.parametrize(
    ("name", "value"),
    [("smoothing_mm", float("nan")), ("overlap", 1.5), ("mirror", [3]), ("mirror_windows", [0, 0])],
)
def test_what_no_model_can_do_is_refused_with_what_it_can(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=rf"^{name}={re.escape(str(value))}: give .*0"):
        chosen([(tiny_student(), [])], {name: [value]})


def test_a_region_that_the_network_is_unsure_of_gets_a_lower_threshold(telling, tmp_path: Path) -> None:
    first, second = map(several, prepared_patients(tmp_path, ["patient_a", "patient_c"]))
    telling(lambda student, prepared: regions(prepared, 0.9, 0.42, 0.8))
    found = chosen([(tiny_student(), first), (tiny_student(), second)])
    assert found["cases"] == 6 and found["chosen"]["thresholds"]["TC"] in (0.3, 0.35, 0.4)
    assert found["chosen"]["thresholds"]["WT"] == found["chosen"]["thresholds"]["ET"] == 0.5
    assert set(found["chosen"]) == {"thresholds"}
    # enhancing tumor is tumor core too; a few voxels of the label lie outside the brain
    assert found["before"]["TC"] < 0.97 and min(found["after"].values()) > 0.99


def test_what_is_right_already_is_left_alone(telling, tmp_path: Path) -> None:
    cases = several(*prepared_patients(tmp_path, ["patient_c"]))
    telling(lambda student, prepared: regions(prepared, 0.9, 0.9, 0.9))
    student = tiny_student({"min_component_voxels": 7})
    found = chosen([(student, cases)], {"smoothing_mm": [1.0], "mirror": [[2]]})
    # of what students do already a file made anew has to be told
    assert found["chosen"] == {"min_component_voxels": 7} and found["before"] == found["after"]
    assert [entry["value"] for entry in found["tried"]["smoothing_mm"]] == [None, 1.0]
    assert {entry["value"] for entry in found["tried"]["min_component_voxels"]} >= {0, 7, 100}


def invented(student: Student, prepared: Prepared) -> np.ndarray:
    """All right, but for 8 voxels of enhancing tumor in those who have none; patient_a has 44 voxels."""
    found = regions(prepared, 0.9, 0.9, 0.9)
    if not prepared.label.any():
        found[:, 10:12, 10:12, 10:12] = 0.9
    return found


def test_enhancing_tumor_invented_where_there_is_none_is_found_out(
    telling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_tumor, without = prepared_patients(tmp_path, ["patient_a", "patient_d"])
    telling(invented)
    monkeypatch.setattr(selection, "ENHANCING_SIZES", (0, 20, 60))
    found = chosen([(tiny_student(), [with_tumor, *several(without, 4)])])
    assert found["chosen"] == {"min_enhancing_voxels": 20}
    assert {one["value"]: one["taken"] for one in found["tried"]["min_enhancing_voxels"]} == {
        0: False,
        20: True,
        60: False,
    }
    assert found["before"]["ET"] == pytest.approx(0.2) and found["after"]["ET"] == pytest.approx(1)


def test_what_one_patient_alone_would_gain_from_is_left(
    telling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_tumor, without = prepared_patients(tmp_path, ["patient_a", "patient_d"])
    telling(invented)
    monkeypatch.setattr(selection, "ENHANCING_SIZES", (0, 20))
    found = chosen([(tiny_student(), [*several(with_tumor), without])])
    assert found["chosen"] == {} and found["before"] == found["after"]
    present, other = found["tried"]["min_enhancing_voxels"]
    assert "gain" not in present and (present["taken"], other["taken"]) == (True, False)
    # a third of a quarter: Dice of enhancing tumor alone, of one in four
    assert (other["gain"], other["gain_error"]) == (pytest.approx(1 / 12), pytest.approx(1 / 12))


def test_visits_of_one_patient_are_no_evidence_from_several(telling, tmp_path: Path) -> None:
    cases = several(*prepared_patients(tmp_path, ["patient_c"]))
    telling(lambda student, prepared: regions(prepared, 0.9, 0.42, 0.8))
    pairs = [(tiny_student(), cases)]
    assert "TC" in chosen(pairs)["chosen"]["thresholds"]
    found = choose(pairs, dict.fromkeys([case.name for case in cases], "patient_c"), {}, CPU)
    assert found["chosen"] == {}
    assert {entry.get("gain_error", 0) for entry in found["tried"]["thresholds"]} == {0, None}
    taken = [(entry["region"], entry["value"]) for entry in found["tried"]["thresholds"] if entry["taken"]]
    assert taken == [("WT", 0.5), ("TC", 0.5), ("ET", 0.5)]


def test_pieces_that_are_false_are_removed_from_a_size_on(
    telling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = several(*prepared_patients(tmp_path, ["patient_c"]))

    def with_crumb(student: Student, prepared: Prepared) -> np.ndarray:
        found = regions(prepared, 0.9, 0.9, 0.9)
        found[0, 4:6, 8:17, 10:12] = 0.9
        return found

    telling(with_crumb)
    monkeypatch.setattr(selection, "COMPONENT_SIZES", (0, 50, 100))
    found = chosen([(tiny_student(), cases)])
    assert found["chosen"] == {"min_component_voxels": 50}
    assert found["before"]["WT"] < found["after"]["WT"] - 0.01


def test_the_better_way_to_predict_is_taken(telling, tmp_path: Path) -> None:
    cases = several(*prepared_patients(tmp_path, ["patient_c"]))
    sure = {None: 0.2, 0.7: 0.9, 1.0: 0.9}
    telling(lambda student, prepared: regions(prepared, *[sure[student.card.smoothing_mm]] * 3))
    found = chosen([(tiny_student(), cases)], {"smoothing_mm": [0.7, 1.0]})
    assert found["chosen"] == {"smoothing_mm": 0.7}
    assert [entry["taken"] for entry in found["tried"]["smoothing_mm"]] == [False, True, False]
    assert found["before"]["WT"] < 0.1 and found["after"]["WT"] > 0.99


def test_predictions_of_one_way_are_gone_before_those_of_another_come(telling, tmp_path: Path) -> None:
    cases = prepared_patients(tmp_path, ["patient_c"])
    telling(lambda student, prepared: regions(prepared, 0.9, 0.9, 0.9))
    alive = []

    def count(_: object) -> None:
        alive.append(sum(type(one) is Sparse for one in gc.get_objects()))

    chosen([(tiny_student(), cases)], {"smoothing_mm": [0.7, 1.0]}, count)
    assert alive == [0, 0, 0]


def test_decisions_on_the_voxels_that_matter_are_those_of_the_student(tmp_path: Path) -> None:
    (case,) = prepared_patients(tmp_path, ["patient_c"])
    card = {
        "thresholds": {"WT": 0.45, "TC": 0.55, "ET": 0.35},
        "min_component_voxels": 30,
        "min_enhancing_voxels": 20,
    }
    student = tiny_student(card)
    found = chosen([(student, [case])])
    whole, subsets = case.load(), [subset for subset in SUBSETS if set(subset) <= set(case.subset)]
    dice = [
        {region: score.dice for region, score in score_regions(classes, whole.label, (1.0,) * 3).items()}
        for classes in student.classes_of(whole, subsets, CPU)
    ]
    for region, mean in found["before"].items():
        assert mean == pytest.approx(np.mean([scores[region] for scores in dice]), abs=2e-3)


def test_a_student_of_classes_is_left_its_thresholds(tmp_path: Path) -> None:
    cases = prepared_patients(tmp_path, ["patient_c"])
    student = Student(small_network("segresnet", head="classes"), {"window": [40] * 3})
    found = chosen([(student, cases)])
    assert "thresholds" not in found["chosen"] and "thresholds" not in found["tried"]


def test_choices_go_into_the_file_and_take_the_table_of_before_out(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    tiny_student({"evaluation": {"cases": 3}, "license": "CC0"}).save(path, half=True)
    size = path.stat().st_size
    store_choices(path, {"thresholds": {**PLAIN, "ET": 0.35}, "mirror": [2]})
    card = read_card(path)
    assert card.thresholds["ET"] == 0.35 and card.mirror == [2] and card.license == "CC0"
    assert "evaluation" not in card and abs(path.stat().st_size - size) < 200


def test_choices_are_made_together_and_what_was_chosen_before_goes(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    tiny_student({"smoothing_mm": 1.0, "blending": "mean", "overlap": 0.25}).save(path)
    assert store_choices(path, {"mirror": [2]}) == ["overlap 0.25", "smoothing_mm 1.0"]
    card = read_card(path)
    assert card.mirror == [2] and card.smoothing_mm is None
    assert card.overlap == 0.5 and card.blending == "mean"


def test_a_file_that_has_the_choices_already_keeps_its_table(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    tiny_student({"overlap": 0.5, "evaluation": {"cases": 3}, "mirror": [2]}).save(path)
    before = path.read_bytes()
    assert store_choices(path, {"mirror": [2]}) == [] and path.read_bytes() == before
    assert store_choices(path, {}) == ["mirror [2]", "its evaluation"]


def test_choices_that_folds_were_given_are_found_again(telling, tmp_path: Path) -> None:
    cases = several(*prepared_patients(tmp_path, ["patient_c"]))
    telling(lambda student, prepared: regions(prepared, 0.9, 0.42, 0.8))
    first = chosen([(tiny_student(), cases)])["chosen"]
    again = chosen([(tiny_student(first), cases)])["chosen"]
    assert first == again != {}


def test_tumor_that_no_threshold_can_find_counts_as_missed() -> None:
    label = np.zeros((1, 1, 4), np.uint8)
    label[..., 1:] = TumorClass.ET
    place, sure = np.array([0, 1]), np.full((3, 2), 0.9, np.float16)
    found = Sparse(label.shape, place, sure, np.array([1, 1], np.uint8), label)
    assert found.claims("WT", [0.5, 0.95]) == pytest.approx([2 * 1 / (2 + 3), 0], abs=1e-8)


def test_a_subset_has_the_brain_that_it_shows(tmp_path: Path) -> None:
    (case,) = prepared_patients(tmp_path, ["patient_c"])
    whole = case.load()
    whole.image[Modality.T1CE, :9] = 0
    ((_, brain),) = tiny_student().probabilities_of(whole, [(Modality.T1CE,)], CPU)
    assert not brain[:9].any() and brain[9:].any()
