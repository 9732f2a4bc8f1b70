"""Cross-validation: who is held out of what, what is scored, and a run that was killed going on."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from MissingModalityLib.core.errors import CaseError, OptionError
from MissingModalityLib.core.progress import Event
from MissingModalityLib.evaluation.attach import store_choices
from MissingModalityLib.evaluation.comparison import compare_folders
from MissingModalityLib.evaluation.evaluate import evaluate_folder, read_evaluation
from MissingModalityLib.evaluation.known_cases import trained_on
from MissingModalityLib.inference.card import read_card
from MissingModalityLib.training import selection
from MissingModalityLib.training.run import train
from tiny_run import TINY, assert_same, log, record, weights

ONE = {**TINY, "epochs": 1}
CASES = ["patient_a", "patient_b", "patient_c"]


@pytest.fixture(scope="module")
def validated(tiny_cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation of three folds; not to be changed."""
    return train(tiny_cases, tmp_path_factory.mktemp("folds") / "run", settings=ONE, seed=4, folds=3)


def scored(folder: Path) -> dict:
    return read_evaluation(folder / "evaluation")


def test_every_case_is_scored_once_and_by_a_network_that_has_not_seen_it(validated: Path) -> None:
    held_out = []
    for fold in range(3):
        run = validated / f"fold{fold}"
        kept = record(run)
        assert (kept["folds"], kept["fold"], sorted(kept["cases"])) == (3, fold, CASES)
        assert kept["validation"] == [case["name"] for case in scored(run)["cases"]]
        held_out += kept["validation"]
    assert sorted(held_out) == CASES
    together = scored(validated)
    assert sorted(case["name"] for case in together["cases"]) == CASES
    assert {(row["case"], row["subset"]) for row in together["rows"] if row["case"] == "patient_c"} == {
        ("patient_c", name) for name in ("FLAIR", "T1ce", "FLAIR+T1ce")
    }
    parts = [row for fold in range(3) for row in scored(validated / f"fold{fold}")["rows"]]
    assert together["rows"] == parts and len(parts) == 4 * (15 + 15 + 3)


def test_a_fold_trained_apart_is_the_one_trained_with_the_others(
    validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    run = train(tiny_cases, tmp_path / "apart", settings=ONE, seed=4, folds=3, fold=1)
    assert run == tmp_path / "apart" and not (run / "fold0").exists() and not (run / "evaluation").exists()
    assert_same(weights(run / "fold1"), weights(validated / "fold1"))
    assert scored(run / "fold1")["rows"] == scored(validated / "fold1")["rows"]


def test_folds_trained_apart_are_joined_when_the_last_is_there(tiny_cases: Path, tmp_path: Path) -> None:
    for fold in (1, 0):
        train(tiny_cases, tmp_path / "run", settings=ONE, folds=2, fold=fold)
    assert sorted(case["name"] for case in scored(tmp_path / "run")["cases"]) == CASES


@pytest.mark.parametrize("moment", [pytest.param("train", marks=pytest.mark.slow), "Evaluating"])
def test_a_killed_cross_validation_goes_on_to_the_same_scores(
    moment: str, validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    prepared = {"prepared": validated / "prepared"}
    seen = []

    def stop_in_the_second_fold(event: Event) -> None:
        seen.append(event)
        steps = [one for one in seen if one.stage == "train" and "validating" not in one.message]
        if event.stage == moment and len(steps) > TINY["iterations_per_epoch"]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        progress = {"on_progress": stop_in_the_second_fold}
        train(tiny_cases, tmp_path / "run", settings=ONE, seed=4, folds=3, **prepared, **progress)
    assert not (tmp_path / "run" / "evaluation").exists()
    first = weights(tmp_path / "run" / "fold0")
    # as a user would type it: what the folds are made of is known to those that have begun
    train(None, tmp_path / "run", resume=True, folds=3)
    assert_same(first, weights(tmp_path / "run" / "fold0"))
    assert scored(tmp_path / "run")["rows"] == scored(validated)["rows"]
    assert record(tmp_path / "run" / "fold2")["seed"] == 4
    assert record(tmp_path / "run" / "fold2")["settings"] == record(validated / "fold2")["settings"]


def test_nothing_is_scored_again_when_all_is_there(
    validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    shutil.rmtree(run / "evaluation")
    stages = []
    train(None, run, resume=True, folds=3, on_progress=lambda event: stages.append(event.stage))
    assert "Evaluating" not in stages and scored(run)["rows"] == scored(validated)["rows"]


def test_a_fold_that_was_trained_on_is_scored_again(validated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    train(None, run / "fold0", resume=True, settings={"epochs": 2})
    # the others have not been trained as long, so their scores do not belong together
    with pytest.raises(CaseError, match="fold 1 was trained with other settings"):
        train(None, run, resume=True, folds=3, fold=0)
    before, after = (scored(folder / "fold0") for folder in (validated, run))
    assert before["weights_sha256"] != after["weights_sha256"]


def test_folds_that_were_given_a_choice_since_are_scored_again(validated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    for fold in range(3):
        (student,) = (run / f"fold{fold}").glob("*.safetensors")
        store_choices(student, {"min_component_voxels": 400})
    train(None, run, resume=True, folds=3)
    folders = [run, *(run / f"fold{fold}" for fold in range(3))]
    assert [scored(folder)["prediction"]["smallest_island"] for folder in folders] == [400] * 4


def test_scores_of_a_version_that_told_less_are_made_anew(validated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    folder = run / "fold1" / "evaluation"
    table = (folder / "cases.csv").read_text()
    (folder / "cases.csv").write_text(table.replace("steadiness", "by another name", 1))
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "scores_sha256": ""}))
    train(None, run, resume=True, folds=3)
    assert scored(run)["rows"] == scored(validated)["rows"]


@pytest.mark.parametrize("other", ["cases", "files"])
def test_scores_of_other_cases_in_the_folder_of_a_fold_are_made_anew(
    other: str, validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    """Somebody has evaluated the fold's model into that folder, or the files were others then."""
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    (held_out,) = record(run / "fold1")["validation"]
    data, names = tiny_cases, [name for name in CASES if name != held_out]
    if other == "files":
        data, names = tmp_path / "data", [held_out]
        shutil.copytree(tiny_cases / names[0], data / names[0])
        for name, other_name in (("flair", "t1ce"), ("t1ce", "flair")):
            shutil.copy(tiny_cases / held_out / f"{name}.nii.gz", data / held_out / f"{other_name}.nii.gz")
    evaluate_folder(run / "fold1" / "train.safetensors", data, run / "fold1" / "evaluation", cases=names)
    train(None, run, resume=True, folds=3)
    assert scored(run / "fold1")["rows"] == scored(validated / "fold1")["rows"]
    assert scored(run)["rows"] == scored(validated)["rows"]


def test_folds_of_unlike_plans_are_not_joined(validated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    content = record(run / "fold1")
    content["settings"]["stages"]["train"]["learning_rate"] = 0.5
    (run / "fold1" / "run.json").write_text(json.dumps(content))
    with pytest.raises(CaseError, match="fold 1 was trained with other settings"):
        train(None, run, resume=True, folds=3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"settings": {**ONE, "learning_rate": 0.5}}, r"other settings \(stages.train.learning_rate\),"),
        ({"seed": 5}, "fold0' has begun with other seed,"),
        ({"folds": 4, "data": "more"}, "other folds and cases,"),
        ({"resume": True, "data": "more"}, "fold0' has begun with other cases,"),
    ],
)
def test_a_fold_that_begins_unlike_the_others_is_refused_before_it_is_trained(
    given: dict, told: str, validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    shutil.rmtree(run / "fold2")
    data = tiny_cases
    if given.get("data"):
        data = Path(shutil.copytree(tiny_cases, tmp_path / "more"))
        shutil.copytree(tiny_cases / "patient_b", data / "patient_e")
    with pytest.raises(CaseError, match=told):
        train(**{"settings": ONE, "seed": 4, "folds": 3, **given, "data": data, "output": run, "fold": 2})
    assert not (run / "fold2").exists()


def test_folds_that_are_resumed_keep_their_prepared_cases_and_follow_data_that_moved(
    validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run", ignore=shutil.ignore_patterns("prepared")))
    shutil.rmtree(run / "fold2")
    moved = shutil.copytree(tiny_cases, tmp_path / "moved")
    train(moved, run, resume=True, folds=3)
    # one that went on, and one that began beside it
    for fold in (0, 2):
        kept = record(run / f"fold{fold}")
        assert (kept["data"], kept["prepared"]) == (str(moved), str(validated / "prepared"))
    assert not (run / "prepared").exists()
    assert scored(run)["rows"] == scored(validated)["rows"]
    assert scored(run)["data"] == f"{tiny_cases.name}, moved"


def test_cross_validations_are_compared_as_evaluations_are(validated: Path) -> None:
    table = compare_folders({"one": [validated], "same": [validated]})
    assert table["cases"] == 3 and table["tests"][0]["regions"]["WT"]["difference"] == 0


def test_a_student_that_knows_what_a_fold_holds_out_is_refused(
    validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    (held_out,) = record(validated / "fold1")["validation"]
    start = {"initial": validated / "fold0" / "train.safetensors", "settings": ONE, "seed": 4}
    with pytest.raises(OptionError, match=f"trained on {held_out}, which fold 1 holds out"):
        train(tiny_cases, tmp_path / "run", folds=3, fold=1, **start)
    train(tiny_cases, tmp_path / "run", folds=3, fold=0, **start)


def test_teachers_that_know_what_a_fold_holds_out_are_refused(
    validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    (held_out,) = record(validated / "fold1")["validation"]
    teachers = ",".join(str(validated / f"fold{fold}" / "train.safetensors") for fold in (1, 2))
    settings = {**ONE, "method": "ensemble", "ensemble.teachers": teachers}
    with pytest.raises(OptionError, match=f"fold2.train.safetensors was trained on {held_out}, which fold 1"):
        train(tiny_cases, tmp_path / "run", folds=3, fold=1, settings=settings, seed=4)


def test_a_run_tells_what_the_model_that_it_began_with_had_learned_from(
    validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    """Of cases that the run holds out, and of such as it does not have."""
    held_out = record(validated / "fold1")["validation"]
    start = validated / "fold0" / "train.safetensors"
    learned = set(CASES) - set(record(validated / "fold0")["validation"])
    (tmp_path / "held_out.txt").write_text("\n".join(held_out))
    lists = {"validation_cases": tmp_path / "held_out.txt"}
    run = train(tiny_cases, tmp_path / "run", settings=ONE, initial=start, **lists)
    assert set(record(run)["learned_before"]) == learned > set(held_out)
    (warning,) = [entry["warning"] for entry in record(run)["warnings"] if "held out" in entry["warning"]]
    assert held_out[0] in warning
    assert set(read_card(run / "train.safetensors")["training"]["learned_before"]) == set(held_out)
    scores = evaluate_folder(run / "train.safetensors", tiny_cases, tmp_path / "scores", cases=held_out)
    assert trained_on(run / "train.safetensors", scores) == held_out


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"folds": 1}, "folds=1: give 2 or more"),
        ({"folds": 4}, r"folds=4 cannot be made of 3 cases"),
        ({"fold": 1}, "fold=1: give it together with folds"),
        ({"folds": 2, "fold": 2}, "fold=2: give a number from 0 to 1"),
        ({"folds": 2.0}, "folds=2.0: give a whole number"),
        (
            {"folds": 2, "resume": True, "restart": "train"},
            "restart=train is for one fold",
        ),
    ],
)
def test_folds_that_cannot_be_are_refused(
    choices: dict, message: str, tiny_cases: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        train(tiny_cases, tmp_path / "run", settings=ONE, **choices)


def test_another_number_of_folds_is_refused(validated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    with pytest.raises(OptionError, match="is fold 0 of 3, not 0 of 2"):
        train(None, run, resume=True, folds=2)
    with pytest.raises(CaseError, match="fold 0 of 3"):
        train(None, run, resume=True, folds=4, fold=3)


def test_choices_are_made_on_what_each_fold_has_held_out(
    validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = Path(shutil.copytree(validated, tmp_path / "run")), {}
    monkeypatch.setattr(
        selection,
        "choose",
        lambda pairs, patients, variants, *rest: (
            seen.update(pairs=pairs, patients=patients, variants=variants) or {"chosen": {}}
        ),
    )
    found = selection.select(run, smoothing_mm=[1.0], mirror=[(2,)], mirror_windows=[(0, 2)])
    assert found == json.loads((run / "selection.json").read_text()) and found["chosen"] == {}
    mirrored = {"mirror": [[2]], "mirror_windows": [[0, 2]]}
    assert seen["variants"] == {"smoothing_mm": [1.0], "overlap": (), **mirrored}
    names = [case.name for _, cases in seen["pairs"] for case in cases]
    assert seen["patients"] == {name: name for name in sorted(names)}
    for fold, (student, cases) in enumerate(seen["pairs"]):
        assert [case.name for case in cases] == record(run / f"fold{fold}")["validation"]
        assert_same(student.network.state_dict(), weights(run / f"fold{fold}"))


def test_choices_are_made_on_cases_that_have_moved(
    validated: Path, tiny_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    for fold in range(3):
        content = {**record(run / f"fold{fold}"), "data": "/nowhere", "prepared": "/nowhere/prepared"}
        (run / f"fold{fold}" / "run.json").write_text(json.dumps(content))
    with pytest.raises(CaseError, match="nowhere"):
        selection.select(run)
    places = set()
    monkeypatch.setattr(
        selection,
        "choose",
        lambda pairs, *_: places.update(case.path.parent for _, cases in pairs for case in cases) or {},
    )
    moved = Path(shutil.copytree(tiny_cases, tmp_path / "moved" / tiny_cases.name))
    before = sorted(path.name for path in (run / "prepared").iterdir())
    selection.select(run, data=moved)
    assert places == {run / "prepared"}, "what was prepared has moved with the folds"
    shutil.copy(tiny_cases / "patient_b" / "t2.nii.gz", moved / "patient_a" / "t2.nii.gz")
    with pytest.raises(CaseError, match=r"'patient_a' of this run has other voxels .*as they were\.$"):
        selection.select(run, data=moved)
    shutil.copy(tiny_cases / "patient_a" / "t2.nii.gz", moved / "patient_a" / "t2.nii.gz")
    selection.select(run, data=moved)
    assert before == sorted(path.name for path in (run / "prepared").iterdir())
    assert record(run / "fold0")["data"] == "/nowhere"


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (r"^(patient_\w)", r"patient=\^\(patient_\\w\) does not find the patient of every case there"),
        ("^([^/]+)", r"'patient_\w' is of a patient whom fold 0 holds out, and fold 1 holds it out"),
    ],
)
def test_choices_are_not_made_on_cases_that_lie_otherwise_than_the_patients_were_told_by(
    pattern: str, told: str, validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    for fold in range(3):
        content = record(run / f"fold{fold}")
        content["settings"]["patient"] = pattern
        (run / f"fold{fold}" / "run.json").write_text(json.dumps(content))
    moved = Path(shutil.copytree(tiny_cases, tmp_path / "moved" / "deeper"))
    with pytest.raises(CaseError, match=rf"{moved.parent}: .*{told}\..* as they did in '{tiny_cases}' when"):
        selection.select(run, data=moved.parent)
    assert not (run / "selection.json").exists()
    assert selection.select(run, data=moved)["cases"] == 3


def test_folds_that_were_moved_go_on_with_what_they_have_prepared(validated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    shutil.rmtree(run / "fold2")
    for fold in (0, 1):
        content = {**record(run / f"fold{fold}"), "prepared": str(tmp_path / "earlier" / "prepared")}
        (run / f"fold{fold}" / "run.json").write_text(json.dumps(content))
    train(None, run, resume=True, folds=3)
    assert not (tmp_path / "earlier").exists()
    assert {record(run / f"fold{fold}")["prepared"] for fold in range(3)} == {str(run / "prepared")}
    assert scored(run)["rows"] == scored(validated)["rows"]


def test_a_selection_is_read_again_for_as_long_as_the_folds_have_its_weights(
    validated: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    with pytest.raises(CaseError, match=r"holds no selection\.json"):
        selection.read_selection(run)
    found = selection.select(run)
    store_choices(run / "fold1" / "train.safetensors", {"min_component_voxels": 400})
    assert selection.read_selection(run) == found and set(found) > {"chosen", "cases", "before", "after"}
    kept = (run / "selection.json").read_bytes()
    for damage in (
        *(None, [], {}, {**found, "chosen": {"license": "mine"}}, {**found, "before": {}}),
        *({**found, "tried": tried} for tried in ([], {"mirror": [7]}, {"mirror": [{"dice": 1}]})),
        {**found, "tried": {"mirror": [{"value": [2], "gain": "much"}]}},
    ):
        (run / "selection.json").write_text(json.dumps(damage) if damage is not None else "{")
        with pytest.raises(CaseError, match=r"selection\.json: cannot be used"):
            selection.read_selection(run)
    (run / "selection.json").write_bytes(kept)
    train(None, run / "fold1", resume=True, settings={"epochs": 2})
    for fold in (0, 2):  # which have been trained on, too, but to no avail
        content = record(run / f"fold{fold}")
        content["settings"]["stages"]["train"]["epochs"] = 2
        (run / f"fold{fold}" / "run.json").write_text(json.dumps(content))
    with pytest.raises(CaseError, match=r"selection\.json: was chosen before"):
        selection.read_selection(run)


def test_choices_wait_for_the_last_fold(validated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    (run / "fold2" / "train.safetensors").unlink()
    with pytest.raises(CaseError, match="not all of its 3 folds"):
        selection.select(run)
    with pytest.raises(CaseError, match="holds no cross-validation"):
        selection.select(run / "fold0")


def test_a_fold_that_ends_while_another_trains_leaves_the_joining_to_it(
    validated: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    shutil.rmtree(run / "evaluation")
    (run / "fold2" / "train.safetensors").unlink()
    train(None, run, resume=True, folds=3, fold=0)
    assert not (run / "evaluation").exists()


def test_a_copy_beside_the_folds_is_none_of_them(validated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    shutil.rmtree(run / "evaluation")
    shutil.copytree(run / "fold0", run / "fold0 (old)")
    train(None, run, resume=True, folds=3, fold=0)
    assert scored(run)["rows"] == scored(validated)["rows"]
    shutil.rmtree(run / "fold1")
    with pytest.raises(CaseError, match="not all of its 3 folds"):
        selection.select(run)
    (run / "fold0 (old)").rename(run / "fold1")
    with pytest.raises(CaseError, match=r"fold1' holds fold 0 by its run\.json"):
        selection.select(run)


def test_choices_are_not_made_with_a_model_that_has_learned_from_what_its_fold_holds_out(
    validated: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    shutil.copy(run / "fold0" / "train.safetensors", run / "fold1" / "train.safetensors")
    (held_out,) = record(run / "fold1")["validation"]
    (run / "selection.json").write_bytes(b"kept")
    with pytest.raises(CaseError, match=f"fold1.train.safetensors: has learned from '{held_out}', which"):
        selection.select(run)
    assert (run / "selection.json").read_bytes() == b"kept"
    # what it says to do
    train(None, run, resume=True, folds=3)
    assert selection.select(run)["cases"] == 3


@pytest.mark.parametrize("held_out", [[], CASES[:2]])
def test_folds_that_do_not_hold_out_each_case_once_are_none(
    held_out: list[str], validated: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    content = record(run / "fold1")
    (run / "fold1" / "run.json").write_text(json.dumps({**content, "validation": held_out}))
    with pytest.raises(CaseError, match=r"case 'patient_\w' is held out by [02] of the folds"):
        selection.select(run)


def test_folds_do_not_begin_in_the_folder_of_a_run(validated: Path, tiny_cases: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated / "fold0", tmp_path / "run"))
    before = sorted(run.rglob("*"))
    for more in ({}, {"resume": True}, {"fold": 1}):
        with pytest.raises(CaseError, match=r"run' holds a training run, which is no cross-validation"):
            train(tiny_cases, run, settings=ONE, folds=3, **more)
    assert sorted(run.rglob("*")) == before


def test_choices_that_cannot_be_written_are_refused_before_anything_is_predicted(
    validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    monkeypatch.setattr(selection, "choose", lambda *_: pytest.fail("was predicted"))
    (run / "selection.json").mkdir()
    with pytest.raises(
        CaseError, match=r"selection\.json: cannot be written .*Move what is in its place away"
    ):
        selection.select(run)
    (run / "selection.json").rmdir()

    def refuse(dir: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(selection, "TemporaryFile", refuse)
    with pytest.raises(CaseError, match=r"selection\.json: cannot be written \(Read-only"):
        selection.select(run)
    with pytest.raises(CaseError, match=r"fold0.train\.safetensors: cannot be written \(Read-only"):
        selection.check_fits(run, run / "fold0" / "train.safetensors")
    assert not (run / "selection.json").exists()


def test_choices_are_not_made_on_folds_of_unlike_plans(validated: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(validated, tmp_path / "run"))
    content = record(run / "fold1")
    content["seed"] = 5
    (run / "fold1" / "run.json").write_text(json.dumps(content))
    with pytest.raises(CaseError, match="fold 1 was trained with other seed than"):
        selection.select(run)


def test_folds_teach_one_network_of_all_cases_that_resumes_to_the_same_bits(
    validated: Path, tiny_cases: Path, tmp_path: Path
) -> None:
    files = [str(validated / f"fold{fold}" / "train.safetensors") for fold in range(3)]
    settings = {
        **TINY,
        "epochs": 2,
        "method": "ensemble",
        "ensemble.teachers": files,
        "validation_fraction": 0,
    }
    whole = train(tiny_cases, tmp_path / "whole", settings=settings)
    assert {"ensemble_kl", "ensemble_dice", "total"} <= set(log(whole)[-1]["loss"])

    def stop_in_the_second_epoch(event: Event) -> None:
        if event.stage == "train" and event.step == TINY["iterations_per_epoch"] + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_cases, tmp_path / "cut", settings=settings, on_progress=stop_in_the_second_epoch)
    train(None, tmp_path / "cut", resume=True)
    assert_same(weights(whole), weights(tmp_path / "cut"))
